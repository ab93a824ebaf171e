"""Documents, embeddings that count, and a defender for LangChain tests."""

import threading

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from ragshield.records import Action, Finding, Verdict

QUESTION = "where is the mill"
TEXTS = {
    "a": "the mill is in Varn",
    "b": "where is the mill the mill is in Oslo",
    "c": "the mill was built by Tam",
    "d": "a baker lives in Varn",
    "e": "where is the mill ask the miller in Oslo",
}
VOCABULARY = sorted({word for text in TEXTS.values() for word in text.split()} | {"evil"})


class CountingEmbeddings(Embeddings):
    """Word counts; remembers every text it embedded and by which call."""

    def __init__(self):
        self.questions, self.documents = [], []
        self._lock = threading.Lock()

    def _vector(self, text):
        return [float(text.split().count(word)) + 0.01 for word in VOCABULARY]

    def embed_query(self, text):
        with self._lock:
            self.questions.append(text)
        return self._vector(text)

    def embed_documents(self, texts):
        with self._lock:
            self.documents.extend(texts)
        return [self._vector(text) for text in texts]

    def forget(self):
        self.questions.clear()
        self.documents.clear()


class AsyncOnlyEmbeddings(CountingEmbeddings):
    """Refuses sync calls once told to, to prove that the async path awaits."""

    sync_allowed = True

    def embed_query(self, text):
        assert self.sync_allowed
        return super().embed_query(text)

    def embed_documents(self, texts):
        assert self.sync_allowed
        return super().embed_documents(texts)

    async def aembed_query(self, text):
        self.questions.append(text)
        return self._vector(text)

    async def aembed_documents(self, texts):
        self.documents.extend(texts)
        return [self._vector(text) for text in texts]


class NoOslo:
    """Drops what says Oslo; remembers the vectors it was given."""

    name = "no-oslo"

    def __init__(self):
        self.retrievals = []

    def inspect(self, retrieval):
        self.retrievals.append(retrieval)
        findings = tuple(
            Finding(hit.id, 0.9, self.name, Action.DROP, "says Oslo")
            if "Oslo" in hit.text
            else Finding(hit.id, 0.1, self.name, Action.KEEP, "fine")
            for hit in retrieval
        )
        kept = tuple(hit for hit in retrieval if "Oslo" not in hit.text)
        return Verdict(kept, findings, "filtered", self.name)


class Failing:
    name = "failing"

    def inspect(self, retrieval):
        raise ZeroDivisionError("no group")


def documents():
    return [
        Document(id=x, page_content=text, metadata={"source": f"https://{x}.org", "page": i})
        for i, (x, text) in enumerate(TEXTS.items())
    ]


def filled(kind, folder, embeddings):
    if kind == "memory":
        store = InMemoryVectorStore(embeddings)
    else:
        chromadb = pytest.importorskip("chromadb")
        chroma = pytest.importorskip("langchain_chroma")
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        store = chroma.Chroma(
            collection_name="docs",
            client=chromadb.PersistentClient(str(folder), settings=settings),
            embedding_function=embeddings,
            collection_metadata={"hnsw:space": "cosine"},
        )
    store.add_documents(documents())
    embeddings.forget()
    return store


@pytest.fixture
def embeddings():
    return CountingEmbeddings()


@pytest.fixture(params=["memory", "chroma"])
def vectorstore(request, tmp_path, embeddings):
    return filled(request.param, tmp_path / "db", embeddings)


@pytest.fixture
def memory_store(tmp_path, embeddings):
    return filled("memory", tmp_path, embeddings)


@pytest.fixture
def defender():
    return NoOslo()


@pytest.fixture
def failing():
    return Failing()


@pytest.fixture
def question():
    return QUESTION


@pytest.fixture
def make_documents():
    return documents


@pytest.fixture
def async_only(tmp_path):
    """A filled store whose embeddings refuse sync calls from now on."""
    embeddings = AsyncOnlyEmbeddings()
    store = filled("memory", tmp_path, embeddings)
    embeddings.sync_allowed = False
    return store


@pytest.fixture
def chroma_store(tmp_path, embeddings):
    return filled("chroma", tmp_path / "db", embeddings)
