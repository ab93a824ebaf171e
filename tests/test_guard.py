import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ragshield
from ragshield.chain import DEFAULT_DEFENDER, DefenderChain
from ragshield.errors import InputError, PluginError, UsageError
from ragshield.protocols import Retriever
from ragshield.records import Action, Batch, Finding, Hit, Passage, Retrieval, Verdict
from ragshield.stores.memory import MemoryStore

QUESTION = "where is the mill"
TEXTS = {
    "a": "the mill is in Varn",
    "b": "where is the mill the mill is in Oslo",
    "c": "the mill was built by Tam",
    "d": "a baker lives in Varn",
    "e": "where is the mill ask the miller in Oslo",
}


class WordEncoder:
    """Counts of words of a small vocabulary; counts its calls."""

    name = "words"
    words = sorted({word for text in TEXTS.values() for word in text.split()})
    dim = len(words)

    def __init__(self):
        self.embedded = []

    def encode(self, texts):
        self.embedded.extend(texts)
        rows = [[text.split().count(word) for word in self.words] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.dim)


class Naming:
    """Drops passages that contain a word."""

    def __init__(self, word, name="naming", suspicion=0.9, otherwise=0.1):
        self.word, self.name = word, name
        self.suspicion, self.otherwise = suspicion, otherwise
        self.seen = []

    def inspect(self, retrieval):
        self.seen.append([hit.id for hit in retrieval])
        bad = [self.word in text for text in retrieval.texts]
        findings = tuple(
            Finding(hit.id, self.suspicion, self.name, Action.DROP, f"says {self.word}")
            if is_bad
            else Finding(hit.id, self.otherwise, self.name, Action.KEEP, "fine")
            for hit, is_bad in zip(retrieval, bad, strict=True)
        )
        kept = tuple(hit for hit, is_bad in zip(retrieval, bad, strict=True) if not is_bad)
        return Verdict(kept, findings, "filtered" if any(bad) else "clean", self.name)


class Failing:
    name = "failing"

    def inspect(self, retrieval):
        raise ZeroDivisionError("no group\nsecond line")


class Fixed:
    """Returns what it was given."""

    name = "fixed"

    def __init__(self, make):
        self.make = make

    def inspect(self, retrieval):
        return self.make(retrieval)


def keeping(retrieval, suspicion=0.2, status="clean"):
    findings = tuple(Finding(h.id, suspicion, "fixed", Action.KEEP, "fine") for h in retrieval)
    return Verdict(retrieval.hits, findings, status, "fixed")


@pytest.fixture
def encoder():
    return WordEncoder()


@pytest.fixture
def retriever(encoder):
    passages = tuple(Passage(key, text) for key, text in TEXTS.items())
    store = MemoryStore("memory:test", Batch(passages, encoder.encode(list(TEXTS.values()))))
    encoder.embedded.clear()
    return ragshield.StoreRetriever(store, encoder)


def ids(hits):
    return [hit.id for hit in hits]


def test_a_guard_is_a_retriever_and_returns_only_kept_hits_with_their_vectors(retriever):
    guard = ragshield.Guard(retriever, Naming("Oslo"))
    assert isinstance(guard, Retriever)
    all_hits = retriever.retrieve(QUESTION, 5)
    assert ids(all_hits) == ["b", "e", "a", "c", "d"]
    hits = guard.retrieve(QUESTION, 5)
    assert ids(hits) == ["a", "c", "d"]
    np.testing.assert_array_equal(hits.vectors, all_hits.vectors[2:])
    np.testing.assert_array_equal(hits.question_vector, all_hits.question_vector)


def test_a_guard_guards_a_guard(retriever):
    guard = ragshield.Guard(ragshield.Guard(retriever, Naming("Oslo")), Naming("baker"))
    assert ids(guard.retrieve(QUESTION, k=5)) == ["a", "c"]


def test_only_the_question_is_embedded_and_only_once(retriever, encoder):
    ragshield.Guard(retriever, [Naming("Oslo"), Naming("Tam")]).retrieve(QUESTION, k=4)
    assert encoder.embedded == [QUESTION]


