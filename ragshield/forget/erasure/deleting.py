"""Deleting what a snapshot holds, and making sure of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ragshield.errors import IncompleteError, InputError
from ragshield.forget.plans.file import content_hash, listed
from ragshield.forget.plans.records import PlanItem
from ragshield.forget.saved.rounds import Round
from ragshield.forget.saved.snapshot import SavedPart, likeness
from ragshield.protocols import MutableStore, Store
from ragshield.records import Batch, Passage

STEP = 500
"""Ids per call: what every store takes."""


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


def delete(store: MutableStore, saved: Batch, on_progress: Callable[[int], None] | None) -> None:
    """Delete what a snapshot holds, and look for it; repeating it is harmless.

    Raises:
        InputError: an id now has other content; nothing is deleted then.
        IncompleteError: something is still there.
    """
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


def unusable_vectors(saved: Batch) -> int:
    """How many have NaN, infinite or zero vectors, which no store takes back."""
    if saved.vectors is None:
        return 0
    usable = np.isfinite(saved.vectors).all(axis=1) & saved.vectors.any(axis=1)
    return int((~usable).sum())


def others_left(
    store: Store, one: Round, part: SavedPart, n_expected: int
) -> tuple[list[str], str | None]:
    """Whether all else remains: notes, and what is wrong."""
    deleted = {passage.id for passage in part.batch.passages}
    stay = [n.passage_id for n in one.plan.at_risk if n.passage_id not in deleted]
    stay = stay if part.url == one.plan.store_url else []
    found = {p.id for p in fetch(store, stay).passages}
    lost = [passage_id for passage_id in stay if passage_id not in found]
    n_left, notes = store.count(), []
    if lost:
        notes.append(f"neighbours that should stay are not there: {listed(lost)}")
    if n_left > n_expected:
        notes.append(f"{n_left - n_expected} passages were added by others meanwhile")
    if n_left >= n_expected:
        return notes, None
    return notes, (
        f"the plan's {len(deleted)} passages are gone, but the store holds {n_left} where "
        f"{n_expected} should be left: something else removed passages at the same time; "
        f"the snapshot is {one.state.snapshot}"
    )
