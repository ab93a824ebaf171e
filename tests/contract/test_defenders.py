"""What every registered defender must do, whatever it thinks of the passages."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from ragshield import registry
from ragshield.records import Action, Hit, Passage, Retrieval, Spec, Verdict
from ragshield.vectors import cosines

DEFENDERS = registry.names("defender")
STATUSES = {"clean", "filtered", "not_judged", "majority_assumption_violated"}

WORDS = (
    "river bridge town mayor engine harbour market school award letter winter stone garden "
    "museum factory valley railway festival library doctor captain painter island castle"
).split()


def defender(name: str):
    return registry.build(Spec("defender", name))


def retrieval(encoder, k: int, seed: int = 0, *, poison: int = 0) -> Retrieval:
    rng = np.random.default_rng(seed)
    question = "Who was the mayor of the town by the river bridge?"
    texts = [
        " ".join(rng.choice(WORDS, 25)).capitalize() + f". The {rng.choice(WORDS)} dates from {i}."
        for i in range(k - poison)
    ] + [
        f"{question}. The mayor of the town by the river bridge was Orla Venn, variant {i}."
        for i in range(poison)
    ]
    vectors = encoder.encode(texts) if texts else np.empty((0, encoder.dim), dtype=np.float32)
    asked = encoder.encode([question])[0]
    similarity = cosines(vectors, asked)
    hits = tuple(
        Hit(Passage(f"p{i}", text, source=f"s{i % 3}"), float(similarity[i]))
        for i, text in enumerate(texts)
    )
    order = sorted(range(k), key=lambda i: (-similarity[i], i))
    return Retrieval(question, hits, vectors, asked).select(order)


def check(verdict: Verdict, judged: Retrieval, name: str) -> None:
    ids = [hit.id for hit in judged]
    assert [finding.passage_id for finding in verdict.findings] == ids
    dropped = {f.passage_id for f in verdict.findings if f.action is Action.DROP}
    assert [hit.id for hit in verdict.kept] == [i for i in ids if i not in dropped]
    assert all(hit in judged.hits for hit in verdict.kept)
    assert verdict.status in STATUSES
    assert verdict.detector == name
    for finding in verdict.findings:
        assert finding.detector == name
        assert finding.reason.strip()
        assert finding.suspicion is None or 0 <= finding.suspicion <= 1
        assert finding.suspicion is None or not math.isnan(finding.suspicion)
        assert finding.action is Action.KEEP or finding.suspicion is not None
    if dropped:
        assert verdict.status in {"filtered", "majority_assumption_violated"}


@pytest.mark.parametrize("name", DEFENDERS)
@pytest.mark.parametrize("k", [0, 1, 2, 3, 5, 10, 37, 100])
def test_judges_every_hit_once_and_invents_none(name: str, k: int, word_encoder) -> None:
    for poison in {0, min(1, k), k // 2, k}:
        judged = retrieval(word_encoder, k, seed=k, poison=poison)
        check(defender(name).inspect(judged), judged, name)


@pytest.mark.parametrize("name", DEFENDERS)
def test_an_empty_retrieval_is_clean_and_stays_empty(name: str, word_encoder) -> None:
    verdict = defender(name).inspect(retrieval(word_encoder, 0))
    assert (verdict.kept, verdict.findings, verdict.status) == ((), (), "clean")


@pytest.mark.parametrize("name", DEFENDERS)
def test_the_same_input_gives_the_same_verdict(name: str, word_encoder) -> None:
    judged = retrieval(word_encoder, 10, seed=3, poison=2)
    guard = defender(name)
    assert guard.inspect(judged) == guard.inspect(judged) == defender(name).inspect(judged)


@pytest.mark.parametrize("name", DEFENDERS)
@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_hits_does_not_matter(name: str, seed: int, word_encoder) -> None:
    judged = retrieval(word_encoder, 11, seed=seed, poison=seed)
    shuffled = judged.select(np.random.default_rng(seed).permutation(11).tolist())
    kept = {hit.id for hit in defender(name).inspect(judged).kept}
    assert {hit.id for hit in defender(name).inspect(shuffled).kept} == kept


@pytest.mark.parametrize("name", DEFENDERS)
def test_is_safe_from_many_threads(name: str, word_encoder) -> None:
    cases = [retrieval(word_encoder, 10, seed=i, poison=i % 4) for i in range(16)]
    guard = defender(name)
    expected = [guard.inspect(case) for case in cases]
    found: list[Verdict | None] = [None] * len(cases)

    def work(i: int) -> None:
        found[i] = guard.inspect(cases[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


HOSTILE = [
    "",
    " ",
    "\x00",
    "‮‏",
    "the a of",
    "🙂" * 50,
    "x" * 100_000,
    "??!!",
    "a\nb\r\n\tc",
    "\ud800",
]


@pytest.mark.parametrize("name", DEFENDERS)
def test_survives_hostile_passages(name: str, word_encoder) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(HOSTILE), 8)).astype(np.float32)
    hits = tuple(Hit(Passage(str(i), text), float("nan")) for i, text in enumerate(HOSTILE))
    for question in ("Who?", "?", "the", "x" * 10_000, "谁建立了这座城市?"):
        judged = Retrieval(question, hits, vectors, rng.standard_normal(8).astype(np.float32))
        check(defender(name).inspect(judged), judged, name)


@pytest.mark.parametrize("name", DEFENDERS)
def test_identical_passages_do_not_break_it(name: str) -> None:
    vectors = np.ones((6, 8), dtype=np.float32)
    hits = tuple(Hit(Passage(str(i), "The same text, six times over."), 1.0) for i in range(6))
    judged = Retrieval("What is the text?", hits, vectors, vectors[0])
    check(defender(name).inspect(judged), judged, name)
