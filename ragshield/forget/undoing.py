"""The way back: what a plan deleted is added again, exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ragshield.blocklist import Blocklist
from ragshield.errors import IncompleteError, UsageError
from ragshield.forget.erasure.beside import restore_files
from ragshield.forget.erasure.deleting import STEP, fetch, refuse_changed
from ragshield.forget.plans.records import ForgetPlan
from ragshield.forget.saved.history import journal_of, loaded
from ragshield.forget.saved.rounds import Round, Selection, told_of_disk
from ragshield.forget.saved.snapshot import SavedPart, likeness
from ragshield.protocols import MutableStore
from ragshield.records import Batch
from ragshield.reingest import ReingestGuard
from ragshield.stores.passwords import without_password
from ragshield.stores.url import open_store


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
        notes: what a reader should know, such as what could not be put back.
    """

    n_restored: int
    n_present: int
    n_rounded: int
    n_left: int
    snapshot: Path
    already: bool
    notes: tuple[str, ...] = ()


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
        UsageError: the plan was never applied, or was made final.
        InputError: the snapshot or its key is missing or damaged, or an id exists with
            other content (nothing is added then).
        IncompleteError: what came back is not what was saved.
    """
    plan = loaded(plan)
    journal = journal_of(plan)
    path = journal.path.with_name(journal.path.name.removesuffix(".journal"))
    if not journal.path.exists():
        raise UsageError(f"{path} was never applied; there is nothing to undo")
    selection = Selection(plan, (), journal, "", path)
    with told_of_disk(), journal.changing() as steps:
        one = Round(selection, steps)
        if one.state.destroyed:
            raise UsageError(f"{path} was made final; undo is impossible")
        if one.state.snapshot is None:  # broken off before the snapshot: nothing was deleted
            raise UsageError(f"nothing of {path} was deleted; there is nothing to undo")
        with ExitStack() as stack:
            parts = [
                (part, stack.enter_context(_opened(plan, part, store, trust_collection_config)))
                for part in one.saved.parts
            ]
            return _undone(one, parts)


def _undone(one: Round, parts: Sequence[tuple[SavedPart, MutableStore]]) -> UndoResult:
    there = [fetch(opened, [p.id for p in part.batch.passages]) for part, opened in parts]
    n_all, n_there = sum(len(part.batch) for part, _ in parts), sum(map(len, there))
    n_left = parts[0][1].count() if parts else 0
    snapshot, path = one.state.snapshot, one.selection.path
    if snapshot is None:
        raise UsageError(f"nothing of {path} was deleted; there is nothing to undo")
    if one.state.step == "undone" and n_there == n_all:
        return UndoResult(0, n_all, 0, n_left, snapshot, True)
    for (part, _), found in zip(parts, there, strict=True):
        refuse_changed(part.batch, found)
    if one.state.step == "undone":
        raise UsageError(
            f"{path} was undone before, and {n_all - n_there} of its passages "
            "were removed since, not by it; apply it first if they should come back"
        )
    one.note("undoing")
    n_rounded = 0
    for (part, opened), found in zip(parts, there, strict=True):
        _add_missing(opened, part.batch, {p.id for p in found.passages})
        n_rounded += _verify(opened, part.batch)
    left = one.state.evidence.get("deleted", {}).get("files")
    notes = restore_files(one.saved.files, left)
    if one.state.certificate is not None:
        notes = [*notes, "a certificate was issued for this plan: withdraw it, it is true no more"]
    notes = [*notes, *_let_in(one)]
    one.note("undone")
    n_left = parts[0][1].count() if parts else 0
    return UndoResult(n_all - n_there, n_there, n_rounded, n_left, snapshot, False, tuple(notes))


def _add_missing(store: MutableStore, saved: Batch, present: Set[str]) -> None:
    missing = [i for i, passage in enumerate(saved.passages) if passage.id not in present]
    for start in range(0, len(missing), STEP):
        part = missing[start : start + STEP]
        vectors = None if saved.vectors is None else saved.vectors[part]
        store.add(Batch(tuple(saved.passages[i] for i in part), vectors))


def _let_in(one: Round) -> Iterator[str]:
    """Let retrieval give the passages again, and ingest take what no other plan erased."""
    folder = one.selection.journal.path.parent
    name = one.state.evidence.get("blocked", {}).get("path")
    if name is not None and (folder / name).exists():
        Blocklist(folder / name).remove(one.saved.passages)
    remembered = one.state.evidence.get("remembered", {})
    for name in remembered.get("paths", ()):
        if not (folder / name).exists():
            continue
        guard = ReingestGuard(folder / name)
        if remembered["held_by"] is not None:
            guard.remove(one.saved.passages, held_by=remembered["held_by"])
        if name in remembered["unnamed"]:  # by an older version, which told no plan from another
            guard.remove(one.saved.passages, held_by="")
        n = sum(guard.check(passage) is not None for passage in one.saved.passages)
        if n:
            yield (
                f"{n} of them would still be refused at ingest: another plan erased the same, "
                f"or nearly ({Path(name).name})"
            )


@contextmanager
def _opened(
    plan: ForgetPlan, part: SavedPart, store: MutableStore | None, trust: bool
) -> Iterator[MutableStore]:
    """The store given, or the part's, opened to write and closed afterwards."""
    if store is not None and without_password(store.url) != plan.store_url:
        raise UsageError(f"the plan was made for {plan.store_url}, not for {store.url}")
    if store is not None and not isinstance(store, MutableStore):
        raise UsageError(f"{store.url} was opened to read; open it with writable=True")
    url = part.url or plan.store_url
    if store is not None and without_password(store.url) == url:
        yield store
        return
    with open_store(url, writable=True, trust_collection_config=trust) as opened:
        yield opened


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
