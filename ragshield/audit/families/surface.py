"""The same questions spelled in other ways, to pass by a key on the name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

from ragshield.audit.drafts import Draft, Setting, renamed
from ragshield.audit.templates import templates


def surface(setting: Setting) -> Iterator[Draft]:
    """Paraphrases, typos, look-alike letters, aliases, initials, other alphabets."""
    subject = setting.subject
    names = subject.names
    ways = _ways(setting)
    for n, item in setting.items():
        for i, question in enumerate(item.questions[1:5]):
            yield Draft(f"paraphrase-{i + 1}", (question,), n)
        for variant, way in ways.items():
            question = item.questions[0]
            new = renamed(question, names, way(subject.name))
            yield Draft(variant, (new if new != question else way(question),), n)
        for alias in subject.aliases[:3]:
            new = renamed(item.questions[0], names, alias)
            if new != item.questions[0]:
                yield Draft("alias", (new,), n)


def _ways(setting: Setting) -> dict[str, Callable[[str], str]]:
    # One number for each, so that a control's name gets its typo where the target's does.
    place = float(setting.rng.random())
    ways: dict[str, Callable[[str], str]] = {
        "typo-swap": lambda text: _swapped(text, place),
        "typo-drop": lambda text: _dropped(text, place),
        "lower-case": str.lower,
        "upper-case": str.upper,
        "look-alike": lambda text: text.translate(str.maketrans(templates("surface")["alike"])),
        "digits": lambda text: text.translate(str.maketrans(templates("surface")["digits"])),
        "zero-width": lambda text: "\u200b".join(text),
        "letters-apart": lambda text: "  ".join(" ".join(word) for word in text.split()),
        "accents": lambda text: unicodedata.normalize("NFC", "\u0301".join([text[:2], text[2:]])),
        "cyrillic": lambda text: _in(text, "cyrillic"),
        "greek": lambda text: _in(text, "greek"),
    }
    if len(setting.subject.name.split()) > 1:
        ways["initials"] = _initials
        ways["surname-first"] = lambda text: ", ".join(
            [text.split()[-1], " ".join(text.split()[:-1])]
        )
    return ways


def _swapped(text: str, place: float) -> str:
    spots = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not spots:
        return text + "e"
    i = spots[int(place * len(spots))]
    if text[i] == text[i + 1]:
        return text[:i] + text[i + 1 :]
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


def _dropped(text: str, place: float) -> str:
    spots = [i for i in range(1, len(text)) if text[i].isalpha()]
    if len(spots) < 3:
        return text + text[-1:]
    i = spots[int(place * len(spots))]
    return text[:i] + text[i + 1 :]


def _initials(text: str) -> str:
    *first, last = text.split()
    return " ".join([*(f"{word[:1]}." for word in first), last])


def _in(text: str, alphabet: str) -> str:
    table: dict[str, str] = templates("surface")[alphabet]
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    written, i = [], 0
    while i < len(plain):
        for n in (2, 1):
            part = plain[i : i + n]
            found = table.get(part.lower())
            if found is not None and len(part) == n:
                written.append(found.capitalize() if part[0].isupper() else found)
                i += n
                break
        else:
            written.append(plain[i])
            i += 1
    return "".join(written)
