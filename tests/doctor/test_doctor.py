"""The doctor on files that LangChain and LlamaIndex wrote themselves."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from ragshield.cli.main import run
from ragshield.doctor import diagnose, ledger
from ragshield.errors import InputError, UsageError
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MutableMemoryStore
from ragshield.stores.url import open_store

pytest.importorskip("langchain_classic")


class Letters:
    """Embeddings by letters, as LangChain wants them."""

    def embed_documents(self, texts):
        return [[text.count(chr(97 + i)) + 0.1 for i in range(8)] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


def documents(*texts: str, source: str = "a.md"):
    from langchain_core.documents import Document

    return [Document(text, metadata={"source": source}) for text in texts]


class Case:
    """A Chroma and a record manager that LangChain's `index` keeps in step, or not."""

    def __init__(self, folder):
        from langchain_chroma import Chroma
        from langchain_classic.indexes import SQLRecordManager

        self.file = folder / "records.sqlite"
        self.url = f"chroma:{folder}/db#docs"
        self.chroma = Chroma("docs", Letters(), persist_directory=str(folder / "db"))
        self.manager = SQLRecordManager("chroma/docs", db_url=f"sqlite:///{self.file}")
        self.manager.create_schema()

    def index(self, docs, cleanup=None, into=None):
        from langchain_classic.indexes import index

        return index(
            docs,
            self.manager,
            into or self.chroma,
            cleanup=cleanup,
            source_id_key="source",
            key_encoder="sha256",
        )

    def keys(self, text):
        return [i for i, t in zip(*self._rows(), strict=True) if t == text]

    def _rows(self):
        found = self.chroma.get()
        return found["ids"], found["documents"]

    def diagnose(self, **options):
        with open_store(self.url) as store:
            return diagnose(store, [ledger(f"record-manager:{self.file}")], **options)


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def look(made_and_where):
    made, where = made_and_where
    return diagnose(made, [where])


def kinds(found):
    return {(drift.kind, drift.key) for drift in found.drifts}


def test_a_store_and_its_record_manager_that_agree(case):
    case.index(documents("ada", "bo", "cid"))
    found = case.diagnose()
    assert found.drifts == ()
    assert found.n_rows == 3
    assert list(found.n_noted.values()) == [3]


def test_rows_that_the_store_lost_and_the_record_manager_reports_as_present(case):
    case.index(documents(*(f"text {i}" for i in range(30))))
    ids = case.chroma.get()["ids"]
    case.chroma.delete(ids[:29])  # langchain #39937: nearly all of them
    assert case.index(documents(*(f"text {i}" for i in range(30))))["num_added"] == 0
    found = case.diagnose()
    assert kinds(found) == {("lost", key) for key in ids[:29]}
    assert {drift.group for drift in found.drifts} == {"a.md"}


def test_a_store_that_lost_everything(case):
    case.index(documents("ada", "bo"))
    ids = case.chroma.get()["ids"]
    case.chroma.delete(ids)
    assert kinds(case.diagnose()) == {("lost", key) for key in ids}


def refusing(chroma):
    """A document index that adds to Chroma and deletes nothing, and says so."""
    from langchain_core.indexing import DocumentIndex

    class Refusing(DocumentIndex):
        def upsert(self, items, /, **_):
            chroma.add_documents(items, ids=[item.id for item in items])
            return {"succeeded": [item.id for item in items], "failed": []}

        def delete(self, ids=None, **_):
            return {"failed": ids, "succeeded": []}

        def get(self, ids, /, **_):
            return []

        def _get_relevant_documents(self, query, *, run_manager):
            return []

    return Refusing()


def test_a_failed_deletion_that_was_recorded_as_done(case):
    case.index(documents("ada", "bo", "cid"))
    gone = case.keys("bo")
    # langchain #40226: nobody looks at which deletions failed.
    done = case.index(documents("ada", "cid"), "full", into=refusing(case.chroma))
    assert done["num_deleted"] == 1
    assert case.keys("bo") == gone
    found = case.diagnose()
    assert kinds(found) == {("kept", gone[0])}
    assert found.drifts[0].group == "a.md"


