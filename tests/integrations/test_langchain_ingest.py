import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore

from ragshield.errors import InputError, UsageError
from ragshield.ingest import IngestResult
from ragshield.integrations.langchain import GuardedRetriever, GuardedVectorStore
from ragshield.quarantine import Quarantine
from ragshield.records import Action, Finding


class Evil:
    name = "evil"

    def __init__(self):
        self.shown = []

    def screen(self, batch):
        self.shown.append([passage.id for passage in batch.passages])
        assert len(batch.vectors) == len(batch.passages)
        return [
            Finding(p.id, 0.8, self.name, Action.DROP, "says evil")
            for p in batch.passages
            if "evil" in p.text
        ]


class Broken:
    name = "broken"

    def screen(self, batch):
        raise ZeroDivisionError("no background")


@pytest.fixture
def quarantine(tmp_path):
    return Quarantine(tmp_path / "quarantine.jsonl")


@pytest.fixture
def screen():
    return Evil()


@pytest.fixture
def guarded(vectorstore, quarantine, screen):
    return GuardedVectorStore(vectorstore, quarantine, screens=[screen])


def arriving():
    return [
        Document(id="x", page_content="the mill lives"),
        Document(id="y", page_content="evil mill", metadata={"tags": ["n", 1], "source": "s"}),
        Document(id="z", page_content="ask Tam"),
    ]


def held(quarantine):
    return [(item.passage.id, [f.reason for f in item.findings]) for item in quarantine.list()]


def stored(vectorstore, wanted):
    if hasattr(vectorstore, "get"):  # Chroma's get_by_ids fails where there is no metadata
        return sorted(vectorstore.get(ids=wanted)["ids"])
    return sorted(document.id for document in vectorstore.get_by_ids(wanted))


def test_rejected_documents_never_reach_the_store_and_are_held_whole(
    guarded, vectorstore, quarantine
):
    results = []
    guarded.on_result = results.append
    assert guarded.add_documents(arriving()) == ["x", "z"]
    assert stored(vectorstore, ["x", "y", "z"]) == ["x", "z"]
    assert held(quarantine) == [("y", ["says evil"])]
    assert quarantine.list()[0].passage.meta == {"tags": ["n", 1], "source": "s"}
    finding = Finding("y", 0.8, "evil", Action.DROP, "says evil")
    assert results == [IngestResult(("x", "z"), ("y",), (finding,))]


async def test_the_async_form_screens_too(guarded, vectorstore, quarantine):
    assert await guarded.aadd_documents(arriving()) == ["x", "z"]
    assert stored(vectorstore, ["x", "y", "z"]) == ["x", "z"]
    assert held(quarantine) == [("y", ["says evil"])]


async def test_texts_are_screened_like_documents(guarded, vectorstore, quarantine):
    added = guarded.add_texts(["the mill", "evil"], [{"n": 1}, {"n": 2}], ids=["x", "y"])
    assert added == ["x"]
    assert await guarded.aadd_texts(["evil baker", "Tam"], ids=["v", "w"]) == ["w"]
    assert stored(vectorstore, ["x", "y", "v", "w"]) == ["w", "x"]
    assert held(quarantine) == [("y", ["says evil"]), ("v", ["says evil"])]


def test_documents_without_ids_get_one_that_store_and_quarantine_share(
    guarded, vectorstore, quarantine
):
    (added,) = guarded.add_documents(
        [Document(page_content="the mill"), Document(page_content="evil")]
    )
    assert stored(vectorstore, [added]) == [added]
    assert [item.passage.text for item in quarantine.list()] == ["evil"]


def test_ids_given_beside_the_documents_take_precedence(guarded, vectorstore, quarantine):
    assert guarded.add_documents(arriving(), ids=["p", "q", None])[0] == "p"
    assert held(quarantine) == [("q", ["says evil"])]
    with pytest.raises(InputError, match="2 ids for 3 documents"):
        guarded.add_documents(arriving(), ids=["p", "q"])
    with pytest.raises(InputError, match="document id 'p' occurs twice"):
        guarded.add_documents(arriving(), ids=["p", "p", "r"])


def test_screens_see_stored_neighbours_first_and_then_the_rest(guarded, screen):
    guarded.add_documents([Document(id="x", page_content="a baker lives in Varn Varn")])
    (shown,) = screen.shown
    assert shown[:2] == ["x", "d"]
    assert sorted(shown) == ["a", "b", "c", "d", "e", "x"]


def test_only_what_arrives_is_embedded(guarded, embeddings):
    guarded.add_documents(arriving())
    # Once for the screens, then what passes once more by the store itself.
    texts = [document.page_content for document in arriving()]
    assert embeddings.documents == [*texts, texts[0], texts[2]]


def test_with_cached_embeddings_each_text_is_embedded_once(embeddings, quarantine, screen):
    classic = pytest.importorskip("langchain_classic.embeddings")
    stores = pytest.importorskip("langchain_core.stores")
    cached = classic.CacheBackedEmbeddings.from_bytes_store(
        embeddings, stores.InMemoryByteStore(), namespace="test", key_encoder="sha256"
    )
    guarded = GuardedVectorStore(InMemoryVectorStore(cached), quarantine, screens=[screen])
    assert guarded.add_documents(arriving()) == ["x", "z"]
    assert embeddings.documents == [document.page_content for document in arriving()]


