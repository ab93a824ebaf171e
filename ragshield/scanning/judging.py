"""Running screens over a snapshot, part by part; one that fails does not lose the others."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, PluginError, RagshieldError
from ragshield.protocols import Screen, StoreScreen
from ragshield.records import Action, Batch, Finding
from ragshield.scanning.engines import Engine, Serial
from ragshield.scanning.parts import PartSnapshot
from ragshield.snapshot.disk import DiskSnapshot
from ragshield.snapshot.layout import ALL_ZEROS, NO_TEXT, NO_VECTOR, NOT_FINITE

HEALTH = "vector-health"
"""Detector name of findings about passages that no screen can compare."""

_log = logging.getLogger("ragshield.scan")


class Result(NamedTuple):
    """What one screen made of one part: findings or a reading, or why it failed."""

    value: Any
    error: str | None
    seconds: float


Fresh: TypeAlias = NDArray[np.bool_] | None
"""Which rows are new or changed; None for all."""


@dataclass(slots=True)
class Judgement:
    """What the screens found.

    Attributes:
        findings: of all screens that ran to the end.
        finished: their names, in the order given.
        problems: a sentence for each that failed.
        seconds: work of each screen, over all parts.
    """

    findings: list[Finding] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def judged(
    snapshot: DiskSnapshot,
    screens: Sequence[Screen],
    engine: Engine,
    *,
    fresh: Fresh = None,
    on_part: Callable[[int], None] = lambda done: None,
    on_screen: Callable[[int], None] = lambda done: None,
) -> Judgement:
    """The findings of all screens.

    Args:
        snapshot: the store as it was read.
        screens: those of the whole store read its parts and judge once; the others are
            shown one part after the other.
        engine: where parts are worked on. A screen that does not pickle stays here.
        fresh: rows that are new or changed; the others are not shown to screens that
            judge a passage by itself.
        on_part: told how many passages have been gone through.
        on_screen: told how many screens are done.
    """
    results = _over_parts(snapshot, screens, engine, fresh, on_part)
    wholes = _over_screens(snapshot, screens, results, engine)
    judgement = Judgement()
    for done, (screen, parts) in enumerate(zip(screens, results, strict=True), start=1):
        seconds = sum(part.seconds for part in parts)
        error = next((part.error for part in parts if part.error is not None), None)
        if error is None and isinstance(screen, StoreScreen):
            value, error, own = next(wholes)
            seconds += own
        else:
            value = [finding for part in parts for finding in part.value or ()]
        if error is None:
            judgement.findings += value
            judgement.finished.append(screen.name)
        else:
            judgement.problems.append(f"screen '{screen.name}' failed: {error}")
        judgement.seconds[screen.name] = seconds
        on_screen(done)
    return judgement


def health(snapshot: DiskSnapshot) -> list[Finding]:
    """Passages that cannot be compared: suspicion None, which is never 0."""
    flags = snapshot.flags
    if snapshot.dim is None:
        flags &= NO_TEXT
    rows = np.flatnonzero(flags)
    findings = []
    for row, passage in zip(rows.tolist(), snapshot.passages(rows.tolist()), strict=True):
        faults = []
        if flags[row] & NO_TEXT:
            faults.append("its text is empty")
        if flags[row] & (NOT_FINITE | NO_VECTOR):
            faults.append("its vector is missing or holds NaN or infinite values")
        elif flags[row] & ALL_ZEROS:
            faults.append("its vector is all zeros")
        reason = f"{' and '.join(faults)}: it could not be judged; embed it again or remove it"
        findings.append(Finding(passage.id, None, HEALTH, Action.KEEP, reason))
    return findings


def _over_parts(
    snapshot: DiskSnapshot,
    screens: Sequence[Screen],
    engine: Engine,
    fresh: Fresh,
    on_part: Callable[[int], None],
) -> list[list[Result]]:
    """For each screen, its results of all parts, in their order."""
    parts = snapshot.parts()
    here = [i for i, x in enumerate(screens) if engine.n_workers > 1 and not _pickles(x)]
    there = [i for i in range(len(screens)) if i not in here]
    results: list[list[Result]] = [[] for _ in screens]
    for positions, worker in ((there, engine), (here, Serial())):
        if not positions:
            continue
        look = partial(_look, snapshot, [screens[i] for i in positions])
        tasks = [(part, None if fresh is None else fresh[part.start : part.stop]) for part in parts]
        try:
            for part, found in zip(parts, worker.map(look, tasks), strict=True):
                for i, result in zip(positions, found, strict=True):
                    results[i].append(result)
                on_part(part.stop)
        except IncompleteError as error:
            for i in positions:
                results[i].append(Result(None, str(error), 0.0))
    return results


def _over_screens(
    snapshot: DiskSnapshot,
    screens: Sequence[Screen],
    results: Sequence[Sequence[Result]],
    engine: Engine,
) -> Iterator[Result]:
    """What each screen of the whole store makes of its readings, in their order.

    Those that failed in a part are left out. The engine works on several screens at a time.
    """
    tasks = [
        (screen, [part.value for part in parts])
        for screen, parts in zip(screens, results, strict=True)
        if isinstance(screen, StoreScreen) and all(part.error is None for part in parts)
    ]
    judge = partial(_judge_task, snapshot)
    if engine.n_workers == 1:
        yield from map(judge, tasks)
        return
    there = [task for task in tasks if _pickles(task[0])]
    judged_there = engine.map(judge, there)
    for task in tasks:
        if not any(task is other for other in there):
            yield judge(task)
            continue
        try:
            yield next(judged_there)
        except IncompleteError as error:
            yield Result(None, str(error), 0.0)
            judged_there = repeat(Result(None, str(error), 0.0))


def _look(
    snapshot: DiskSnapshot, screens: Sequence[Screen], task: tuple[range, Fresh]
) -> list[Result]:
    """What each screen makes of one part."""
    part, fresh = task
    shown: Sequence[int] = part
    if fresh is not None and not fresh.all():
        shown = [row for row, is_new in zip(part, fresh.tolist(), strict=True) if is_new]
    batch: Batch | None = None
    kept = PartSnapshot(snapshot, part)
    results = []
    for screen in screens:
        if isinstance(screen, StoreScreen):
            results.append(_guarded(screen.name, partial(screen.read, kept, part)))
            continue
        if batch is None:
            vectors = None if snapshot.dim is None else snapshot.unit(shown)
            batch = Batch(kept.passages(shown), vectors)
        results.append(_guarded(screen.name, partial(_judge_part, screen, batch)))
    return results


def _judge_part(screen: Screen, batch: Batch) -> list[Finding]:
    if not batch.passages:
        return []
    known = {p.id for p in batch.passages}
    return list(_checked(screen.screen(batch), lambda finding: finding.passage_id in known))


def _judge_task(snapshot: DiskSnapshot, task: tuple[StoreScreen, Sequence[Any]]) -> Result:
    screen, readings = task
    return _guarded(screen.name, partial(_judge_whole, screen, snapshot, readings))


def _judge_whole(
    screen: StoreScreen, snapshot: DiskSnapshot, readings: Sequence[Any]
) -> list[Finding]:
    findings = screen.judge(snapshot, readings)
    named = list({f.passage_id for f in findings})
    rows = dict(zip(named, snapshot.rows_of(named), strict=True))
    return list(_checked(findings, lambda finding: rows[finding.passage_id] is not None))


def _checked(
    findings: Sequence[Finding], is_stored: Callable[[Finding], bool]
) -> Iterator[Finding]:
    """Findings that keep the contract, their evidence as JSON would hold it."""
    for finding in findings:
        if not is_stored(finding):
            raise PluginError(f"it speaks of passage '{finding.passage_id}', which is not stored")
        if finding.suspicion is not None and not 0 <= finding.suspicion <= 1:
            raise PluginError(f"suspicion is {finding.suspicion}; it must be in [0, 1]")
        yield replace(finding, evidence=_plain(finding.evidence))


def _guarded(name: str, call: Callable[[], Any]) -> Result:
    """A result, or why there is none: any error of one screen leaves the others alone."""
    started = time.perf_counter()
    try:
        value = call()
    except RagshieldError as error:
        return Result(None, str(error), time.perf_counter() - started)
    except Exception as error:
        _log.warning("screen '%s' failed", name, exc_info=True)
        what = (str(error).splitlines() or ["no message"])[0]
        return Result(None, f"{type(error).__name__}: {what:.200}", time.perf_counter() - started)
    return Result(value, None, time.perf_counter() - started)


def _pickles(screen: Screen) -> bool:
    try:
        pickle.dumps(screen)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
