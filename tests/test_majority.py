"""Honest statuses: what a guard does where honest passages may be the minority."""

from __future__ import annotations

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ragshield
from ragshield.errors import MajorityError, RagshieldError, UsageError
from ragshield.majority import Majority
from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Action, Finding, Hit, Passage, Retrieval, Verdict

QUESTION = "who founded the mill"
VIOLATED = "majority_assumption_violated"


class Ranked:
    """Passages p0, p1, ... in this order; those in `bad` say so. Counts what is asked."""

    def __init__(self, n: int, bad: set[int]) -> None:
        self.passages = [Passage(f"p{i}", "bad" if i in bad else "fine") for i in range(n)]
        self.depths: list[int] = []

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        self.depths.append(k)
        hits = tuple(Hit(passage, 0.5) for passage in self.passages[:k])
        vectors = np.ones((len(hits), 3), dtype=np.float32)
        return Retrieval(question, hits, vectors, np.ones(3, dtype=np.float32))


class DropBad:
    """Drops what says bad; honest ones are the minority where that is half or more."""

    name = "drop-bad"

    def inspect(self, retrieval: Retrieval) -> Verdict:
        bad = [hit.text == "bad" for hit in retrieval]
        findings = tuple(
            Finding(
                hit.id,
                0.9 if is_bad else 0.1,
                self.name,
                Action.DROP if is_bad else Action.KEEP,
                "it says bad" if is_bad else "fine",
            )
            for hit, is_bad in zip(retrieval, bad, strict=True)
        )
        kept = tuple(hit for hit, is_bad in zip(retrieval, bad, strict=True) if not is_bad)
        status = VIOLATED if 2 * sum(bad) >= len(bad) else "filtered" if any(bad) else "clean"
        return Verdict(kept, findings, status, self.name)  # type: ignore[arg-type]


class Forgiving(DropBad):
    """Sees poison among few hits only: among many, planted ones look like the others."""

    def inspect(self, retrieval: Retrieval) -> Verdict:
        if len(retrieval) <= 4:
            return super().inspect(retrieval)
        findings = tuple(Finding(h.id, 0.2, self.name, Action.KEEP, "fine") for h in retrieval)
        return Verdict(retrieval.hits, findings, "clean", self.name)


def ids(hits: object) -> list[str]:
    return [hit.id for hit in hits]  # type: ignore[attr-defined]


def guarded(retriever: object, **options: object) -> ragshield.Guard:
    return ragshield.Guard(retriever, DropBad(), **options)  # type: ignore[arg-type]


def test_every_retrieval_says_how_it_was_judged() -> None:
    plain = Ranked(4, set()).retrieve(QUESTION, 4)
    assert (plain.status, plain.verdict) == ("not_judged", None)
    clean = guarded(Ranked(8, set())).retrieve(QUESTION, 4)
    assert (clean.status, ids(clean)) == ("clean", ["p0", "p1", "p2", "p3"])
    filtered = guarded(Ranked(8, {1})).retrieve(QUESTION, 4)
    assert (filtered.status, ids(filtered)) == ("filtered", ["p0", "p2", "p3"])
    assert [f.passage_id for f in filtered.verdict.dropped] == ["p1"]
    assert filtered.select([0]).verdict is None


def test_it_looks_deeper_in_steps_that_double_until_honest_passages_are_the_majority() -> None:
    retriever = Ranked(100, {0, 1, 2, 3, 4})
    found = guarded(retriever).retrieve(QUESTION, 4)
    assert retriever.depths == [4, 8, 16]
    assert (found.status, ids(found)) == ("filtered", ["p5", "p6", "p7", "p8"])
    assert (found.verdict.looked_deeper_from, len(found.verdict.findings)) == (4, 16)
    assert "Of the first 4 so many looked planted" in found.verdict.explain()


@pytest.mark.parametrize(
    ("n", "options", "depths"),
    [
        (100, {}, [4, 8, 16]),
        (100, {"max_depth": 10}, [4, 8, 10]),
        (100, {"max_depth": 4}, [4]),
        (100, {"max_depth": 1}, [4]),
        (100, {"max_depth": 3, "depth": 6}, [6]),
        (100, {"depth": 5}, [5, 10, 20]),
        (6, {}, [4, 8]),
        (3, {}, [4]),
    ],
)
def test_it_never_looks_deeper_than_allowed_nor_than_the_store(n, options, depths) -> None:
    retriever = Ranked(n, set(range(100)))
    found = guarded(retriever, **options).retrieve(QUESTION, 4)
    assert retriever.depths == depths
    assert (found.status, len(found)) == (VIOLATED, 0)
    assert len(found.verdict.findings) == min(n, depths[-1])


