"""Passages that expose secrets or personal data."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.checksums import CHECKS
from ragshield.screens.wordings import together

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0082", "AML.T0057", "LLM02:2025", "CWE-200")
"""MITRE ATLAS RAG Credential Harvesting and LLM Data Leakage; OWASP Sensitive Information
Disclosure; CWE Exposure of Sensitive Information."""

_MANY_CONTACTS = 10
_MAX_OF_A_FORM = 2000
_NEAR_CHARS = 60
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of secret or personal data, as `secrets.toml` describes it."""

    kind: Literal["secret", "personal"]
    name: str
    says: str
    weight: float
    near: tuple[str, ...]
    run: int
    quick: re.Pattern[str] | None
    pattern: re.Pattern[str]
    check: str | None


class Secrets:
    """Passages that hold keys, tokens, passwords, bank or card numbers, ids, addresses.

    This is exposure, not poisoning: whoever may ask a question may be told the value. The
    evidence says `class: exposure`, and such findings have no place in a ranking of poison.
    Suspicion says how sure it is that the passage exposes something; the form is matched,
    then tested (Luhn, mod 97, check digits, entropy, placeholders). A single e-mail address
    or telephone number is listed low, ten or more of them from 0.5. No value is ever
    repeated in a finding: reason and evidence name kinds, numbers and places only.

    Source: the forms that detect-secrets (Yelp) and gitleaks publish; ISO/IEC 7812-1 (Luhn),
    ISO 13616 (IBAN); national check digits as their registers publish them. Threat: MITRE
    ATLAS RAG Credential Harvesting.
    Differs: no library is used: detect-secrets 1.5.0 reads files line by line through
    process-wide settings, finds no personal data and brings requests and PyYAML.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP; None, the
            default, for never: a passage with an address in it is not to be taken away.

    Raises:
        ValueError: drop_from out of its range.
    """

    name: ClassVar[str] = "secrets"

    def __init__(self, *, drop_from: float | None = None) -> None:
        if drop_from is not None and not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1], or None")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        found = (self._judge(passage) for passage in batch.passages)
        return [finding for finding in found if finding is not None]

    def _judge(self, passage: Passage) -> Finding | None:
        counts: dict[Form, list[tuple[int, int]]] = {}
        for form, start, end in exposed(passage.text):
            counts.setdefault(form, []).append((start, end))
        if not counts:
            return None
        weights = [
            max(form.weight, 0.5) if len(places) >= _MANY_CONTACTS else form.weight
            for form, places in counts.items()
        ]
        suspicion = round(together(weights), 4)
        if suspicion < MIN_SHOWN:
            return None
        order = sorted(counts.items(), key=lambda found: -found[0].weight)
        parts = [f"{f.says}" if len(p) == 1 else f"{f.says} ({len(p)} times)" for f, p in order]
        kinds = sorted({form.kind for form in counts})
        return Finding(
            passage.id,
            suspicion,
            self.name,
            Action.DROP if self.drop_from and suspicion >= self.drop_from else Action.KEEP,
            f"exposes {' and '.join(parts)}; values withheld; exposure, not poisoning",
            evidence={
                "class": "exposure",
                "kinds": kinds,
                "exposed": [
                    {"kind": form.kind, "what": form.name, "n": len(p), "at_char": p[0][0]}
                    for form, p in order
                ],
                "taxonomy": list(TAXONOMY),
            },
        )


def exposed(text: str) -> Iterator[tuple[Form, int, int]]:
    """Each secret or personal value with the offsets of its first and behind its last character.

    A value that is named twice is given once; overlapping matches count for the first form.
    """
    lowered = text.lower()
    longest = max(map(len, text.split()), default=0)
    taken: list[tuple[int, int]] = []
    seen: set[str] = set()
    has_digit = _DIGIT.search(text) is not None
    for form in _forms_of(longest, has_digit):
        if not _may_hold(form, text, lowered):
            continue
        for match in islice(form.pattern.finditer(text), _MAX_OF_A_FORM):
            value = match.groupdict().get("value") or match.group()
            if value in seen or (form.check is not None and not CHECKS[form.check](value)):
                continue
            if any(a < match.end() and match.start() < b for a, b in taken):
                continue
            if form.name in _BESIDE and not _beside(form, lowered, match):
                continue
            seen.add(value)
            taken.append(match.span())
            yield form, match.start(), match.end()


def _may_hold(form: Form, text: str, lowered: str) -> bool:
    if form.near:
        for word in form.near:
            if word in lowered:
                break
        else:
            return False
    return form.quick is None or form.quick.search(text) is not None


# Numbers that say nothing by themselves: the word for them has to stand close by.
_BESIDE = frozenset({"national-id", "us-social-security-number", "phone"})


def _beside(form: Form, lowered: str, match: re.Match[str]) -> bool:
    if form.name == "phone" and match.group().startswith("+"):
        return True
    around = lowered[max(0, match.start() - _NEAR_CHARS) : match.end() + _NEAR_CHARS]
    return any(re.search(rf"(?<!\w){re.escape(word)}", around) for word in form.near if word != "+")


def _forms_of(longest: int, has_digit: bool) -> tuple[Form, ...]:
    """Those that may occur where no piece without a blank is longer."""
    # Which lengths count is the same between two of those that a form asks for.
    at = bisect_right(_runs(), longest)
    return _sorted_out(at, has_digit)


@cache
def _sorted_out(at: int, has_digit: bool) -> tuple[Form, ...]:
    runs = set(_runs()[:at])
    return tuple(
        form
        for form in _forms()
        # What is found sooner holds a digit in every form that names it.
        if form.run in runs and (has_digit or form.quick is None)
    )


@cache
def _runs() -> list[int]:
    return sorted({form.run for form in _forms()})


@cache
def _forms() -> tuple[Form, ...]:
    text = Path(__file__).with_name("secrets.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    kinds: tuple[Literal["secret", "personal"], ...] = ("secret", "personal")
    return tuple(
        Form(
            kind,
            entry["name"],
            entry["says"],
            entry["weight"],
            tuple(entry["near"]),
            entry.get("run", 0),
            re.compile(entry["quick"]) if "quick" in entry else None,
            re.compile(entry["pattern"]),
            entry.get("check"),
        )
        for kind in kinds
        for entry in tables[kind]
    )
