from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.protocols import Recipe
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


def _gone(n: int, share: str) -> list[int]:
    rng = random.Random(7)
    n_gone = {"one row": 1}.get(share) or max(1, round(n * float(share.rstrip("%")) / 100))
    return sorted(rng.sample(range(n), n_gone))


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


def test_the_recipe_offers_all_that_a_recipe_must() -> None:
    assert isinstance(_recipe(), Recipe)


@pytest.mark.parametrize("share", ["one row", "1 %", "5 %", "10 %", "50 %"])
@pytest.mark.parametrize("n", [200, 2000])
def test_no_byte_of_deleted_rows_is_left_and_live_rows_are_as_they_were(tmp_path, n, share) -> None:
    docs, gone = _docs(n), _gone(n, share)
    ids = [docs.passages[i].id for i in gone]
    url = _fill(tmp_path, docs)
    assert _left(tmp_path, docs, gone) == dict.fromkeys(("texts", "ids", "vectors"), len(gone))
    with open_store(url, writable=True) as store:
        assert store.delete(ids) == len(gone)
    assert _left(tmp_path, docs, gone)["vectors"] == len(gone)
    purged = _recipe().purge(url, ids)
    n_touched = len({i * 4 // n for i in gone})
    assert purged.how == ("in place" if n_touched < 4 else "copy")
    assert _left(tmp_path, docs, gone) == {"texts": 0, "ids": 0, "vectors": 0}
    _assert_live(url, docs, gone)
    live = [i for i in range(n) if i not in set(gone)][:20]
    assert _left(tmp_path, docs, live) == dict.fromkeys(("texts", "ids", "vectors"), len(live))


def test_optimize_alone_leaves_every_vector_of_a_tenth() -> None:
    """What the recipe is for; where this fails, LanceDB has changed and the recipe may shrink."""
    import tempfile
    from datetime import timedelta

    with tempfile.TemporaryDirectory() as folder:
        docs = _docs(400)
        url = _fill(Path(folder), docs, n_fragments=1)
        gone = list(range(40))
        table = lancedb.connect(folder).open_table("docs")
        table.delete("id < 'doc-00040'")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        assert _left(Path(folder), docs, gone)["vectors"] == 40
        _recipe().purge(url, [docs.passages[i].id for i in gone])
        assert _left(Path(folder), docs, gone) == {"texts": 0, "ids": 0, "vectors": 0}


def _index(folder: Path, kind: str) -> None:
    from lancedb import index as kinds

    configs = {
        "FTS": ("text", kinds.FTS()),
        "FTS with positions": ("text", kinds.FTS(with_position=True)),
        "BTree": ("id", kinds.BTree()),
        "Bitmap": ("source", kinds.Bitmap()),
        "IVF flat": ("vector", kinds.IvfFlat(num_partitions=4, distance_type="cosine")),
        "IVF PQ": ("vector", kinds.IvfPq(num_partitions=4, num_sub_vectors=8)),
        "HNSW SQ": ("vector", kinds.HnswSq(num_partitions=1)),
        "HNSW flat": ("vector", kinds.HnswFlat(num_partitions=1)),
    }
    column, config = configs[kind]
    lancedb.connect(folder).open_table("docs").create_index(column, config=config)


def _found(folder: Path, docs: Batch, kind: str) -> list[list[str]]:
    """What LanceDB's own search finds, through the index, for twenty questions."""
    table = lancedb.connect(folder).open_table("docs")
    if kind.startswith("FTS"):
        words = [p.text.split()[5] for p in docs.passages[:20]]
        return [[r["id"] for r in table.search(w, query_type="fts").to_list()] for w in words]
    if kind in ("BTree", "Bitmap"):
        column = {"BTree": "id", "Bitmap": "source"}[kind]
        wanted = [getattr(p, column) for p in docs.passages[:20]]
        return [
            [r["id"] for r in table.search().where(f"{column} = '{w}'").to_list()] for w in wanted
        ]
    questions = np.random.default_rng(5).standard_normal((20, DIM)).astype(np.float32)
    return [
        [r["id"] for r in table.search(q).distance_type(_metric(kind)).limit(30).to_list()]
        for q in questions
    ]


def _metric(kind: str) -> str:
    return "cosine" if kind == "IVF flat" else "l2"


@pytest.mark.parametrize(
    "kind",
    ["FTS", "FTS with positions", "BTree", "Bitmap", "IVF flat", "IVF PQ", "HNSW SQ", "HNSW flat"],
)
def test_indexes_lose_the_deleted_rows_and_find_live_ones_in_the_same_order(tmp_path, kind) -> None:
    docs, gone = _docs(1200), [3, 17, 700, 1100]
    ids = [docs.passages[i].id for i in gone]
    url = _fill(tmp_path, docs)
    _index(tmp_path, kind)
    with open_store(url, writable=True) as store:
        store.delete(ids)
    before = _found(tmp_path, docs, kind)
    purged = _recipe().purge(url, ids)
    assert _left(tmp_path, docs, gone) == {"texts": 0, "ids": 0, "vectors": 0}
    _assert_live(url, docs, gone)
    after = _found(tmp_path, docs, kind)
    if kind.startswith("HNSW"):  # Lance builds the graph anew, and it is approximate
        assert "HNSW" in purged.notes[0]
        same = [len(set(a) & set(b)) / 30 for a, b in zip(after, before, strict=True)]
        assert np.mean(same) >= 0.97
    else:
        assert purged.notes == ()
        assert after == before
    (index,) = lancedb.connect(tmp_path).open_table("docs").list_indices()
    assert (index.num_indexed_rows, index.num_unindexed_rows) == (1196, 0)


def test_a_full_text_index_forgets_words_that_only_deleted_rows_had(tmp_path) -> None:
    from lance.file import LanceFileReader

    docs = _docs(300)
    url = _fill(tmp_path, docs)
    _index(tmp_path, "FTS")

    def n_words() -> int:
        paths = tmp_path.rglob("*invert.lance")
        return sum(LanceFileReader(str(path)).num_rows() for path in paths)

    before = n_words()
    _recipe().purge(url, ["doc-00003", "doc-00150"])
    # Each row's number, author and saying are its own: three words less a row.
    assert before - n_words() == 6


def test_rows_that_are_still_there_are_deleted_first(tmp_path) -> None:
    docs = _docs(200)
    url = _fill(tmp_path, docs)
    assert _recipe().purge(url, ["doc-00005", "nobody"]).how == "in place"
    assert _left(tmp_path, docs, [5]) == {"texts": 0, "ids": 0, "vectors": 0}
    _assert_live(url, docs, [5])


def test_what_was_deleted_or_updated_by_other_means_goes_too(tmp_path) -> None:
    docs = _docs(200)
    url = _fill(tmp_path, docs)
    table = lancedb.connect(tmp_path).open_table("docs")
    table.delete("id = 'doc-00004'")
    table.update(where="id = 'doc-00009'", values={"text": "nothing to see"})
    _recipe().purge(url, ["doc-00004"])
    assert _left(tmp_path, docs, [4]) == {"texts": 0, "ids": 0, "vectors": 0}
    assert _left(tmp_path, docs, [9]) == {"texts": 0, "ids": 1, "vectors": 1}


def test_a_second_purge_changes_nothing(tmp_path) -> None:
    docs = _docs(200)
    url = _fill(tmp_path, docs)
    _recipe().purge(url, ["doc-00005"])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert _recipe().purge(url, ["doc-00005"]) == ("nothing", 0, ())
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_all_rows_can_be_purged_and_new_ones_added(tmp_path) -> None:
    docs = _docs(60)
    url = _fill(tmp_path, docs)
    _recipe().purge(url, [p.id for p in docs.passages])
    assert _left(tmp_path, docs, list(range(60))) == {"texts": 0, "ids": 0, "vectors": 0}
    with open_store(url, writable=True) as store:
        assert store.count() == 0
        store.add(docs)
    _assert_live(url, docs, [])


def test_lancedb_works_on_after_a_purge(tmp_path) -> None:
    docs = _docs(300)
    url = _fill(tmp_path, docs)
    _index(tmp_path, "FTS")
    _recipe().purge(url, ["doc-00005", "doc-00250"])
    table = lancedb.connect(tmp_path).open_table("docs")
    fresh = {"id": "new", "text": "brand-new words", "vector": docs.vectors[5], "source": None}
    table.add([{**fresh, "metadata": None}])
    table.optimize()
    assert [r["id"] for r in table.search(docs.vectors[5]).limit(1).to_list()] == ["new"]
    assert [r["id"] for r in table.search("brand", query_type="fts").to_list()] == ["new"]
    table.delete("id = 'new'")
    assert table.count_rows() == 298
    _recipe().purge(url, ["new"])
    _assert_live(url, docs, [5, 250])


def test_surfaces_show_deleted_rows_before_and_not_after(tmp_path) -> None:
    docs = _docs(200)
    url = _fill(tmp_path, docs)
    recipe = _recipe()
    needles = {
        "text": docs.passages[5].text.encode(),
        "vector": recipe.forms(docs.vectors[5:6])[0].tobytes(),
    }

    def seen() -> dict[str, set[str]]:
        return {
            s.name: {k for k, needle in needles.items() if needle in b"".join(s.blocks())}
            for s in recipe.surfaces(url)
        }

    with open_store(url, writable=True) as store:
        store.delete(["doc-00005"])
    before = seen()
    assert before["docs.lance/data, columns decoded"] == {"text", "vector"}
    recipe.purge(url, ["doc-00005"])
    after = seen()
    assert set(after) == set(before)
    assert after == {name: set() for name in after}
    assert set(recipe.files(url)) == {p for p in tmp_path.rglob("*") if p.is_file()}
    assert recipe.untested(url) == ()


def test_an_index_by_cosine_is_seen_to_hold_unit_vectors(tmp_path) -> None:
    docs = _docs(600)
    url = _fill(tmp_path, docs)
    _index(tmp_path, "IVF flat")
    recipe = _recipe()
    (decoded,) = (
        s for s in recipe.surfaces(url) if s.name == "docs.lance/_indices, columns decoded"
    )
    everything = b"".join(decoded.blocks())
    forms = recipe.forms(docs.vectors)
    seen = [any(form[i].tobytes() in everything for form in forms) for i in range(600)]
    assert sum(seen) >= 570  # a few lengths are rounded otherwise


def test_describe_names_software_and_no_path(tmp_path) -> None:
    url = _fill(tmp_path, _docs(20))
    facts = _recipe().describe(url)
    assert facts["store"] == "lancedb"
    assert facts["lancedb"] == lancedb.__version__
    assert not any(str(tmp_path) in value for value in facts.values())


def test_cost_counts_the_files_that_one_row_may_touch(tmp_path) -> None:
    url = _fill(tmp_path, _docs(2000))
    sizes = sorted(p.stat().st_size for p in tmp_path.rglob("data/*.lance"))
    one, all_rows = _recipe().cost(url, 1), _recipe().cost(url, 500)
    assert one.disk_bytes == sizes[-1]
    assert all_rows.disk_bytes == sum(sizes)
    assert one.how.startswith("in place: at most 1 of 4")
    assert all_rows.how.startswith("copy")
