"""Plans that get in each other's way: both delete a passage, or one keeps what another deletes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

from ragshield.errors import RagshieldError
from ragshield.forget.plans.file import SCHEMA, listed, read_plan
from ragshield.forget.plans.records import ForgetPlan

_MOST_FILES = 2_000
_HEAD_BYTES = 200


class Overlap(NamedTuple):
    """Passages that two plans speak of.

    Attributes:
        first: name of the one plan's file; its target where it has none.
        second: the other's.
        kind: `both delete`, or `kept` where an exception of one plan keeps what the other
            deletes.
        store_url: the collection.
        ids: the passages.
    """

    first: str
    second: str
    kind: Literal["both delete", "kept"]
    store_url: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        """One line for a person."""
        n = f"{len(self.ids)} passage{'s' if len(self.ids) > 1 else ''} of {self.store_url}"
        if self.kind == "kept":
            return f"{self.first} keeps {n} that {self.second} deletes: {listed(self.ids)}"
        return f"{self.first} and {self.second} both delete {n}: {listed(self.ids)}"


def overlaps(plans: Sequence[ForgetPlan]) -> tuple[Overlap, ...]:
    """What each two of some plans have in common, in the order of the plans."""
    found = []
    parts = [(_name(plan), _selected(plan), _kept(plan)) for plan in plans]
    for (first, go, stay), (second, go_too, stay_too) in combinations(parts, 2):
        for url in sorted(go.keys() & go_too.keys()):
            if ids := go[url] & go_too[url]:
                found.append(Overlap(first, second, "both delete", url, tuple(sorted(ids))))
        for keeper, kept, deleter, gone in (
            (first, stay, second, go_too),
            (second, stay_too, first, go),
        ):
            for url in sorted(kept.keys() & gone.keys()):
                if ids := kept[url] & gone[url]:
                    found.append(Overlap(keeper, deleter, "kept", url, tuple(sorted(ids))))
    return tuple(found)


def plans_in(folder: Path, *, but: Path) -> tuple[ForgetPlan, ...]:
    """The other plan files of a folder; files that are no readable plans are passed over."""
    found = []
    for path in sorted(folder.glob("*.json"))[:_MOST_FILES]:
        if path.resolve() == but.resolve():
            continue
        try:
            with path.open("rb") as file:
                if SCHEMA.encode() not in file.read(_HEAD_BYTES):
                    continue
            found.append(read_plan(path))
        except (OSError, RagshieldError):
            continue
    return tuple(found)


def _selected(plan: ForgetPlan) -> dict[str, set[str]]:
    found = {plan.store_url: {item.passage_id for item in plan.selected}}
    for other in plan.elsewhere:
        found.setdefault(other.store_url, set()).update(i.passage_id for i in other.selected)
    return found


def _kept(plan: ForgetPlan) -> dict[str, set[str]]:
    return {plan.store_url: {kept.passage_id for kept in plan.kept}}


def _name(plan: ForgetPlan) -> str:
    if plan.path is not None:
        return plan.path.name
    return f"the plan for {plan.subject or f'{len(plan.ids)} ids'}"
