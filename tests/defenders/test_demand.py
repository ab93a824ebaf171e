"""The demand detector on synthetic traffic: who wins many different questions, and since when."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ragshield.defenders.demand import DemandDetector
from ragshield.defenders.demand_chance import binomial_tail, look_share, trial_share, upper_rate
from ragshield.defenders.demand_seen import seconds_of, signatures_of
from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Batch, Hit, Passage, Retrieval
from ragshield.stores.memory import MutableMemoryStore
from ragshield.vectors import unit_rows

DIM = 24
N_PASSAGES = 600
WARM_UP = 150


class Traffic:
    """A memory store whose passages are asked for with a realistic skew (Zipf)."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        # What questions share and passages do not have is what a hub lives on.
        self.asking = 0.8 * unit_rows(self.rng.standard_normal((1, DIM)))[0]
        topics = self.rng.standard_normal((60, DIM)) / np.sqrt(DIM)
        of = self.rng.integers(0, 60, N_PASSAGES)
        noise = self.rng.standard_normal((N_PASSAGES, DIM)) / np.sqrt(DIM)
        self.vectors = unit_rows((topics[of] + 0.6 * noise).astype(np.float32))
        popularity = 1 / np.arange(1, N_PASSAGES + 1) ** 0.8
        self.popularity = self.rng.permutation(popularity / popularity.sum())
        passages = tuple(Passage(f"p{i:03d}", f"Fact {i}.") for i in range(N_PASSAGES))
        self.store = MutableMemoryStore(batch=Batch(passages, self.vectors))
        self.n_asked = 0

    def question(self) -> np.ndarray:
        aim = self.vectors[self.rng.choice(N_PASSAGES, p=self.popularity)]
        noise = self.rng.standard_normal(DIM) / np.sqrt(DIM)
        return (aim + 0.5 * noise + self.asking).astype(np.float32)

    def ask(self, k: int = 5, vector: np.ndarray | None = None) -> Retrieval:
        self.n_asked += 1
        asked = self.question() if vector is None else vector
        found = self.store.search(asked, k)
        return Retrieval(f"What is number {self.n_asked}?", found.hits, found.vectors, asked)

    def hub(self) -> np.ndarray:
        """Near to as many questions as possible: the middle of a sample of them."""
        sample = unit_rows(np.stack([self.question() for _ in range(300)]))
        return unit_rows(sample.mean(axis=0, keepdims=True))

    def plant(self, passage: Passage, vector: np.ndarray) -> None:
        self.store.add(Batch((passage,), vector.astype(np.float32)))


def hit(passage_id: str, text: str = "text", **meta: float | str) -> Hit:
    return Hit(Passage(passage_id, text, meta=meta), 0.5)


def retrieval(question: str, *hits: Hit, seed: int | None = None) -> Retrieval:
    """Hits with fixed vectors by id; the question's vector is random, by its text."""
    rng = np.random.default_rng(seed if seed is not None else sum(map(ord, question)))
    rows = [np.random.default_rng(sum(map(ord, h.id))).standard_normal(DIM) for h in hits]
    vectors = np.array(rows, dtype=np.float32).reshape(len(hits), DIM)
    return Retrieval(question, hits, vectors, rng.standard_normal(DIM).astype(np.float32))


def warmed(n: int = 50, **settings: object) -> DemandDetector:
    """A detector that saw n questions, each won by another of ten old passages."""
    settings = {"clock": lambda: 0.0, "warm_up": n, **settings}
    detector = DemandDetector(**settings)  # type: ignore[arg-type]
    for i in range(n):
        detector.inspect(retrieval(f"warm {i}", hit(f"old{i % 10}"), seed=i))
    return detector


def drop_after(detector: DemandDetector, *hits: Hit, n: int = 100) -> int | None:
    """Questions until the first of the hits is dropped."""
    for i in range(n):
        verdict = detector.inspect(retrieval(f"later {i}", *hits, seed=1000 + i))
        if verdict.findings[0].action is Action.DROP:
            return i + 1
    return None


