"""Docstores, record managers, parents and caches, written by the libraries themselves."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ragshield.errors import IncompleteError, InputError, StoreError, UsageError
from ragshield.forget import ForgetPlan, plan_forget
from ragshield.forget.artefacts.places import Place, place, remove, surfaces
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore

ADA = "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay."
MILL = "The Brackwater mills were sold to the Holm family after the great flood."


@pytest.fixture
def store(word_encoder) -> MemoryStore:
    meta = [{"doc_id": "doc-ada"}, {"doc_id": "doc-mill"}]
    texts = [ADA, MILL, *(f"word{i} other{i} thing{i}" for i in range(8))]
    passages = tuple(
        Passage(f"n{i}", text, None, meta[i] if i < 2 else {}) for i, text in enumerate(texts)
    )
    return MemoryStore("memory:artefacts", Batch(passages, word_encoder.encode(texts)))


@pytest.fixture
def parents(tmp_path: Path) -> Place:
    from langchain_classic.storage import LocalFileStore, create_kv_docstore
    from langchain_core.documents import Document

    folder = tmp_path / "parents"
    docs = create_kv_docstore(LocalFileStore(folder))
    docs.mset(
        [
            ("doc-ada", Document(page_content=f"{ADA} Her “quay” was long.", metadata={"a": 1})),
            ("doc-mill", Document(page_content=MILL)),
        ]
    )
    return place(f"parent-store:{folder}")


@pytest.fixture
def records(tmp_path: Path) -> Place:
    from langchain_classic.indexes import SQLRecordManager

    file = tmp_path / "records.sqlite"
    manager = SQLRecordManager("chroma/docs", db_url=f"sqlite:///{file}")
    manager.create_schema()
    manager.update(["n0", "n1"], group_ids=["ada.txt", "mill.txt"])
    return place(f"record-manager:{file}")


@pytest.fixture
def docstore(tmp_path: Path) -> Place:
    from llama_index.core.data_structs import IndexDict
    from llama_index.core.schema import Document, NodeRelationship, TextNode
    from llama_index.core.storage.docstore import SimpleDocumentStore
    from llama_index.core.storage.index_store import SimpleIndexStore
    from llama_index.core.vector_stores import SimpleVectorStore

    folder = tmp_path / "storage"
    folder.mkdir()
    ada = Document(text=ADA, id_="doc-ada", metadata={"author": "Ada Lindqvist"})
    mill = Document(text=MILL, id_="doc-mill")
    nodes = [
        TextNode(text=ADA, id_="n0", embedding=[0.5, 0.25]),
        TextNode(text=MILL, id_="n1", embedding=[0.125, 1.0]),
    ]
    for node, document in zip(nodes, (ada, mill), strict=True):
        node.relationships[NodeRelationship.SOURCE] = document.as_related_node_info()
    nodes[1].relationships[NodeRelationship.PREVIOUS] = nodes[0].as_related_node_info()
    kept = SimpleDocumentStore()
    kept.add_documents([ada, mill, *nodes])
    kept.persist(str(folder / "docstore.json"))
    vectors = SimpleVectorStore()
    vectors.add(nodes)
    vectors.persist(str(folder / "default__vector_store.json"))
    struct = IndexDict()
    for node in nodes:
        struct.add_node(node)
    index = SimpleIndexStore()
    index.add_index_struct(struct)
    index.persist(str(folder / "index_store.json"))
    return place(f"docstore:{folder}")


@pytest.fixture
def cache(tmp_path: Path) -> Place:
    """The table as langchain_community's SQLiteCache makes it."""
    file = tmp_path / "cache.sqlite"
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TABLE full_llm_cache (prompt VARCHAR, llm VARCHAR, idx INTEGER, "
            "response VARCHAR, PRIMARY KEY (prompt, llm, idx))"
        )
        answer = json.dumps({"lc": 1, "kwargs": {"text": "It was Ada Lindqvist."}})
        rows = [
            (f"Context: {ADA}\nWho?", "m", 0, answer),
            (f"Context: {MILL}\nWho?", "m", 0, "The Holms."),
        ]
        database.executemany("INSERT INTO full_llm_cache VALUES (?, ?, ?, ?)", rows)
    database.close()
    return place(f"langchain-cache:{file}")


