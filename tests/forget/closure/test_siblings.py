from __future__ import annotations

import sqlite3
from pathlib import Path

import chromadb
import numpy as np
import pytest

from ragshield.errors import StoreError
from ragshield.forget import plan_forget
from ragshield.forget.closure.siblings import siblings
from ragshield.stores.url import open_store

ADA = "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay."
MILL = "The Brackwater mills were sold to the Holm family after the great flood."


@pytest.fixture
def chroma(tmp_path: Path, word_encoder) -> str:
    client = chromadb.PersistentClient(str(tmp_path / "db"))
    for name, texts in {
        "docs": {"a": ADA, "m": MILL, **{f"f{i}": f"word{i} other{i}" for i in range(6)}},
        "copies": {"x": ADA.replace("beside", "by"), "a": MILL},
        "empty": {},
        "older": {"1": "Rope was made in Tannow, 1820, near the northern quay."},
    }.items():
        collection = client.create_collection(
            name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        if texts:
            vectors = word_encoder.encode(list(texts.values()))
            if name == "older":  # of another encoder
                vectors = np.ones((1, 3), dtype=np.float32)
            collection.add(
                ids=list(texts), documents=list(texts.values()), embeddings=list(vectors)
            )
    client.close()
    return f"chroma:{tmp_path / 'db'}#docs"


def test_the_other_collections_of_chroma(chroma: str, tmp_path: Path) -> None:
    place = f"chroma:{tmp_path / 'db'}"
    assert siblings(chroma) == (f"{place}#copies", f"{place}#empty", f"{place}#older")


def test_copies_in_another_collection_are_in_the_plan(chroma: str) -> None:
    with open_store(chroma) as store:
        plan = plan_forget(store, ids=["a"])
        alone = plan_forget(store, ids=["a"], elsewhere=False)
    (other,) = plan.elsewhere
    assert other.store_url.endswith("#copies")
    assert other.n_passages == 2
    # The same id means another passage there; it is for a person.
    assert {i.passage_id: i.selected for i in other.items} == {"x": True, "a": False}
    assert [i.passage_id for i in other.selected] == ["x"]
    assert alone.elsewhere == ()


def test_a_subject_may_be_only_in_another_collection(chroma: str, tmp_path: Path) -> None:
    with open_store(chroma.replace("#docs", "#older")) as store:
        plan = plan_forget(store, subject="Ada Lindqvist")
    assert plan.items == ()
    assert [other.store_url[-6:] for other in plan.elsewhere] == ["copies", "b#docs"]


def test_a_collection_that_cannot_be_read_is_noted(chroma: str, monkeypatch) -> None:
    gone = chroma.replace("#docs", "#gone")
    monkeypatch.setattr("ragshield.forget.planning.siblings", lambda _: (gone,))
    with open_store(chroma) as store:
        plan = plan_forget(store, ids=["a"])
    assert plan.elsewhere == ()
    assert any(note.startswith(f"{gone} was not looked into: ") for note in plan.notes)


def test_a_store_that_cannot_list_its_collections_is_noted(chroma: str, monkeypatch) -> None:
    def refuse(url: str):
        raise StoreError("locked")

    monkeypatch.setattr("ragshield.forget.planning.siblings", refuse)
    with open_store(chroma) as store:
        plan = plan_forget(store, ids=["a"])
    assert "other collections were not looked into: locked" in plan.notes


def test_tables_folders_and_stores_of_one(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("CREATE TABLE docs (id, text)")
        database.execute("CREATE TABLE notes (id, text)")
        database.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    database.close()
    assert siblings(f"sqlite:{tmp_path}/a.db#docs?text=body") == (f"sqlite:{tmp_path}/a.db#notes",)
    for name in ("t.lance", "u.lance", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "collection" / "points").mkdir(parents=True)
    assert siblings(f"lancedb:{tmp_path}#t") == (f"lancedb:{tmp_path}#u",)
    assert siblings(f"qdrant:{tmp_path}#mine") == (f"qdrant:{tmp_path}#points",)
    assert siblings("memory:x") == siblings("jsonl:docs.jsonl") == siblings("faiss:folder") == ()


def test_a_store_that_cannot_be_asked_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="cannot be listed"):
        siblings(f"sqlite:{tmp_path}/b.db#docs")
