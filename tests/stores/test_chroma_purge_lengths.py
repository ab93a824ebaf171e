from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.records import Batch, Passage
from ragshield.stores.chroma import create_chroma
from ragshield.stores.chroma_purge import ChromaPurge
from ragshield.stores.chroma_purge_index import read_header
from ragshield.stores.chroma_purge_lengths import blank_lengths, space_of

DIM = 8
N = 1100
"""More than Chroma's sync_threshold: it saves its index."""


def _docs() -> Batch:
    rng = np.random.default_rng(5)
    passages = tuple(Passage(f"doc-{i:05d}", f"row {rng.bytes(12).hex()}") for i in range(N))
    return Batch(passages, rng.standard_normal((N, DIM)).astype(np.float32) * np.float32(3))


def _make(tmp_path: Path, space: str, name: str = "docs") -> Path:
    """A collection whose index is saved; gives the folder of its index."""
    known = {f for f in (tmp_path / "db").glob("*") if f.is_dir()}
    create_chroma(tmp_path / "db", name, _docs(), space=space).close()  # type: ignore[arg-type]
    (folder,) = {f for f in (tmp_path / "db").iterdir() if f.is_dir()} - known
    return folder


def _fill_as_malloc_would(folder: Path, passage: Passage, vector: np.ndarray) -> None:
    """What a process had in its memory, where Chroma saved it: seen with ip and l2."""
    row = f"default/{passage.id}".encode() + vector.tobytes() + passage.text.encode()
    file = folder / "length.bin"
    content = bytearray(file.read_bytes())
    content[400 : 400 + len(row)] = row
    file.write_bytes(content)


def _rows(url: str) -> dict[str, tuple[str, bytes]]:
    with open_store(url) as store:
        return {
            p.id: (p.text, batch.vectors[i].tobytes())
            for batch in store.batches()
            for i, p in enumerate(batch.passages)
        }


@pytest.mark.parametrize("space", ["l2", "ip"])
def test_memory_that_chroma_saved_as_lengths_of_vectors_goes(tmp_path, space) -> None:
    docs, folder = _docs(), _make(tmp_path, space)
    url = f"chroma:{tmp_path}/db#docs"
    with open_store(url, writable=True) as store:
        store.delete(["doc-00007"])
    _fill_as_malloc_would(folder, docs.passages[7], docs.vectors[7])
    before = _rows(url)
    purged = ChromaPurge().purge(url, ["doc-00007"])
    assert any(f"the index compares by {space}" in note for note in purged.notes)
    everything = b"\0".join(path.read_bytes() for path in ChromaPurge().files(url))
    passage = docs.passages[7]
    for trace in (passage.id.encode(), passage.text.encode(), docs.vectors[7].tobytes()):
        assert trace not in everything
    assert set(np.fromfile(folder / "length.bin", dtype="<f4", count=N)) == {1.0}
    assert _rows(url) == before
    assert ChromaPurge().purge(url, []).how == "nothing"


def test_lengths_of_a_cosine_index_are_live_data_and_stay(tmp_path) -> None:
    folder = _make(tmp_path, "cosine")
    url = f"chroma:{tmp_path}/db#docs"
    before, lengths = _rows(url), np.fromfile(folder / "length.bin", dtype="<f4", count=N)
    assert np.ptp(lengths) > 1
    purged = ChromaPurge().purge(url, ["doc-00007"])
    after = np.fromfile(folder / "length.bin", dtype="<f4", count=N)
    assert after[after != lengths].tolist() == [1.0]
    assert not any("compares by" in note for note in purged.notes)
    del before["doc-00007"]
    assert _rows(url) == before


def test_memory_saved_with_another_collection_goes_too(tmp_path) -> None:
    docs = _docs()
    cosine, other = _make(tmp_path, "cosine"), _make(tmp_path, "l2", "other")
    _fill_as_malloc_would(other, docs.passages[7], docs.vectors[7])
    kept = (cosine / "length.bin").read_bytes()
    ChromaPurge().purge(f"chroma:{tmp_path}/db#docs", [])
    assert b"doc-00007" not in (other / "length.bin").read_bytes()
    assert (cosine / "length.bin").read_bytes() == kept