def test_released_documents_go_into_the_store(guarded, vectorstore, quarantine):
    guarded.add_documents([Document(id="y", page_content="evil", metadata={"page": 1})])
    assert guarded.release(["y"]) == ["y"]
    assert vectorstore.get_by_ids(["y"]) == [
        Document(id="y", page_content="evil", metadata={"page": 1})
    ]
    assert quarantine.list() == []
    with pytest.raises(UsageError, match="passage 'y' is not held"):
        guarded.release(["y"])


def test_a_failing_screen_raises_and_changes_nothing_unless_told_otherwise(vectorstore, quarantine):
    def guarded(**options):
        return GuardedVectorStore(vectorstore, quarantine, screens=[Broken()], **options)

    with pytest.raises(ZeroDivisionError, match="no background"):
        guarded().add_documents(arriving()[:1])
    assert stored(vectorstore, ["x"]) == []
    assert guarded(on_error="quarantine").add_documents(arriving()[:1]) == []
    assert held(quarantine) == [
        ("x", ["not judged: broken failed (ZeroDivisionError: no background)"])
    ]
    assert guarded(on_error="keep").add_documents(arriving()[2:]) == ["z"]


def test_everything_else_is_the_wrapped_stores(guarded, vectorstore, question, embeddings):
    expected = vectorstore.similarity_search(question, 2)
    assert [document.id for document in expected] == ["b", "e"]
    assert guarded.similarity_search(question, 2) == expected
    assert guarded.as_retriever(search_kwargs={"k": 2}).invoke(question) == expected
    assert guarded.similarity_search_by_vector(embeddings.embed_query(question), 2) == expected
    assert guarded.max_marginal_relevance_search(question, 2) == (
        vectorstore.max_marginal_relevance_search(question, 2)
    )
    assert guarded.similarity_search_with_score(question, 2) == (
        vectorstore.similarity_search_with_score(question, 2)
    )
    guarded.delete(["a"])
    assert stored(guarded, ["a", "b"]) == ["b"]


def test_a_guarded_retriever_over_a_guarded_store_uses_the_stored_vectors(
    guarded, defender, question, embeddings
):
    retriever = GuardedRetriever.from_vectorstore(guarded, k=5, defenders=defender)
    assert [document.id for document in retriever.invoke(question)] == ["a", "c", "d"]
    assert (embeddings.questions, embeddings.documents) == ([question], [])


def test_langchains_indexing_goes_through_the_screens(guarded, quarantine):
    manager = InMemoryRecordManager("test")
    manager.create_schema()
    documents = [Document(id=d.id, page_content=d.page_content) for d in arriving()]
    index(documents, manager, guarded, key_encoder="sha256")
    assert [item.passage.text for item in quarantine.list()] == ["evil mill"]
    assert "evil mill" not in {d.page_content for d in guarded.similarity_search("evil mill", 10)}


def test_nothing_to_add_is_no_error(guarded, quarantine):
    assert guarded.add_documents([]) == []
    assert not quarantine.path.exists()


def test_there_is_nothing_to_guard_without_a_store_or_embeddings(quarantine, screen, embeddings):
    with pytest.raises(UsageError, match="wraps an existing store"):
        GuardedVectorStore.from_texts(["a"], embeddings)
    store = InMemoryVectorStore(embeddings)
    store.embedding = None
    with pytest.raises(UsageError, match="does not tell its embeddings"):
        GuardedVectorStore(store, quarantine, screens=[screen])


ERASED = "Tam Example kept the key of the old mill under the seventh stone of the garden wall"


@pytest.fixture
def with_memory(vectorstore, quarantine, screen, tmp_path):
    from ragshield.records import Passage
    from ragshield.reingest import ReingestGuard

    guard = ReingestGuard(tmp_path / "erased.json")
    guard.add([Passage("gone", ERASED)])
    return GuardedVectorStore(vectorstore, quarantine, screens=[screen], erased=guard.path)


def crawled():
    return [Document(id="w", page_content=ERASED.replace("old", "ole")), *arriving()]


def test_erased_documents_are_neither_added_nor_held(with_memory, vectorstore, quarantine):
    results = []
    with_memory.on_result = results.append
    assert with_memory.add_documents(crawled()) == ["x", "z"]
    assert results[0].refused == ("w",)
    assert [finding.detector for finding in results[0].findings] == ["reingest", "evil"]
    assert stored(vectorstore, ["w", "x", "z"]) == ["x", "z"]
    assert "seventh" not in quarantine.path.read_text()


async def test_erased_documents_are_refused_without_blocking_too(with_memory, vectorstore):
    assert await with_memory.aadd_documents(crawled()) == ["x", "z"]
    assert stored(vectorstore, ["w", "x", "z"]) == ["x", "z"]


def test_a_document_held_before_it_was_erased_is_not_released(with_memory, quarantine):
    from ragshield.records import Passage

    quarantine.hold(
        [Passage("w", ERASED)], {"w": [Finding("w", 1.0, "evil", Action.DROP, "says evil")]}
    )
    with pytest.raises(InputError, match="erased on purpose"):
        with_memory.release(["w"])
