"""Passages that a plan speaks of, while it is being made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ragshield.forget.plans.file import content_hash
from ragshield.forget.plans.records import EXCERPT_CHARS, PlanItem
from ragshield.records import Passage


@dataclass(frozen=True, slots=True)
class Why:
    """Why a passage is in the plan.

    Attributes:
        selected: whether it would go.
        confidence: that it carries the target, (0, 1].
        reason: in words.
        related_to: ids of passages it was found through.
    """

    selected: bool
    confidence: float
    reason: str
    related_to: tuple[str, ...] = ()


class Chosen:
    """What has been chosen so far, each passage with its best reason, in the order found."""

    def __init__(self) -> None:
        self._items: dict[str, tuple[int, PlanItem]] = {}
        self._number = 0

    def __contains__(self, passage_id: str) -> bool:
        return passage_id in self._items

    def __len__(self) -> int:
        return len(self._items)

    def is_selected(self, passage_id: str) -> bool:
        """Whether a passage is in and would go."""
        found = self._items.get(passage_id)
        return found is not None and found[1].selected

    def take(self, passage: Passage, why: Why) -> bool:
        """Take a passage in, or a better reason for it; gives whether it is newly selected."""
        before = self._items.get(passage.id)
        if before is not None:
            item = before[1]
            if (item.selected, item.confidence) >= (why.selected, why.confidence):
                return False
        number = self._number if before is None else before[0]
        self._number += before is None
        item = PlanItem(
            passage_id=passage.id,
            selected=why.selected,
            confidence=round(why.confidence, 2),
            reason=why.reason,
            related_to=why.related_to,
            sha256=content_hash(passage),
            text=passage.text[:EXCERPT_CHARS],
        )
        self._items[passage.id] = number, item
        return why.selected and (before is None or not before[1].selected)

    def put_on_review(self, reasons: Mapping[str, str]) -> None:
        """Take the selection back from some passages, with the reason for that."""
        for passage_id, reason in reasons.items():
            number, item = self._items[passage_id]
            self._items[passage_id] = (
                number,
                PlanItem(
                    passage_id=passage_id,
                    selected=False,
                    confidence=item.confidence,
                    reason=reason,
                    related_to=item.related_to,
                    sha256=item.sha256,
                    text=item.text,
                ),
            )

    def drop(self, passage_ids: Iterable[str]) -> None:
        """Leave passages out after all."""
        for passage_id in passage_ids:
            self._items.pop(passage_id, None)

    def ids(self, *, selected: bool) -> list[str]:
        """Ids of those that would go, or of those that would not."""
        return [key for key, (_, item) in self._items.items() if item.selected is selected]

    def items(self) -> tuple[PlanItem, ...]:
        """Selected ones first, then the most certain, then in the order found."""
        ordered = sorted(
            self._items.values(), key=lambda x: (not x[1].selected, -x[1].confidence, x[0])
        )
        return tuple(item for _, item in ordered)
