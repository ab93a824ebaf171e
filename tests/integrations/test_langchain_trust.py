"""A collection that persists an embedding function of somebody else."""

import numpy as np
import pytest

from ragshield.integrations.langchain import GuardedRetriever


def ids(documents):
    return [document.id for document in documents]


async def test_reading_never_builds_the_collections_persisted_embedding_function(
    tmp_path, defender, question, embeddings
):
    chromadb = pytest.importorskip("chromadb")
    chroma = pytest.importorskip("langchain_chroma")
    from chromadb.utils.embedding_functions import register_embedding_function

    built = []

    @register_embedding_function
    class Planted(chromadb.EmbeddingFunction):
        def __init__(self):
            pass

        def __call__(self, input):
            return [np.ones(len(embeddings.embed_query("x")), dtype=np.float32) for _ in input]

        @staticmethod
        def name():
            return "planted-by-a-test"

        def get_config(self):
            return {}

        @staticmethod
        def build_from_config(config):
            built.append(config)
            return Planted()

    client = chromadb.PersistentClient(str(tmp_path))
    collection = client.create_collection("docs", embedding_function=Planted())
    collection.add(
        ids=["a", "b"],
        documents=["the mill is in Varn", "the mill is in Oslo"],
        embeddings=embeddings.embed_documents(["the mill is in Varn", "the mill is in Oslo"]),
    )
    built.clear()
    store = chroma.Chroma(
        "docs",
        embedding_function=embeddings,
        client=chromadb.PersistentClient(str(tmp_path)),
        create_collection_if_not_exists=False,
    )
    guarded = GuardedRetriever.from_vectorstore(store, k=2, defenders=defender)
    assert ids(guarded.invoke(question)) == ["a"]
    assert ids(await guarded.ainvoke(question)) == ["a"]
    assert built == []
    store._collection.query(query_texts=["x"])  # what would build it, so that 0 means something
    assert len(built) == 1