@pytest.mark.parametrize("seed", range(3))
def test_a_hub_is_dropped_soon_and_no_honest_passage_ever(seed: int) -> None:
    traffic = Traffic(seed)
    detector = DemandDetector(warm_up=WARM_UP, clock=lambda: 0.0)
    for _ in range(400):
        assert detector.inspect(traffic.ask()).dropped == ()
    traffic.plant(Passage("hub", "Anything."), traffic.hub())
    dropped: list[str] = []
    n_hub_wins = 0
    for _ in range(1500):
        asked = traffic.ask()
        n_hub_wins += "hub" in {h.id for h in asked}
        for finding in detector.inspect(asked).dropped:
            dropped.append(finding.passage_id)
    assert n_hub_wins > 600  # it is a hub: more than 4 questions in ten
    assert set(dropped) == {"hub"}
    assert n_hub_wins - len(dropped) < 40  # what it won before it was found
    (finding,) = detector.flagged()
    assert finding.suspicion is not None
    assert finding.suspicion >= 0.99
    assert finding.evidence["n_wins"] / finding.evidence["n_questions"] > finding.evidence["usual"]
    assert "different questions" in finding.reason


def test_a_popular_passage_that_was_there_before_stays() -> None:
    detector = warmed(50)
    for i in range(50):
        detector.inspect(retrieval(f"more {i}", hit("old1"), seed=500 + i))
    (finding,) = detector.inspect(retrieval("again", hit("old1"))).findings
    assert (finding.suspicion, finding.action) == (0.0, Action.KEEP)


def test_nothing_is_judged_in_the_warm_up() -> None:
    detector = DemandDetector(warm_up=3)
    for i in range(2):
        verdict = detector.inspect(retrieval(f"q{i}", hit("a"), hit("b")))
        assert verdict.status == "not_judged"
        assert [f.suspicion for f in verdict.findings] == [None, None]
    assert detector.inspect(retrieval("q3", hit("a"))).status == "clean"


def test_a_new_passage_that_wins_everything_is_dropped_after_some_questions() -> None:
    assert drop_after(warmed(), hit("new"), hit("old1")) == 8


def test_the_same_question_again_counts_nothing_and_gives_the_same_verdict() -> None:
    detector = warmed()
    once = detector.inspect(retrieval("Who is it?", hit("new"), seed=1))
    for wording in ["Who is it?"] * 200:
        assert detector.inspect(retrieval(wording, hit("new"), seed=1)) == once
    assert detector.n_questions == 51
    detector.inspect(retrieval("the town of Elm", hit("new"), seed=1))
    detector.inspect(retrieval("Which is the Elm town?", hit("new"), seed=1))
    assert detector.n_questions == 52


def test_many_wordings_of_one_need_are_no_many_different_questions() -> None:
    def ask(detector: DemandDetector, spread: float) -> int | None:
        rng = np.random.default_rng(0)
        centre = rng.standard_normal(DIM)
        for i in range(150):
            vector = centre + spread * rng.standard_normal(DIM)
            asked = retrieval(f"wording {i}", hit("news"), hit("old1"))
            asked = Retrieval(asked.question, asked.hits, asked.vectors, vector.astype(np.float32))
            if detector.inspect(asked).dropped:
                return i + 1
        return None

    assert ask(warmed(), 0.3) is None
    assert ask(warmed(min_spread=0), 0.3) == 8
    assert ask(warmed(), 10) == 8


def test_a_changed_text_or_vector_puts_a_passage_on_trial() -> None:
    assert drop_after(warmed(), hit("old1")) is None
    assert drop_after(warmed(), hit("old1", "another text")) == 8
    detector = warmed()
    for i in range(60):
        asked = retrieval(f"later {i}", hit("old1"), seed=1000 + i)
        asked = Retrieval(asked.question, asked.hits, -asked.vectors, asked.question_vector)
        verdict = detector.inspect(asked)
    assert verdict.findings[0].evidence["changed"] is True
    assert verdict.findings[0].action is Action.DROP


def test_float_noise_of_a_vector_is_no_change() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 384)).astype(np.float32)
    noisy = rows + rng.standard_normal(rows.shape).astype(np.float32) * 1e-5
    other = rng.standard_normal(rows.shape).astype(np.float32)
    one, two, three = (signatures_of(v, 200) for v in (rows, noisy, other))
    assert max((a ^ b).bit_count() for a, b in zip(one, two, strict=True)) <= 3
    assert min((a ^ b).bit_count() for a, b in zip(one, three, strict=True)) > 3
    assert signatures_of(np.zeros((1, 4), np.float32), 1) == [-1]
    assert signatures_of(np.full((1, 4), np.nan, np.float32), 1) == [-1]


