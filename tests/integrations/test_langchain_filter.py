import logging

import pytest
from langchain_core.runnables import RunnablePassthrough

from ragshield.errors import UsageError
from ragshield.integrations.langchain import EncoderEmbeddings, PoisonFilter


def ids(documents):
    return [document.id for document in documents]


def test_it_drops_what_the_defenders_drop_and_changes_nothing_else(
    vectorstore, defender, question, make_documents
):
    given = make_documents()
    kept = PoisonFilter(defenders=defender, vectorstore=vectorstore).compress_documents(
        given, question
    )
    assert [(d.id, d.page_content) for d in kept] == [
        (d.id, d.page_content) for d in (given[0], given[2], given[3])
    ]
    marks = {"ragshield_status": "filtered", "ragshield_suspicion": 0.1}
    assert kept[0].metadata == {"source": "https://a.org", "page": 0, **marks}
    assert given[0].metadata == {"source": "https://a.org", "page": 0}


def test_with_a_vectorstore_only_the_question_is_embedded(
    vectorstore, defender, question, make_documents, embeddings
):
    PoisonFilter(defenders=defender, vectorstore=vectorstore).compress_documents(
        make_documents(), question
    )
    assert (embeddings.questions, embeddings.documents) == ([question], [])


def test_without_a_vectorstore_the_documents_are_embedded_with_a_warning(
    defender, question, make_documents, embeddings, caplog
):
    with caplog.at_level(logging.WARNING, logger="ragshield.langchain"):
        kept = PoisonFilter(defenders=defender, embeddings=embeddings).compress_documents(
            make_documents(), question
        )
    assert ids(kept) == ["a", "c", "d"]
    assert embeddings.documents == [d.page_content for d in make_documents()]
    assert "are embedded again" in caplog.text


async def test_the_async_form_awaits_and_gives_the_same(
    async_only, defender, question, make_documents
):
    poison_filter = PoisonFilter(defenders=defender, embeddings=async_only.embeddings)
    kept = await poison_filter.acompress_documents(make_documents(), question)
    assert ids(kept) == ["a", "c", "d"]
    assert async_only.embeddings.questions == [question]


async def test_it_works_inside_a_contextual_compression_retriever(
    vectorstore, defender, question, embeddings
):
    retrievers = pytest.importorskip("langchain_classic.retrievers")
    verdicts = []
    retriever = retrievers.ContextualCompressionRetriever(
        base_retriever=vectorstore.as_retriever(search_kwargs={"k": 5}),
        base_compressor=PoisonFilter(
            defenders=defender,
            vectorstore=vectorstore,
            on_verdict=lambda retrieval, verdict: verdicts.append(verdict.kept_ids),
        ),
    )
    assert ids(retriever.invoke(question)) == ["a", "c", "d"]
    assert ids(await retriever.ainvoke(question)) == ["a", "c", "d"]
    assert verdicts == [("a", "c", "d")] * 2
    assert embeddings.documents == []


async def test_as_a_runnable_it_is_a_step_of_a_chain(vectorstore, defender, question):
    step = PoisonFilter(defenders=defender, vectorstore=vectorstore).as_runnable()
    retriever = vectorstore.as_retriever(search_kwargs={"k": 5})
    chain = {"question": RunnablePassthrough(), "documents": retriever} | step
    found = chain.invoke(question)
    assert found["question"] == question
    assert ids(found["documents"]) == ["a", "c", "d"]
    assert ids((await chain.ainvoke(question))["documents"]) == ["a", "c", "d"]


def test_a_failing_defender_raises_unless_told_otherwise(
    vectorstore, failing, question, make_documents
):
    def kept(**options):
        poison_filter = PoisonFilter(defenders=failing, vectorstore=vectorstore, **options)
        return ids(poison_filter.compress_documents(make_documents(), question))

    with pytest.raises(ZeroDivisionError, match="no group"):
        kept()
    assert kept(on_error="keep") == ["a", "b", "c", "d", "e"]
    assert kept(on_error="drop") == []


def test_no_documents_are_no_error_and_embed_nothing(defender, question, embeddings):
    poison_filter = PoisonFilter(defenders=defender, embeddings=embeddings)
    assert poison_filter.compress_documents([], question) == []
    assert embeddings.questions == []
    with pytest.raises(UsageError, match="the question is empty"):
        poison_filter.compress_documents([], "")


def test_an_encoder_serves_as_embeddings(word_encoder):
    embeddings = EncoderEmbeddings(word_encoder)
    rows = embeddings.embed_documents(["red fox", "green tree"])
    assert rows == word_encoder.encode(["red fox", "green tree"]).tolist()
    assert embeddings.embed_query("green tree") == rows[1]
    assert embeddings.embed_documents([]) == []
