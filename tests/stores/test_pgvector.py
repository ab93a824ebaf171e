from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import IncompleteError, InputError, StoreError, UsageError
from ragshield.records import Batch, Passage
from ragshield.vectors import unit_rows

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
pytestmark = pytest.mark.server


@pytest.fixture
def database(postgres) -> Iterator[psycopg.Connection]:
    """A database of its own, with the extension."""
    name = f"db_{uuid.uuid4().hex}"
    with closing(psycopg.connect(postgres.address, autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    with closing(psycopg.connect(postgres.address, dbname=name, autocommit=True)) as connection:
        connection.execute("CREATE EXTENSION vector")
        yield connection
    with closing(psycopg.connect(postgres.address, autocommit=True)) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _url(database: psycopg.Connection, table: str) -> str:
    info = database.info
    return f"pgvector:postgresql://{info.user}@/{info.dbname}?host={info.host}#{table}"


def _langchain(database: psycopg.Connection, *collections: str) -> None:
    """The tables that langchain-postgres's PGVector makes."""
    database.execute(
        "CREATE TABLE langchain_pg_collection (uuid uuid PRIMARY KEY, name varchar NOT NULL "
        "UNIQUE, cmetadata json)"
    )
    database.execute(
        "CREATE TABLE langchain_pg_embedding (id varchar PRIMARY KEY, collection_id uuid "
        "REFERENCES langchain_pg_collection(uuid) ON DELETE CASCADE, embedding vector, "
        "document varchar, cmetadata jsonb)"
    )
    for n, name in enumerate(collections):
        own = uuid.UUID(int=n + 1)
        database.execute("INSERT INTO langchain_pg_collection VALUES (%s, %s)", [own, name])
        database.execute(
            "INSERT INTO langchain_pg_embedding VALUES (%s, %s, %s, %s, %s)",
            [f"{name}-1", own, "[1,2,3]", f"text of {name}", '{"source": "s", "tags": ["x"]}'],
        )


def test_reads_one_collection_of_langchains_table(database) -> None:
    _langchain(database, "docs", "other")
    url = _url(database, "langchain_pg_embedding")
    with pytest.raises(StoreError, match=r"several collections \(there are: docs, other\)"):
        open_store(url)
    with pytest.raises(StoreError, match="no collection 'none'"):
        open_store(f"{url}?collection=none")
    with open_store(f"{url}?collection=docs", writable=True) as store:
        (batch,) = store.batches()
        assert batch.passages == (Passage("docs-1", "text of docs", "s", {"tags": ["x"]}),)
        assert store.get(["other-1"]).passages == ()
        assert store.delete(["other-1"]) == 0
        store.add(Batch((Passage("new", "snow", "t", {"n": 1}),), np.ones((1, 3), np.float32)))
        assert store.count() == 2
        assert store.search(np.array([1, 1, 1], np.float32), 1).hits[0].id == "new"
    rows = database.execute(
        "SELECT collection_id::text, document, cmetadata FROM langchain_pg_embedding "
        "WHERE id = 'new'"
    ).fetchall()
    assert rows == [(str(uuid.UUID(int=1)), "snow", {"n": 1, "source": "t"})]


def test_the_only_collection_need_not_be_named(database) -> None:
    _langchain(database, "docs")
    with open_store(_url(database, "langchain_pg_embedding")) as store:
        assert store.count() == 1


def test_reads_langchains_newer_table_with_columns_of_its_own(database) -> None:
    database.execute(
        "CREATE TABLE items (langchain_id uuid PRIMARY KEY, content text NOT NULL, "
        "embedding vector(2) NOT NULL, page int, langchain_metadata json)"
    )
    own = str(uuid.UUID(int=5))
    database.execute(
        "INSERT INTO items VALUES (%s, 'rain', '[3,4]', 7, %s)", [own, '{"source": "a.pdf"}']
    )
    with open_store(_url(database, "items"), writable=True) as store:
        before = store.get([own])
        assert before.passages == (Passage(own, "rain", "a.pdf", {"page": 7}),)
        assert store.delete([own, "not a uuid"]) == 1
        store.add(before)
        assert store.get([own]).passages == before.passages
        with pytest.raises(InputError, match="invalid input syntax for type uuid"):
            store.add(Batch((Passage("no uuid", "x"),), np.ones((1, 2), np.float32)))
        assert store.count() == 1


def test_reads_llamaindexs_table(database) -> None:
    database.execute(
        "CREATE TABLE data_docs (id bigserial PRIMARY KEY, text varchar NOT NULL, "
        "metadata_ json, node_id varchar, embedding vector(2), text_search_tsv tsvector "
        "GENERATED ALWAYS AS (to_tsvector('english', text)) STORED)"
    )
    meta = {"_node_content": '{"text": ""}', "ref_doc_id": "d"}
    database.execute(
        "INSERT INTO data_docs (text, metadata_, node_id, embedding) VALUES (%s, %s, %s, %s)",
        ["hail", json.dumps(meta), "node-1", "[1,0]"],
    )
    with open_store(_url(database, "public.data_docs"), writable=True) as store:
        before = store.get(["node-1"])
        assert before.passages == (Passage("node-1", "hail", None, meta),)
        store.delete(["node-1"])
        store.add(before)
        assert store.get(["node-1"]).passages == before.passages


def test_half_precision_and_named_columns_are_read(database) -> None:
    database.execute("CREATE TABLE t (key int PRIMARY KEY, body text, a halfvec(2), b vector(3))")
    database.execute("INSERT INTO t VALUES (1, 'x', '[0.5,2]', '[1,2,3]'), (2, 'y', NULL, NULL)")
    with pytest.raises(StoreError, match=r"several columns hold vectors \(a, b\)"):
        open_store(_url(database, "t?id=key"))
    with open_store(_url(database, "t?id=key&vector=a&text=body")) as store:
        (batch,) = store.batches()
    assert batch.passages == (Passage("1", "x"), Passage("2", "y"))
    np.testing.assert_array_equal(batch.vectors, [[0.5, 2], [np.nan, np.nan]])
    with pytest.raises(StoreError, match="no column 'nope'; there are: key, body, a, b"):
        open_store(_url(database, "t?id=nope"))


def test_an_index_is_asked_by_the_distance_it_was_made_for(database) -> None:
    from ragshield.stores.pgvector import create_pgvector

    vectors = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    vectors *= np.linspace(0.2, 5, 500, dtype=np.float32)[:, None]
    passages = tuple(Passage(f"p{i:03d}", f"text {i}") for i in range(500))
    info = database.info
    server = f"postgresql://{info.user}@/{info.dbname}?host={info.host}"
    create_pgvector(server, "docs", Batch(passages, vectors)).close()
    question = np.random.default_rng(1).standard_normal(8).astype(np.float32)
    by_cosine = [f"p{i:03d}" for i in np.argsort(-unit_rows(vectors) @ question)]
    by_l2 = [f"p{i:03d}" for i in np.argsort(((vectors - question) ** 2).sum(axis=1))]

    def found(k: int) -> list[str]:
        with open_store(f"pgvector:{server}#docs") as store:
            return [hit.id for hit in store.search(question, k).hits]

    assert found(500) == by_cosine
    database.execute("CREATE INDEX near ON docs USING hnsw (embedding vector_l2_ops)")
    database.execute("SET enable_seqscan = off")
    assert len(set(found(60)) & set(by_l2[:60])) >= 57
    assert found(500)[:100] == by_l2[:100]
    database.execute("DROP INDEX near")
    database.execute("CREATE INDEX near ON docs USING hnsw (embedding vector_cosine_ops)")
    assert len(set(found(60)) & set(by_cosine[:60])) >= 57


def test_a_connection_that_the_server_drops_is_made_again(database) -> None:
    _langchain(database, "docs")
    with open_store(_url(database, "langchain_pg_embedding")) as store:
        assert store.count() == 1
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'ragshield' AND datname = current_database()"
        )
        assert store.count() == 1


def test_says_what_is_missing_and_never_the_password(database) -> None:
    info = database.info
    with pytest.raises(StoreError, match="no table nobody"):
        open_store(_url(database, "nobody"))
    database.execute("CREATE VIEW v AS SELECT 1")
    with pytest.raises(StoreError, match="v is a view"):
        open_store(_url(database, "v"))
    with pytest.raises(UsageError, match=r"write pgvector:postgresql://USER@HOST"):
        open_store("pgvector:docs")
    with pytest.raises(StoreError) as caught:
        open_store("pgvector:postgresql://me:secret@127.0.0.1:1/db#docs")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError) as caught:
        open_store(f"pgvector:postgresql://{info.user}:hush@/nodb?host={info.host}#docs")
    assert "hush" not in str(caught.value)


