"""The cheap signals that the fused defender weighs: one value per hit, no model call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.signal_provenance import provenance
from ragshield.defenders.signal_ranks import others_median
from ragshield.defenders.signal_style import style
from ragshield.records import Retrieval
from ragshield.vectors import unit_rows
from ragshield.wording.profiles import Profile, profile, question_stems, stop_stems

Values: TypeAlias = NDArray[np.float64]

WINDOW = 30
"""Words in the stretch of a passage that is held against the question."""

TOPICAL = 0.4
"""Share of the other hits on the question's topic from which the retrieval is about it.

Where they are about other things, the one hit that answers is nearest for the best of
reasons; where they are on the topic, it takes more to stand out."""


def signals(retrieval: Retrieval) -> dict[str, Values]:
    """Every signal of every hit.

    Pure: the same hits give the same values in any order. Most values say how a hit
    differs from the others retrieved with it, so they do not depend on the encoder's
    scale; none is read alone.

    Args:
        retrieval: k hits with vectors (k, dim); lengths of vectors do not matter.

    Returns:
        Name to values of shape (k,), float64. Higher = more like a planted passage.
    """
    return measure(retrieval)[0]


def measure(retrieval: Retrieval) -> tuple[dict[str, Values], Values]:
    """The signals, and how alike each pair of hits is beyond the question.

    Returns:
        The signals as in `signals`, and (k, k) cosines of the vectors with the question's
        direction taken out, -1 on the diagonal.
    """
    profiles = [profile(hit.passage.text) for hit in retrieval.hits]
    found, pairs = _geometry(retrieval)
    found.update(_question(retrieval.question, profiles))
    found.update(_text(profiles))
    found.update(style(profiles, found["window"], question_stems(retrieval.question)))
    found.update(provenance(retrieval.hits, pairs))
    found["bloc"] = _bloc(pairs, found["window"])
    return found, pairs


def _geometry(retrieval: Retrieval) -> tuple[dict[str, Values], Values]:
    """Signals of the vectors alone, and the likeness of each pair beyond the question."""
    unit = unit_rows(retrieval.vectors).astype(np.float64)
    asked = unit_rows(retrieval.question_vector[None, :])[0].astype(np.float64)
    k = len(unit)
    similarity = unit @ asked
    # What is left of each passage once the question's direction is taken out.
    rest = unit - similarity[:, None] * asked
    length = np.sqrt(np.maximum((rest * rest).sum(axis=1), 1e-12))
    rest /= length[:, None]
    pairs = rest @ rest.T
    np.fill_diagonal(pairs, -1.0)
    agreement = np.zeros(k)
    company = np.zeros(k)
    if k > 1:
        nearest = -np.sort(-pairs, axis=1)
        agreement = np.maximum(nearest[:, 0], 0.0)
        # Over four neighbours whether or not there are four: a pair is no company.
        company = np.maximum(nearest[:, 1 : min(4, k - 1)], 0.0).sum(axis=1) / 3.0
    others = unit.sum(axis=0)[None, :] - unit
    others /= np.maximum(np.sqrt((others * others).sum(axis=1)), 1e-9)[:, None]
    pull = similarity - (unit * others).sum(axis=1) if k > 1 else np.zeros(k)
    floor = np.sort(similarity)[: max(1, k // 4)].mean() if k else 0.0
    spread = 1.0 - floor
    return {
        "similarity": np.maximum(similarity, 0.0),
        "gap": (similarity - others_median(similarity)) / max(spread, 0.05),
        "rise": (similarity - floor) / max(spread, 0.05),
        "pull": pull,
        "agreement": agreement,
        "company": company,
        "agreement_gap": agreement - others_median(agreement),
    }, pairs


def _bloc(pairs: Values, window: Values) -> Values:
    """How far four or more hits form a group that says one thing about the question.

    A pair counts for its likeness above 0.35 (the usual one on a shared topic) and for
    the weaker member's hold on the question, so a weak member is carried by its group.
    """
    if len(pairs) < 2:
        return np.zeros(len(pairs))
    tie = np.maximum(pairs - 0.35, 0.0) / 0.65 * np.minimum(window[:, None], window[None, :])
    strongest = -np.sort(-tie, axis=1)[:, 1:4]
    bloc: Values = strongest.sum(axis=1) / 3.0
    return bloc


def _question(question: str, profiles: Sequence[Profile]) -> dict[str, Values]:
    """Signals of the question's words in the texts."""
    asked = question_stems(question)
    weights, n_units = _units(asked)
    order = {term: j for j, term in enumerate(weights)}
    column = np.array(list(weights.values()))
    content = [s for s in asked if s in weights]
    bigrams = frozenset(pairwise(asked))
    k = len(profiles)
    window, density, echo, bigram, in_order = (np.zeros(k) for _ in range(5))
    have = np.zeros((k, len(weights)), dtype=bool)
    for i, p in enumerate(profiles):
        spots = [(place, s) for place, s in enumerate(p.stems) if s in order]
        for _, s in spots:
            have[i, order[s]] = True
        density[i] = len(spots) / max(p.n_words, 8)
        if spots:
            window[i] = _best_window(spots, weights)
            in_order[i] = _common_order(content, [s for _, s in spots]) / len(content)
            own = set(pairwise(p.stems))
            bigram[i] = len(bigrams & own) / max(len(bigrams), 1)
            if bigram[i] >= 0.4:  # a run long enough to be an echo has more
                echo[i] = _longest_run(asked, p.stems) / len(asked)
    # Credit for a term is what the other hits leave over: a topic word that all have says nothing.
    share = (have.sum(axis=0)[None, :] - have) / max(k - 1, 1)
    unique = (have * (1.0 - share)) @ column / max(n_units, 1)
    # Where questions are usual, as in an FAQ or an interview, repeating one says little.
    n_other = np.array([p.n_questions for p in profiles]) - (echo >= 0.7)
    faq = np.array([p.asks_first for p in profiles], dtype=bool) & (echo < 0.7)
    others_ask = (faq.sum() - faq) / max(k - 1, 1)
    usual = np.maximum(np.minimum(1.0, 2.0 * others_ask), np.clip((n_other - 2) / 2.0, 0.0, 1.0))
    usual *= np.array([p.n_questions > 0 for p in profiles])
    # An FAQ asked in its own words: what a hit quotes of the question tells nothing about it.
    quoted = np.minimum(1.0, 2.0 * others_ask) * np.clip((echo - 0.5) / 0.3, 0.0, 1.0)
    quoted *= np.array([p.n_questions > 0 for p in profiles])
    window, density, bigram, in_order = (
        v * (1.0 - quoted) for v in (window, density, bigram, in_order)
    )
    echo = np.maximum(echo - 0.7, 0.0) / 0.3 * min(1.0, max(len(asked) - 2, 0) / 4.0)
    echo = np.minimum(echo * (1.0 - usual), 1.0)
    # One whole thing that the question names, or as much of it in single words, is its topic.
    topic = np.minimum(have @ column, 1.0)
    on_topic = np.minimum((topic.sum() - topic) / max(k - 1, 1), TOPICAL) / TOPICAL
    # The topic is free: every hit holds one unit. What counts is the rest of the question.
    beyond = np.maximum(window - 1.0, 0.0) / max(n_units, 1)
    return {
        "coverage": have @ column / max(n_units, 1),
        "window": window / max(n_units, 1),
        "window_gap": (window - others_median(window)) / max(n_units, 1),
        "beyond": beyond,
        "beyond_gap": beyond - others_median(beyond),
        "unique_terms": unique,
        "density": density,
        "density_gap": density - others_median(density),
        "in_order": in_order,
        "in_order_gap": in_order - others_median(in_order),
        "bigrams": bigram,
        "bigrams_gap": bigram - others_median(bigram),
        "echo": echo,
        "plain": 1.0 - usual,
        # No document quotes the question because it alone is on the topic.
        "shared_topic": np.maximum(on_topic, echo),
    }


