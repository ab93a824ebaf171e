"""A password in a store's URL reaches the server, and no file and no line that is shown."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ragshield.cli.main import run
from ragshield.records import Batch, Passage
from ragshield.stores import passwords
from ragshield.stores.passwords import masked, remember, with_password, without_password

SECRET = "hush-7Qx2"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch) -> None:
    monkeypatch.setattr(passwords, "_given", {})
    monkeypatch.delenv("PGPASSWORD", raising=False)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (
            "pgvector:postgresql://me:p#w@h:5/db#docs?id=x",
            "pgvector:postgresql://me@h:5/db#docs?id=x",
        ),
        ("pgvector:postgresql://me:@h/db#t", "pgvector:postgresql://me@h/db#t"),
        (
            "pgvector:postgresql://me@h/db?password=p&sslmode=require#t",
            "pgvector:postgresql://me@h/db?sslmode=require#t",
        ),
        (
            "pgvector:postgresql:///db?user=me&PASSWORD=p&sslpassword=q#t",
            "pgvector:postgresql:///db?user=me#t",
        ),
        (
            "pgvector:postgresql://h:5432/db?options=a@b#t",
            "pgvector:postgresql://h:5432/db?options=a@b#t",
        ),
        ("chroma+http://me:p@h:8000#docs", "chroma+http://me@h:8000#docs"),
        ("chroma:./a:b@c#docs", "chroma:./a:b@c#docs"),
        ("jsonl:docs?password=p.jsonl", "jsonl:docs?password=p.jsonl"),
    ],
)
def test_a_url_loses_its_password_and_nothing_else(url: str, kept: str) -> None:
    assert without_password(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        f"pgvector:postgresql://me:{SECRET}@h/db#docs",
        f"pgvector:postgresql://me:a#{SECRET}@h/db#docs",
        f"pgvector:postgresql://h/db?user=me&password=a#{SECRET}#docs",
        f"cannot connect # to postgresql://me:{SECRET}@h/db?password={SECRET} today",
    ],
)
def test_what_is_shown_hides_the_password(url: str) -> None:
    assert SECRET not in masked(url)
    assert "***" in masked(url)


def test_a_password_given_once_is_found_for_every_table_of_its_server() -> None:
    remember(f"pgvector:postgresql://me:{SECRET}@h/db#docs")
    other = "pgvector:postgresql://me@h/db#other"
    assert with_password(other) == f"pgvector:postgresql://me:{SECRET}@h/db#other"
    elsewhere = "pgvector:postgresql://me@another/db#docs"
    assert with_password(elsewhere) == elsewhere


@pytest.fixture
def guarded(postgres) -> Iterator[str]:
    """A table whose owner has to give a password; its URL without it."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    from ragshield.stores.pgvector import create_pgvector

    role = f"keeper_{uuid.uuid4().hex}"
    table = f"docs_{uuid.uuid4().hex}"
    rows = {f"rain-{i}": f"Rain falls on {200 + i} days along part {i} of it." for i in range(9)}
    rows["ada"] = "Ada Lindqvist founded the rope works of Tannow in 1820."
    passages = tuple(Passage(name, text) for name, text in rows.items())
    import numpy as np

    vectors = np.random.default_rng(0).standard_normal((len(rows), 8)).astype(np.float32)
    create_pgvector(postgres.address, table, Batch(passages, vectors)).close()
    with closing(psycopg.connect(postgres.address, autocommit=True)) as admin:
        hba = Path(admin.execute("SHOW hba_file").fetchone()[0])
        before = hba.read_text()
        admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{SECRET}'")
        admin.execute(f"ALTER TABLE {table} OWNER TO {role}")
        hba.write_text(f"local all {role} scram-sha-256\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        yield f"pgvector:{postgres.address}#{table}".replace("postgres:@", f"{role}@").replace(
            "postgres@", f"{role}@"
        )
        hba.write_text(before)
        admin.execute("SELECT pg_reload_conf()")


@pytest.mark.server
def test_forgetting_leaves_the_password_in_no_file_and_no_line(
    guarded: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    given = guarded.replace("@", f":{SECRET}@", 1)
    shown = []

    def ragshield(*words: str) -> int:
        code = run(list(words))
        caught = capsys.readouterr()
        shown.append(caught.out + caught.err)
        passwords._given.clear()  # as in a process of its own
        return code

    apply = "forget apply plan.json --yes --certificate cert.json --signing-key key.pem".split()
    aside = ["--out-of-scope", "base backups"]
    assert ragshield("forget", "plan", given, "--subject", "Ada Lindqvist", "-o", "plan.json") == 0
    assert json.loads(Path("plan.json").read_text())["store"] == guarded
    assert ragshield(*apply, *aside) == 2
    assert "set PGPASSWORD" in shown[-1]
    assert ragshield(*apply, *aside, "--store", given.replace("#docs", "#other")) == 2
    assert "is none of the plans' stores" in shown[-1]
    assert ragshield(*apply, *aside, "--store", given) == 0
    assert "ERASED" in shown[-1]
    assert ragshield("undo", "plan.json", "--store", given) == 0
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert ragshield(*apply, *aside) == 0
    assert ragshield("reverify", "cert.json", given, *aside) == 0
    Path("targets.txt").write_text("Ada Lindqvist founded the rope works of Tannow in 1820.\n")
    report = ["--format", "json", "-o", "residue.json"]
    assert ragshield("residue", given, "--targets", "targets.txt", *aside, *report) == 3
    assert not [line for line in shown if SECRET in line]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"plan.json", "plan.json.journal", "cert.json", "residue.json"} <= {
        p.name for p in files
    }
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert os.environ["PGPASSWORD"] == SECRET
