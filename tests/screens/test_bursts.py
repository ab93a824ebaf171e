from __future__ import annotations

import numpy as np
import pytest

from ragshield.records import Action, Batch, Passage
from ragshield.screens.bursts import Bursts

START = 1_600_000_000
YEAR = 31_000_000


def passages(topics, times, sources, more=()) -> Batch:
    """One passage a row, then more as (vector, time, source)."""
    stored = [
        Passage(f"p{i}x", f"text {i}", source, {} if time is None else {"created_at": time})
        for i, (time, source) in enumerate(zip(times, sources, strict=True))
    ]
    planted = [
        Passage(f"planted-{i}x", "claim", source, {"created_at": time})
        for i, (_, time, source) in enumerate(more)
    ]
    vectors = np.vstack([topics, *(vector for vector, _, _ in more)])
    return Batch((*stored, *planted), vectors.astype(np.float32))


@pytest.fixture
def honest(topics):
    """480 passages from 160 sources, each source at its own time of a year."""
    rng = np.random.default_rng(1)
    order = rng.permutation(len(topics)) // 3
    times = (START + rng.uniform(0, YEAR, 160))[order]
    return times.tolist(), [f"source {i}" for i in order]


def around(vector, n: int, seed: int = 3):
    rng = np.random.default_rng(seed)
    return [vector + 0.02 * rng.standard_normal(vector.shape) for _ in range(n)]


def ids(found, least: float = 0.5) -> set[str]:
    return {f.passage_id for f in found if f.suspicion >= least}


def test_passages_on_one_topic_that_came_together_from_many_sources_are_found(
    topics, honest
) -> None:
    more = [(v, START + YEAR / 2 + i * 20, f"user {i}") for i, v in enumerate(around(topics[7], 5))]
    found = Bursts().screen(passages(topics, *honest, more))
    assert ids(found) == {f"planted-{i}x" for i in range(5)}
    first = next(f for f in found if f.passage_id == "planted-0x")
    assert first.evidence["n_together"] == 4
    assert first.evidence["window_s"] == 600
    assert first.evidence["by_chance"] < 0.2
    assert set(first.evidence["neighbours"]) == {f"planted-{i}x" for i in range(1, 5)}
    assert first.reason.startswith("came within ten minutes of 4 of its ")
    assert first.suspicion <= 0.85


def test_a_fresh_source_made_of_tight_clusters_is_found(topics, honest) -> None:
    more = [
        (vector, START + YEAR - 100 + k, "upload")
        for k, (a, b) in enumerate([(7, 100), (200, 300), (400, 30)])
        for vector in around((topics[a] + topics[b]) / 1.6, 5, seed=k)
    ]
    found = Bursts().screen(passages(topics, *honest, more))
    assert ids(found) == {f"planted-{i}x" for i in range(15)}
    assert found[-1].evidence["n_clusters_of_source"] == 3
    assert found[-1].action is Action.KEEP  # time alone convicts nobody
    early = [(vector, START + 100, source) for vector, _, source in more]
    assert ids(Bursts().screen(passages(topics, *honest, early))) == set()


def test_chunks_of_one_document_come_together_honestly(topics, honest) -> None:
    times, _ = honest
    n = len(topics)
    by_topic = [f"guide {i // 12}" for i in range(n)]
    at_once = [times[i // 12] for i in range(n)]
    assert Bursts().screen(passages(topics, at_once, by_topic)) == []


def test_a_store_loaded_at_once_or_without_times_is_not_judged(topics, honest) -> None:
    times, sources = honest
    more = [(v, START + 5, f"user {i}") for i, v in enumerate(around(topics[7], 5))]
    loaded = [START + i % 30 for i in range(len(times))]
    assert Bursts().screen(passages(topics, loaded, sources, more)) == []
    assert Bursts().screen(passages(topics, [START] * len(times), sources)) == []
    assert Bursts().screen(passages(topics, [None] * len(times), sources)) == []


def test_a_few_passages_with_a_time_are_too_few(topics, honest) -> None:
    times, sources = honest
    sparse = [time if i < 20 else None for i, time in enumerate(times)]
    more = [(v, START + i, f"user {i}") for i, v in enumerate(around(topics[7], 5))]
    assert Bursts().screen(passages(topics, sparse, sources, more)) == []


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"drop_from is 0; it must be in \(0, 1\]"):
        Bursts(drop_from=0)
