"""Calibrate the guard on a store: a threshold with a stated false-positive rate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.calibration.conformal import (
    Threshold,
    calibrated_threshold,
    compressed,
    questions_needed,
    tail_of,
    thinned,
)
from ragshield.calibration.drawing import Honest, draw_questions, read_questions
from ragshield.calibration.planting import Planted, measure, measured
from ragshield.calibration.reading import QUANTILES, read_store
from ragshield.defenders.calibrated_shield import Fingerprint, Measured, Shield, weights_sha256
from ragshield.defenders.fused import Fused
from ragshield.errors import StoreError, UsageError
from ragshield.metrics import Removal, clean_loss
from ragshield.protocols import Encoder, Store
from ragshield.records import Retrieval
from ragshield.retriever import check_dimensions
from ragshield.vectors import cosines

N_QUESTIONS = 300
N_ATTACKED = 100
_FOLDS = 5
_FEWEST = 10

Progress: TypeAlias = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Given what is done and how many steps it has, a context that takes steps done."""


class Judged(NamedTuple):
    """One honest question with what was retrieved and how suspicious it looks."""

    honest: Honest
    retrieval: Retrieval
    suspicions: NDArray[np.float64]


def calibrate(
    store: Store,
    encoder: Encoder,
    *,
    questions: Path | Sequence[Honest] | None = None,
    budget: float = 0.01,
    k: int = 20,
    seed: int = 0,
    n_questions: int = N_QUESTIONS,
    without: Collection[str] = (),
    n_attacked: int = N_ATTACKED,
    progress: Progress | None = None,
) -> Shield:
    """Find the threshold that costs at most `budget` of the honest passages of a store.

    Honest questions are asked of the store and all that is retrieved counts as honest.
    The threshold is the lowest with (1 + sum over questions of the share of hits at or
    above it) / (questions + 1) <= budget (conformal risk control over questions,
    2208.02814). Nothing else is fitted.

    Guarantee: of the honest hits of a new question, the expected share dropped is at most
    the budget, whatever the dependence among hits of one question. The expectation is
    over the calibration questions too; `Shield.expected` holds the 95 % interval in
    which the rate lies given this calibration (Beta, with an effective number of hits:
    an approximation where hits depend on one another).

    Assumptions: new questions are exchangeable with these ones (generated questions stand
    in for real ones only so far: give your own where you have them), same store, encoder
    and k; and honest passages are the majority. Poison already stored counts as honest
    here: it raises the threshold, which costs detection but no honest passages. Passages
    that look planted at the default threshold are counted in a warning; those confirmed
    as poison can be left out by `without`. What is left out though honest makes the
    rate higher than stated.

    Clean loss and detection are measured by five-fold cross-fitting over questions: each
    question is judged with a threshold calibrated on the other folds. The store is only
    read; poison is put beside what it retrieves.

    Args:
        store: what to calibrate on.
        encoder: the one that filled it.
        questions: a file (one question a line, or JSON Lines with `question`), honest
            questions, or None to draw them from the store's passages.
        budget: false-positive rate per honest passage, (0, 0.5].
        k: hits judged together, as at run time (a `Guard` asked for 10 judges 20); lowered
            to the store's size.
        seed: same seed and store, same shield.
        n_questions: how many to draw; of given ones all are used. 1 / budget - 1 at
            least; with more, the threshold wastes less of the budget.
        without: ids of passages confirmed as poison, left out of the honest hits.
        n_attacked: questions to plant attacks for; 0 measures no detection.
        progress: shows how far it is.

    Raises:
        UsageError: budget, k or a number outside its range.
        StoreError: the store is empty, holds no vectors, or allows fewer than ten
            questions.
        InputError: another width than the encoder's, or an unreadable question file.
    """
    _check(budget, k, n_questions, n_attacked)
    check_dimensions(store, encoder)
    if store.count() == 0:
        raise StoreError(f"{store.url} is empty: nothing to calibrate on; add passages first")
    show: Progress = progress or (lambda what, total: nullcontext(lambda steps: None))
    with show("Reading", store.count()) as advance:
        # More than asked for: some passages allow no question, and words need counting.
        sample = read_store(store, max(3 * n_questions, 1500), seed=seed, advance=advance)
    if questions is None:
        honest = draw_questions(sample.passages, n_questions, seed=seed)
    elif isinstance(questions, Path):
        honest = read_questions(questions, sample.passages, seed=seed)
    else:
        honest = tuple(questions)
    depth = min(k, sample.fingerprint.n_passages)
    with show("Asking", len(honest)) as advance:
        judged = _ask(store, encoder, honest, depth, frozenset(without), advance)
    if len(judged) < _FEWEST:
        raise StoreError(
            f"{store.url}: only {len(judged)} honest questions with hits; a calibration needs "
            f"{_FEWEST} at the very least and {questions_needed(budget)} for budget {budget:g}"
        )
    clusters = [one.suspicions for one in judged]
    found = calibrated_threshold(clusters, budget)
    unseen = _cross_fitted(clusters, budget, seed)
    planted = Planted((), ())
    if n_attacked:
        part = np.random.default_rng([seed, 1]).permutation(len(judged))[:n_attacked]
        with show("Attacking", None) as advance:
            planted = measure(
                [judged[i].honest for i in part],
                [judged[i].retrieval for i in part],
                [unseen[i] for i in part],
                encoder,
                k=depth,
                seed=seed,
                advance=advance,
            )
    warnings = (
        *_shortfalls(len(judged), len(honest), n_questions, budget, k, depth, questions is None),
        *_suspects(judged),
        *planted.notes,
    )
    return _shield(
        judged,
        found,
        _loss(judged, unseen),
        planted,
        fingerprint=sample.fingerprint,
        encoder=encoder.name,
        k=depth,
        budget=budget,
        given=questions is not None,
        warnings=warnings,
    )


