"""Scan a stored knowledge base: every screen over every passage, nothing changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ragshield.errors import InputError, PluginError, RagshieldError, StoreError, UsageError
from ragshield.protocols import Encoder, Screen, Store
from ragshield.records import Action, Batch, Finding, Passage, Vectors
from ragshield.screening import screens_named

HEALTH = "vector-health"
"""Detector name of findings about passages that no screen can compare."""

_EMBED_STEP = 256


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found.

    Attributes:
        url: the store's.
        findings: those at or above the threshold and those that could not be judged
            (suspicion None), one per passage and detector. Passages are ranked by their
            highest suspicion, the store's own configuration first, what could not be
            judged last; a passage's findings stay together.
        passages: the passages that findings speak of, by id.
        n_passages: passages read.
        n_unreadable: of those, without text or with a vector that is NaN, infinite or zero.
        complete: whether all was read and every screen finished.
        problem: why not, in one sentence; None if complete.
        notes: what a reader should know, such as vectors that were missing.
        seconds: time it took.
        screens: names of the screens that ran to the end.
        threshold: suspicion from which findings are listed.
    """

    url: str
    findings: tuple[Finding, ...]
    passages: Mapping[str, Passage] = field(repr=False)
    n_passages: int
    n_unreadable: int
    complete: bool
    problem: str | None
    notes: tuple[str, ...]
    seconds: float
    screens: tuple[str, ...]
    threshold: float


