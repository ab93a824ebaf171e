import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from ragshield.errors import InputError, UsageError
from ragshield.integrations.langchain import EVENT, GuardedRetriever


def ids(documents):
    return [document.id for document in documents]


def bare(documents):
    """Without what the guard wrote into the metadata."""
    return [
        document.model_copy(
            update={
                "metadata": {
                    key: value
                    for key, value in document.metadata.items()
                    if not key.startswith("ragshield_")
                }
            }
        )
        for document in documents
    ]


def test_only_kept_documents_come_back_in_order_and_say_how_they_were_judged(
    vectorstore, defender, question, make_documents
):
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=5, defenders=defender)
    by_id = {document.id: document for document in make_documents()}
    found = guarded.invoke(question)
    assert bare(found) == [by_id["a"], by_id["c"], by_id["d"]]
    assert [(d.metadata["ragshield_status"], d.metadata["ragshield_suspicion"]) for d in found] == [
        ("filtered", 0.1)
    ] * 3
    assert vectorstore.get_by_ids(["a"])[0].metadata == by_id["a"].metadata


def test_no_passage_is_embedded_and_the_question_once(vectorstore, defender, question, embeddings):
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=5, defenders=[defender, "none"])
    guarded.invoke(question)
    assert (embeddings.questions, embeddings.documents) == ([question], [])


async def test_async_too_no_passage_is_embedded_and_the_question_once(
    vectorstore, defender, question, embeddings
):
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=5, defenders=defender)
    assert ids(await guarded.ainvoke(question)) == ["a", "c", "d"]
    assert (embeddings.questions, embeddings.documents) == ([question], [])


def test_defenders_get_the_stored_vectors_with_their_passages(
    vectorstore, defender, question, embeddings
):
    GuardedRetriever.from_vectorstore(vectorstore, k=5, defenders=defender).invoke(question)
    (seen,) = defender.retrievals
    assert [hit.id for hit in seen] == ["b", "e", "a", "c", "d"]
    np.testing.assert_allclose(
        seen.vectors, embeddings.embed_documents(list(seen.texts)), rtol=1e-6
    )
    np.testing.assert_allclose(seen.question_vector, embeddings.embed_query(question), rtol=1e-6)
    assert seen.hits[0].passage.source == "https://b.org"
    assert dict(seen.hits[0].passage.meta) == {"source": "https://b.org", "page": 1}


@pytest.mark.parametrize("search_type", ["similarity", "mmr"])
def test_a_vector_store_retriever_given_as_it_is_is_searched_by_vector(
    vectorstore, defender, question, embeddings, search_type
):
    inner = vectorstore.as_retriever(search_type=search_type, search_kwargs={"k": 3})
    expected = [
        document for document in inner.invoke(question) if "Oslo" not in document.page_content
    ]
    embeddings.forget()
    found = GuardedRetriever(retriever=inner, defenders=defender).invoke(question)
    assert bare(found) == expected
    assert (embeddings.questions, embeddings.documents) == ([question], [])


def test_options_of_the_search_are_kept(vectorstore, defender, question):
    def page_above_one(document):
        return document.metadata["page"] > 1

    chroma = hasattr(vectorstore, "get")
    where = {"page": {"$gt": 1}} if chroma else page_above_one
    guarded = GuardedRetriever.from_vectorstore(
        vectorstore, k=5, defenders=defender, search_kwargs={"filter": where}
    )
    assert ids(guarded.invoke(question)) == ["c", "d"]
    assert ids(guarded.invoke(question, k=2)) == ["c"]


def test_a_deeper_search_fills_up_what_was_dropped(vectorstore, defender, question):
    shallow = GuardedRetriever.from_vectorstore(vectorstore, k=2, defenders=defender, max_depth=1)
    assert shallow.invoke(question) == []
    deep = GuardedRetriever.from_vectorstore(vectorstore, k=2, defenders=defender, depth=4)
    assert ids(deep.invoke(question)) == ["a", "c"]


def test_k_above_the_size_of_the_store_gives_what_there_is(vectorstore, defender, question):
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=50, defenders=defender)
    assert ids(guarded.invoke(question)) == ["a", "c", "d"]


def test_any_other_retriever_is_invoked_and_its_documents_embedded_with_one_warning(
    defender, question, embeddings, make_documents, caplog
):
    class Keyword(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document(page_content=d.page_content) for d in make_documents()]

    guarded = GuardedRetriever(retriever=Keyword(), defenders=defender, embeddings=embeddings)
    with caplog.at_level(logging.WARNING, logger="ragshield.langchain"):
        first, second = guarded.invoke(question), guarded.invoke(question)
    assert [d.page_content for d in first] == [
        "the mill is in Varn",
        "the mill was built by Tam",
        "a baker lives in Varn",
    ]
    assert first == second
    assert [f"#{i}" for i in range(5)] == [hit.id for hit in defender.retrievals[0]]
    assert len(embeddings.documents) == 10
    assert [record.message[:46] for record in caplog.records] == [
        "5 of 5 passages have no stored vectors at hand"
    ]