def test_no_step_is_taken_where_honest_passages_are_the_majority() -> None:
    retriever = Ranked(100, {0})
    assert guarded(retriever).retrieve(QUESTION, 4).verdict.looked_deeper_from is None
    assert retriever.depths == [4]


MOST = {0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15}


async def both(guard: ragshield.Guard) -> list[object]:
    """What the sync and the async form give, or the error they raise."""
    given: list[object] = []
    for call in (guard.retrieve, guard.aretrieve):
        try:
            found = call(QUESTION, 4)
            given.append(found if isinstance(found, Retrieval) else await found)
        except MajorityError as error:
            given.append(error)
    return given


async def test_filter_gives_what_is_kept_and_says_so(caplog) -> None:
    for found in await both(guarded(Ranked(100, MOST), on_majority="filter")):
        assert (found.status, ids(found)) == (VIOLATED, ["p4", "p8", "p12"])
        assert "do not rely on the 3 that were kept" in found.verdict.explain()
    assert [record.message for record in caplog.records] == [
        "13 of 16 passages look planted, so honest ones may be the minority; "
        "on_majority='filter', so 3 are given"
    ] * 2


async def test_abstain_gives_nothing_and_says_so(caplog) -> None:
    for found in await both(guarded(Ranked(100, MOST), on_majority="abstain")):
        assert (found.status, len(found), found.vectors.shape) == ("abstained", 0, (0, 3))
        assert (found.verdict.kept, len(found.verdict.dropped)) == ((), 13)
        assert "the other 3 were withheld too and no context is given" in found.verdict.explain()
        assert ExtractiveReader().answer(QUESTION, found.passages) == "I don't know"
    assert [record.message for record in caplog.records] == [
        "13 of 16 passages look planted, so honest ones may be the minority; "
        "on_majority='abstain', so none is given"
    ] * 2


async def test_refuse_raises_one_line_that_carries_the_verdict() -> None:
    seen = []
    guard = guarded(Ranked(100, MOST), on_majority="refuse", on_verdict=lambda r, v: seen.append(v))
    errors = await both(guard)
    for error in errors:
        assert isinstance(error, RagshieldError)
        assert str(error).startswith("13 of 16 passages look planted, so honest ones may be the")
        assert "\n" not in str(error)
        assert error.exit_code == 3
        assert (error.verdict.status, len(error.verdict.dropped)) == (VIOLATED, 13)
    assert [v.status for v in seen] == [VIOLATED] * 2
    copied = pickle.loads(pickle.dumps(errors[0]))
    assert (str(copied), copied.verdict.status) == (str(errors[0]), VIOLATED)


@pytest.mark.parametrize("on_majority", ["filter", "abstain", "refuse"])
def test_where_looking_deeper_helps_all_choices_give_the_same(on_majority) -> None:
    found = guarded(Ranked(100, {0, 1, 2}), on_majority=on_majority).retrieve(QUESTION, 4)
    assert (found.status, ids(found)) == ("filtered", ["p3", "p4", "p5", "p6"])


def test_what_was_dropped_stays_dropped_however_it_looks_deeper_down() -> None:
    guard = ragshield.Guard(Ranked(100, {0, 1, 2}), Forgiving())
    found = guard.retrieve(QUESTION, 4)
    assert (found.status, ids(found)) == ("filtered", ["p3", "p4", "p5", "p6"])
    dropped = found.verdict.dropped
    assert [(f.passage_id, f.suspicion, f.evidence["judged_among"]) for f in dropped] == [
        ("p0", 0.9, 4),
        ("p1", 0.9, 4),
        ("p2", 0.9, 4),
    ]
    few = ragshield.Guard(Ranked(6, {0, 1, 2}), Forgiving()).retrieve(QUESTION, 4)
    assert (few.status, ids(few)) == (VIOLATED, ["p3", "p4", "p5"])