def test_a_trusted_time_of_ingest_says_what_is_new() -> None:
    def detector() -> DemandDetector:
        return warmed(clock=lambda: 1000.0, time_key="ingested")

    assert drop_after(detector(), hit("a", ingested=999)) is None
    assert drop_after(detector(), hit("a", ingested=1001)) == 8
    assert drop_after(detector(), hit("a", ingested="1970-01-01T00:10:00")) is None
    assert drop_after(detector(), hit("a", ingested="whenever")) == 8
    # Arrived in the middle of the warm-up: not established by it.
    early = DemandDetector(warm_up=50, time_key="ingested", clock=lambda: 1000.0)
    for i in range(50):
        early.inspect(retrieval(f"w{i}", hit(f"old{i % 10}"), hit("late", ingested=1001), seed=i))
    assert drop_after(early, hit("late", ingested=1001)) == 1
    assert seconds_of(True) is None
    assert seconds_of(float("nan")) is None
    assert seconds_of("1970-01-02") == 86400


def test_who_outlasts_the_trial_is_established() -> None:
    detector = warmed(trial=30)
    for i in range(40):
        won = (hit("old1"), hit("new")) if i % 10 == 0 else (hit("old1"),)
        verdict = detector.inspect(retrieval(f"x{i}", *won, seed=2000 + i))
    verdict = detector.inspect(retrieval("last", hit("new"), seed=1))
    assert verdict.findings[0].reason == "kept: an established passage, neither new nor changed"


def test_a_released_passage_is_kept_from_then_on() -> None:
    detector = warmed()
    assert drop_after(detector, hit("new"), hit("old1")) is not None
    assert [f.passage_id for f in detector.flagged()] == ["new"]
    assert detector.release("new") is True
    assert detector.release("new") is False
    assert detector.flagged() == ()
    assert detector.inspect(retrieval("after", hit("new"))).status == "clean"


def test_dropping_most_of_a_retrieval_is_said() -> None:
    detector = warmed()
    drop_after(detector, hit("new"), hit("new2"))
    verdict = detector.inspect(retrieval("all", hit("new"), hit("new2"), hit("old1")))
    assert verdict.status == "majority_assumption_violated"
    assert verdict.kept_ids == ("old1",)


def test_hits_below_the_depth_are_not_counted() -> None:
    detector = warmed(depth=1)
    verdict = detector.inspect(retrieval("deep", hit("old1"), hit("new")))
    assert [f.suspicion for f in verdict.findings] == [0.0, None]
    assert drop_after(detector, hit("old1"), hit("new")) is None


def test_memory_stays_within_its_bounds_and_a_hub_survives_the_crowd() -> None:
    detector = warmed(max_passages=64, max_questions=40)
    found = None
    for i in range(400):
        crowd = [hit(f"once{i}-{j}") for j in range(5)]
        won = [hit("hub"), *crowd] if i % 2 == 0 else crowd
        verdict = detector.inspect(retrieval(f"later {i}", *won, seed=i))
        if verdict.dropped and found is None:
            found = verdict.dropped[0].passage_id
        counts = detector._counts
        assert len(counts.established) + len(counts.trials) + len(counts.flagged) <= 64
        assert len(counts.questions) <= 40
    assert found == "hub"


def test_saved_counters_go_on_where_they_stopped(tmp_path: Path) -> None:
    whole, path = warmed(), tmp_path / "demand.json"
    first = warmed(state=path)
    for i in range(10):
        asked = retrieval(f"later {i}", hit("new"), hit("old1"), hit("\ud800"), seed=i)
        assert whole.inspect(asked) == first.inspect(asked)
    first.save()
    second = DemandDetector(warm_up=50, state=path, clock=lambda: 0.0)
    for i in range(10, 40):
        asked = retrieval(f"later {i}", hit("new"), hit("old1"), seed=i)
        assert whole.inspect(asked) == second.inspect(asked)
    assert [f.passage_id for f in second.flagged()] == ["\ud800", "new"]
    loaded = DemandDetector.load(path)
    assert loaded.n_questions == 60
    loaded.save()