def _units(asked: Sequence[str]) -> tuple[dict[str, float], int]:
    """Content stems with weights, and how many separate things the question names.

    Content words in a row are one unit (a name, a phrase) and share its weight of 1, so
    that a passage about a name of four words has not yet answered to four words.
    """
    stops = stop_stems()
    units: list[list[str]] = []
    open_ = False
    for s in asked:
        if s in stops:
            open_ = False
            continue
        if not open_:
            units.append([])
        units[-1].append(s)
        open_ = True
    weights: dict[str, float] = {}
    for unit in units:
        for s in unit:
            weights.setdefault(s, 1.0 / len(unit))
    return weights, len(units)


def _text(profiles: Sequence[Profile]) -> dict[str, Values]:
    """Signals of each text by itself, beside what is usual among the others."""

    def above(values: list[float]) -> Values:
        # Beside the lowest of the others: what all hits show is the store's way of writing,
        # what all but one show may still be an attack with a majority.
        array = np.array(values, dtype=np.float64)
        if len(array) < 2:
            return array
        low: float = array.min()
        above_low: Values = array - low
        return above_low

    length = np.array([max(p.n_words, 4) for p in profiles], dtype=np.float64)
    log_length = np.log(length)
    return {
        "brevity": np.clip(others_median(log_length) - log_length, -1.5, 1.5),
        "soup": np.clip((above([float(p.soup) for p in profiles]) - 7.0) / 8.0, 0.0, 1.0),
        "typos": np.minimum(above([p.typos for p in profiles]) * 20.0, 1.0),
        "instruction": np.minimum(above([float(p.instruction) for p in profiles]), 2.0) / 2.0,
        "request": above([float(p.request) for p in profiles]),
        "refusal": np.minimum(above([float(p.refusal) for p in profiles]), 2.0) / 2.0,
        "insistence": np.minimum(np.array([float(p.insistence) for p in profiles]), 2.0) / 2.0,
        "emphasis": np.minimum(above([p.emphasis / max(p.n_words, 15) for p in profiles]) * 25, 2.0)
        / 2,
        "hidden": np.minimum(above([float(p.hidden) for p in profiles]), 4.0) / 4.0,
    }