def _shield(
    judged: Sequence[Judged],
    found: Threshold,
    loss: Measured,
    planted: Planted,
    *,
    fingerprint: Fingerprint,
    encoder: str,
    k: int,
    budget: float,
    given: bool,
    warnings: tuple[str, ...],
) -> Shield:
    from ragshield import __version__

    clusters = [one.suspicions for one in judged]
    suspicions, shares = compressed(tail_of(clusters), found.value)
    similarities = [_similarities(one.retrieval) for one in judged]
    quantiles = np.quantile(np.concatenate(similarities), QUANTILES)
    return Shield(
        version=__version__,
        weights_sha256=weights_sha256(),
        encoder=encoder,
        k=k,
        asked_budget=float(budget),
        budget=float(found.budget),
        threshold=found.value,
        n_questions=len(judged),
        questions="given" if given else "generated",
        expected=Measured(
            round(found.expected, 6),
            round(found.low, 6),
            round(found.high, 6),
            sum(len(c) for c in clusters),
            len(judged),
        ),
        clean_loss=loss,
        store=replace(
            fingerprint, similarity_quantiles=tuple(round(float(q), 6) for q in quantiles)
        ),
        detection=planted.detection,
        suspicions=suspicions,
        shares=shares,
        median_suspicions=thinned([float(np.median(c)) for c in clusters]),
        median_similarities=thinned([float(np.median(s)) for s in similarities]),
        warnings=warnings,
    )


def _ask(
    store: Store,
    encoder: Encoder,
    honest: Sequence[Honest],
    k: int,
    without: frozenset[str],
    advance: Callable[[int], None],
) -> list[Judged]:
    fused = Fused()
    judged = []
    vectors = encoder.encode([one.target.question.text for one in honest])
    for one, vector in zip(honest, vectors, strict=True):
        near = store.search(vector, k)
        retrieval = Retrieval(one.target.question.text, near.hits, near.vectors, vector)
        findings = fused.inspect(retrieval).findings if len(retrieval) else ()
        advance(1)
        # The threshold that would still drop it: suspicion itself depends on the threshold.
        suspicions = [
            float(f.evidence["critical"]) for f in findings if f.passage_id not in without
        ]
        if suspicions:
            judged.append(Judged(one, retrieval, np.array(suspicions, dtype=np.float64)))
    return judged


def _cross_fitted(clusters: Sequence[NDArray[np.float64]], budget: float, seed: int) -> list[float]:
    """For each question a threshold from the folds it is not in."""
    n = len(clusters)
    fold = np.empty(n, dtype=np.intp)
    fold[np.random.default_rng([seed, 2]).permutation(n)] = np.arange(n) % min(_FOLDS, n)
    by_fold = {
        int(f): calibrated_threshold(
            [clusters[int(i)] for i in np.flatnonzero(fold != f)], budget
        ).value
        for f in np.unique(fold)
    }
    return [by_fold[int(f)] for f in fold]


def _loss(judged: Sequence[Judged], thresholds: Sequence[float]) -> Measured:
    removals = [
        Removal(0, 0, len(one.suspicions), int((one.suspicions >= t).sum()), str(i))
        for i, (one, t) in enumerate(zip(judged, thresholds, strict=True))
    ]
    return measured(clean_loss(removals))


def _suspects(judged: Sequence[Judged]) -> list[str]:
    """A warning where the default threshold already sees poison among the honest hits."""
    limit = Fused().threshold
    n = sum(bool((one.suspicions >= limit).any()) for one in judged)
    if n <= max(2, 0.1 * len(judged)):
        return []
    return [
        f"{n} of {len(judged)} honest questions brought a passage that looks planted by the "
        "uncalibrated default. If the store is poisoned already, this calibration took the "
        "poison for honest: run ragshield scan first, and leave out what you confirm "
        "(--without)"
    ]


def _shortfalls(
    n: int, n_honest: int, wanted: int, budget: float, k: int, depth: int, generated: bool
) -> list[str]:
    notes = []
    needed = questions_needed(budget)
    if n < needed:
        notes.append(
            f"{n} questions are too few for budget {budget:g}, which needs {needed}; "
            f"calibrated for {1 / (n + 1):.3g}, the lowest that they allow. "
            + ("Give more questions" if not generated else "The store is too small for more")
        )
    elif n < 3 * needed:
        notes.append(
            f"{n} questions are few for budget {budget:g}: the threshold is stricter than it "
            f"needs to be, and misses poison for that; {3 * needed} or more are better"
        )
    if generated and n_honest < wanted:
        notes.append(f"only {n_honest} of {wanted} questions could be drawn from the store")
    if depth < k:
        notes.append(f"k was lowered from {k} to {depth}: the store holds no more passages")
    return notes


def _similarities(retrieval: Retrieval) -> NDArray[np.float32]:
    return cosines(retrieval.vectors, retrieval.question_vector)


def _check(budget: float, k: int, n_questions: int, n_attacked: int) -> None:
    if not 0 < budget <= 0.5:
        raise UsageError(f"budget is {budget:g}; it must be above 0 and at most 0.5, e.g. 0.01")
    for name, value, least in (("k", k, 1), ("n_questions", n_questions, _FEWEST)):
        if value < least:
            raise UsageError(f"{name} is {value}; it must be at least {least}")
    if n_attacked < 0:
        raise UsageError(f"n_attacked is {n_attacked}; it must not be negative")