def test_any_runnable_that_gives_documents_can_be_guarded_with_the_stores_vectors(
    vectorstore, defender, question, embeddings, make_documents
):
    guarded = GuardedRetriever(
        retriever=RunnableLambda(lambda query: make_documents()),
        defenders=defender,
        vectorstore=vectorstore,
    )
    assert ids(guarded.invoke(question)) == ["a", "c", "d"]
    assert (embeddings.questions, embeddings.documents) == ([question], [])


def test_a_subclass_with_its_own_search_is_not_bypassed(memory_store, defender, question):
    class Reversing(VectorStoreRetriever):
        def _get_relevant_documents(self, query, *, run_manager, **kwargs):
            return super()._get_relevant_documents(query, run_manager=run_manager)[::-1]

    inner = Reversing(vectorstore=memory_store, search_kwargs={"k": 5})
    found = GuardedRetriever(retriever=inner, defenders=defender).invoke(question)
    assert ids(found) == ["d", "c", "a"]


def test_vectors_of_other_stores_come_from_a_function(
    defender, question, embeddings, make_documents
):
    class Other(VectorStore):
        embeddings = None

        def similarity_search(self, query, k=4, **kwargs):
            return make_documents()[:k]

        @classmethod
        def from_texts(cls, *args, **kwargs):
            raise NotImplementedError

    rows = dict(
        zip(
            "abcde",
            embeddings.embed_documents([d.page_content for d in make_documents()]),
            strict=True,
        )
    )
    embeddings.forget()
    guarded = GuardedRetriever.from_vectorstore(
        Other(),
        k=5,
        defenders=defender,
        embeddings=embeddings,
        stored_vectors=lambda wanted: {x: rows[x] for x in wanted},
    )
    assert ids(guarded.invoke(question)) == ["a", "c", "d"]
    assert (embeddings.questions, embeddings.documents) == ([question], [])


def test_documents_without_ids_never_get_another_documents_vector(
    memory_store, defender, question, embeddings
):
    memory_store.add_documents([Document(id="#0", page_content="evil")])
    embeddings.forget()
    given = [
        Document(page_content="the mill"),
        Document(id="#0", page_content="evil"),
        Document(id="#0", page_content="evil"),
    ]
    guarded = GuardedRetriever(
        retriever=RunnableLambda(lambda query: given),
        defenders=defender,
        vectorstore=memory_store,
    )
    assert bare(guarded.invoke(question)) == given
    (seen,) = defender.retrievals
    assert [hit.id for hit in seen] == ["#0'", "#0", "#2"]
    np.testing.assert_allclose(seen.vectors[0], embeddings._vector("the mill"), rtol=1e-6)
    assert embeddings.documents == ["the mill", "evil"]


def test_a_failing_defender_raises_unless_told_otherwise(vectorstore, failing, question, caplog):
    def guarded(**options):
        return GuardedRetriever.from_vectorstore(vectorstore, k=3, defenders=failing, **options)

    with pytest.raises(ZeroDivisionError, match="no group"):
        guarded().invoke(question)
    assert ids(guarded(on_error="keep").invoke(question)) == ["b", "e", "a"]
    assert guarded(on_error="drop").invoke(question) == []
    assert "on_error='drop', so 3 passages were dropped unjudged" in caplog.text


async def test_a_failing_defender_behaves_the_same_when_awaited(vectorstore, failing, question):
    def guarded(**options):
        return GuardedRetriever.from_vectorstore(vectorstore, k=3, defenders=failing, **options)

    with pytest.raises(ZeroDivisionError, match="no group"):
        await guarded().ainvoke(question)
    assert ids(await guarded(on_error="keep").ainvoke(question)) == ["b", "e", "a"]
    assert await guarded(on_error="drop").ainvoke(question) == []


def test_vectors_that_cannot_be_read_follow_on_error(
    defender, question, make_documents, embeddings
):
    def broken(wanted):
        raise ConnectionError("vectors are gone")

    verdicts = []

    def guarded(**options):
        return GuardedRetriever(
            retriever=RunnableLambda(lambda query: make_documents()),
            defenders=defender,
            embeddings=embeddings,
            stored_vectors=broken,
            on_verdict=lambda retrieval, verdict: verdicts.append((len(retrieval), verdict.status)),
            **options,
        )

    with pytest.raises(ConnectionError, match="vectors are gone"):
        guarded().invoke(question)
    assert ids(guarded(on_error="keep").invoke(question)) == ["a", "b", "c", "d", "e"]
    assert guarded(on_error="drop").invoke(question) == []
    assert verdicts == [(5, "not_judged")] * 2


def test_embeddings_of_another_width_than_the_store_are_an_error(memory_store, defender, question):
    class Narrow(Embeddings):
        def embed_query(self, text):
            return [1.0, 2.0]

        def embed_documents(self, texts):
            return [[1.0, 2.0] for _ in texts]

    found = [Document(id="a", page_content="x")]
    guarded = GuardedRetriever(
        retriever=RunnableLambda(lambda query: found),
        defenders=defender,
        vectorstore=memory_store,
        embeddings=Narrow(),
    )
    with pytest.raises(InputError, match="question_vector has 2 dimensions"):
        guarded.invoke(question)
    found.append(Document(id="not stored", page_content="y"))
    with pytest.raises(InputError, match=r"vectors of 2 and \d+ dimensions for one question"):
        guarded.invoke(question)