def test_unused_memory_is_what_chroma_saves_as_lengths(tmp_path) -> None:
    """The cause itself: malloc fills what it gives with a pattern, Chroma saves the pattern."""
    script = (
        "import numpy as np\n"
        "from ragshield.records import Batch, Passage\n"
        "from ragshield.stores.chroma import create_chroma\n"
        f"rows = tuple(Passage(f'row-{{i}}', 'text') for i in range({N}))\n"
        f"vectors = np.ones(({N}, {DIM}), dtype=np.float32)\n"
        f"create_chroma({str(tmp_path / 'db')!r}, 'docs', Batch(rows, vectors), space='l2').close()"
    )
    # glibc fills with the complement of the lowest byte.
    environment = {**os.environ, "MALLOC_PERTURB_": "85"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    (folder,) = [f for f in (tmp_path / "db").iterdir() if f.is_dir()]
    lengths = (folder / "length.bin").read_bytes()[: 4 * N]
    if b"\xaa" * 64 not in lengths:
        pytest.skip("this C library does not fill what it gives")
    ChromaPurge().purge(f"chroma:{tmp_path}/db#docs", [])
    assert (folder / "length.bin").read_bytes()[: 4 * N] == np.ones(N, dtype="<f4").tobytes()


def _named(tmp_path: Path, config: object, old: str | None) -> tuple[Path, str]:
    """A collection as older versions of Chroma wrote it down; gives the file and its index."""
    import chromadb

    with chromadb.PersistentClient(str(tmp_path)) as client:
        client.create_collection("docs", embedding_function=None)
    file = tmp_path / "chroma.sqlite3"
    with closing(sqlite3.connect(file)) as database, database:
        (segment,) = database.execute("select id from segments where scope = 'VECTOR'").fetchone()
        text = None if config is None else json.dumps(config)
        database.execute("update collections set schema_str = null, config_json_str = ?", (text,))
        if old:
            database.execute(
                "insert into segment_metadata (segment_id, key, str_value) "
                "values (?, 'hnsw:space', ?)",
                (segment, old),
            )
    return file, str(segment)


@pytest.mark.parametrize(
    ("config", "old", "space"),
    [
        (None, None, "l2"),
        ({}, None, "l2"),
        ({}, "ip", "ip"),
        ({"vector_index": {"hnsw": {"space": "ip"}}, "embedding_function": None}, None, "ip"),
        ({"vector_index": {"hnsw": {"space": "l2"}}, "embedding_function": None}, "ip", "ip"),
        (None, "cosine", "cosine"),
    ],
)
def test_the_space_is_the_one_that_chroma_itself_compares_by(tmp_path, config, old, space) -> None:
    file, segment = _named(tmp_path, config, old)
    with closing(sqlite3.connect(file)) as database:
        assert space_of(database, segment) == space
    # Chroma's own distance between (3, 4) and (6, 8) tells.
    import chromadb

    with chromadb.PersistentClient(str(tmp_path)) as client:
        collection = client.get_collection("docs", embedding_function=None)
        vectors = np.array([[3, 4], [6, 8]], dtype=np.float32)
        collection._client._add(
            ids=["one"],
            collection_id=collection.id,
            embeddings=[vectors[0]],
            tenant=collection.tenant,
            database=collection.database,
        )
        ((distance,),) = collection.query(query_embeddings=[vectors[1]], n_results=1)["distances"]
    assert distance == pytest.approx({"l2": 25, "ip": -49, "cosine": 0}[space], abs=1e-5)


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("by", ["configuration", "metadata"])
def test_the_space_of_a_new_collection_is_found_however_it_was_set(tmp_path, space, by) -> None:
    import chromadb

    given = {"hnsw": {"space": space}} if by == "configuration" else {"hnsw:space": space}
    with chromadb.PersistentClient(str(tmp_path)) as client:
        client.create_collection("docs", embedding_function=None, **{by: given})
    with closing(sqlite3.connect(tmp_path / "chroma.sqlite3")) as database:
        (segment,) = database.execute("select id from segments where scope = 'VECTOR'").fetchone()
        assert space_of(database, segment) == space


def test_lengths_are_written_only_where_they_differ(tmp_path) -> None:
    folder = _make(tmp_path, "l2")
    header = read_header(folder, "here")
    assert header is not None
    blank_lengths(folder, header)
    assert blank_lengths(folder, header) == 0
    assert (folder / "length.bin").read_bytes()[: 4 * N] == np.ones(N, dtype="<f4").tobytes()
