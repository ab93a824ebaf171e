from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Recipe
from ragshield.records import Batch, Passage, Spec
from ragshield.registry import build
from ragshield.vectors import unit_rows

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
pytestmark = pytest.mark.server

DIM = 32


def _docs(n: int) -> Batch:
    rng = np.random.default_rng(n + 1)
    passages = tuple(
        Passage(f"doc-{i:05d}", f"Row {i} says {rng.bytes(20 + i % 90).hex()}.", f"s{i}", {"n": i})
        for i in range(n)
    )
    vectors = unit_rows(rng.standard_normal((n, DIM)).astype(np.float32)) * np.float32(1.7)
    return Batch(passages, vectors)


class Made:
    """A table on the real server, and what lies in the server's folder."""

    def __init__(self, folder: Path, address: str, docs: Batch, *indexes: str) -> None:
        from ragshield.stores.pgvector import create_pgvector

        self.folder, self.address, self.docs = folder, address, docs
        self.table = f"docs_{uuid.uuid4().hex}"
        self.url = f"pgvector:{address}#{self.table}"
        create_pgvector(address, self.table, docs).close()
        for index in indexes:
            self.sql(f"CREATE INDEX ON {self.table} USING {index}")
        self.sql(f"ANALYZE {self.table}")

    def sql(self, query: str) -> list[tuple[object, ...]]:
        with closing(psycopg.connect(self.address, autocommit=True)) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def left(self, rows: Sequence[int]) -> dict[str, int]:
        """Plain search through every file of the whole server, each file by itself."""
        self.sql("CHECKPOINT")
        unit = unit_rows(self.docs.vectors.astype(np.float64))
        found = {"texts": set(), "ids": set(), "vectors": set()}
        for path in sorted(self.folder.rglob("*")):
            try:
                whole = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:
                continue
            whole = whole.rstrip(b"\0")
            for i in rows:
                text = self.docs.passages[i].text.encode()
                if text[-30:] in whole:
                    found["texts"].add(i)
                if self.docs.passages[i].id.encode() in whole:
                    found["ids"].add(i)
                forms = (self.docs.vectors[i], unit[i].astype(np.float32))
                if any(form[-6:].tobytes() in whole for form in forms):
                    found["vectors"].add(i)
        return {name: len(rows) for name, rows in found.items()}

    def assert_live(self, gone: Sequence[int]) -> None:
        live = [i for i in range(len(self.docs)) if i not in set(gone)]
        with open_store(self.url) as store:
            parts = list(store.batches())
        assert tuple(p for part in parts for p in part.passages) == tuple(
            self.docs.passages[i] for i in live
        )
        np.testing.assert_array_equal(
            np.vstack([part.vectors for part in parts]), self.docs.vectors[live]
        )


CLEAN = {"texts": 0, "ids": 0, "vectors": 0}


@pytest.fixture
def made(postgres) -> Iterator[object]:
    """Makes tables, and drops them after the test, so that no other finds their rows."""
    tables: list[Made] = []

    def make(docs: Batch, *indexes: str) -> Made:
        tables.append(Made(postgres.folder, postgres.address, docs, *indexes))
        return tables[-1]

    yield make
    for table in tables:
        table.sql(f"DROP TABLE IF EXISTS {table.table}")


def _recipe() -> Recipe:
    recipe: Recipe = build(Spec("recipe", "pgvector"))
    return recipe


def _gone(n: int, share: str) -> list[int]:
    n_gone = 1 if share == "one row" else max(1, round(n * float(share.rstrip("%")) / 100))
    return sorted(random.Random(7).sample(range(n), n_gone))


def test_the_recipe_offers_all_that_a_recipe_must() -> None:
    assert isinstance(_recipe(), Recipe)