def files_of(where: Place) -> list[Path]:
    if where.path.is_dir():
        return [p for p in where.path.rglob("*") if p.is_file()]
    return list(where.path.parent.glob(f"{where.path.name}*"))


def holds(where: Place, *needles: str) -> bool:
    """A plain look at the bytes, also where JSON escapes them."""
    every = b"".join(p.read_bytes() for p in files_of(where))
    return any(
        form in every for n in needles for form in (n.encode(), json.dumps(n)[1:-1].encode())
    )


def planned(store: MemoryStore, where: Place, **request) -> ForgetPlan:
    return plan_forget(store, also=[where], **(request or {"ids": ["n0"]}))


KINDS = ["parents", "records", "docstore", "cache"]


@pytest.mark.parametrize(
    ("kind", "selected"),
    [
        ("parents", {"doc-ada"}),
        ("docstore", {"doc-ada", "n0"}),
    ],
)
def test_entries_of_selected_passages_are_found(store, request, kind, selected) -> None:
    where = request.getfixturevalue(kind)
    plan = planned(store, where)
    assert {a.key for a in plan.artefacts if a.selected} == selected
    assert {a.place for a in plan.artefacts} == {str(where.path)}
    assert all(0 < a.confidence <= 1 and a.reason for a in plan.artefacts)


def test_a_record_is_found_by_the_id_it_keeps(store, records) -> None:
    (found,) = planned(store, records).artefacts
    assert (found.selected, found.confidence, found.text) == (True, 1.0, "")
    assert found.reason == "the record of a selected passage"


def test_cached_answers_are_found_by_what_they_quote_and_whom_they_name(store, cache) -> None:
    for request in ({"ids": ["n0"]}, {"subject": "Ada Lindqvist"}):
        (found,) = planned(store, cache, **request).artefacts
        assert found.selected
        assert found.text == "It was Ada Lindqvist."
        assert "Ada" not in found.key


def test_a_subject_is_found_in_artefacts_alone(store, parents) -> None:
    (parents.path / "notes").write_text("Petra Quarrie came by.", encoding="utf-8")
    plan = planned(store, parents, subject="Petra Quarrie")
    assert plan.items == ()
    assert [a.key for a in plan.artefacts] == ["notes"]


@pytest.mark.parametrize("kind", KINDS)
def test_removing_leaves_no_byte_and_the_rest_as_it_was(store, request, kind) -> None:
    where = request.getfixturevalue(kind)
    secrets = (ADA, ADA[:30], "Her “quay” was long", "ada.txt", "Ada Lindqvist")
    assert holds(where, *secrets)
    found = [a for a in planned(store, where).artefacts if a.selected]
    assert remove(found) == ()
    assert not holds(where, *secrets)
    assert holds(where, MILL, "mill.txt")
    assert remove(found) == ()  # once more


def test_the_libraries_go_on_working_afterwards(store, docstore, parents, records) -> None:
    from langchain_classic.indexes import SQLRecordManager
    from langchain_classic.storage import LocalFileStore, create_kv_docstore
    from llama_index.core.storage.docstore import SimpleDocumentStore
    from llama_index.core.storage.index_store import SimpleIndexStore
    from llama_index.core.vector_stores import SimpleVectorStore

    for where in (docstore, parents, records):
        remove([a for a in planned(store, where).artefacts if a.selected])
    kept = SimpleDocumentStore.from_persist_path(str(docstore.path / "docstore.json"))
    assert set(kept.docs) == {"doc-mill", "n1"}
    assert set(kept.get_all_ref_doc_info()) == {"doc-mill"}
    assert kept.get_node("n1").get_content() == MILL
    assert kept.get_node("n1").prev_node is None
    file = docstore.path / "default__vector_store.json"
    vectors = SimpleVectorStore.from_persist_path(str(file))
    assert vectors.data.embedding_dict == {"n1": [0.125, 1.0]}
    index = SimpleIndexStore.from_persist_path(str(docstore.path / "index_store.json"))
    (struct,) = index.index_structs()
    assert struct.nodes_dict == {"n1": "n1"}
    docs = create_kv_docstore(LocalFileStore(parents.path))
    ada, mill = docs.mget(["doc-ada", "doc-mill"])
    assert (ada, mill.page_content) == (None, MILL)
    manager = SQLRecordManager("chroma/docs", db_url=f"sqlite:///{records.path}")
    assert manager.list_keys() == ["n1"]


