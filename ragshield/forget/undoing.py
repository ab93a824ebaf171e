"""The way back: what a plan deleted is added again, exactly as it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ragshield.errors import IncompleteError, UsageError
from ragshield.forget.applying import STEP, fetch, opened_store, refuse_changed
from ragshield.forget.history import journal_of, loaded, state_of
from ragshield.forget.plan import ForgetPlan
from ragshield.forget.snapshot import likeness, read_snapshot
from ragshield.protocols import MutableStore
from ragshield.records import Batch


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What `undo` did.

    Attributes:
        n_restored: passages added again.
        n_present: passages of the plan that were there already, unchanged.
        n_rounded: passages whose vectors differ from the saved ones in the last bits,
            because the store normalises what it is given (Chroma in cosine space).
        n_left: passages in the store now.
        snapshot: the file they came from; it still holds them.
        already: the plan had been undone before; nothing was done.
    """

    n_restored: int
    n_present: int
    n_rounded: int
    n_left: int
    snapshot: Path
    already: bool


def undo(
    plan: ForgetPlan | Path,
    *,
    store: MutableStore | None = None,
    trust_collection_config: bool = False,
) -> UndoResult:
    """Add again what a plan deleted: texts, sources, metadata, and vectors.

    Vectors come back bit for bit, except from a store that normalises what it is given
    (Chroma in cosine space), where the last bits may differ; `n_rounded` counts those.

    Works after a whole apply and after one that broke off; may itself break off and be
    repeated. The order of passages in the store may differ afterwards.

    Args:
        plan: the plan, or its file.
        store: the store, if it is open already; else it is opened by the plan's URL.
        trust_collection_config: see `open_store`.

    Raises:
        UsageError: the plan was never applied.
        InputError: the snapshot is missing or damaged, or an id exists with other content
            (nothing is added then).
        IncompleteError: what came back is not what was saved.
    """
    plan = loaded(plan)
    journal = journal_of(plan)
    if not journal.path.exists():
        raise UsageError(f"{plan.path} was never applied; there is nothing to undo")
    with (
        opened_store(plan, store, trust_collection_config) as opened,
        journal.changing() as steps,
    ):
        state = state_of(steps, journal.path)
        if state.snapshot is None:  # broken off before the snapshot: nothing was deleted
            raise UsageError(f"nothing of {plan.path} was deleted; there is nothing to undo")
        saved = read_snapshot(state.snapshot, state.snapshot_sha256)
        ids = [p.id for p in saved.passages]
        there = fetch(opened, ids)
        if state.step == "undone" and len(there) == len(ids):
            return UndoResult(0, len(ids), 0, opened.count(), state.snapshot, True)
        refuse_changed(saved, there)
        if state.step == "undone":
            raise UsageError(
                f"{plan.path} was undone before, and {len(ids) - len(there)} of its passages "
                "were removed since, not by it; apply it first if they should come back"
            )
        steps.append([{"step": "undoing"}])
        present = {p.id for p in there.passages}
        missing = [i for i, passage_id in enumerate(ids) if passage_id not in present]
        for start in range(0, len(missing), STEP):
            part = missing[start : start + STEP]
            vectors = None if saved.vectors is None else saved.vectors[part]
            opened.add(Batch(tuple(saved.passages[i] for i in part), vectors))
        n_rounded = _verify(opened, saved)
        steps.append([{"step": "undone"}])
        return UndoResult(
            len(missing), len(present), n_rounded, opened.count(), state.snapshot, False
        )


def _verify(store: MutableStore, saved: Batch) -> int:
    """Compare what is back with what was saved; gives how many vectors were rounded."""
    found = likeness(saved, fetch(store, [p.id for p in saved.passages]))
    wrong = [p.id for p in saved.passages if found.get(p.id, "other") == "other"]
    if wrong:
        raise IncompleteError(
            f"{len(wrong)} of {len(saved)} passages did not come back as they were, "
            f"such as '{wrong[0]}'; undo again"
        )
    return sum(alike == "close" for alike in found.values())