def test_later_defenders_see_only_what_earlier_ones_left(retriever):
    first, second = Naming("Oslo"), Naming("Tam", name="second", otherwise=0.4)
    verdict = ragshield.Guard(retriever, [first, second]).inspect(QUESTION, k=5)
    assert first.seen == [["b", "e", "a", "c", "d"]]
    assert second.seen == [["a", "c", "d"]]
    assert [(f.passage_id, f.detector, f.suspicion, f.action.value) for f in verdict.findings] == [
        ("b", "naming", 0.9, "drop"),
        ("e", "naming", 0.9, "drop"),
        ("a", "second", 0.4, "keep"),
        ("c", "second", 0.9, "drop"),
        ("d", "second", 0.4, "keep"),
    ]
    assert ids(verdict.kept) == ["a", "d"]
    assert (verdict.status, verdict.detector) == ("filtered", "naming+second")


def test_the_finding_that_dropped_wins_over_a_higher_suspicion_that_kept(retriever):
    wary = Naming("nothing", name="wary", otherwise=0.95)
    guard = ragshield.Guard(retriever, [wary, Naming("Oslo", suspicion=0.6)], max_depth=1)
    verdict = guard.inspect(QUESTION, 1)
    assert [(f.detector, f.suspicion) for f in verdict.findings] == [("naming", 0.6)]


def test_a_deeper_search_fills_up_what_was_dropped(retriever):
    shallow = ragshield.Guard(retriever, Naming("Oslo"), max_depth=1)
    assert ids(shallow.retrieve(QUESTION, k=2)) == []
    deeper = ragshield.Guard(retriever, Naming("Oslo"), depth=4)
    assert ids(deeper.retrieve(QUESTION, k=2)) == ["a", "c"]
    assert ids(deeper.retrieve(QUESTION, k=1)) == ["a"]


@pytest.mark.parametrize(("k", "judged"), [(1, 20), (5, 20), (10, 20), (25, 35), (100, 110)])
def test_the_default_guard_judges_deeper_than_it_returns(k, judged):
    assert DefenderChain().depth(k) == judged
    assert DefenderChain("fused").depth(k) == k
    assert DefenderChain("fused").depth(k, 30) == max(k, 30)


def test_the_callback_sees_the_last_judgement_of_every_question(retriever):
    seen = []
    guard = ragshield.Guard(
        retriever,
        Naming("Oslo"),
        on_verdict=lambda retrieval, verdict: seen.append((ids(retrieval), verdict.kept_ids)),
    )
    guard.retrieve(QUESTION, k=3)
    guard.inspect(QUESTION, k=1)
    assert seen == [(["b", "e", "a"], ("a",)), (["b", "e", "a", "c"], ("a", "c"))]


def test_a_failing_defender_raises_its_own_error_unless_told_otherwise(retriever):
    with pytest.raises(ZeroDivisionError, match="no group"):
        ragshield.Guard(retriever, Failing()).retrieve(QUESTION)


def test_on_error_keep_keeps_the_unjudged_and_says_so(retriever, caplog):
    guard = ragshield.Guard(retriever, Failing(), on_error="keep")
    with caplog.at_level(logging.WARNING, logger="ragshield.guard"):
        verdict = guard.inspect(QUESTION, k=3)
    assert ids(verdict.kept) == ["b", "e", "a"]
    assert verdict.status == "not_judged"
    assert [f.suspicion for f in verdict.findings] == [None, None, None]
    assert verdict.findings[0].reason == (
        "not judged: failing failed (ZeroDivisionError: no group)"
    )
    assert "on_error='keep', so 3 passages were kept unjudged" in caplog.text


def test_on_error_drop_drops_the_unjudged_and_says_so(retriever, caplog):
    guard = ragshield.Guard(retriever, Failing(), on_error="drop")
    with caplog.at_level(logging.WARNING, logger="ragshield.guard"):
        verdict = guard.inspect(QUESTION, k=3)
    assert verdict.kept == ()
    assert verdict.status == "not_judged"
    assert [(f.suspicion, f.action) for f in verdict.findings] == [(None, Action.DROP)] * 3
    assert "3 passages were dropped unjudged" in caplog.text


def test_when_one_of_two_fails_the_other_still_judges_and_the_failure_stays_visible(retriever):
    guard = ragshield.Guard(retriever, [Failing(), Naming("Oslo")], on_error="keep")
    verdict = guard.inspect(QUESTION, k=3)
    assert ids(verdict.kept) == ["a"]
    assert verdict.status == "not_judged"
    assert [f.suspicion for f in verdict.findings] == [0.9, 0.9, 0.1]
    failure = "not judged: failing failed (ZeroDivisionError: no group)"
    assert [f.evidence["failures"] for f in verdict.findings] == [(failure,)] * 3