def test_a_chunk_that_its_source_no_longer_has(case):
    import time

    case.index(documents("ada", "bo"))
    old = case.keys("bo")
    time.sleep(0.3)
    case.index(documents("ada"))  # langchain #28447: without a clean-up, or one that missed it
    assert case.diagnose().drifts == ()
    assert kinds(case.diagnose(stale_after_s=0.2)) == {("stale", old[0])}


def test_rows_that_went_past_the_record_manager(case):
    case.index(documents("ada"))
    (added,) = case.chroma.add_documents(documents("written by hand", source="elsewhere.md"))
    assert kinds(case.diagnose()) == {("unrecorded", added)}


def test_the_namespace_of_another_store_is_left_out(case):
    from langchain_classic.indexes import SQLRecordManager

    case.index(documents("ada"))
    other = SQLRecordManager("other/docs", db_url=f"sqlite:///{case.file}")
    other.update(["some", "other", "keys"], group_ids=["x", "x", "x"])
    found = case.diagnose()
    assert found.drifts == ()
    assert "namespace 'other/docs' shares no id" in found.notes[0]


def test_a_record_manager_of_another_application_is_refused(case):
    case.manager.update(["some", "other", "keys"], group_ids=["x", "x", "x"])
    case.chroma.add_documents(documents("ada"))
    with pytest.raises(InputError, match="none of their ids in common"):
        case.diagnose()


@pytest.fixture
def llama(tmp_path):
    """A real docstore.json of LlamaIndex, and a Chroma that holds its nodes."""
    pytest.importorskip("llama_index.core")
    from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.storage.docstore import SimpleDocumentStore

    docs = [
        Document(text=" ".join(f"Sentence {i} of letter {name}." for i in range(60)), id_=name)
        for name in ("ada", "bo", "cid")
    ]
    context = StorageContext.from_defaults(docstore=SimpleDocumentStore())
    index = VectorStoreIndex.from_documents(
        docs,
        storage_context=context,
        embed_model=MockEmbedding(8),
        transformations=[SentenceSplitter(chunk_size=200, chunk_overlap=0)],
    )
    folder = tmp_path / "storage"

    def store(index):
        """What the vector store holds now, as a store that ragshield opens."""
        vectors = index.vector_store.data.embedding_dict
        refs = index.vector_store.data.text_id_to_ref_doc_id
        nodes = {n.node_id: n for n in all_nodes}
        passages = tuple(
            Passage(key, nodes[key].text, meta={"ref_doc_id": refs[key]}) for key in vectors
        )
        rng = np.random.default_rng(0)
        made = MutableMemoryStore("memory:llama")
        made.add(Batch(passages, rng.standard_normal((len(passages), 8)).astype(np.float32)))
        index.storage_context.persist(str(folder))
        return made, ledger(f"docstore:{folder}")

    all_nodes = [n for n in index.docstore.docs.values() if n.ref_doc_id is not None]
    return index, store


def test_a_docstore_that_agrees(llama):
    index, store = llama
    made, where = store(index)
    found = diagnose(made, [where])
    assert found.drifts == ()
    assert found.n_noted == {str(where): found.n_rows}
    assert found.n_rows >= 6


def test_a_deleted_document_whose_text_stays_in_the_docstore(llama):
    index, store = llama
    nodes = {n.node_id for n in index.docstore.docs.values() if n.ref_doc_id == "bo"}
    index.delete_ref_doc("bo")  # llama_index #15529, #20990: the docstore keeps it
    found = look(store(index))
    assert kinds(found) == {("text-kept", node) for node in nodes}
    index.delete_ref_doc("cid", delete_from_docstore=True)
    again = look(store(index))
    assert kinds(again) == kinds(found)


def test_single_vectors_that_got_lost_and_texts_that_changed(llama):
    index, store = llama
    made, where = store(index)
    first, second = [p.id for p in next(made.batches()).passages][:2]
    made.delete([first])
    row = made.get([second])
    made.delete([second])
    made.add(Batch((Passage(second, "edited", meta=row.passages[0].meta),), row.vectors))
    made.add(Batch((Passage("new", "x", meta={"ref_doc_id": "ada"}),), row.vectors))
    assert kinds(diagnose(made, [where])) == {
        ("lost", first),
        ("changed", second),
        ("unrecorded", "new"),
    }