def test_an_empty_context_always_says_so(caplog) -> None:
    all_bad = set(range(100))

    class Quiet(DropBad):
        """Drops everything and calls that filtered."""

        def inspect(self, retrieval):
            verdict = super().inspect(retrieval)
            return Verdict(verdict.kept, verdict.findings, "filtered", self.name)

    class Failing:
        name = "failing"

        def inspect(self, retrieval):
            raise ZeroDivisionError("no group")

    for guard, status in (
        (guarded(Ranked(100, all_bad)), VIOLATED),
        (guarded(Ranked(100, all_bad), on_majority="abstain"), "abstained"),
        (ragshield.Guard(Ranked(100, all_bad), Quiet()), VIOLATED),
        (ragshield.Guard(Ranked(9, set()), Failing(), on_error="drop"), "not_judged"),
    ):
        caplog.clear()
        found = guard.retrieve(QUESTION, 4)
        assert (len(found), found.status) == (0, status)
        assert "none is given" in caplog.text
        assert len(found.verdict.explain()) > 40


def test_a_guard_around_a_guard_hands_on_what_the_inner_one_could_not_vouch_for() -> None:
    inner = guarded(Ranked(100, MOST), on_majority="abstain")
    outer = ragshield.Guard(inner, "none")
    found = outer.retrieve(QUESTION, 4)
    assert (found.status, len(found), len(found.verdict.dropped)) == ("abstained", 0, 13)
    letting = guarded(Ranked(100, MOST), on_majority="filter")
    strict = ragshield.Guard(letting, DropBad(), on_majority="abstain")
    assert strict.retrieve(QUESTION, 4).status == "abstained"


def test_judging_what_was_retrieved_elsewhere_cannot_look_deeper_but_chooses() -> None:
    retriever = Ranked(100, {0, 1, 2})
    found = retriever.retrieve(QUESTION, 4)
    verdict = guarded(retriever, on_majority="abstain").inspect_retrieval(found)
    assert (verdict.status, verdict.kept, verdict.looked_deeper_from) == ("abstained", (), None)
    assert retriever.depths == [4]


async def test_judge_and_ajudge_take_the_choice_too() -> None:
    given = {
        "passages": ["bad", "bad", "fine"],
        "vectors": np.ones((3, 2)),
        "question_vector": np.ones(2),
        "defender": DropBad(),
    }
    assert ragshield.judge(QUESTION, **given).status == VIOLATED
    for choice in ("abstain", "refuse"):
        outcomes = []
        for awaited in (False, True):
            try:
                verdict = (
                    await ragshield.guard.ajudge(QUESTION, **given, on_majority=choice)
                    if awaited
                    else ragshield.judge(QUESTION, **given, on_majority=choice)
                )
                outcomes.append((verdict.status, verdict.kept))
            except MajorityError as error:
                outcomes.append(("refused", error.verdict.kept_ids))
        expected = ("abstained", ()) if choice == "abstain" else ("refused", ("2",))
        assert outcomes == [expected] * 2


def test_bad_choices_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(UsageError, match="on_majority is 'drop'; it must be one of: filter, abst"):
        guarded(Ranked(1, set()), on_majority="drop")
    with pytest.raises(UsageError, match="max_depth is 0; it must be at least 1"):
        guarded(Ranked(1, set()), max_depth=0)
    with pytest.raises(UsageError, match="on_majority is ''"):
        ragshield.judge(QUESTION, [], defender=DropBad(), on_majority="")  # type: ignore[arg-type]


def test_only_a_guard_abstains_never_a_defender() -> None:
    class Abstaining(DropBad):
        def inspect(self, retrieval):
            verdict = super().inspect(retrieval)
            return Verdict(verdict.kept, verdict.findings, "abstained", self.name)

    with pytest.raises(RagshieldError, match="gave the unknown status 'abstained'"):
        ragshield.Guard(Ranked(4, set()), Abstaining()).retrieve(QUESTION, 4)


def test_many_threads_get_their_own_status(caplog) -> None:
    class ByQuestion:
        def retrieve(self, question, k=10):
            return Ranked(100, MOST if "bad" in question else {2}).retrieve(question, k)

    caplog.set_level(logging.ERROR)
    guard = guarded(ByQuestion(), on_majority="abstain")
    questions = ["a fine one", "a bad one"] * 100
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda q: guard.retrieve(q, 4), questions))
    assert [(f.question, f.status, len(f)) for f in found] == [
        (q, "abstained", 0) if "bad" in q else (q, "filtered", 3) for q in questions
    ]


def test_the_policy_alone_is_bounded() -> None:
    policy = Majority("filter", None)
    assert [policy.limit(first) for first in (1, 20, 80)] == [4, 80, 320]
    assert Majority("filter", 30).limit(20) == 30
    assert Majority("filter", 30).limit(50) == 50
