"""LanceDB's purge where something is in the way: tags, permissions, damage, disks, kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import MutableStore, Recipe
from ragshield.records import Batch, Passage, Spec
from ragshield.registry import build
from ragshield.vectors import unit_rows

lancedb = pytest.importorskip("lancedb", reason="lancedb is not installed")

DIM = 24


def _docs(n: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    passages = tuple(
        Passage(
            f"doc-{i:05d}",
            f"Row {i} was written by {rng.bytes(6).hex()} and says {rng.bytes(9).hex()} again.",
            f"https://example.org/{i}",
            {"n": i},
        )
        for i in range(n)
    )
    vectors = unit_rows(rng.standard_normal((n, DIM)).astype(np.float32))
    return Batch(passages, vectors * np.float32(1.7))


def _fill(folder: Path, docs: Batch, *, n_fragments: int = 4) -> str:
    """A table made by LanceDB itself, in the layout of ragshield, in several writes."""
    rows = [
        {
            "id": p.id,
            "text": p.text,
            "vector": v,
            "source": p.source,
            "metadata": f'{{"n": {p.meta["n"]}}}',
        }
        for p, v in zip(docs.passages, docs.vectors, strict=True)
    ]
    database = lancedb.connect(folder)
    step = -(-len(rows) // n_fragments)
    table = database.create_table("docs", rows[:step])
    for start in range(step, len(rows), step):
        table.add(rows[start : start + step])
    return f"lancedb:{folder}#docs"


def _bytes(folder: Path) -> bytes:
    """All bytes of all files, and every column of every Lance file, found without the recipe."""
    from lance.file import LanceFileReader

    found = b""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        found += path.read_bytes()
        if path.suffix not in (".lance", ".idx"):
            continue
        for column in LanceFileReader(str(path)).read_all().to_table().columns:
            for chunk in column.chunks:
                found += b"".join(bytes(b) for b in chunk.buffers() if b is not None)
    return found


def _left(folder: Path, docs: Batch, rows: list[int]) -> dict[str, int]:
    everything = _bytes(folder)
    unit = unit_rows(docs.vectors)
    return {
        "texts": sum(docs.passages[i].text[-30:].encode() in everything for i in rows),
        "ids": sum(docs.passages[i].id.encode() in everything for i in rows),
        "vectors": sum(
            docs.vectors[i].tobytes() in everything or unit[i].tobytes() in everything for i in rows
        ),
    }


def _everything(url: str) -> Batch:
    with open_store(url) as store:
        parts = list(store.batches())
    return Batch(
        tuple(p for part in parts for p in part.passages),
        np.vstack([part.vectors for part in parts]),
    )


def _recipe() -> Recipe:
    recipe: Recipe = build(Spec("recipe", "lancedb"))
    return recipe


def _assert_live(url: str, docs: Batch, gone: list[int]) -> None:
    live = [i for i in range(len(docs)) if i not in set(gone)]
    now = _everything(url)
    assert now.passages == tuple(docs.passages[i] for i in live)
    np.testing.assert_array_equal(now.vectors, docs.vectors[live])


def test_a_tag_or_a_branch_is_refused_since_it_keeps_rows(tmp_path) -> None:
    url = _fill(tmp_path, _docs(40))
    table = lancedb.connect(tmp_path).open_table("docs")
    table.tags.create("release", 1)
    with pytest.raises(StoreError, match="the tag 'release' keeps an old version"):
        _recipe().purge(url, ["doc-00001"])
    table.tags.delete("release")
    _recipe().purge(url, ["doc-00001"])
    import lance

    lance.dataset(str(tmp_path / "docs.lance")).create_branch("side")
    assert _recipe().untested(url) == ("branch 'side' of the table",)
    with pytest.raises(StoreError, match="the branch 'side' keeps rows"):
        _recipe().purge(url, ["doc-00002"])


def test_a_read_only_folder_is_refused_before_anything_is_deleted(tmp_path, monkeypatch) -> None:
    docs = _docs(40)
    url = _fill(tmp_path, docs)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(StoreError, match="no permission to change"):
        _recipe().purge(url, ["doc-00001"])
    _assert_live(url, docs, [])


def test_a_damaged_table_is_refused_in_one_line(tmp_path) -> None:
    url = _fill(tmp_path, _docs(40))
    for path in (tmp_path / "docs.lance" / "_versions").glob("*.manifest"):
        path.write_bytes(b"no manifest")
    with pytest.raises(StoreError) as caught:
        _recipe().purge(url, ["doc-00001"])
    assert "\n" not in str(caught.value)


def test_a_full_disk_loses_no_row_and_the_next_call_finishes(tmp_path) -> None:
    docs = _docs(2000)
    url = _fill(tmp_path, docs)
    code = (
        "import resource, signal, sys\n"
        "from ragshield.errors import IncompleteError\n"
        "from ragshield.stores.lancedb_purge import LancePurge\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n"
        "    LancePurge().purge(sys.argv[1], ['doc-00005'])\n"
        "except IncompleteError as error:\n"
        "    print('refused:', error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True)
    assert "refused:" in run.stdout, run.stderr
    assert "the disk is full" in run.stdout
    _assert_live(url, docs, [5])
    _recipe().purge(url, ["doc-00005"])
    assert _left(tmp_path, docs, [5]) == {"texts": 0, "ids": 0, "vectors": 0}
    _assert_live(url, docs, [5])


@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_moment_the_next_call_finishes_the_work(tmp_path, moment) -> None:
    docs = _docs(2000)
    url = _fill(tmp_path, docs)
    lancedb.connect(tmp_path).open_table("docs").create_scalar_index("id", index_type="BTREE")
    gone = [5, 6, 1500]
    ids = [docs.passages[i].id for i in gone]
    code = (
        "import sys\n"
        "from ragshield.stores.lancedb_purge import LancePurge\n"
        "import lance\n"
        "print('ready', flush=True)\n"
        "LancePurge().purge(sys.argv[1], sys.argv[2:])\n"
        "print('done', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, url, *ids], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.004 * 1.7**moment)
    child.send_signal(signal.SIGKILL)
    child.wait()
    left = _everything(url)
    there = {p.id for p in left.passages}
    assert {p.id for p in docs.passages} - there <= set(ids)
    _recipe().purge(url, ids)
    assert _left(tmp_path, docs, gone) == {"texts": 0, "ids": 0, "vectors": 0}
    _assert_live(url, docs, gone)


def test_a_writer_in_the_middle_keeps_its_rows(tmp_path, monkeypatch) -> None:
    docs = _docs(400)
    url = _fill(tmp_path, docs)
    extra = _docs(1, seed=9)
    new = Batch((Passage("new", "written meanwhile"),), extra.vectors)

    def write(message: str) -> None:
        if message.startswith("writing"):
            with open_store(url, writable=True) as store:
                assert isinstance(store, MutableStore)
                store.add(new)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _recipe().purge(url, ["doc-00005"], on_progress=write)
        except IncompleteError:
            _recipe().purge(url, ["doc-00005"])
    with open_store(url) as store:
        assert store.count() == 400
        assert store.get(["new"]).passages == new.passages
    assert _left(tmp_path, docs, [5]) == {"texts": 0, "ids": 0, "vectors": 0}
