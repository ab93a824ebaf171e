"""One Chroma folder, several users: in this process and in others."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import StoreError
from ragshield.records import Batch, Passage
from ragshield.stores import chroma_client
from ragshield.stores.chroma import create_chroma
from ragshield.stores.chroma_copy import holders

_WRITER = """
import os, sys, time
import chromadb, numpy as np
path, pause_s, rows = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
collection = chromadb.PersistentClient(path).get_collection("docs", embedding_function=None)
rng = np.random.default_rng(1)
print("open", collection.count(), flush=True)
i = 0
while not os.path.exists(f"{path}.stop"):
    ids = [f"new{i}-{j}" for j in range(rows)]
    collection.add(ids=ids, embeddings=rng.normal(size=(rows, 16)), documents=ids)
    if i % 3 == 2:
        collection.delete(ids=[f"new{i - 1}-{j}" for j in range(rows)])
    i += 1
    end = time.monotonic() + pause_s
    while time.monotonic() < end and not os.path.exists(f"{path}.stop"):
        time.sleep(min(pause_s, 0.05))
"""


def _batch(start: int, stop: int) -> Batch:
    rows = np.random.default_rng(start).standard_normal((stop - start, 16))
    passages = tuple(Passage(f"p{i:05d}", f"text {i}") for i in range(start, stop))
    return Batch(passages, rows.astype(np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_chroma(tmp_path / "db", "docs", _batch(0, 2500)).close()
    return tmp_path / "db"


class Writer:
    def __init__(self, folder: Path, pause_s: float, rows: int) -> None:
        self._stop = Path(f"{folder}.stop")
        self._stop.unlink(missing_ok=True)
        command = [sys.executable, "-c", _WRITER, str(folder), str(pause_s), str(rows)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("open ")

    def stop(self) -> None:
        # Asked, not killed: Chroma's index does not survive a kill in the middle of saving.
        self._stop.touch()
        self.process.communicate(timeout=20)


@pytest.fixture
def busy(folder: Path) -> Iterator[Path]:
    """The folder while another process adds and deletes hundreds of rows a second."""
    writer = Writer(folder, 0.02, 100)
    yield folder
    still_alive = writer.process.poll() is None
    writer.stop()
    assert still_alive, "the writer was disturbed by being read"


def _ids(store) -> list[str]:
    return [p.id for batch in store.batches(300) for p in batch.passages]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="open files are known from /proc")
def test_reading_beside_a_writing_process_loses_and_repeats_nothing(busy) -> None:
    before = {f"p{i:05d}" for i in range(2500)}
    question = _batch(0, 1).vectors[0]
    for _ in range(8):
        with open_store(f"chroma:{busy}#docs") as store:
            ids = _ids(store)
            assert len(ids) == len(set(ids)) == store.count()
            assert before <= set(ids)
            assert len(store.search(question, 5).hits) == 5
        time.sleep(0.2)
    assert len(ids) > 2500


@pytest.mark.slow
def test_a_store_opened_before_the_writer_started_goes_on_reading(folder) -> None:
    with open_store(f"chroma:{folder}#docs") as store:
        assert len(_ids(store)) == 2500
        writer = Writer(folder, 0.0, 400)
        try:
            for _ in range(10):
                ids = _ids(store)
                assert len(ids) == len(set(ids)) >= 2500
                assert {f"p{i:05d}" for i in range(2500)} <= set(ids)
                time.sleep(0.2)
        finally:
            writer.stop()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="open files are known from /proc")
def test_writing_is_refused_while_another_process_has_it_open(folder) -> None:
    url = f"chroma:{folder}#docs"
    with open_store(url, writable=True) as store:
        writer = Writer(folder, 60, 1)
        try:
            assert holders(folder) == [writer.process.pid]
            for change in (lambda: store.delete(["p00001"]), lambda: store.add(_batch(9000, 9001))):
                with pytest.raises(StoreError, match=f"process {writer.process.pid} has this data"):
                    change()
            with pytest.raises(StoreError, match="writing from two processes damages"):
                open_store(url, writable=True)
        finally:
            writer.stop()
        assert store.delete(["p00001"]) == 1
    with open_store(url) as store:
        assert store.get(["p00001", "p00002"]).passages == (Passage("p00002", "text 2"),)


def test_a_private_copy_gives_the_same_and_leaves_no_trace(folder, monkeypatch) -> None:
    monkeypatch.setattr(chroma_client, "_may_write", lambda _: False)
    files = {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    with open_store(f"chroma:{folder}#docs") as store:
        copy = Path(store._connection._copy.name)
        assert _ids(store) == [f"p{i:05d}" for i in range(2500)]
        assert len(store.search(_batch(0, 1).vectors[0], 1).hits) == 1
        assert copy.is_dir()
    assert not copy.exists()
    assert {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()} == files


class _Embeddings:
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        seed = int.from_bytes(text.encode()[:8].ljust(8), "little")
        return np.random.default_rng(seed).standard_normal(16).tolist()


@pytest.mark.parametrize("spelling", ["same", "relative", "trailing slash"])
@pytest.mark.parametrize("first", ["langchain", "ours"])
def test_shares_the_folder_with_langchain_in_one_process(
    folder, first, spelling, monkeypatch
) -> None:
    langchain_chroma = pytest.importorskip("langchain_chroma")
    monkeypatch.chdir(folder.parent)
    name = {"same": str(folder), "relative": "./db", "trailing slash": f"{folder}/"}[spelling]
    url = f"chroma:{folder}#docs"

    def theirs():
        return langchain_chroma.Chroma(
            "docs", embedding_function=_Embeddings(), persist_directory=name
        )

    if first == "langchain":
        chain, store = theirs(), open_store(url, writable=True)
    else:
        store = open_store(url, writable=True)
        assert store.count() == 2500
        chain = theirs()
    chain.add_texts([f"theirs {i}" for i in range(1200)], ids=[f"t{i}" for i in range(1200)])
    assert store.count() == 3700
    assert len(_ids(store)) == 3700
    store.add(_batch(5000, 6500))
    assert len(chain.get(include=["embeddings"])["ids"]) == 5200
    question = _batch(5000, 5001).vectors[0]
    # Chroma's index is approximate and built by threads, so on random vectors even an exact
    # match may be missed now and then: that both can search is tested, not what is nearest.
    assert len(chain.similarity_search_by_vector(question.tolist(), 10)) == 10
    assert len(store.search(question, 10).hits) == 10
    assert chain.get(["p05000"])["documents"] == ["text 5000"]
    assert store.delete([f"t{i}" for i in range(1200)]) == 1200
    assert len(_ids(store)) == 4000
    store.close()
    assert chain.get(["p00003"])["documents"] == ["text 3"]
    chain._client.close()
    with open_store(url) as store:
        assert len(_ids(store)) == 4000


def test_a_client_with_other_settings_is_not_refused_after_ours(folder) -> None:
    import chromadb
    from chromadb.config import Settings

    with open_store(f"chroma:{folder}#docs") as store:
        client = chromadb.PersistentClient(str(folder), Settings(allow_reset=True))
        assert client.get_collection("docs", embedding_function=None).count() == 2500
        assert store.count() == 2500
        client.close()
        assert store.count() == 2500