def _best_window(spots: Sequence[tuple[int, str]], weights: Mapping[str, float]) -> float:
    """The largest weight of different terms within `WINDOW` words."""
    best = weight = 0.0
    start = 0
    counts: dict[str, int] = {}
    for place, term in spots:
        seen = counts.get(term, 0)
        if not seen:
            weight += weights[term]
        counts[term] = seen + 1
        while place - spots[start][0] >= WINDOW:
            old = spots[start][1]
            counts[old] -= 1
            if not counts[old]:
                weight -= weights[old]
            start += 1
        best = max(best, weight)
    return best


def _longest_run(asked: tuple[str, ...], text: tuple[str, ...]) -> int:
    """Length of the longest run of the question's words that the text repeats in order."""
    if not asked or not text:
        return 0
    places: dict[str, list[int]] = {}
    for j, word in enumerate(asked):
        places.setdefault(word, []).append(j)
    best = 0
    previous: dict[int, int] = {}
    for word in text:
        current: dict[int, int] = {}
        for j in places.get(word, ()):
            run = previous.get(j - 1, 0) + 1
            current[j] = run
            if run > best:
                best = run
        previous = current
    return best


def _common_order(asked: list[str], text: list[str]) -> int:
    """Length of the longest common subsequence (Hyyro's bit-parallel recurrence)."""
    masks: dict[str, int] = {}
    for j, word in enumerate(asked):
        masks[word] = masks.get(word, 0) | (1 << j)
    full = (1 << len(asked)) - 1
    open_ = full
    for word in text:
        matched = open_ & masks.get(word, 0)
        open_ = ((open_ + matched) | (open_ - matched)) & full
    return len(asked) - open_.bit_count()