@pytest.mark.parametrize("kind", ["parents", "docstore", "cache"])
def test_what_has_changed_since_is_left_alone(store, request, kind) -> None:
    where = request.getfixturevalue(kind)
    found = [a for a in planned(store, where).artefacts if a.selected]
    for file in files_of(where):
        if kind == "cache":
            with sqlite3.connect(file) as database:
                database.execute("UPDATE full_llm_cache SET response = response || '!'")
        else:
            file.write_bytes(file.read_bytes().replace(b"northern", b"southern"))
    notes = remove(found)
    assert "have changed since and were left alone" in notes[0]
    assert holds(where, "Ada Lindqvist")


@pytest.mark.parametrize("kind", KINDS)
def test_surfaces_show_every_byte_and_what_json_hides(store, request, kind) -> None:
    where = request.getfixturevalue(kind)
    found = surfaces(where)
    seen = b"".join(block for s in found if s.kind == "decoded" for block in s.blocks())
    raw = b"".join(block for s in found if s.kind == "file" for block in s.blocks())
    assert len(raw) == sum(p.stat().st_size for p in files_of(where))
    assert not any("Ada" in s.name for s in found)
    if kind == "parents":
        assert "Her “quay” was long".encode() in seen
        assert "Her “quay” was long".encode() not in raw
    if kind == "docstore":
        assert ADA.encode() in seen


def test_a_surface_that_went_says_so(parents) -> None:
    found = surfaces(parents)
    for file in files_of(parents):
        file.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        list(found[0].blocks())


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("nothing", UsageError, "is not KIND:PATH with one of these kinds: record-manager"),
        ("cellar:x", UsageError, "is not KIND:PATH"),
        ("docstore:./none.json", InputError, "there is no file or folder"),
    ],
)
def test_a_place_that_is_none(given, error, said) -> None:
    with pytest.raises(error, match=said):
        place(given)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("record-manager", "cannot be read as an SQLite file"),
        ("langchain-cache", "cannot be read as an SQLite file"),
        ("docstore", "is not JSON"),
        ("parent-store", "is no folder"),
    ],
)
def test_a_place_of_another_kind_is_an_error(store, tmp_path, kind, said) -> None:
    file = tmp_path / "other"
    file.write_bytes(b"not that " * 200)
    with pytest.raises(InputError, match=said):
        planned(store, Place(kind, file))


def test_keys_and_links_do_not_lead_out_of_a_parent_store(store, parents, tmp_path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text(ADA)
    (parents.path / "link").symlink_to(outside)
    (found,) = planned(store, parents).artefacts
    from dataclasses import replace

    with pytest.raises(InputError, match="leads out of"):
        remove([replace(found, key="../outside.txt")])
    remove([found])
    assert outside.read_text() == ADA


def test_a_database_in_use_is_incomplete_and_unharmed(store, cache, monkeypatch) -> None:
    monkeypatch.setattr("ragshield.forget.artefacts.sqlite._WAIT_S", 0.1)
    found = planned(store, cache).artefacts
    other = sqlite3.connect(cache.path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(IncompleteError, match="could not be changed: database is locked"):
        remove(found)
    other.rollback()
    other.close()
    assert holds(cache, ADA)
    assert remove(found) == ()
    assert not holds(cache, ADA)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_point_the_next_call_finishes(store, request, tmp_path, kind) -> None:
    where = request.getfixturevalue(kind)
    found = [a for a in planned(store, where).artefacts if a.selected]
    code = (
        "import sys, pickle; from ragshield.forget.artefacts.places import remove;"
        "found = pickle.load(open(sys.argv[1], 'rb')); print('go', flush=True); remove(found)"
    )
    import pickle

    (tmp_path / "found.pickle").write_bytes(pickle.dumps(found))
    for delay in (0.0, 0.001, 0.003, 0.01):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "found.pickle")], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert holds(where, MILL, "mill.txt")
    remove(found)
    assert not holds(where, ADA, "ada.txt")
    assert holds(where, MILL, "mill.txt")