def test_nodes_that_the_docstore_lists_and_does_not_have(llama, tmp_path):
    index, store = llama
    made, where = store(index)
    file = where.path / "docstore.json"
    value = json.loads(file.read_text())
    gone = value["docstore/ref_doc_info"]["ada"]["node_ids"][0]
    del value["docstore/data"][gone]
    file.write_text(json.dumps(value))
    assert kinds(diagnose(made, [where])) == {("dangling", gone), ("unrecorded", gone)}


def test_a_docstore_without_nodes_has_nothing_to_compare(tmp_path):
    from llama_index.core.storage.docstore import SimpleDocumentStore

    SimpleDocumentStore().persist(str(tmp_path / "docstore.json"))
    made = MutableMemoryStore("memory:x")
    found = diagnose(made, [ledger(f"docstore:{tmp_path / 'docstore.json'}")])
    assert found.drifts == ()
    assert "holds no nodes" in found.notes[0]


def test_parents_without_children_and_children_without_parents(tmp_path):
    from langchain_chroma import Chroma
    from langchain_classic.retrievers import ParentDocumentRetriever
    from langchain_classic.storage import LocalFileStore, create_kv_docstore
    from langchain_text_splitters import CharacterTextSplitter

    chroma = Chroma("docs", Letters(), persist_directory=str(tmp_path / "db"))
    retriever = ParentDocumentRetriever(
        vectorstore=chroma,
        docstore=create_kv_docstore(LocalFileStore(tmp_path / "parents")),
        child_splitter=CharacterTextSplitter(separator=".", chunk_size=20, chunk_overlap=0),
    )
    texts = [f"{name} wrote a letter. {name} hid it well. Nobody found it." for name in "abc"]
    retriever.add_documents(documents(*texts), ids=["p-a", "p-b", "p-c"])
    url, where = f"chroma:{tmp_path}/db#docs", ledger(f"parent-store:{tmp_path / 'parents'}")
    with open_store(url) as store:
        assert diagnose(store, [where]).drifts == ()
    children = chroma.get(where={"doc_id": "p-b"})["ids"]
    chroma.delete(children)
    (tmp_path / "parents" / "p-c").unlink()
    orphans = chroma.get(where={"doc_id": "p-c"})["ids"]
    with open_store(url) as store:
        found = diagnose(store, [where])
    assert kinds(found) == {("text-kept", "p-b"), *(("dangling", child) for child in orphans)}
    assert len(orphans) >= 2


def test_what_is_no_ledger_is_refused_in_one_line(tmp_path):
    store = MutableMemoryStore("memory:x")
    (tmp_path / "x.json").write_text('{"a": 1}')
    (tmp_path / "x.txt").write_text("plain")
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("CREATE TABLE t (a)")
    for given, error, message in (
        ("record-manager", UsageError, "is not KIND:PATH"),
        (f"notes:{tmp_path}", UsageError, "is not KIND:PATH"),
        (f"docstore:{tmp_path}/none", InputError, "there is no file or folder"),
        (f"docstore:{tmp_path}/x.json", InputError, "no docstore of LlamaIndex"),
        (f"docstore:{tmp_path}/x.txt", InputError, "not JSON"),
        (f"record-manager:{tmp_path}/x.db", InputError, "no SQLRecordManager"),
        (f"record-manager:{tmp_path}/x.txt", InputError, "no SQLRecordManager"),
        (f"parent-store:{tmp_path}/x.txt", InputError, "is no folder"),
    ):
        with pytest.raises(error, match=message):
            diagnose(store, [ledger(given)])


def test_the_command_says_what_is_wrong_and_what_to_do(case, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    case.index(documents("ada", "bo", *(f"text {i}" for i in range(20))))
    command = ["doctor", case.url, "--also", f"record-manager:{case.file}"]
    assert run(command) == 0
    assert "They agree." in capsys.readouterr().out
    lost = case.chroma.get()["ids"][:15]
    case.chroma.delete(lost)
    assert run(command) == 1
    shown = capsys.readouterr().out
    assert "15 lost: recorded as present, and not in the store" in shown
    assert "and 7 more" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert run([*command, "--format", "json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["counts"] == {"lost": 15}
    assert {drift["key"] for drift in value["drifts"]} == set(lost)
    assert run(["doctor", case.url]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_nothing_is_changed(case):
    case.index(documents("ada", "bo"))
    case.chroma.delete(case.keys("bo"))
    before = case.file.read_bytes()
    case.diagnose()
    assert case.file.read_bytes() == before
