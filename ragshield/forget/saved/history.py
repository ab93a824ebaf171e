"""What has been done with a plan: a journal beside it, and the state it adds up to.

Steps, each on disk before the next begins: `begun`, `blocked`, `snapshot`, `baseline`,
`deleted`, `purged`, `scanned`, `compared`, and where asked for `remembered`, by a reingest
guard, and `certified`. Then either the way back, `undoing` and `undone`, or the end,
`finalising` and `final`. Whatever lies between two steps can be repeated, so a crash in
between is made good by running the command again. A new `begun` after `undone` starts a
new round.

A journal holds counts, hashes, random numbers and relative paths: no text, no id, no name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ragshield.errors import InputError, UsageError
from ragshield.forget.plans.file import read_plan
from ragshield.forget.plans.records import ForgetPlan, PlanItem
from ragshield.journal import Journal, OpenJournal

SCHEMA = "ragshield-forget-journal/1"

Step: TypeAlias = Literal[
    "begun",
    "blocked",
    "snapshot",
    "baseline",
    "deleted",
    "verified",
    "purged",
    "scanned",
    "compared",
    "remembered",
    "certified",
    "finalising",
    "final",
    "undoing",
    "undone",
]
"""`verified` stands in journals of older versions for `deleted`, without what came before."""

_ORDER: Mapping[str | None, int] = {None: -1, **{name: i for i, name in enumerate(get_args(Step))}}


@dataclass(frozen=True, slots=True)
class State:
    """The last round of a plan.

    Attributes:
        step: the last step that was finished; None if nothing was ever done.
        selection: digest of what this round deletes.
        snapshot: the round's snapshot file; None before there is one.
        snapshot_sha256: its checksum.
        key: the snapshot's key file; None for snapshots that are not encrypted.
        n_before: passages in the plan's collection when it was made.
        evidence: what each finished step noted, by its name.
        certificate: SHA-256 of the last certificate; None if none was issued.
    """

    step: Step | None = None
    selection: str = ""
    snapshot: Path | None = None
    snapshot_sha256: str = ""
    key: Path | None = None
    n_before: int = 0
    evidence: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    certificate: str | None = None

    @property
    def fresh(self) -> bool:
        """Whether nothing was deleted in this round, so that it may start anew."""
        return self.step in (None, "begun", "blocked", "undone")

    @property
    def finished(self) -> bool:
        """Whether everything but a certificate and the end was done."""
        return _ORDER["compared"] <= _ORDER[self.step] < _ORDER["undoing"]

    @property
    def destroyed(self) -> bool:
        """Whether the way back is closed."""
        return self.step in ("finalising", "final") or "finalising" in self.evidence

    def has(self, step: Step) -> bool:
        """Whether this step of the round, or a later one, was finished."""
        return not self.fresh and _ORDER[step] <= _ORDER[self.step] < _ORDER["undoing"]


def journal_of(plan: ForgetPlan | Path) -> Journal:
    """The journal beside a plan file.

    Raises:
        UsageError: the plan has no file, or its folder cannot be written to.
    """
    path = plan if isinstance(plan, Path) else plan.path
    if path is None:
        raise UsageError("the plan has no file to keep a journal beside; write_plan it first")
    return Journal(path.with_name(f"{path.name}.journal"), SCHEMA)


def state_of(opened: OpenJournal, path: Path) -> State:
    """What the records of the journal at `path` add up to."""
    return _added_up(opened.records(), path)


def known_state(plan: ForgetPlan | Path) -> State:
    """The state of a plan, without keeping others from it; empty where none was applied."""
    journal = journal_of(plan)
    with journal.reading() as records:
        return _added_up(records, journal.path)


def refuse_final(path: Path) -> None:
    """Say honestly that a plan is done for good.

    Raises:
        UsageError: it was applied with --final, or that was begun.
    """
    if not path.with_name(f"{path.name}.journal").exists():
        return
    state = known_state(path)
    if state.destroyed:
        when = state.evidence.get("finalising", {}).get("time", "")
        raise UsageError(
            f"{path} was made final{f' on {when[:10]}' if when else ''}: its snapshot and the key "
            "to it were destroyed. What it erased cannot be brought back by undo"
        )


def _added_up(records: Iterable[tuple[int, Any]], path: Path) -> State:
    state = State()
    for number, record in records:
        try:
            state = _next(state, record, path)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}, line {number}: not a step of a plan") from error
    return state


def _next(state: State, record: dict[str, Any], path: Path) -> State:
    step: Step = record["step"]
    if step not in _ORDER:
        raise KeyError(step)
    if step == "begun":
        return State(step, selection=record["selection"], evidence={"begun": record})
    if step == "certified":
        # Says something of the round without moving it on: it may come before or after the end.
        return replace(state, certificate=record["sha256"])
    if step == "remembered":
        known = _remembered(state.evidence.get(step, {}), record)
        return replace(state, evidence={**state.evidence, step: known})
    if step == "snapshot":
        # Kept relative to the journal, so that the folder may be moved as a whole.
        state = replace(
            state,
            snapshot=path.parent / record["path"],
            snapshot_sha256=record["sha256"],
            key=path.parent / record["key"] if record.get("key") else None,
            n_before=record["n_before"],
        )
    return replace(state, step=step, evidence={**state.evidence, step: record})


def _remembered(before: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The guards that know of a round, by whom, and those that older versions told of it."""
    path, held_by = record["path"], record.get("held_by")
    paths = {key: dict.fromkeys(before.get(key, ())) for key in ("paths", "unnamed")}
    for key in ("paths",) if held_by else ("paths", "unnamed"):
        paths[key][path] = None
    return {**{k: tuple(v) for k, v in paths.items()}, "held_by": held_by or before.get("held_by")}


def selection_digest(plan: ForgetPlan, items: Iterable[PlanItem]) -> str:
    """What identifies a selection: ids and contents, in any order."""
    lines = sorted(f"{item.passage_id}\0{item.sha256}" for item in items)
    for other in plan.elsewhere:
        lines += sorted(f"{other.store_url}\0{i.passage_id}\0{i.sha256}" for i in other.selected)
    lines += sorted(
        f"{a.kind}\0{a.place}\0{a.key}\0{a.sha256}" for a in plan.artefacts if a.selected
    )
    return sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def loaded(plan: ForgetPlan | Path) -> ForgetPlan:
    """The plan itself, read if a path was given.

    Raises:
        UsageError: it was made final; its file no longer says what it was about.
    """
    path = plan if isinstance(plan, Path) else plan.path
    if path is not None:
        refuse_final(path)
    return read_plan(plan) if isinstance(plan, Path) else plan
