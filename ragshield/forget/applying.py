"""Applying plans: block, snapshot, look, delete, purge, look again, compare; crash-safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from ragshield.blocklist import Blocklist
from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable
from ragshield.forget.erasure import erasing
from ragshield.forget.erasure.beside import files_of, remove_beside, state_of_files
from ragshield.forget.erasure.declaring import declared, undeclared
from ragshield.forget.erasure.deleting import (
    delete,
    fetch,
    others_left,
    unchanged,
    unusable_vectors,
)
from ragshield.forget.erasure.looking import is_declared
from ragshield.forget.erasure.opening import Stores
from ragshield.forget.erasure.probing import N_QUESTIONS, probes_of
from ragshield.forget.plans.file import listed
from ragshield.forget.plans.records import ForgetPlan
from ragshield.forget.saved.history import State, loaded
from ragshield.forget.saved.rounds import (
    Round,
    Selection,
    refuse_overlap,
    selection_of,
    told_of_disk,
)
from ragshield.forget.saved.sealing import new_keys
from ragshield.forget.saved.snapshot import Saved, SavedPart, write_snapshot
from ragshield.proof.verdicts import Verdict, overall
from ragshield.protocols import MutableStore
from ragshield.reingest import ReingestGuard
from ragshield.stores.keeping import keeping_reads
from ragshield.stores.passwords import without_password

PlanGiven = ForgetPlan | Path


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """What `apply_plan` did.

    Attributes:
        n_deleted: passages of the plans that are gone.
        n_left: passages in the first plan's store now.
        snapshot: file that `undo` restores the first plan from; it holds, encrypted,
            what was deleted.
        resumed: an earlier, broken-off run was finished.
        already: all plans had been applied before; nothing was done.
        notes: what a reader should know, such as passages that others added meanwhile.
        verdict: on the stores' bytes, see `ragshield.proof.Verdict`.
        n_residual: passages of which something is still in some file.
        places: per store what was found, as certificates state it.
        snapshots: one file per plan.
        blocklist: file that retrievers and guards follow.
        store_url: the first plan's store.
        untested: places that no search reaches and nobody declared; see `out_of_scope`.
    """

    n_deleted: int
    n_left: int
    snapshot: Path
    resumed: bool
    already: bool
    notes: tuple[str, ...] = ()
    verdict: Verdict = "NOT_TESTED"
    n_residual: int = 0
    places: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    snapshots: tuple[Path, ...] = ()
    blocklist: Path | None = None
    store_url: str = ""
    untested: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """The surfaces that keep the verdict from being ERASED, in words."""
        rows = [row for place in self.places for row in place["surfaces"]]
        return tuple(
            f"{row['verdict']}({row['n']}): {row['name']}"
            if row["n"]
            else f"{row['verdict']}: {row['name']}"
            for row in rows
            if row["verdict"] not in ("ERASED", "NO_BASELINE")
        )


def apply_plan(
    plan: PlanGiven | Sequence[PlanGiven],
    *,
    store: MutableStore | None = None,
    snapshot_dir: Path | None = None,
    include_review: bool = False,
    trust_collection_config: bool = False,
    purge: bool = True,
    blocklist: Path | None = None,
    reingest: Path | None = None,
    out_of_scope: Sequence[str] = (),
    on_progress: Callable[[int], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> ForgetResult:
    """Erase what plans select: from retrieval at once, from the store, and from its files.

    In this order, each step on disk before the next: the passages are compared with the
    plan and blocked at retrieval; they are written to an encrypted snapshot; the store's
    bytes are searched for them, so that it is known that they can be seen; they are deleted
    and looked for; the store's recipe purges its files, once for all plans; the bytes are
    searched again; and the store is asked again what it was asked before. After a crash
    at any point the same call finishes the work, and `undo` takes it back.

    Neither an unsupported store nor a failed step counts as done: `verdict` says what
    was shown. Until `make_final` the snapshot and its key can bring everything back.

    Args:
        plan: a plan that was written to a file, the file, or several of either.
        store: the plan's store, if it is open already; its files are left alone then, and
            the verdict is NOT_TESTED. Else stores are opened by their URLs.
        snapshot_dir: folder for the snapshots; beside each plan if not given. The keys
            are kept beside the plans.
        include_review: delete what the plan lists for review, too.
        trust_collection_config: see `open_store`.
        purge: run the store's recipe; without it deleted bytes stay in its files.
        blocklist: file of what retrieval must hold back; `PLAN.blocked` if not given.
        reingest: file of a `ReingestGuard` that is to remember what is erased; also in a
            later call on the same plans.
        out_of_scope: words; a place that cannot be searched, and is described with one
            of them, becomes a stated exception instead of NOT_TESTED. Said in a later call on
            the same plans, when that place was seen to, it makes the search be repeated.
        on_progress: called with the number of passages just deleted.
        on_step: called with a line on what is being done.

    Raises:
        UsageError: a plan has no file or selects nothing, two select the same, one was made
            final, or the snapshot cannot be written (nothing is deleted then).
        InputError: a plan file is malformed, a passage is gone or has changed since the
            plan was made, or the plan was edited between two runs.
        StoreError: the store cannot be read or purged: in use, read-only, damaged.
        IncompleteError: something to be deleted is still there, something else is gone,
            or a purge could not be finished; call again.
    """
    given = [plan] if isinstance(plan, ForgetPlan | Path) else list(plan)
    if not given:
        raise UsageError("no plan was given")
    selections = [
        selection_of(loaded(one), include_review=include_review, snapshot_dir=snapshot_dir)
        for one in given
    ]
    refuse_overlap(selections)
    for selection in selections:
        check_writable(selection.snapshot)
        _refuse_other_store(selection.plan, store)
    first = selections[0].path
    blocked = Blocklist(blocklist or first.with_name(f"{first.name}.blocked"))
    guard = ReingestGuard(reingest) if reingest is not None else None
    job = _Job(store, trust_collection_config, blocked, on_progress, on_step, guard)
    with told_of_disk(), keeping_reads(), held(selections) as rounds:
        for one in rounds:
            _refuse_state(one)
        if all(one.state.finished for one in rounds):
            for one in rounds:
                job.remember(one)
            job.look_again(rounds, out_of_scope)
            return job.result(rounds, already=True)
        skip = erasing.GIVEN_OPEN if store is not None else None if purge else erasing.NOT_ASKED
        job.run(rounds, skip, out_of_scope)
        return job.result(rounds, already=False)


@contextmanager
def held(selections: Sequence[Selection]) -> Iterator[list[Round]]:
    """The rounds of several plans, with their journals locked: always in the same order."""
    with ExitStack() as stack:
        rounds: dict[Path, Round] = {}
        for selection in sorted(selections, key=lambda s: str(s.journal.path.resolve())):
            steps = stack.enter_context(selection.journal.changing())
            rounds[selection.journal.path] = Round(selection, steps)
        yield [rounds[selection.journal.path] for selection in selections]


class _Job:
    """Plans that are applied together."""

    def __init__(
        self,
        store: MutableStore | None,
        trust: bool,
        blocklist: Blocklist,
        on_progress: Callable[[int], None] | None,
        on_step: Callable[[str], None] | None,
        reingest: ReingestGuard | None,
    ) -> None:
        self.store = store
        self.stores = Stores(store, trust)
        self.reingest = reingest
        self.blocklist = blocklist
        self.on_progress = on_progress
        self.on_step = on_step
        self.notes: list[str] = []

    def run(self, rounds: Sequence[Round], skip: str | None, out_of_scope: Sequence[str]) -> None:
        fresh = [one for one in rounds if one.state.fresh]
        with self.stores.together():
            for one in fresh:
                self._begin(one, fresh)
        self._say("looking for the target in the files")
        erasing.take_baseline([o for o in rounds if o.state.step == "snapshot"], skip)
        with self.stores.together():
            problem = self._delete([one for one in rounds if one.state.step == "baseline"])
        if problem:
            raise IncompleteError(problem)
        self._say("purging")
        todo = [one for one in rounds if not one.state.has("purged")]
        self.notes += erasing.purge(todo, skip, self.on_step)
        self._say("looking again")
        todo = [one for one in rounds if not one.state.has("scanned")]
        erasing.scan(todo, self.stores.reading, out_of_scope)
        self._say("asking again")
        erasing.ask([one for one in rounds if not one.state.has("compared")], self.stores.reading)

    def look_again(self, rounds: Sequence[Round], out_of_scope: Sequence[str]) -> None:
        """Repeat the search where the operator now answers for places that none reaches.

        What he saw to came after the first one: a program that still held the target may
        have written it back before it was restarted.
        """
        said = [words for words in undeclared(rounds) if is_declared(words, out_of_scope)]
        if said and self.store is None and not any(self._back(rounds)):
            self._say("looking again")
            erasing.scan(rounds, self.stores.reading, [*said, *declared(rounds)])
            self._say("asking again")
            erasing.ask(rounds, self.stores.reading)

    def _begin(self, one: Round, together: Sequence[Round]) -> None:
        """Block the passages and write them away, with what the store should say without them."""
        self._say("blocking and taking a snapshot")
        n = max(1, N_QUESTIONS // len(together))
        parts = []
        one.note("begun", selection=one.selection.digest)
        for url, items in one.selection.parts:
            with self.stores.writing(url) as store:
                batch = unchanged(store, items)
                never = {
                    item.passage_id
                    for other in together
                    for place, chosen in other.selection.parts
                    for item in chosen
                    if place == url
                }
                self.blocklist.add(batch.passages)
                probes = probes_of(store, batch, never, n=n)
                parts.append(SavedPart(url, batch, store.count(), probes))
        n_blocked = sum(len(part.batch) for part in parts)
        one.note("blocked", n=n_blocked, path=one.relative(self.blocklist.path))
        keys = new_keys(one.key_path)
        files = files_of([artefact for artefact in one.plan.artefacts if artefact.selected])
        saved = Saved(tuple(parts), files)
        sha256 = write_snapshot(saved, one.selection.snapshot, keys.key)
        one.forget_cached()
        one.note(
            "snapshot",
            path=one.relative(one.selection.snapshot),
            sha256=sha256,
            key=one.relative(one.key_path),
            n_before=parts[0].n_before if parts else 0,
        )

    def _delete(self, rounds: Sequence[Round]) -> str | None:
        """Delete the rounds' passages; gives what is wrong with the rest of a store."""
        self._say("deleting")
        problem = None
        for joint in erasing.joints_of(rounds):
            with self.stores.writing(joint.url) as store:
                n_expected = store.count() - len(fetch(store, joint.ids))
                delete(store, joint.batch, self.on_progress)
                for one, part, _ in joint.rounds:
                    notes, wrong = others_left(store, one, part, n_expected)
                    self.notes += notes
                    problem = problem or wrong
            if n := unusable_vectors(joint.batch):
                what = f"undo cannot bring back {n} passages: their vectors are unusable"
                self.notes.append(what)
        for one in rounds:
            self.notes += remove_beside(one)
            self.remember(one)
            one.note("deleted", files=state_of_files(one.saved.files))
        return problem

    def remember(self, one: Round) -> None:
        """Keep what was deleted from coming in again, until it is undone."""
        if self.reingest is None:
            return
        held_by = one.state.evidence.get("remembered", {}).get("held_by") or token_hex(8)
        one.note("remembered", path=one.relative(self.reingest.path), held_by=held_by)
        for part in one.saved.parts:
            gone = {passage.id for passage in part.batch.passages}
            lists = part.probes.get("target", {}).get("ids", ())
            near = list(dict.fromkeys(x for ids in lists for x in ids if x not in gone))
            with self.stores.reading(part.url or one.plan.store_url) as store:
                retained = fetch(store, near).passages
            self.reingest.add(part.batch.passages, retained=retained, held_by=held_by)

    def result(self, rounds: Sequence[Round], *, already: bool) -> ForgetResult:
        with self.stores.together():
            return self._result(rounds, already=already)

    def _result(self, rounds: Sequence[Round], *, already: bool) -> ForgetResult:
        n = sum(len(items) for one in rounds for _, items in one.selection.parts)
        found = [back for back in self._back(rounds) if back]
        n_back = sum(map(len, found))
        self.notes += [f"in the store again, added by others: {listed(back)}" for back in found]
        with self.stores.reading(rounds[0].plan.store_url) as store:
            n_left = store.count()
        places = erasing.places_of(rounds)
        return ForgetResult(
            n_deleted=n - n_back,
            n_left=n_left,
            snapshot=_snapshot_of(rounds[0].state),
            resumed=any(one.resumed for one in rounds),
            already=already,
            notes=tuple(dict.fromkeys(self.notes)),
            verdict="RESIDUAL" if n_back else overall(places),
            n_residual=max((s["n"] for p in places for s in p["surfaces"]), default=0),
            places=tuple(places),
            snapshots=tuple(_snapshot_of(one.state) for one in rounds),
            blocklist=self.blocklist.path,
            store_url=rounds[0].plan.store_url,
            untested=undeclared(rounds),
        )

    def _back(self, rounds: Sequence[Round]) -> Iterator[list[str]]:
        """For each part of each round the ids that its store holds again."""
        for one in rounds:
            for url, items in one.selection.parts:
                with self.stores.reading(url) as store:
                    yield [p.id for p in fetch(store, [i.passage_id for i in items]).passages]

    def _say(self, line: str) -> None:
        if self.on_step is not None:
            self.on_step(line)


def _snapshot_of(state: State) -> Path:
    if state.snapshot is None:
        raise InputError("the plan's journal names no snapshot; nothing was deleted")
    return state.snapshot


def _refuse_state(one: Round) -> None:
    state = one.state
    if state.step == "undoing":
        raise UsageError("an undo of this plan broke off; finish it first: ragshield undo")
    # Broken off before its snapshot, a round has deleted nothing: it starts anew.
    if not state.fresh and state.selection != one.selection.digest:
        raise InputError(
            f"{one.selection.path} selects other passages than when it was first applied; "
            "undo it first, or restore the plan"
        )


def _refuse_other_store(plan: ForgetPlan, store: MutableStore | None) -> None:
    if store is None:
        return
    if without_password(store.url) != plan.store_url:
        raise UsageError(f"the plan was made for {plan.store_url}, not for {store.url}")
    if not isinstance(store, MutableStore):
        raise UsageError(f"{store.url} was opened to read; open it with writable=True")
