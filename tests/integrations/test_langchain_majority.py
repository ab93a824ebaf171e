"""Honest statuses in LangChain: looking deeper, then filter, abstain or refuse."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore, VectorStoreRetriever

from ragshield.calibration import calibrate
from ragshield.errors import InputError, MajorityError, UsageError
from ragshield.integrations.langchain import (
    EVENT,
    EncoderEmbeddings,
    GuardedRetriever,
    GuardedVectorStore,
    JudgedDocuments,
    PoisonFilter,
)
from ragshield.quarantine import Quarantine
from ragshield.records import Action, Batch, Finding, Passage, Verdict
from ragshield.stores.memory import MemoryStore

VIOLATED = "majority_assumption_violated"


class HalfOslo:
    """Drops what says Oslo; honest ones are the minority where that is half or more."""

    name = "half-oslo"

    def inspect(self, retrieval):
        bad = ["Oslo" in text for text in retrieval.texts]
        findings = tuple(
            Finding(
                hit.id,
                0.9 if is_bad else 0.1,
                self.name,
                Action.DROP if is_bad else Action.KEEP,
                "it says Oslo" if is_bad else "fine",
            )
            for hit, is_bad in zip(retrieval, bad, strict=True)
        )
        kept = tuple(hit for hit, is_bad in zip(retrieval, bad, strict=True) if not is_bad)
        status = VIOLATED if 2 * sum(bad) >= len(bad) else "filtered" if any(bad) else "clean"
        return Verdict(kept, findings, status, self.name)


class Events(BaseCallbackHandler):
    def __init__(self):
        self.statuses = []

    def on_custom_event(self, name, data, **kwargs):
        assert name == EVENT
        self.statuses.append((data["status"], data["kept"], data["looked_deeper_from"]))


@pytest.fixture
def searched(monkeypatch):
    """The depths that in-memory stores are searched with."""
    depths = []
    search = InMemoryVectorStore.similarity_search_by_vector

    def counting(self, embedding, k=4, **kwargs):
        depths.append(k)
        return search(self, embedding, k, **kwargs)

    monkeypatch.setattr(InMemoryVectorStore, "similarity_search_by_vector", counting)
    return depths


@pytest.fixture
def crowded(embeddings):
    """Seven passages that say Oslo come first, then three honest ones."""
    store = InMemoryVectorStore(embeddings)
    bad = [Document(id=f"b{i}", page_content="where is the mill in Oslo " * 2) for i in range(7)]
    fine = [
        Document(id="f0", page_content="the mill is in Varn"),
        Document(id="f1", page_content="the mill was built by Tam"),
        Document(id="f2", page_content="a baker lives in Varn"),
    ]
    store.add_documents([*bad, *fine])
    embeddings.forget()
    return store


def ids(documents):
    return [document.id for document in documents]


async def both(retriever, question, config=None):
    given = []
    for awaited in (False, True):
        try:
            given.append(
                await retriever.ainvoke(question, config)
                if awaited
                else retriever.invoke(question, config)
            )
        except MajorityError as error:
            given.append(error)
    return given


async def test_it_searches_deeper_and_embeds_the_question_once(vectorstore, question, embeddings):
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=2, defenders=HalfOslo())
    for found in await both(guarded, question):
        assert isinstance(found, JudgedDocuments)
        assert (ids(found), found.status) == (["a", "c"], "filtered")
        assert found.verdict.looked_deeper_from == 2
        assert {d.metadata["ragshield_status"] for d in found} == {"filtered"}
    assert (embeddings.questions, embeddings.documents) == ([question] * 2, [])


@pytest.mark.parametrize(
    ("options", "depths"),
    [
        ({}, [2, 4, 8]),
        ({"max_depth": 3}, [2, 3]),
        ({"max_depth": 1}, [2]),
        ({"depth": 3}, [3, 6, 12]),
        ({"depth": 10}, [10, 20]),  # ten are all there are
    ],
)
async def test_the_search_is_bounded(crowded, question, searched, options, depths):
    class AllBad(HalfOslo):
        def inspect(self, retrieval):
            findings = tuple(Finding(h.id, 0.9, "all", Action.DROP, "bad") for h in retrieval)
            return Verdict((), findings, VIOLATED, self.name)

    guarded = GuardedRetriever.from_vectorstore(crowded, k=2, defenders=AllBad(), **options)
    for found in await both(guarded, question):
        assert (found, found.status) == ([], VIOLATED)
    assert searched == depths * 2


async def test_filter_gives_what_is_kept_abstain_nothing_and_refuse_raises(
    crowded, question, caplog
):
    def guarded(choice):
        return GuardedRetriever.from_vectorstore(
            crowded, k=2, depth=9, max_depth=9, defenders=HalfOslo(), on_majority=choice
        )

    events = Events()
    config = {"callbacks": [events]}
    for found in await both(guarded("filter"), question, config):
        assert (ids(found), found.status) == (["f0", "f1"], VIOLATED)
        assert {d.metadata["ragshield_status"] for d in found} == {VIOLATED}
    assert events.statuses == [(VIOLATED, ["f0", "f1"], None)] * 2
    events.statuses.clear()
    for found in await both(guarded("abstain"), question, config):
        assert (found, found.status, len(found.verdict.dropped)) == ([], "abstained", 7)
    assert events.statuses == [("abstained", [], None)] * 2
    assert caplog.text.count("on_majority='abstain', so none is given") == 2
    events.statuses.clear()
    for error in await both(guarded("refuse"), question, config):
        assert isinstance(error, MajorityError)
        assert error.verdict.status == VIOLATED
    assert events.statuses == [(VIOLATED, ["f0", "f1"], None)] * 2


async def test_a_retriever_given_as_it_is_looks_deeper_but_gives_no_more_than_it_would(
    crowded, question, searched
):
    inner = VectorStoreRetriever(vectorstore=crowded)  # four documents, LangChain's default
    guarded = GuardedRetriever(retriever=inner, defenders=HalfOslo(), max_depth=10)
    for found in await both(guarded, question):
        assert ids(found) == ["f0", "f1", "f2"]
    assert searched == [4, 8, 10] * 2
    searched.clear()
    assert ids(guarded.invoke(question, k=2)) == ["f0", "f1"]
    assert searched == [2, 4, 8, 10]


def test_mmr_looks_deeper_too(crowded, question):
    inner = crowded.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 1.0})
    found = GuardedRetriever(retriever=inner, defenders=HalfOslo(), max_depth=10).invoke(question)
    assert (ids(found), found.verdict.looked_deeper_from) == (["f0", "f1"], 2)
    assert len(found.verdict.findings) == 10


def test_any_other_retriever_cannot_be_asked_for_more_and_says_so(
    crowded, question, caplog, make_documents
):
    two = [d for d in make_documents() if "Oslo" in d.page_content]
    guarded = GuardedRetriever(
        retriever=RunnableLambda(lambda query: two), defenders=HalfOslo(), vectorstore=crowded
    )
    with caplog.at_level(logging.WARNING, logger="ragshield.guard"):
        found = guarded.invoke(question)
    assert (found, found.status) == ([], VIOLATED)
    assert "2 of 2 passages look planted" in caplog.text


async def test_a_filter_chooses_too_and_hands_the_verdict_on(
    memory_store, question, make_documents
):
    def filtering(choice):
        return PoisonFilter(defenders=HalfOslo(), vectorstore=memory_store, on_majority=choice)

    given = [d for d in make_documents() if d.id in "abe"]
    for choice, kept, status in (("filter", ["a"], VIOLATED), ("abstain", [], "abstained")):
        sync = filtering(choice).compress_documents(given, question)
        awaited = await filtering(choice).acompress_documents(given, question)
        step = filtering(choice).as_runnable().invoke({"question": question, "documents": given})
        for found in (sync, awaited, step["documents"]):
            assert (ids(found), found.status) == (kept, status)
    with pytest.raises(MajorityError, match="2 of 3 passages look planted"):
        filtering("refuse").compress_documents(given, question)
    with pytest.raises(MajorityError, match="2 of 3 passages look planted"):
        await filtering("refuse").acompress_documents(given, question)


def test_many_threads_get_their_own_verdict(crowded, caplog):
    caplog.set_level(logging.ERROR)
    guarded = GuardedRetriever.from_vectorstore(
        crowded, k=2, max_depth=4, defenders=HalfOslo(), on_majority="abstain"
    )
    questions = ["where is the mill in Oslo", "a baker lives in Varn"] * 50
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(guarded.invoke, questions))
    assert [(f.status, len(f)) for f in found] == [("abstained", 0), ("clean", 2)] * 50


@pytest.fixture
def calibrated_store(word_encoder):
    given = [f"The {kind} of Town{i} was built by Tam{i}." for i in range(20) for kind in KINDS]
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(given))
    rows = word_encoder.encode(given)
    store = MemoryStore("memory:x", Batch(passages, rows))
    return given, calibrate(store, word_encoder, budget=0.05, k=12, n_questions=40, n_attacked=0)


KINDS = ("bridge", "mill", "tower")


async def test_a_shield_is_taken_by_all_integrations(calibrated_store, word_encoder, tmp_path):
    given, shield = calibrated_store
    store = InMemoryVectorStore(EncoderEmbeddings(word_encoder))
    store.add_texts(given)
    screened = GuardedVectorStore(store, Quarantine(tmp_path / "held.jsonl"))
    for guarded in (
        GuardedRetriever.from_vectorstore(store, k=3, shield=shield),
        GuardedRetriever.from_vectorstore(screened, k=3, shield=shield),
    ):
        found = guarded.invoke("who built the mill of Town3")
        assert (len(found), len(found.verdict.findings)) == (3, 12)
        evidence = found.verdict.findings[0].evidence
        assert (evidence["budget"], "drift" in evidence) == (0.05, False)
    kept = PoisonFilter(shield=shield, vectorstore=store).compress_documents(
        store.similarity_search("the mill of Town3", k=4), "who built the mill of Town3"
    )
    assert kept.verdict.detector == "calibrated"


def test_a_shield_that_does_not_fit_is_refused_or_told(calibrated_store, word_encoder, caplog):
    given, shield = calibrated_store
    store = InMemoryVectorStore(EncoderEmbeddings(word_encoder))
    store.add_texts(given)
    with pytest.raises(UsageError, match="give either a shield or defenders"):
        GuardedRetriever.from_vectorstore(store, defenders="tris", shield=shield)
    with pytest.raises(UsageError, match="give either a shield or defenders"):
        PoisonFilter(defenders="tris", shield=shield)
    with pytest.raises(InputError, match="does not exist; make it with: ragshield calibrate"):
        GuardedRetriever.from_vectorstore(store, shield="missing.toml")
    store.add_texts([f"something new {i}" for i in range(30)])
    guarded = GuardedRetriever.from_vectorstore(store, k=3, shield=shield)
    assert "drift: the store holds 90 passages, it held 60 when calibrated" in caplog.text
    found = guarded.invoke("who built the mill of Town3")
    assert found.verdict.findings[0].evidence["drift"].startswith("the store holds 90 passages")
    word_encoder.name = "other"
    with pytest.raises(InputError, match="this retriever uses 'other'"):
        GuardedRetriever.from_vectorstore(store, shield=shield)


def test_chroma_is_counted_for_a_shield(calibrated_store, word_encoder, tmp_path, caplog):
    chroma = pytest.importorskip("langchain_chroma")
    given, shield = calibrated_store
    store = chroma.Chroma(
        "docs", EncoderEmbeddings(word_encoder), persist_directory=str(tmp_path / "db")
    )
    store.add_texts(given)
    GuardedRetriever.from_vectorstore(store, shield=shield)
    assert "drift" not in caplog.text
    store.add_texts([f"something new {i}" for i in range(30)])
    GuardedRetriever.from_vectorstore(store, shield=shield)
    assert "drift: the store holds 90 passages, it held 60" in caplog.text
