"""Purging what other programs deleted: their bytes go, and live rows stay as they are."""

from __future__ import annotations

import pytest
from purged_stores import (
    GONE,
    KINDS,
    OPEN_AFTERWARDS,
    N,
    contents,
    delete_chroma,
    docs,
    fill_chroma,
    left,
    made,
)

from ragshield.errors import StoreError, UsageError
from ragshield.forget import StorePurged, purge_store
from ragshield.forget.purging import journal_path, purge_prospect


def changes(done: StorePurged) -> dict[str, str]:
    return {s.name: s.change for s in done.surfaces if s.change != "unchanged"}


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_others_deleted_goes_and_live_rows_are_as_they_were(kind, tmp_path) -> None:
    url, batch, live = made(kind, tmp_path)
    prospect = purge_prospect(url)
    assert prospect.n_files > 0
    done = purge_store(url, out_of_scope=OPEN_AFTERWARDS.get(kind, ()))
    assert left(tmp_path, batch, GONE) == {"texts": 0, "vectors": 0}
    assert contents(url) == live
    assert done.n_live == N - len(GONE)
    assert done.how in ("in place", "copy")
    assert changes(done)
    assert (done.untested, done.resumed) == ((), False)
    assert not journal_path(url).exists()
    again = purge_store(url)
    assert (again.how, changes(again)) == ("nothing", {})


def test_the_text_index_of_chroma_can_be_searched_after_it(tmp_path) -> None:
    url, _, _ = made("chroma", tmp_path)
    words = "three-letter sequences in the unmerged full-text index of chroma.sqlite3"
    assert purge_prospect(url).untested == (words,)
    done = purge_store(url)
    assert (done.searchable, done.untested) == ((words,), ())
    assert purge_prospect(url).untested == ()


def test_what_changed_is_told_for_each_place(tmp_path) -> None:
    url, _, _ = made("jsonl", tmp_path)
    size = (tmp_path / ".docs.jsonl.k1ll3d_x").stat().st_size
    done = purge_store(url)
    (removed,) = (s for s in done.surfaces if s.name == ".docs.jsonl.k1ll3d_x")
    assert (removed.change, removed.n_bytes_before, removed.n_bytes) == ("removed", size, None)
    assert removed.n_bytes_changed == size
    url, _, _ = made("qdrant", tmp_path)
    path = tmp_path / "q" / "collection" / "docs" / "storage.sqlite"
    before = path.read_bytes()
    done = purge_store(url)
    after = path.read_bytes()
    assert len(before) == len(after)
    blocks = range(0, len(before), 4096)
    n_changed = sum(4096 for at in blocks if before[at : at + 4096] != after[at : at + 4096])
    (file,) = (s for s in done.surfaces if s.change != "unchanged")
    assert (file.name, file.change) == ("collection/docs/storage.sqlite", "overwritten")
    assert file.n_bytes_changed == n_changed > 0


def test_a_chroma_folder_stands_for_all_collections_and_deleted_ones(tmp_path) -> None:
    chromadb = pytest.importorskip("chromadb")
    batch, other = docs(), docs(seed=1)
    url = fill_chroma(tmp_path, batch)
    client = chromadb.PersistentClient(str(tmp_path / "db"))
    for name in ("letters", "dropped"):
        collection = client.create_collection(name, embedding_function=None)
        rows = other if name == "letters" else docs(seed=2)
        collection.add(
            [p.id for p in rows.passages],
            embeddings=rows.vectors,
            documents=[p.text for p in rows.passages],
        )
    client.get_collection("letters", embedding_function=None).delete(GONE)
    client.delete_collection("dropped")
    client.close()
    delete_chroma(tmp_path, GONE)
    gone = [p.id for p in docs(seed=2).passages]
    assert left(tmp_path, docs(seed=2), gone)["texts"] > 0
    done = purge_store(f"chroma:{tmp_path}/db")
    assert done.n_live == 2 * (N - len(GONE))
    clean = {"texts": 0, "vectors": 0}
    assert left(tmp_path, batch, GONE) == left(tmp_path, other, GONE) == clean
    assert left(tmp_path, docs(seed=2), gone) == clean
    live = {key: row[0] for key, row in contents(url).items()}
    assert live == {p.id: p for p in batch.passages if p.id not in GONE}


def test_what_the_last_collection_left_goes_once_it_is_deleted(tmp_path) -> None:
    chromadb = pytest.importorskip("chromadb")
    batch = docs()
    url = fill_chroma(tmp_path, batch)
    client = chromadb.PersistentClient(str(tmp_path / "db"))
    client.delete_collection("docs")
    client.close()
    ids = [p.id for p in batch.passages]
    assert left(tmp_path, batch, ids)["texts"] > 0
    with pytest.raises(StoreError, match="no collection 'docs'"):
        purge_store(url)
    assert not journal_path(url).exists()
    done = purge_store(f"chroma:{tmp_path}/db")
    assert (done.n_live, done.how) == (0, "in place")
    assert left(tmp_path, batch, ids) == {"texts": 0, "vectors": 0}
    assert purge_store(f"chroma:{tmp_path}/db").how == "nothing"
    client = chromadb.PersistentClient(str(tmp_path / "db"))
    fresh = client.create_collection("docs", embedding_function=None)
    fresh.add(["a"], embeddings=[[0.0, 1.0]], documents=["a new beginning of the mill"])
    assert fresh.query(query_embeddings=[[0.0, 1.0]])["ids"] == [["a"]]
    assert fresh.get(where_document={"$contains": "new beginning"})["ids"] == ["a"]
    client.close()


def test_the_files_of_a_stopped_server_are_purged_and_those_of_a_running_one_are_not(
    tmp_path,
) -> None:
    _, batch, _ = made("chroma", tmp_path)
    server = "chroma+http://127.0.0.1:1"
    with pytest.raises(UsageError, match="a running server keeps its files") as told:
        purge_store(f"{server}#docs")
    assert "chroma:FOLDER" in str(told.value)
    url = f"{server}?files={tmp_path}/db#docs"
    assert journal_path(url) == tmp_path / "db" / ".ragshield-purge.journal"
    done = purge_store(url)
    assert (done.how, done.n_live, done.store_url) == ("in place", N - len(GONE), url)
    assert left(tmp_path, batch, GONE) == {"texts": 0, "vectors": 0}