def test_a_role_that_may_only_read_can_read_and_not_change(database) -> None:
    _langchain(database, "docs")
    role = f"reader_{uuid.uuid4().hex}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    url = _url(database, "langchain_pg_embedding").replace("postgres@", f"{role}@")
    with open_store(url) as store:
        assert store.count() == 1
    with pytest.raises(StoreError, match="cannot be changed: no permission"):
        open_store(url, writable=True)


def test_nothing_can_be_changed_through_a_store_opened_for_reading(database) -> None:
    _langchain(database, "docs")
    with (
        open_store(_url(database, "langchain_pg_embedding")) as store,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        store._connection().execute("DELETE FROM langchain_pg_embedding")  # type: ignore[attr-defined]


def test_a_refused_row_takes_the_whole_addition_back(database) -> None:
    database.execute(
        "CREATE TABLE docs (id text PRIMARY KEY, text text CHECK (text <> 'bad'), "
        "embedding vector(2))"
    )
    rows = np.ones((2, 2), np.float32)
    with open_store(_url(database, "docs"), writable=True) as store:
        with pytest.raises(InputError, match="violates check constraint"):
            store.add(Batch((Passage("a", "good"), Passage("b", "bad")), rows))
        assert store.count() == 0
        with pytest.raises(InputError, match="no column for metadata 'n'"):
            store.add(Batch((Passage("a", "good", None, {"n": 1}),), rows[:1]))


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (psycopg.errors.DiskFull("could not extend file"), IncompleteError, "out of room"),
        (psycopg.errors.LockNotAvailable("canceling statement"), StoreError, "is in use"),
        (psycopg.OperationalError("server closed\nthe connection"), StoreError, "server closed"),
    ],
)
def test_what_the_server_raises_becomes_one_line(raised, expected, words) -> None:
    from ragshield.stores.pgvector_table import translated

    url = "pgvector:postgresql://me:secret@host/db#docs"
    with pytest.raises(expected, match=words) as caught, translated(url):
        raise raised
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_plan_looks_into_the_other_tables_and_collections(database) -> None:
    from ragshield.forget import plan_forget
    from ragshield.forget.closure.siblings import siblings
    from ragshield.stores.pgvector import create_pgvector

    _langchain(database, "docs", "old letters")
    database.execute("CREATE TABLE numbers (id text, n int)")
    database.execute("CREATE SCHEMA aside")
    text = "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay."
    others = [f"Rain falls on {200 + i} days along part {i} of this coast." for i in range(4)]
    address = _url(database, "x").removeprefix("pgvector:").partition("#")[0]
    for table, rows in {
        "mine": [text, *others],
        "aside.copies": [text.replace(" the ", " a ")],
    }.items():
        passages = tuple(Passage(f"{table}-{i}", said) for i, said in enumerate(rows))
        vectors = np.random.default_rng(1).standard_normal((len(rows), 3)).astype(np.float32)
        create_pgvector(address, table, Batch(passages, vectors)).close()
    place = _url(database, "")
    langchain = f"{place}langchain_pg_embedding?collection="
    assert siblings(f"{place}mine") == (
        f"{place}aside.copies",
        f"{langchain}docs",
        f"{langchain}old%20letters",
    )
    assert siblings(f"{langchain}old letters") == (
        f"{place}aside.copies",
        f"{langchain}docs",
        f"{place}mine",
    )
    with open_store(f"{place}mine") as store:
        plan = plan_forget(store, ids=["mine-0"])
    assert [(o.store_url, [i.passage_id for i in o.selected]) for o in plan.elsewhere] == [
        (f"{place}aside.copies", ["aside.copies-0"])
    ]
