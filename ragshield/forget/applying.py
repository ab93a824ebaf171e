"""Applying a plan: snapshot, delete, verify; each step can be repeated after a crash."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable
from ragshield.forget.history import State, journal_of, loaded, selection_digest, state_of
from ragshield.forget.plan import ForgetPlan, PlanItem, content_hash, listed
from ragshield.forget.snapshot import likeness, read_snapshot, write_snapshot
from ragshield.protocols import MutableStore, Store
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

STEP = 500
"""Ids per call: what every store takes."""


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """What `apply_plan` did.

    Attributes:
        n_deleted: passages of the plan that are gone.
        n_left: passages in the store now.
        snapshot: file that `undo` restores from; it holds what was deleted.
        resumed: an earlier, broken-off run was finished.
        already: the plan had been applied before; nothing was done.
        notes: what a reader should know, such as passages that others added meanwhile.
    """

    n_deleted: int
    n_left: int
    snapshot: Path
    resumed: bool
    already: bool
    notes: tuple[str, ...] = ()


def apply_plan(
    plan: ForgetPlan | Path,
    *,
    store: MutableStore | None = None,
    snapshot_dir: Path | None = None,
    include_review: bool = False,
    trust_collection_config: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> ForgetResult:
    """Delete what a plan selects, after a snapshot.

    First all passages are compared with the plan, then written to a snapshot that is on
    disk before anything is deleted, then deleted, then looked for. After a crash at any
    point the same call finishes the work, and `undo` takes it back.

    Deleting does not erase: Chroma keeps the bytes in its files, and the snapshot holds
    every deleted passage. Purging is not part of this version.

    Args:
        plan: a plan that was written to a file, or the file.
        store: the store, if it is open already; else it is opened by the plan's URL.
        snapshot_dir: folder for the snapshot; beside the plan if not given.
        include_review: delete what the plan lists for review, too.
        trust_collection_config: see `open_store`.
        on_progress: called with the number of passages just deleted.

    Raises:
        UsageError: the plan has no file or selects nothing, or the snapshot cannot be
            written (nothing is deleted then).
        InputError: the plan file is malformed, a passage is gone or has changed since the
            plan was made, or the plan was edited between two runs.
        IncompleteError: something to be deleted is still there, or something else is gone.
    """
    plan = loaded(plan)
    items = plan.items if include_review else plan.selected
    if not items:
        raise UsageError("the plan selects nothing; edit 'selected' in it, or plan again")
    journal = journal_of(plan)
    digest = selection_digest(items)
    name = journal.path.name.removesuffix(".journal")
    snapshot = journal.path.with_name(f"{name}.snapshot")
    if snapshot_dir is not None:  # where plans of the same name may meet
        snapshot = snapshot_dir / f"{name}.{digest[:8]}.snapshot"
    check_writable(snapshot)
    with (
        opened_store(plan, store, trust_collection_config) as opened,
        journal.changing() as steps,
    ):
        state = state_of(steps, journal.path)
        if state.step == "undoing":
            raise UsageError("an undo of this plan broke off; finish it first: ragshield undo")
        # Broken off before its snapshot, a round has deleted nothing: it starts anew.
        fresh = state.step in (None, "begun", "undone")
        if not fresh and state.selection != digest:
            raise InputError(
                f"{plan.path} selects other passages than when it was first applied; "
                "undo it first, or restore the plan"
            )
        if state.step == "verified":
            return _done_before(opened, state, items)
        resumed = state.step in ("begun", "snapshot")
        if fresh:
            batch = unchanged(opened, items)
            steps.append([{"step": "begun", "selection": digest}])
            sha256, n_before = write_snapshot(batch, snapshot), opened.count()
            path = os.path.relpath(snapshot, journal.path.parent)
            record = {"step": "snapshot", "path": path, "sha256": sha256, "n_before": n_before}
            steps.append([record])
            state = state_of(steps, journal.path)
        n_unusable = _delete(opened, state, on_progress)
        notes, problem = _others(opened, state, plan, items)
        if n_unusable:
            notes += (f"undo cannot bring back {n_unusable} passages: their vectors are unusable",)
        steps.append([{"step": "verified"}])
        if problem is not None:
            raise IncompleteError(problem)
        return ForgetResult(
            len(items), opened.count(), _snapshot_of(state), resumed, already=False, notes=notes
        )


def _snapshot_of(state: State) -> Path:
    if state.snapshot is None:
        raise InputError("the plan's journal names no snapshot; nothing was deleted")
    return state.snapshot


def _delete(store: MutableStore, state: State, on_progress: Callable[[int], None] | None) -> int:
    """Delete what the snapshot holds, once it is known to be sound, and look for it.

    Returns:
        How many of them have NaN, infinite or zero vectors, which no store takes back.
    """
    saved = read_snapshot(_snapshot_of(state), state.snapshot_sha256)
    ids = [p.id for p in saved.passages]
    refuse_changed(saved, fetch(store, ids))
    for start in range(0, len(ids), STEP):
        part = ids[start : start + STEP]
        store.delete(part)
        if on_progress is not None:
            on_progress(len(part))
    left = [p.id for p in fetch(store, ids).passages]
    if left:
        raise IncompleteError(
            f"{len(left)} of {len(ids)} passages are still in the store: {listed(left)}; "
            "apply the plan again"
        )
    if saved.vectors is None:
        return 0
    usable = np.isfinite(saved.vectors).all(axis=1) & saved.vectors.any(axis=1)
    return int((~usable).sum())


def _others(
    store: Store, state: State, plan: ForgetPlan, items: Sequence[PlanItem]
) -> tuple[tuple[str, ...], str | None]:
    """Whether all else remains: notes, and what is wrong."""
    deleted = {item.passage_id for item in items}
    stay = [n.passage_id for n in plan.at_risk if n.passage_id not in deleted]
    found = {p.id for p in fetch(store, stay).passages}
    lost = [passage_id for passage_id in stay if passage_id not in found]
    n_left, n_expected = store.count(), state.n_before - len(items)
    notes = []
    if lost:
        notes.append(f"neighbours that should stay are not there: {listed(lost)}")
    if n_left > n_expected:
        notes.append(f"{n_left - n_expected} passages were added by others meanwhile")
    if n_left >= n_expected:
        return tuple(notes), None
    return tuple(notes), (
        f"the plan's {len(items)} passages are gone, but the store holds {n_left} where "
        f"{n_expected} should be left: something else removed passages at the same time; "
        f"the snapshot is {state.snapshot}"
    )


def _done_before(store: Store, state: State, items: Sequence[PlanItem]) -> ForgetResult:
    back = [p.id for p in fetch(store, [item.passage_id for item in items]).passages]
    notes = (f"in the store again, added by others: {listed(back)}",) if back else ()
    return ForgetResult(
        len(items) - len(back), store.count(), _snapshot_of(state), False, True, notes
    )


@contextmanager
def opened_store(
    plan: ForgetPlan, store: MutableStore | None, trust_collection_config: bool
) -> Iterator[MutableStore]:
    """The store given, or the plan's, opened to write and closed afterwards."""
    if store is not None:
        if store.url != plan.store_url:
            raise UsageError(f"the plan was made for {plan.store_url}, not for {store.url}")
        if not isinstance(store, MutableStore):
            raise UsageError(f"{store.url} was opened to read; open it with writable=True")
        yield store
        return
    with open_store(
        plan.store_url, writable=True, trust_collection_config=trust_collection_config
    ) as opened:
        yield opened