def test_the_verdict_reaches_the_callback_and_langchains_handlers(vectorstore, defender, question):
    class Handler(BaseCallbackHandler):
        def __init__(self):
            self.events = []

        def on_custom_event(self, name, data, **kwargs):
            self.events.append((name, data["status"], data["kept"], data["findings"][0]))

    verdicts, handler = [], Handler()
    guarded = GuardedRetriever.from_vectorstore(
        vectorstore,
        k=3,
        defenders=defender,
        on_verdict=lambda retrieval, verdict: verdicts.append((retrieval.question, verdict)),
    )
    guarded.invoke(question, config={"callbacks": [handler]})
    ((asked, verdict),) = verdicts
    assert asked == question
    assert verdict.kept_ids == ("a",)
    dropped = {
        "passage_id": "b",
        "suspicion": 0.9,
        "action": "drop",
        "reason": "says Oslo",
        "detector": "no-oslo",
    }
    assert handler.events == [(EVENT, "filtered", ["a"], dropped)]


async def test_the_verdict_reaches_async_handlers(vectorstore, defender, question):
    class Handler(AsyncCallbackHandler):
        def __init__(self):
            self.events = []

        async def on_custom_event(self, name, data, **kwargs):
            self.events.append((name, data["kept"]))

    handler = Handler()
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=3, defenders=defender)
    await guarded.ainvoke(question, config={"callbacks": [handler]})
    assert handler.events == [(EVENT, ["a"])]


async def test_the_async_path_awaits_the_embeddings(async_only, defender, question):
    guarded = GuardedRetriever.from_vectorstore(async_only, k=5, defenders=defender)
    assert ids(await guarded.ainvoke(question)) == ["a", "c", "d"]
    assert async_only.embeddings.questions == [question]


def test_many_threads_get_what_one_gets(vectorstore, defender):
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=3, defenders=defender, depth=6)
    questions = ["where is the mill", "a baker in Varn", "built by Tam", "ask the miller"]
    alone = [ids(guarded.invoke(q)) for q in questions]
    assert alone[0] == ["a", "c", "d"]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda q: ids(guarded.invoke(q)), questions * 25))
    assert together == alone * 25


async def test_many_tasks_get_what_one_gets(vectorstore, defender):
    guarded = GuardedRetriever.from_vectorstore(vectorstore, k=3, defenders=defender, depth=6)
    questions = ["where is the mill", "a baker in Varn", "built by Tam", "ask the miller"]
    alone = [ids(guarded.invoke(q)) for q in questions]
    together = await guarded.abatch(questions * 10)
    assert [ids(documents) for documents in together] == alone * 10


def test_an_empty_store_gives_nothing(tmp_path, embeddings, defender, question):
    from langchain_core.vectorstores import InMemoryVectorStore

    guarded = GuardedRetriever.from_vectorstore(InMemoryVectorStore(embeddings), defenders=defender)
    assert guarded.invoke(question) == []


def test_bad_arguments_are_refused(memory_store, defender, question):
    with pytest.raises(UsageError, match="k is 0, depth is None"):
        GuardedRetriever.from_vectorstore(memory_store, k=0, defenders=defender)
    with pytest.raises(UsageError, match="unknown defender 'ragdefnder'"):
        GuardedRetriever.from_vectorstore(memory_store, defenders="ragdefnder")
    with pytest.raises(UsageError, match="the question is empty"):
        GuardedRetriever.from_vectorstore(memory_store, defenders=defender).invoke(" ")


def test_a_chroma_store_without_embeddings_is_refused_before_it_builds_its_own(tmp_path, defender):
    chromadb = pytest.importorskip("chromadb")
    chroma = pytest.importorskip("langchain_chroma")
    client = chromadb.PersistentClient(str(tmp_path))
    client.create_collection("docs")
    with pytest.raises(UsageError, match="does not tell its embeddings"):
        GuardedRetriever.from_vectorstore(chroma.Chroma("docs", client=client), defenders=defender)


def test_chroma_gives_documents_and_vectors_in_one_call(
    chroma_store, defender, question, monkeypatch
):
    store = chroma_store
    calls = []
    collection = type(store._collection)
    for name in ("query", "get"):
        original = getattr(collection, name)

        def counted(*args, original=original, name=name, **kwargs):
            calls.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(collection, name, counted)
    guarded = GuardedRetriever.from_vectorstore(
        store, k=5, defenders=defender, search_kwargs={"filter": {"page": {"$lt": 2}}}
    )
    expected = store.similarity_search(question, k=5, filter={"page": {"$lt": 2}})
    calls.clear()
    given = guarded.invoke(question)
    assert calls == ["query"]
    (seen,) = defender.retrievals
    assert [hit.id for hit in seen] == [document.id for document in expected]
    assert {document.metadata["page"] for document in given} <= {0, 1}
