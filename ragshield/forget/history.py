"""What has been done with a plan: a journal beside it, and the state it adds up to.

Steps, each on disk before the next begins: `begun`, `snapshot`, `verified`; then for the
way back `undoing`, `undone`. Deletion lies between `snapshot` and `verified`, adding
between `undoing` and `undone`; both can be repeated, so a crash in between is made good
by running the command again. A new `begun` after `undone` starts a new round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ragshield.errors import InputError, UsageError
from ragshield.forget.plan import ForgetPlan, PlanItem, read_plan
from ragshield.journal import Journal, OpenJournal

SCHEMA = "ragshield-forget-journal/1"

Step: TypeAlias = Literal["begun", "snapshot", "verified", "undoing", "undone"]


@dataclass(frozen=True, slots=True)
class State:
    """The last round of a plan.

    Attributes:
        step: the last step that was finished; None if nothing was ever done.
        selection: digest of the ids and contents that this round deletes.
        snapshot: the round's snapshot file; None before there is one.
        snapshot_sha256: its checksum.
        n_before: passages in the store when it was made.
    """

    step: Step | None = None
    selection: str = ""
    snapshot: Path | None = None
    snapshot_sha256: str = ""
    n_before: int = 0


def journal_of(plan: ForgetPlan) -> Journal:
    """The journal beside a plan file.

    Raises:
        UsageError: the plan has no file, or its folder cannot be written to.
    """
    if plan.path is None:
        raise UsageError("the plan has no file to keep a journal beside; write_plan it first")
    return Journal(plan.path.with_name(f"{plan.path.name}.journal"), SCHEMA)


def state_of(opened: OpenJournal, path: Path) -> State:
    """What the records of the journal at `path` add up to."""
    state = State()
    for number, record in opened.records():
        try:
            state = _next(state, record, path)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}, line {number}: not a step of a plan") from error
    return state


def _next(state: State, record: dict[str, Any], path: Path) -> State:
    step: Step = record["step"]
    if step == "begun":
        return State(step, selection=record["selection"])
    if step == "snapshot":
        # Kept relative to the journal, so that the folder may be moved as a whole.
        snapshot = path.parent / record["path"]
        return State(step, state.selection, snapshot, record["sha256"], record["n_before"])
    return State(step, state.selection, state.snapshot, state.snapshot_sha256, state.n_before)


def selection_digest(items: Sequence[PlanItem]) -> str:
    """What identifies a selection: ids and contents, in any order."""
    lines = sorted(f"{item.passage_id}\0{item.sha256}" for item in items)
    return sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def loaded(plan: ForgetPlan | Path) -> ForgetPlan:
    """The plan itself, read if a path was given."""
    return read_plan(plan) if isinstance(plan, Path) else plan