def fetch(store: Store, ids: Sequence[str]) -> Batch:
    """The passages with these ids that exist, any number of them."""
    passages: list[Passage] = []
    rows = []
    for start in range(0, len(ids), STEP):
        part = store.get(list(ids[start : start + STEP]))
        passages += part.passages
        if part.vectors is not None and len(part):
            rows.append(part.vectors)
    return Batch(tuple(passages), np.vstack(rows) if rows else None)


def unchanged(store: Store, items: Sequence[PlanItem]) -> Batch:
    """The plan's passages as they are now, or a refusal if they are not as planned."""
    batch = fetch(store, [item.passage_id for item in items])
    there = {p.id: content_hash(p) for p in batch.passages}
    gone = [item.passage_id for item in items if item.passage_id not in there]
    if gone:
        raise InputError(
            f"{len(gone)} passages of the plan are no longer in {store.url}: {listed(gone)}; "
            "plan again"
        )
    changed = [i.passage_id for i in items if there[i.passage_id] != i.sha256]
    if changed:
        raise InputError(
            f"{len(changed)} passages have changed since the plan was made: "
            f"{listed(changed)}; plan again"
        )
    return batch


def refuse_changed(saved: Batch, there: Batch) -> None:
    """Refuse to touch passages that are no longer what the snapshot holds."""
    changed = [x for x, alike in likeness(saved, there).items() if alike == "other"]
    if changed:
        raise InputError(
            f"{len(changed)} ids exist with other content than the snapshot's: "
            f"{listed(changed)}; nothing was touched: remove or rename those passages first"
        )
