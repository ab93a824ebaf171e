"""One plan while it is applied: its journal, its snapshot, and what it selects where."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.forget.plans.file import listed
from ragshield.forget.plans.records import ForgetPlan, PlanItem
from ragshield.forget.saved.history import State, Step, journal_of, selection_digest, state_of
from ragshield.forget.saved.sealing import Keys, read_keys
from ragshield.forget.saved.snapshot import Saved, SavedPart, read_snapshot
from ragshield.journal import Journal, OpenJournal
from ragshield.proof import Commitments


@dataclass(frozen=True, slots=True)
class Selection:
    """What a plan deletes.

    Attributes:
        plan: the plan.
        parts: per collection its URL and what goes from it; the plan's own first.
        journal: beside the plan.
        digest: identifies it.
        snapshot: where the snapshot goes.
    """

    plan: ForgetPlan
    parts: tuple[tuple[str, tuple[PlanItem, ...]], ...]
    journal: Journal
    digest: str
    snapshot: Path

    @property
    def path(self) -> Path:
        """The plan's file."""
        return self.journal.path.with_name(self.journal.path.name.removesuffix(".journal"))


class Round:
    """A selection under the lock of its journal."""

    def __init__(self, selection: Selection, steps: OpenJournal) -> None:
        self.selection = selection
        self.plan = selection.plan
        self._steps = steps
        self.state: State = state_of(steps, selection.journal.path)
        self.resumed = self.state.step not in (None, "undone") and not self.state.finished

    @property
    def key_path(self) -> Path:
        """Where the key of a new snapshot goes: beside the plan, whatever the snapshot's folder."""
        return self.selection.path.with_name(f"{self.selection.path.name}.key")

    def note(self, step: Step, **evidence: Any) -> None:
        """Write a step to the journal; it is on disk when this returns."""
        self._steps.append([{"step": step, "time": now(), **evidence}])
        self.state = state_of(self._steps, self.selection.journal.path)

    def relative(self, path: Path) -> str:
        """A path as the journal keeps it: so that the folder may be moved as a whole."""
        return os.path.relpath(path, self.selection.journal.path.parent)

    @cached_property
    def keys(self) -> Keys | None:
        """Of the snapshot; None for one of an older version, which is not encrypted."""
        return None if self.state.key is None else read_keys(self.state.key)

    @cached_property
    def saved(self) -> Saved:
        """The snapshot, once it is known to be sound."""
        if self.state.snapshot is None:
            raise InputError("the plan's journal names no snapshot; nothing was deleted")
        key = None if self.keys is None else self.keys.key
        saved = read_snapshot(self.state.snapshot, self.state.snapshot_sha256, key)
        first = self.plan.store_url
        parts = tuple(SavedPart(p.url or first, p.batch, p.n_before, p.probes) for p in saved.parts)
        return Saved(parts, saved.files)

    @property
    def names(self) -> Commitments:
        """What the round's commitments are made with."""
        if self.keys is None:
            raise UsageError(
                f"{self.selection.path} was applied by an older version, which made no salt for "
                "commitments; undo it and apply it again for a certificate"
            )
        return Commitments(self.keys.salt)

    def forget_cached(self) -> None:
        """Read the snapshot and its keys anew at the next use."""
        for name in ("saved", "keys"):
            self.__dict__.pop(name, None)

    def evidence(self, step: Step, url: str) -> Mapping[str, Any] | None:
        """What a step noted of one store; None if it noted nothing."""
        places = self.state.evidence.get(step, {}).get("places", {})
        found: Mapping[str, Any] | None = places.get(place_key(url))
        return found


def selection_of(
    plan: ForgetPlan, *, include_review: bool = False, snapshot_dir: Path | None = None
) -> Selection:
    """What a plan deletes, and where its files are.

    Raises:
        UsageError: the plan has no file or selects nothing.
    """
    journal = journal_of(plan)
    items = plan.items if include_review else plan.selected
    parts = [(plan.store_url, items)]
    parts += [
        (other.store_url, other.items if include_review else other.selected)
        for other in plan.elsewhere
    ]
    found = tuple((url, tuple(chosen)) for url, chosen in parts if chosen)
    if not found and not any(artefact.selected for artefact in plan.artefacts):
        raise UsageError("the plan selects nothing; edit 'selected' in it, or plan again")
    digest = selection_digest(plan, items)
    name = journal.path.name.removesuffix(".journal")
    snapshot = journal.path.with_name(f"{name}.snapshot")
    if snapshot_dir is not None:  # where plans of the same name may meet
        snapshot = snapshot_dir / f"{name}.{digest[:8]}.snapshot"
    return Selection(plan, found, journal, digest, snapshot)


def refuse_overlap(selections: Sequence[Selection]) -> None:
    """Refuse plans that select the same passages: undoing one would bring back the other's.

    Raises:
        UsageError: two plans overlap, or one is given twice.
    """
    owner: dict[tuple[str, str], Path] = {}
    for selection in selections:
        both: dict[Path, list[str]] = {}
        for url, items in selection.parts:
            for item in items:
                first = owner.setdefault((url, item.passage_id), selection.path)
                if first != selection.path:
                    both.setdefault(first, []).append(item.passage_id)
        for first, ids in both.items():
            raise UsageError(
                f"{first} and {selection.path} both select {len(ids)} passages: {listed(ids)}; "
                'set "selected" to false in one of them, then apply them together'
            )
    paths = [selection.path.resolve() for selection in selections]
    if len(set(paths)) < len(paths):
        repeated = next(path for path in paths if paths.count(path) > 1)
        raise UsageError(f"{repeated} is given twice; name each plan once")


@contextmanager
def told_of_disk() -> Iterator[None]:
    """Turn what a disk refuses, wherever it does, into one line that says what to do.

    Raises:
        IncompleteError: a file could not be written or read.
    """
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise IncompleteError(
            f"the disk refused{where}: {error.strerror or error}; nothing is lost, make room or "
            "mend it and repeat the command"
        ) from error


def place_key(url: str) -> str:
    """What stands for a store in a journal."""
    return sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