def scan(
    store: Store,
    screens: Sequence[Screen | str] | None = None,
    *,
    encoder: Encoder | None = None,
    threshold: float = 0.5,
    batch_size: int = 1024,
    on_progress: Callable[[int], None] | None = None,
) -> ScanReport:
    """Judge every stored passage.

    The whole store is held in memory while it is judged: a passage is only unusual
    compared with the others. The store's own vectors are used; nothing that has a vector
    is embedded again.

    Args:
        store: an open store; only read.
        screens: screens or their registry names; None for all that are installed.
        encoder: embeds passages of a store that holds no vectors. Without it those are
            compared by their words, and a note says so.
        threshold: suspicion in [0, 1] from which a finding is listed.
        batch_size: passages per read.
        on_progress: called with the number of passages just read.

    Returns:
        A report; `complete` is False where reading broke off or a screen failed, and
        what was read until then is judged.

    Raises:
        UsageError: a threshold or batch size out of range, an unknown screen.
        StoreError: the store is empty, or its first passages cannot be read.
        InputError: a store without vectors and an encoder that cannot embed it.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"threshold is {threshold}; it must be in [0, 1]")
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be at least 1")
    chosen = screens_named(screens)
    started = time.perf_counter()
    batch, notes, problem = _read(store, batch_size, on_progress)
    n_missing = 0 if batch.vectors is None else int(np.isnan(batch.vectors).all(axis=1).sum())
    if batch.vectors is None and encoder is not None:
        batch = Batch(batch.passages, _embed(batch.passages, encoder))
        notes.append(f"the store holds no vectors; embedded with {encoder.name}")
    elif batch.vectors is None:
        notes.append("the store holds no vectors: passages were compared by their words alone")
    elif n_missing:
        notes.append(f"{n_missing} passages have no usable vector and are compared with none")
    unhealthy = _health(batch)
    findings = list(unhealthy)
    finished = []
    for screen in chosen:
        try:
            findings += _checked(screen, batch)
        except RagshieldError as error:
            problem = problem or f"screen '{screen.name}' failed: {error}"
        else:
            finished.append(screen.name)
    listed = [f for f in findings if f.suspicion is None or f.suspicion >= threshold]
    named = {f.passage_id for f in listed}
    return ScanReport(
        url=store.url,
        findings=(*store.configuration_findings(), *_ranked(listed, batch.passages)),
        passages={p.id: p for p in batch.passages if p.id in named},
        n_passages=len(batch),
        n_unreadable=len(unhealthy),
        complete=problem is None,
        problem=problem,
        notes=tuple(notes),
        seconds=time.perf_counter() - started,
        screens=tuple(finished),
        threshold=threshold,
    )


def _read(
    store: Store, batch_size: int, on_progress: Callable[[int], None] | None
) -> tuple[Batch, list[str], str | None]:
    """Everything the store gives, notes, and why it broke off if it did."""
    expected = store.count()
    if expected == 0:
        raise StoreError(f"{store.url} is empty: there is nothing to scan")
    passages: dict[str, Passage] = {}
    parts: list[Vectors | None] = []
    sizes: list[int] = []
    n_repeated = 0
    problem = None
    try:
        for batch in store.batches(batch_size):
            new = [i for i, p in enumerate(batch.passages) if p.id not in passages]
            n_repeated += len(batch) - len(new)
            passages.update((batch.passages[i].id, batch.passages[i]) for i in new)
            parts.append(None if batch.vectors is None else batch.vectors[new])
            sizes.append(len(new))
            if on_progress is not None:
                on_progress(len(batch))
    except (RagshieldError, OSError) as error:
        if not passages:
            raise
        problem = f"reading broke off after {len(passages)} of {expected} passages: {error}"
    notes = []
    if n_repeated:
        notes.append(f"{n_repeated} ids came twice, read once: the store changed, or repeats ids")
    if problem is None and len(passages) < expected:
        problem = (
            f"{len(passages)} of {expected} passages were read: the store changed meanwhile; "
            "scan again when nothing writes to it"
        )
    if len(passages) > expected:
        notes.append(f"{len(passages) - expected} passages arrived while it was read")
    return Batch(tuple(passages.values()), _stacked(parts, sizes, store.url)), notes, problem


def _stacked(parts: Sequence[Vectors | None], sizes: Sequence[int], url: str) -> Vectors | None:
    """One matrix; rows of NaN for passages without a vector, None if none has one."""
    widths = {part.shape[1] for part in parts if part is not None}
    if not widths:
        return None
    if len(widths) > 1:
        raise InputError(f"{url} holds vectors of different widths: {sorted(widths)}")
    dim = widths.pop()
    rows = [
        np.full((n, dim), np.nan, dtype=np.float32) if part is None else part
        for part, n in zip(parts, sizes, strict=True)
    ]
    return np.vstack(rows)


def _embed(passages: Sequence[Passage], encoder: Encoder) -> Vectors:
    texts = [p.text for p in passages]
    steps = range(0, len(texts), _EMBED_STEP)
    return np.vstack([encoder.encode(texts[i : i + _EMBED_STEP]) for i in steps])


def _health(batch: Batch) -> list[Finding]:
    """Passages that cannot be compared: suspicion None, which is never 0."""
    findings = []
    for i, passage in enumerate(batch.passages):
        faults = [] if passage.text.strip() else ["its text is empty"]
        if batch.vectors is not None:
            row = batch.vectors[i]
            if not np.isfinite(row).all():
                faults.append("its vector is missing or holds NaN or infinite values")
            elif not row.any():
                faults.append("its vector is all zeros")
        if faults:
            reason = f"{' and '.join(faults)}: it could not be judged; embed it again or remove it"
            findings.append(Finding(passage.id, None, HEALTH, Action.KEEP, reason))
    return findings


def _checked(screen: Screen, batch: Batch) -> list[Finding]:
    """A screen's findings, if they keep the contract."""
    findings = screen.screen(batch)
    known = {p.id for p in batch.passages}
    for finding in findings:
        if finding.passage_id not in known:
            raise PluginError(f"it speaks of passage '{finding.passage_id}', which is not stored")
        if finding.suspicion is not None and not 0 <= finding.suspicion <= 1:
            raise PluginError(f"suspicion is {finding.suspicion}; it must be in [0, 1]")
    return findings


def _ranked(findings: Sequence[Finding], passages: Sequence[Passage]) -> list[Finding]:
    position = {p.id: i for i, p in enumerate(passages)}
    worst: dict[str, float] = {}
    for f in findings:
        own = -1.0 if f.suspicion is None else f.suspicion
        worst[f.passage_id] = max(worst.get(f.passage_id, -1.0), own)

    def rank(f: Finding) -> tuple[float, int, float, str]:
        own = -1.0 if f.suspicion is None else f.suspicion
        return -worst[f.passage_id], position[f.passage_id], -own, f.detector

    return sorted(findings, key=rank)