@pytest.mark.parametrize(
    ("n", "share"),
    [
        (200, "one row"),
        (200, "10 %"),
        (200, "50 %"),
        (2000, "one row"),
        pytest.param(2000, "1 %", marks=pytest.mark.slow),
        pytest.param(2000, "5 %", marks=pytest.mark.slow),
        pytest.param(2000, "10 %", marks=pytest.mark.slow),
        pytest.param(2000, "50 %", marks=pytest.mark.slow),
    ],
)
def test_no_byte_of_deleted_rows_is_left_and_live_rows_are_as_they_were(made, n, share) -> None:
    table, gone = made(_docs(n), "hnsw (embedding vector_cosine_ops)"), _gone(n, share)
    ids = [table.docs.passages[i].id for i in gone]
    some = gone[:: -(-len(gone) // 4)]
    assert table.left(some) == dict.fromkeys(CLEAN, len(some))
    with open_store(table.url, writable=True) as store:
        assert store.delete(ids) == len(gone)
    assert table.left(some) == dict.fromkeys(CLEAN, len(some))
    purged = _recipe().purge(table.url, ids)
    assert purged.how == "copy"
    assert table.left(some) == CLEAN
    table.assert_live(gone)
    assert "(hnsw) was built anew" in purged.notes[0]


def test_vacuum_alone_leaves_rows_in_pages_statistics_and_the_log(made) -> None:
    """What the recipe is for; where this fails, PostgreSQL has changed."""
    table = made(_docs(600))
    gone = list(range(100, 400, 3))
    ids = [table.docs.passages[i].id for i in gone]
    with open_store(table.url, writable=True) as store:
        store.delete(ids)
    table.sql(f"VACUUM (INDEX_CLEANUP ON) {table.table}")
    files = _recipe().surfaces(table.url)
    needle = [table.docs.passages[i].text.encode()[-30:] for i in gone]

    def seen(name: str) -> int:
        (surface,) = (s for s in files if s.name == name)
        whole = b"".join(surface.blocks())
        return sum(text in whole for text in needle)

    assert seen("table") > 0
    assert seen("write-ahead log") == len(gone)
    assert seen("rows, as SQL reads them") == 0
    assert seen("pg_statistic: table") + seen("pg_statistic: overflow (TOAST)") > 0


@pytest.mark.parametrize(
    "index",
    [
        "hnsw (embedding vector_l2_ops)",
        "ivfflat (embedding vector_cosine_ops) WITH (lists = 10)",
        "gin (to_tsvector('english', text))",
        "hnsw ((embedding::halfvec(32)) halfvec_cosine_ops)",
    ],
)
def test_indexes_lose_deleted_rows_and_find_the_live_ones(made, index) -> None:
    table, gone = made(_docs(800), index), [3, 17, 400, 799]
    ids = [table.docs.passages[i].id for i in gone]
    _recipe().purge(table.url, ids)
    assert table.left(gone) == CLEAN
    table.assert_live(gone)
    live = [i for i in range(800) if i not in gone]
    questions = np.random.default_rng(3).standard_normal((10, DIM)).astype(np.float32)
    unit = unit_rows(table.docs.vectors[live])
    n_right = 0
    with open_store(table.url) as store:
        for question in questions:
            if "l2" in index:
                order = np.argsort(((table.docs.vectors[live] - question) ** 2).sum(axis=1))
            else:
                order = np.argsort(-unit @ question)
            wanted = {table.docs.passages[live[i]].id for i in order[:20]}
            found = {hit.id for hit in store.search(question, 20).hits}
            assert len(found) == 20
            n_right += len(found & wanted)
    # By default an IVFFlat index looks into one list of ten.
    assert n_right >= (30 if "ivfflat" in index else 190)


def test_long_texts_in_the_overflow_table_go_too(made) -> None:
    docs = _docs(40)
    rng = np.random.default_rng(0)
    longer = tuple(
        Passage(p.id, rng.bytes(5000).hex() if i % 2 else "so " * 4000 + p.text, p.source, p.meta)
        for i, p in enumerate(docs.passages)
    )
    table = made(Batch(longer, docs.vectors))
    assert any("compressed" in words for words in _recipe().untested(table.url))
    _recipe().purge(table.url, ["doc-00004", "doc-00005"])
    assert table.left([4, 5]) == CLEAN
    table.assert_live([4, 5])


def test_all_rows_can_be_purged_and_new_ones_added(made) -> None:
    table = made(_docs(60), "hnsw (embedding vector_cosine_ops)")
    _recipe().purge(table.url, [p.id for p in table.docs.passages])
    assert table.left(range(0, 60, 12)) == CLEAN
    with open_store(table.url, writable=True) as store:
        assert store.count() == 0
        store.add(table.docs)
    table.assert_live([])


def test_surfaces_name_every_place_and_are_the_same_at_every_look(made) -> None:
    table = made(_docs(200), "hnsw (embedding vector_cosine_ops)")
    recipe = _recipe()
    form = recipe.forms(table.docs.vectors[5:6])[0].tobytes()

    def seen() -> dict[str, bool]:
        return {s.name: form in b"".join(s.blocks()) for s in recipe.surfaces(table.url)}

    before = seen()
    assert before["table"]
    assert before["write-ahead log"]
    assert before["rows, as SQL reads them"]
    recipe.purge(table.url, ["doc-00005"])
    assert seen() == dict.fromkeys(before, False)
    files = recipe.files(table.url)
    assert all(path.is_relative_to(table.folder) for path in files)
    assert table.folder / "pg_wal" / "archive_status" not in files
    assert recipe.untested(table.url) == ("base backups and dumps of the database",)


def test_someone_who_may_still_see_the_rows_is_waited_for_and_then_named(made, monkeypatch) -> None:
    table = made(_docs(60))
    monkeypatch.setattr("ragshield.stores.pgvector_purge._PATIENCE_S", 0.3)
    with closing(psycopg.connect(table.address, application_name="report")) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        with pytest.raises(StoreError, match=r"is in use: process \d+ \(report\) may still see"):
            _recipe().purge(table.url, ["doc-00005"])
        table.assert_live([5])
        threading.Timer(0.1, reader.rollback).start()
        _recipe().purge(table.url, ["doc-00005"])
    assert table.left([5]) == CLEAN


def test_a_table_that_is_locked_is_refused_in_one_line(made, monkeypatch) -> None:
    table = made(_docs(60))
    monkeypatch.setattr("ragshield.stores.pgvector_purge._PATIENCE_S", 1.0)
    with closing(psycopg.connect(table.address)) as other:
        # A lock without a snapshot: nobody sees old rows, and yet nobody may rewrite.
        other.execute(f"LOCK TABLE {table.table} IN ACCESS SHARE MODE")
        with pytest.raises(StoreError, match="in use") as caught:
            _recipe().purge(table.url, ["doc-00005"])
    assert "\n" not in str(caught.value)
    _recipe().purge(table.url, ["doc-00005"])
    table.assert_live([5])


def test_a_lost_connection_leaves_the_work_to_be_done_again(made) -> None:
    table = made(_docs(400))

    def cut(message: str) -> None:
        if message.startswith("writing the table"):
            table.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'ragshield'"
            )

    with pytest.raises(IncompleteError, match="the connection was lost while purging"):
        _recipe().purge(table.url, ["doc-00005"], on_progress=cut)
    table.assert_live([5])
    _recipe().purge(table.url, ["doc-00005"])
    assert table.left([5]) == CLEAN


def test_a_slot_that_keeps_the_log_is_named(made) -> None:
    table = made(_docs(40))
    slot = f"slot_{uuid.uuid4().hex[:8]}"
    table.sql(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
    try:
        with pytest.raises(IncompleteError, match=f"replication slot {slot}"):
            _recipe().purge(table.url, ["doc-00005"])
    finally:
        table.sql(f"SELECT pg_drop_replication_slot('{slot}')")
    _recipe().purge(table.url, ["doc-00005"])
    assert table.left([5]) == CLEAN


def test_an_owner_without_rights_over_the_server_is_told_what_stays(made) -> None:
    table = made(_docs(60))
    role = f"owner_{uuid.uuid4().hex[:8]}"
    table.sql(f"CREATE ROLE {role} LOGIN")
    table.sql(f"ALTER TABLE {table.table} OWNER TO {role}")
    url = table.url.replace("postgres:@", f"{role}:@")
    assert url != table.url
    purged = _recipe().purge(url, ["doc-00005"])
    assert len(purged.notes) == 2
    assert "no superuser" in purged.notes[0]
    assert "may not switch the write-ahead log" in purged.notes[1]
    assert any("server's own files" in words for words in _recipe().untested(url))
    assert [s.name for s in _recipe().surfaces(url)] == ["rows, as SQL reads them"]
    assert _recipe().files(url) == ()
    assert table.left([5])["texts"] == 1
    table.sql(f"ALTER TABLE {table.table} OWNER TO postgres")
    table.sql(f"DROP ROLE {role}")


def test_a_role_that_may_only_delete_cannot_purge(made) -> None:
    table = made(_docs(60))
    role = f"writer_{uuid.uuid4().hex[:8]}"
    table.sql(f"CREATE ROLE {role} LOGIN")
    table.sql(f"GRANT SELECT, INSERT, DELETE ON {table.table} TO {role}")
    with pytest.raises(IncompleteError, match="only its owner may do that"):
        _recipe().purge(table.url.replace("postgres:@", f"{role}:@"), ["doc-00005"])
    table.assert_live([5])
    table.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_moment_the_next_call_finishes_the_work(made, moment) -> None:
    table = made(_docs(2000), "hnsw (embedding vector_cosine_ops)")
    ids = ["doc-00005", "doc-00006", "doc-01500"]
    code = (
        "import sys, psycopg\n"
        "from ragshield.stores.pgvector_purge import PgvectorPurge\n"
        "print('ready', flush=True)\n"
        "PgvectorPurge().purge(sys.argv[1], sys.argv[2:])\n"
    )
    command = [sys.executable, "-c", code, table.url, *ids]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.02 * 2**moment)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with open_store(table.url) as store:
        assert store.count() >= 1997
    _recipe().purge(table.url, ids)
    assert table.left([5, 6, 1500]) == CLEAN
    table.assert_live([5, 6, 1500])


def test_description_and_cost(made) -> None:
    table = made(_docs(200), "hnsw (embedding vector_cosine_ops)")
    facts = _recipe().describe(table.url)
    assert facts["indexes"] == "btree, hnsw"
    assert facts["pgvector"].startswith("0.")
    assert str(table.folder) not in str(facts)
    cost = _recipe().cost(table.url, 1)
    assert cost.how.startswith("copy: PostgreSQL cannot clear the free space")
    (row,) = table.sql(f"SELECT pg_total_relation_size('{table.table}')")
    assert cost.disk_bytes == 2 * row[0]
