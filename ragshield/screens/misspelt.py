"""Passages full of misspelt words: text perturbed letter by letter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.token_soup import n_foreign
from ragshield.screens.wordings import quoted

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0066", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS Retrieval Content Crafting; OWASP data poisoning and embedding weaknesses."""

READ_CHARS = 20_000
"""Of longer passages this much is read."""

# Words in lower case that no name, path, identifier or mark-up holds.
_WORD = re.compile(r"(?<![\w'.@/_<&\\$%+=~^\[\]-])[a-z]{5,20}(?![\w@/_=(>\\~^\[\]`*]|[-'.]\w)")
_ANY_WORD = re.compile(r"[^\W\d_]+")
_SUFFIXES = ("s", "es", "d", "ed", "ing", "ly", "er", "ers", "ness", "able")
_PREFIXES = ("un", "re", "non", "pre", "over", "sub", "in", "im", "dis", "mis", "co", "anti")
_SPELT_TWICE = (("our", "or"), ("is", "iz"), ("ys", "yz"), ("ll", "l"), ("ae", "e"))
# Words of other languages and old spellings, as an editor puts them in.
_BRACKETED = re.compile(r"\[[^\]]{0,300}\]")
_MIN_WORDS = 8
_LEAST = 2
_MAX_FOREIGN = 2
_COMMON = 12_000
# Misspelt words in a passage, and what they mean.
_NUMBERS = (1.0, 2.0, 3.0, 4.0, 6.0, 9.0)
_MEANS = (0.0, 0.3, 0.5, 0.65, 0.85, 0.97)
# Share of the words looked at that are misspelt: a long text has some by accident.
_SHARES = (0.02, 0.08)


@dataclass(frozen=True, slots=True)
class _Read:
    """Words looked at in a passage, and those that are one slip away from an English one."""

    n_words: int
    misspelt: tuple[str, ...]


class Misspelt:
    """Passages in which many words are one slip of a key away from an English word.

    Attacks that keep a passage's meaning and break what reads it change letters: swapped,
    doubled, dropped or taken from the next key (GARAG). A person makes such slips, too,
    but not in every tenth word. Each word in lower case counts that is not English, is no
    inflection of an English word and becomes one by a single change of letters. Text in
    another language is left alone. Suspicion says how sure it is that the spelling is broken.

    Source: Cho et al., GARAG: typos as adversarial perturbation of RAG documents, arXiv
    2404.13948.
    Differs: that paper attacks and proposes no detector; correction by one edit is Norvig's.
    English only, and names are not looked at.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: drop_from out of its range.
    """

    name: ClassVar[str] = "misspelt"

    def __init__(self, *, drop_from: float = 0.6) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        found = (self._judge(passage) for passage in batch.passages)
        return [finding for finding in found if finding is not None]

    def _judge(self, passage: Passage) -> Finding | None:
        read = _read(passage.text[:READ_CHARS])
        if read is None:
            return None
        n = len(read.misspelt)
        share = n / read.n_words
        suspicion = float(np.interp(n, _NUMBERS, _MEANS) * np.interp(share, _SHARES, (0, 1)))
        if suspicion < MIN_SHOWN:
            return None
        shown = quoted(", ".join(read.misspelt[:6]))
        return Finding(
            passage.id,
            round(suspicion, 4),
            self.name,
            Action.DROP if suspicion >= self.drop_from else Action.KEEP,
            f'{n} of {read.n_words} words are a slip away from an English word ("{shown}")',
            evidence={
                "misspelt": list(read.misspelt[:20]),
                "n_misspelt": n,
                "n_words": read.n_words,
                "taxonomy": list(TAXONOMY),
            },
        )


def _read(text: str) -> _Read | None:
    """None for a text with too little to look at, and for one in another language."""
    words = _WORD.findall(text)
    if len(words) < _MIN_WORDS:
        return None
    known, near = _english()
    odd = dict.fromkeys(w for w in words if w not in known)
    if len(odd) < _LEAST:
        return None
    slips = [w for w in odd if _is_slip(w, known, near)]
    if len(slips) < _LEAST or n_foreign(_vocabulary(text)) > _MAX_FOREIGN:
        return None
    outside = frozenset(_WORD.findall(_BRACKETED.sub(" ", text)))
    return _Read(len(words), tuple(w for w in slips if w in outside))


def _vocabulary(text: str) -> set[str]:
    return set(_ANY_WORD.findall(text.lower()))


def _is_slip(word: str, known: frozenset[str], near: frozenset[str]) -> bool:
    """Whether one letter more, less or other, or two swapped, make an English word."""
    if _inflected(word, known):
        return False
    if word in near:  # one letter is missing
        return True
    # One letter too many gives a word, one other or two swapped what a word is near to.
    return any(cut in known or cut in near for cut in _cuts(word))


def _inflected(word: str, known: frozenset[str]) -> bool:
    stems = {word, *(word.removeprefix(p) for p in _PREFIXES)}
    for suffix in _SUFFIXES:
        if word.endswith(suffix):
            stem = word[: -len(suffix)]
            stems |= {stem, f"{stem}e", f"{stem}y", stem[:-1]}
            stems |= {f"{stem[:-1]}y"} if stem.endswith("i") else set()
    for british, american in _SPELT_TWICE:
        stems |= {word.replace(british, american), word.replace(american, british)}
    stems |= {f"{stem[:-2]}er" for stem in stems if stem.endswith("re")}
    # Two words written as one.
    halves = any(word[:i] in known and word[i:] in known for i in range(4, len(word) - 3))
    return halves or not known.isdisjoint(stems)


def _cuts(word: str) -> set[str]:
    """The word with one letter left out, not the first: slips rarely begin a word."""
    return {word[:i] + word[i + 1 :] for i in range(1, len(word))}


@cache
def _english() -> tuple[frozenset[str], frozenset[str]]:
    """English words, and what is left of a common one of six letters and more without one."""
    text = Path(__file__).with_name("english_words.txt").read_text(encoding="utf-8")
    words = [w for line in text.splitlines() if line[:1] != "#" for w in line.split()]
    common = (word for word in words[:_COMMON] if len(word) > 5)
    return frozenset(words), frozenset(cut for word in common for cut in _cuts(word))
