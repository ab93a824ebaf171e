"""The parts of a question that asks for several things at once."""

from __future__ import annotations

import re
from collections.abc import Callable

from ragshield.text import sentences
from ragshield.unlearning.query_gate import refers_back

_COORDINATED = re.compile(
    r"\s*(?:[,;]\s*|\s)(?:and|also|then|plus|as well as|additionally)[, ]+"
    r"(?=(?:also |then |please )?"
    r"(?:who|what|where|when|which|why|how|is|are|was|were|did|does|do|can|could|tell|name|give|"
    r"list|explain|describe)\b)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?|\b(?:who|what|where|when|which|why|how|whose|tell|name|give|list|explain|describe|"
    r"write|summari[sz]e|translate)\b",
    re.IGNORECASE,
)


def clauses(question: str) -> list[str]:
    """The questions in a question, each with its own verb of asking, in order."""
    parts: list[str] = []
    for sentence in sentences(question):
        parts.extend(part.strip() for part in _COORDINATED.split(sentence) if part.strip())
    return parts


def answerable(question: str, is_refused: Callable[[str], bool]) -> str | None:
    """What is left of a question without the parts that are refused; None: nothing.

    A part that speaks of what went before is given up with the part it speaks of, and a
    part that asks nothing (an instruction on how to answer) is no question by itself.

    Args:
        question: refused as a whole.
        is_refused: judges one part.
    """
    parts = clauses(question)
    if len(parts) < 2:
        return None
    kept: list[str] = []
    lost = False
    for part in parts:
        refused = is_refused(part) or (lost and refers_back(part))
        lost = refused or (lost and not _ASKS.search(part))
        if not lost:
            kept.append(part)
    rest = " ".join(kept)
    if not kept or not any(_ASKS.search(part) for part in kept) or is_refused(rest):
        return None
    return rest