BROKEN = {
    "no verdict": (lambda r: list(r), "returned list, not a Verdict"),
    "invented passage": (
        lambda r: keeping(
            Retrieval(
                r.question,
                (*r.hits[:-1], Hit(Passage("x", "new"), 1.0)),
                r.vectors,
                r.question_vector,
            )
        ),
        "judged passage 'x', which was not retrieved",
    ),
    "missing finding": (lambda r: keeping(r.select([0, 1])), "gave no finding for passage 'a'"),
    "other order": (lambda r: keeping(r.select([1, 0, 2])), "in another order"),
    "one twice": (
        lambda r: Verdict(r.hits, (*keeping(r).findings, keeping(r).findings[0]), "clean", "fixed"),
        "or one twice",
    ),
    "suspicion above 1": (lambda r: keeping(r, suspicion=1.5), "suspicion 1.5; allowed: 0 to 1"),
    "suspicion NaN": (lambda r: keeping(r, suspicion=float("nan")), "suspicion nan"),
    "unknown status": (lambda r: keeping(r, status="great"), "unknown status 'great'"),
    "kept at odds": (
        lambda r: Verdict(r.hits[:1], keeping(r).findings, "clean", "fixed"),
        "keeps other passages than its findings say",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_verdict_that_breaks_the_contract_is_a_failure(retriever, broken):
    make, message = BROKEN[broken]
    with pytest.raises(PluginError, match=r"^defender 'fixed' ") as caught:
        ragshield.Guard(retriever, Fixed(make)).retrieve(QUESTION, k=3)
    assert message in str(caught.value)
    dropped = ragshield.Guard(retriever, Fixed(make), on_error="drop").inspect(QUESTION, k=3)
    assert (dropped.kept, dropped.status) == ((), "not_judged")


def spoiled(retrieval, value):
    vectors = retrieval.vectors.copy()
    vectors[1] = value
    return Retrieval(retrieval.question, retrieval.hits, vectors, retrieval.question_vector)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "row 1 holds NaN"), (0.0, "row 1 is all zeros")]
)
def test_hits_with_unusable_vectors_follow_on_error(retriever, value, message):
    bad = spoiled(retriever.retrieve(QUESTION, 3), value)
    with pytest.raises(InputError, match=message):
        ragshield.Guard(retriever, Naming("Oslo")).inspect_retrieval(bad)
    for on_error, kept in (("keep", ["b", "e", "a"]), ("drop", [])):
        guard = ragshield.Guard(retriever, Naming("Oslo"), on_error=on_error)
        verdict = guard.inspect_retrieval(bad)
        assert (ids(verdict.kept), verdict.status) == (kept, "not_judged")
        assert message in verdict.findings[1].reason


def test_hits_with_too_few_vectors_or_a_wide_question_or_twin_ids_are_refused(retriever):
    found = retriever.retrieve(QUESTION, 3)
    guard = ragshield.Guard(retriever, Naming("Oslo"))
    with pytest.raises(InputError, match="2 rows for 3 passages"):
        guard.inspect_retrieval(
            Retrieval(QUESTION, found.hits, found.vectors[:2], found.question_vector)
        )
    with pytest.raises(InputError, match="dimensions"):
        guard.inspect_retrieval(
            Retrieval(QUESTION, found.hits, found.vectors, np.ones(3, dtype=np.float32))
        )
    with pytest.raises(PluginError, match="'b' twice"):
        guard.inspect_retrieval(found.select([0, 1, 0]))


def test_a_failing_retriever_raises_whatever_on_error_says():
    class Broken:
        def retrieve(self, question, k=10):
            raise ConnectionError("store is gone")

    for on_error in ("keep", "drop"):
        with pytest.raises(ConnectionError, match="store is gone"):
            ragshield.Guard(Broken(), Naming("Oslo"), on_error=on_error).retrieve(QUESTION)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["clean", "not_judged"], "clean"),
        (["not_judged", "not_judged"], "not_judged"),
        (["clean", "majority_assumption_violated"], "majority_assumption_violated"),
        (["majority_assumption_violated", "not_judged"], "majority_assumption_violated"),
    ],
)
def test_statuses_combine_to_the_one_that_matters_most(retriever, statuses, expected):
    defenders = [Fixed(lambda r, status=status: keeping(r, status=status)) for status in statuses]
    assert ragshield.Guard(retriever, defenders).inspect(QUESTION, k=2).status == expected