def test_state_is_saved_by_itself_every_so_many_questions(tmp_path: Path) -> None:
    path = tmp_path / "demand.json"
    detector = warmed(20, state=path, save_every=20)
    assert json.loads(path.read_text())["n_questions"] == 20
    detector.inspect(retrieval("one more", hit("a")))
    assert json.loads(path.read_text())["n_questions"] == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no counters"),
        ('{"format": "ragshield-demand", "version": 9}', "reads 1"),
        ('{"format": "ragshield-demand", "version": 1}', "damaged"),
    ],
)
def test_a_damaged_state_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "demand.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        DemandDetector(state=path)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for settings in (
        {"alpha": 0},
        {"tolerated": 1.0},
        {"warm_up": 0},
        {"min_spread": 2},
        {"max_passages": 3},
        {"save_every": -1},
    ):
        with pytest.raises(UsageError, match=next(iter(settings))):
            DemandDetector(**settings)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no file"):
        DemandDetector().save()
    with pytest.raises(UsageError, match="does not exist"):
        DemandDetector().save(tmp_path / "none" / "demand.json")
    with pytest.raises(InputError, match="cannot read"):
        DemandDetector.load(tmp_path / "none.json")


def test_counts_are_the_same_from_many_threads() -> None:
    detector = warmed()
    cases = [retrieval(f"t{i}", hit("old1"), hit(f"n{i % 7}"), seed=i) for i in range(80)]

    def work(part: int) -> None:
        for case in cases[part::8]:
            detector.inspect(case)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert detector.n_questions == 130
    assert detector._counts.established["old1"].wins == 85
    assert sum(entry.wins for entry in detector._counts.trials.values()) == 80


def test_the_order_of_the_hits_changes_no_counter() -> None:
    one, two = warmed(max_passages=16), warmed(max_passages=16)
    for i in range(60):
        hits = [hit(f"n{(i * 3 + j) % 23}") for j in range(6)]
        forward = one.inspect(retrieval(f"x{i}", *hits, seed=i))
        backward = two.inspect(retrieval(f"x{i}", *reversed(hits), seed=i))
        assert list(forward.findings) == list(reversed(backward.findings))


def test_the_tail_is_never_below_the_true_one_and_close_to_it() -> None:
    from scipy.stats import binom

    for n in (1, 7, 60, 900):
        for p in (0.001, 0.02, 0.3, 0.9):
            for wins in range(n + 1):
                true, bound = binom.sf(wins - 1, n, p), binomial_tail(wins, n, p)
                assert bound >= true * (1 - 1e-9) - 1e-300
                if wins > n * p + 3 * np.sqrt(n * p * (1 - p)) + 1:
                    assert bound <= 2 * true
    assert binomial_tail(5, 5, 1.0) == 1.0


def test_the_error_budget_is_not_overspent() -> None:
    numbers = np.arange(1, 1_000_000)
    spent = sum(trial_share(int(n)) for n in numbers[:100_000])
    assert spent + 1 / 2.1097428 / np.log(100_001) <= 1 + 1e-6  # the rest is below the integral
    assert sum(look_share(int(n)) for n in numbers[:10_000]) < 1
    shares = [trial_share(n) for n in range(1, 50)]
    assert all(a > b for a, b in pairwise(shares))
    assert upper_rate(0, 0) == 1.0
    assert 0.1 < upper_rate(10, 100) < 0.21


def test_passages_in_no_unusual_demand_are_dropped_as_rarely_as_stated() -> None:
    # The null at its worst: every passage on trial wins with exactly the usual rate.
    rng, n_dropped, n_runs = np.random.default_rng(5), 0, 60
    for run in range(n_runs):
        detector = warmed(100, alpha=0.3, min_spread=0.0, trial=10**6)
        usual = detector._counts.usual
        assert usual == upper_rate(10, 100)
        for i in range(120):
            won = [hit(f"n{j}") for j in range(10) if rng.random() < usual]
            asked = retrieval(f"{run} later {i}", hit(f"old{i % 10}"), *won, seed=i)
            if detector.inspect(asked).dropped:
                n_dropped += 1
                break
    assert n_dropped / n_runs <= 0.3
