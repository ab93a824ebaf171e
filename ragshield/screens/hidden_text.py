"""Passages that hold what a person does not see and a model reads."""

from __future__ import annotations

from typing import ClassVar

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.concealed import Concealed, concealed
from ragshield.screens.instructions import signs
from ragshield.screens.refusal_blocker import refusals
from ragshield.screens.wordings import quoted, together

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0068", "LLM01:2025", "LLM01:2026")
"""MITRE ATLAS LLM Prompt Obfuscation; OWASP prompt injection, with the year."""

READ_CHARS = 1_000_000
"""Longer passages are read from both ends, half of this from each."""

_ORDERS = 0.95
_CLEAR_ORDER = 0.55
_KEPT_CHARS = 300


class HiddenText:
    """Passages with invisible or look-alike characters, hidden markup, or encoded words.

    Each passage is judged by itself. Found are zero-width marks inside words, overrides of
    the writing direction, tag characters and variation selectors (decoded), words that mix
    scripts, elements that a style hides or paints in the colour of the page, comments, and
    base64, hexadecimal, escapes or references that decode to words. What is hidden is shown
    in the evidence, readable and with escapes for what cannot be printed. Suspicion says how
    sure it is that something was hidden on purpose; hidden instructions or refusals make it
    0.95 or more. Marks that a script needs (Persian, Indic, emoji, flags, ideographs) are
    not counted.

    Source: Boucher et al., Bad Characters, arXiv 2106.09898 (invisible, look-alike and
    reordering characters); Boucher and Anderson, Trojan Source, arXiv 2111.00169; hidden
    markup in OpenRAG-Soc, arXiv 2601.10923.
    Differs: those render or normalise the text; here what was hidden is reported, too.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: drop_from out of its range.
    """

    name: ClassVar[str] = "hidden-text"

    def __init__(self, *, drop_from: float = 0.5) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        found = (self._judge(passage) for passage in batch.passages)
        return [finding for finding in found if finding is not None]

    def _judge(self, passage: Passage) -> Finding | None:
        text = passage.text
        if len(text) > READ_CHARS:
            text = f"{text[: READ_CHARS // 2]}\n{text[-READ_CHARS // 2 :]}"
        worst: dict[str, tuple[float, Concealed]] = {}
        for item in concealed(text):
            weight = _weight(item)
            if item.kind not in worst or worst[item.kind][0] < weight:
                worst[item.kind] = (weight, item)
        suspicion = round(together([weight for weight, _ in worst.values()]), 4)
        if suspicion < MIN_SHOWN:
            return None
        order = sorted(worst.values(), key=lambda found: -found[0])
        parts = [
            f'{item.says} ("{quoted(item.content)}")' if item.content else item.says
            for _, item in order[:3]
        ]
        return Finding(
            passage.id,
            suspicion,
            self.name,
            Action.DROP if suspicion >= self.drop_from else Action.KEEP,
            "hides something: " + "; ".join(parts),
            evidence={
                "signs": {item.kind: round(weight, 2) for weight, item in order},
                "hidden": [quoted(item.content, _KEPT_CHARS) for _, item in order if item.content],
                "taxonomy": list(TAXONOMY),
            },
        )


def _weight(item: Concealed) -> float:
    """The weight of what is hidden: orders to a model, prose, or nothing to read."""
    if not item.content or item.kind == "look-alikes":
        return item.weight
    found = [*signs(item.content), *refusals(item.content)]
    if any(match.wording.weight >= _CLEAR_ORDER for match in found):
        return _ORDERS
    return item.weight