def test_an_empty_retrieval_is_clean_and_nobody_is_asked(retriever):
    nothing = retriever.retrieve(QUESTION, 3).select([])
    verdict = ragshield.Guard(retriever, Failing()).inspect_retrieval(nothing)
    assert verdict == Verdict((), (), "clean", "failing")


def test_k_larger_than_the_store_gives_what_there_is(retriever):
    hits = ragshield.Guard(retriever, Naming("Oslo")).retrieve(QUESTION, k=50)
    assert ids(hits) == ["a", "c", "d"]


def test_bad_arguments_are_refused_with_what_is_allowed(retriever):
    with pytest.raises(UsageError, match="must be one of: raise, keep, drop"):
        ragshield.Guard(retriever, Naming("x"), on_error="ignore")
    with pytest.raises(UsageError, match="no defender given"):
        ragshield.Guard(retriever, [])
    with pytest.raises(UsageError, match="unknown defender 'ragdefnder'; did you mean 'ragdefe"):
        ragshield.Guard(retriever, "ragdefnder")
    with pytest.raises(UsageError, match="is no defender: give an object"):
        ragshield.Guard(retriever, [Naming])
    with pytest.raises(UsageError, match="depth is 0"):
        ragshield.Guard(retriever, Naming("x"), depth=0)
    with pytest.raises(UsageError, match="no method retrieve"):
        ragshield.Guard("docs", Naming("x"))
    guard = ragshield.Guard(retriever, Naming("x"))
    with pytest.raises(UsageError, match="the question is empty"):
        guard.retrieve("  ")
    with pytest.raises(UsageError, match="k is 0"):
        guard.inspect(QUESTION, k=0)


def test_defenders_may_be_given_by_registry_name(retriever):
    guard = ragshield.Guard(retriever, ["none", Naming("Oslo")])
    assert [defender.name for defender in guard.defenders] == ["none", "naming"]
    assert ids(guard.retrieve(QUESTION, 3)) == ["a"]


def test_without_defenders_the_default_one_judges(retriever):
    assert [d.name for d in ragshield.Guard(retriever).defenders] == [DEFAULT_DEFENDER]
    assert [d.name for d in DefenderChain().defenders] == [DEFAULT_DEFENDER]


async def test_the_async_forms_give_what_the_sync_ones_give(retriever):
    guard = ragshield.Guard(retriever, Naming("Oslo"))
    assert ids(await guard.aretrieve(QUESTION, k=5)) == ["a", "c", "d"]
    assert await guard.ainspect(QUESTION, k=5) == guard.inspect(QUESTION, k=5)
    with pytest.raises(UsageError, match="the question is empty"):
        await guard.aretrieve("")


async def test_an_async_retriever_is_awaited_and_its_sync_form_never_called(retriever):
    class Async:
        def retrieve(self, question, k=10):
            raise AssertionError("blocking call")

        async def aretrieve(self, question, k=10):
            return retriever.retrieve(question, k)

    assert ids(await ragshield.Guard(Async(), Naming("Oslo")).aretrieve(QUESTION, 5)) == [
        "a",
        "c",
        "d",
    ]


async def test_judging_does_not_block_the_event_loop(retriever):
    release = threading.Event()

    class Waiting(Naming):
        def inspect(self, retrieval):
            assert release.wait(timeout=5)
            return super().inspect(retrieval)

    task = asyncio.create_task(ragshield.Guard(retriever, Waiting("Oslo")).aretrieve(QUESTION, 5))
    await asyncio.sleep(0.01)
    assert not task.done()
    release.set()
    assert ids(await task) == ["a", "c", "d"]


def test_many_threads_get_what_one_gets(retriever):
    guard = ragshield.Guard(retriever, [Naming("Oslo"), Naming("Tam")], depth=4)
    questions = [QUESTION, "who built the mill", "a baker in Varn", "the miller"]
    alone = [ids(guard.retrieve(q, 3)) for q in questions]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda q: ids(guard.retrieve(q, 3)), questions * 50))
    assert together == alone * 50
