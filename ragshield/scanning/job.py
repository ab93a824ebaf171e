"""The scan itself: read, compare, screen, judge, list."""

from __future__ import annotations

import shutil
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from ragshield.campaign import DETECTOR, campaign
from ragshield.errors import IncompleteError, RagshieldError, UsageError
from ragshield.protocols import Encoder, Screen, Store, StoreScreen
from ragshield.ranking import Limit, fused, listed
from ragshield.records import Finding, Passage
from ragshield.scanning import known as states
from ragshield.scanning.engines import Engine, EngineName, one_thread, open_engine
from ragshield.scanning.judging import Fresh, health, judged
from ragshield.scanning.reading import Reading, held, prepared, read
from ragshield.scanning.report import Progress, ScanReport, Stage
from ragshield.scanning.temporary import temporary_folder
from ragshield.screening import screens_named
from ragshield.snapshot import neighbours
from ragshield.snapshot.disk import DiskSnapshot
from ragshield.snapshot.embedding import embed
from ragshield.snapshot.layout import NO_VECTOR, UNUSABLE


def scan(
    store: Store,
    screens: Sequence[Screen | str] | None = None,
    *,
    encoder: Encoder | None = None,
    questions: Sequence[str] = (),
    threshold: float | None = 0.5,
    alert_budget: float | None = None,
    false_positive_rate: float | None = None,
    like: Sequence[str] = (),
    batch_size: int = 1024,
    workspace: Path | None = None,
    resume: bool = False,
    engine: EngineName | Engine = "serial",
    workers: int | None = None,
    known: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> ScanReport:
    """Judge every stored passage.

    The store is read once, into a workspace on disk; a passage is only unusual compared
    with the others, and these are looked up there. A million passages with vectors of 384
    numbers take about 4 GB of disk and 1 GB of memory. The store's own vectors are used;
    nothing that has a vector is embedded again.

    Args:
        store: an open store; only read.
        screens: screens or their registry names; None for all that are installed.
        encoder: the one that filled the store: screens named, not given as objects, embed
            `questions` and a sample of the passages with it. It embeds all passages of a
            store that holds no vectors; without it those are compared by their words, and
            a note says so.
        questions: what users ask, such as a log's: passages near to too many of them stand
            out. Needs the encoder.
        threshold: suspicion in [0, 1] from which a finding is listed; None lists all, or
            with a budget or a rate all from 0.1.
        alert_budget: largest share of the passages that is listed, (0, 1].
        false_positive_rate: largest share of honest passages that is listed, (0, 1], as
            far as the store itself tells; see `ragshield.ranking.Limit`.
        like: ids of passages that a person has confirmed as poison. Then only the rest of
            their campaign is listed (`ragshield.campaign`), and no screen runs.
        batch_size: passages per read.
        workspace: folder to keep what was read in; None for a temporary one, deleted when
            the report is closed. It holds copies of all texts: treat it as the store.
        resume: go on with the scan that was cut off in `workspace`.
        engine: where the work is done; the findings are the same. With processes, a script
            must scan under `if __name__ == "__main__":`.
        workers: of the engine; None for one per core.
        known: state of an earlier scan: only findings about passages that are new or
            changed since are listed. Written anew after a complete scan; made if missing.
        on_progress: told how far it is.

    Returns:
        A report; `complete` is False where reading broke off or a screen failed, and what
        was read until then is judged.

    Raises:
        UsageError: an argument out of range, an unknown screen, a workspace in use.
        StoreError: the store is empty.
        InputError: vectors of different widths, an encoder that cannot embed, a damaged
            workspace or state.
        IncompleteError: the store's first passages cannot be read, nothing could be kept in
            the workspace, or a worker died.
    """
    limit = Limit(threshold, alert_budget, false_positive_rate)
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be at least 1")
    if resume and workspace is None:
        raise UsageError("resume needs the workspace of the scan to go on with (--workspace)")
    if questions and encoder is None:
        raise UsageError("questions need the encoder that filled the store (--encoder)")
    # Where the store holds no vectors, none of its own can be compared with its text.
    chosen = screens_named(
        screens,
        encoder=encoder if questions or store.dim is not None else None,
        questions=tuple(questions),
    )
    if known is not None:
        states.check(known)
    run = _Run(on_progress)
    settings = run.configured(store)
    n_expected = store.count()
    with _folder(workspace, resume=resume) as (folder, alive):
        with run.step("read"):
            reading = read(
                store,
                folder,
                batch_size=batch_size,
                temporary=workspace is None,
                on_done=lambda done, total: run.tell("read", done, total),
            )
        run.seconds["store"] = reading.store_seconds
        snapshot = run.embedded(reading, encoder)
        if alive is not None:
            weakref.finalize(snapshot, alive.close)
        fresh = None if known is None else states.new_rows(snapshot, known)
        workshop = open_engine(engine, workers, n_expected)
        try:
            with one_thread():
                recall, able = run.compared(snapshot, () if like else chosen, workshop)
                findings = run.screened(snapshot, able, workshop, fresh)
        finally:
            if workshop is not engine:
                workshop.close()
    if known is not None and not run.problems:
        try:
            states.note(snapshot, known)
        except IncompleteError as error:
            run.problems.append(str(error))
    shown = _shown(findings, snapshot, limit, fresh, like)
    return ScanReport(
        url=store.url,
        findings=(*settings, *shown),
        passages=_passages(snapshot, shown),
        n_passages=len(snapshot),
        n_unreadable=run.n_unreadable,
        complete=not run.problems,
        problem="; ".join(run.problems) or None,
        notes=tuple(run.notes),
        seconds=time.perf_counter() - run.started,
        screens=(DETECTOR,) if like else tuple(run.finished),
        threshold=threshold,
        alert_budget=alert_budget,
        false_positive_rate=false_positive_rate,
        neighbour_recall=recall,
        n_new=len(snapshot) if fresh is None else int(fresh.sum()),
        seconds_by_step=run.seconds,
        seconds_by_screen=run.seconds_by_screen,
        snapshot=snapshot,
    )


class _Run:
    """The steps of one scan, and what they leave to be said."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self.started = time.perf_counter()
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.finished: list[str] = []
        self.seconds: dict[str, float] = {}
        self.seconds_by_screen: dict[str, float] = {}
        self.n_unreadable = 0

    def tell(self, stage: Stage, done: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(stage, done, total))

    @contextmanager
    def step(self, stage: Stage) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started

    def configured(self, store: Store) -> list[Finding]:
        """Findings about the store's settings; asked for first, while it answers."""
        try:
            return store.configuration_findings()
        except (RagshieldError, OSError) as error:
            self.problems.append(f"the store's settings could not be read: {error}")
            return []

    def embedded(self, reading: Reading, encoder: Encoder | None) -> DiskSnapshot:
        """The snapshot, with vectors if it can have any."""
        if reading.problem is not None:
            self.problems.append(reading.problem)
        self.notes += reading.notes
        snapshot, n = reading.snapshot, len(reading.snapshot)
        if snapshot.dim is None and encoder is not None:
            with self.step("embed"):
                snapshot = embed(snapshot, encoder, lambda done: self.tell("embed", done, n))
            self.notes.append(f"the store holds no vectors; embedded with {encoder.name}")
        elif snapshot.dim is None:
            self.notes.append(
                "the store holds no vectors: passages were compared by their words alone"
            )
        elif n_missing := int(np.count_nonzero(snapshot.flags & NO_VECTOR)):
            self.notes.append(
                f"{n_missing} passages have no usable vector and are compared with none"
            )
        return snapshot

    def compared(
        self, snapshot: DiskSnapshot, screens: Sequence[Screen], engine: Engine
    ) -> tuple[float | None, Sequence[Screen]]:
        """Find every passage's neighbours, if a screen asks for them.

        Returns:
            Their recall, and the screens that can run.
        """
        comparing = [x.name for x in screens if isinstance(x, StoreScreen)]
        if snapshot.dim is None or not comparing:
            return None, screens
        n = int(np.count_nonzero(snapshot.flags & UNUSABLE == 0))
        try:
            with self.step("neighbours"):
                found = neighbours.find(
                    snapshot, engine.map, lambda done: self.tell("neighbours", done, n)
                )
        except (OSError, IncompleteError) as error:
            why = error.strerror or error if isinstance(error, OSError) else error
            self.problems.append(
                f"the neighbours could not be found in {snapshot.folder} ({why}), so that "
                f"{', '.join(comparing)} did not run"
            )
            return None, [x for x in screens if not isinstance(x, StoreScreen)]
        if found.n_cells and found.recall is not None:
            self.notes.append(
                f"{found.recall:.1%} of the {snapshot.depth} nearest of a passage were found (of "
                f"{found.n_sampled} sampled), each looking into {found.n_probes} of "
                f"{found.n_cells} cells"
            )
        return found.recall, screens

    def screened(
        self, snapshot: DiskSnapshot, screens: Sequence[Screen], engine: Engine, fresh: Fresh
    ) -> list[Finding]:
        unhealthy = health(snapshot)
        self.n_unreadable = len(unhealthy)
        n = len(snapshot)
        started = time.perf_counter()
        judging = started

        def on_part(done: int) -> None:
            nonlocal judging
            judging = time.perf_counter()
            self.tell("screens", done, n)

        judgement = judged(
            snapshot,
            screens,
            engine,
            fresh=fresh,
            on_part=on_part,
            on_screen=lambda done: self.tell("judge", done, len(screens)),
        )
        self.seconds["screens"] = judging - started
        self.seconds["judge"] = time.perf_counter() - judging
        self.problems += judgement.problems
        self.finished = judgement.finished
        self.seconds_by_screen = judgement.seconds
        return [*unhealthy, *judgement.findings]


@contextmanager
def _folder(workspace: Path | None, *, resume: bool) -> Iterator[tuple[Path, IO[bytes] | None]]:
    """The workspace; a temporary one, deleted if the scan fails, with what keeps it."""
    if workspace is not None:
        folder = prepared(workspace.expanduser(), resume=resume).resolve()
        with held(folder):
            yield folder, None
        return
    folder, alive = temporary_folder()
    try:
        yield folder, alive
    except BaseException:
        alive.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _shown(
    findings: Sequence[Finding],
    snapshot: DiskSnapshot,
    limit: Limit,
    fresh: Fresh,
    like: Sequence[str],
) -> list[Finding]:
    """What is shown of all findings: one a passage, most suspicious first."""
    n = len(snapshot)
    rows = _rows(snapshot, findings)
    ranking = fused(findings, n, rows.__getitem__)
    if like:
        # Not told who else the screens accuse: what resembles the campaign only in its style
        # is mostly honest in a large store.
        ranking = campaign(snapshot, _confirmed(snapshot, like))
        rows = _rows(snapshot, ranking)
        ranking = fused(ranking, n, rows.__getitem__)
    if fresh is not None:
        ranking = [f for f in ranking if fresh[rows[f.passage_id]]]
        n = int(fresh.sum())
    return listed(ranking, n, limit)


def _confirmed(snapshot: DiskSnapshot, ids: Sequence[str]) -> list[int]:
    found = []
    for name, row in zip(ids, snapshot.rows_of(ids), strict=True):
        if row is None:
            raise UsageError(f"passage '{name}' is not in the store; --like takes stored ids")
        found.append(row)
    return found


def _rows(snapshot: DiskSnapshot, findings: Sequence[Finding]) -> dict[str, int]:
    named = list(dict.fromkeys(f.passage_id for f in findings))
    found = zip(named, snapshot.rows_of(named), strict=True)
    return {passage_id: row for passage_id, row in found if row is not None}


def _passages(snapshot: DiskSnapshot, findings: Sequence[Finding]) -> dict[str, Passage]:
    rows = list(_rows(snapshot, findings).values())
    return {passage.id: passage for passage in snapshot.passages(rows)}
