"""What every recipe for a store of one or two files must do, seen with a plain byte search."""

from __future__ import annotations

import random

import numpy as np
import pytest
from light_stores import KINDS, bytes_left, contents, delete_elsewhere, docs, make, ranking

from ragshield import open_store
from ragshield.protocols import Recipe
from ragshield.records import Batch, Spec
from ragshield.registry import build

pytest.importorskip("faiss", reason="faiss is not installed")

SIZES = [200, 2000]
VARIANTS = ("sqlite-wal", "sqlite-mapped", "faiss-ivf", "faiss-lines")
CASES = [
    pytest.param(kind, size, marks=[pytest.mark.slow] if kind in VARIANTS and size > 200 else [])
    for kind in KINDS
    for size in SIZES
]
SHARES = {"one row": 0.0, "5 %": 0.05, "half": 0.5}


def recipe_for(url: str) -> Recipe:
    recipe = build(Spec("recipe", url.partition(":")[0]))
    assert isinstance(recipe, Recipe)
    return recipe


def some(batch: Batch, share: float) -> list[str]:
    n = max(1, int(len(batch) * share))
    return sorted(random.Random(4).sample([p.id for p in batch.passages], n))


@pytest.fixture(scope="module")
def batches() -> dict[int, Batch]:
    return {n: docs(n) for n in SIZES}


@pytest.mark.parametrize("share", list(SHARES))
@pytest.mark.parametrize(("kind", "size"), CASES)
def test_nothing_is_left_and_live_rows_are_as_they_were(
    kind, size, share, batches, tmp_path
) -> None:
    batch = batches[size]
    gone = some(batch, SHARES[share])
    url = make(kind, tmp_path, batch)
    before = contents(url)
    delete_elsewhere(kind, url, gone)
    assert bytes_left(tmp_path, batch, gone) > len(gone)
    live = {i: row for i, row in before.items() if i not in set(gone)}
    orders = [[i for i in found if i in live] for found in ranking(url, size)]

    recipe = recipe_for(url)
    done = recipe.purge(url, gone)
    assert done.how in ("in place", "copy")
    assert bytes_left(tmp_path, batch, gone) == 0
    assert contents(url) == live
    if "hnsw" not in kind and "ivf" not in kind:  # approximate
        assert ranking(url, size) == orders
    again = recipe.purge(url, gone)
    assert (again.how, again.n_bytes_written) == ("nothing", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_purging_after_a_deletion_by_the_store_leaves_nothing_either(kind, batches, tmp_path):
    batch = batches[200]
    gone = some(batch, 0.05)
    url = make(kind, tmp_path, batch)
    with open_store(url, writable=True) as store:
        assert store.delete(gone) == 10
    recipe_for(url).purge(url, gone)
    assert bytes_left(tmp_path, batch, gone) == 0
    assert len(contents(url)) == 190


@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_can_go_and_the_store_still_opens_and_takes_new_ones(kind, batches, tmp_path):
    batch = batches[200]
    every = [p.id for p in batch.passages]
    url = make(kind, tmp_path, batch)
    recipe_for(url).purge(url, every)
    assert bytes_left(tmp_path, batch, every) == 0
    with open_store(url, writable=True) as store:
        assert (store.count(), store.dim) == (0, None)
        store.add(Batch(batch.passages[:3], batch.vectors[:3]))
    assert list(contents(url)) == every[:3]


@pytest.mark.parametrize("kind", KINDS)
def test_surfaces_show_what_the_recipe_says_it_looks_at(kind, batches, tmp_path) -> None:
    batch = batches[200]
    url = make(kind, tmp_path, batch)
    recipe = recipe_for(url)
    seen = b"".join(block for s in recipe.surfaces(url) for block in s.blocks())
    forms = [form[7].tobytes() for form in recipe.forms(batch.vectors)]
    assert batch.passages[7].text.encode() in seen
    assert any(form in seen for form in forms)
    assert {p.name for p in recipe.files(url)} <= {s.name for s in recipe.surfaces(url)}
    assert recipe.surfaces(url)[0].kind == "file"
    assert all(isinstance(value, str) for value in recipe.describe(url).values())
    assert "doc-0" not in str(recipe.describe(url)) + str(recipe.untested(url))
    assert str(tmp_path) not in str(recipe.describe(url))
    cost = recipe.cost(url, 10)
    assert 0 < cost.seconds < 20
    assert cost.disk_bytes > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_a_store_is_one_of_its_files(kind, batches, tmp_path) -> None:
    url = make(kind, tmp_path, batches[200])
    there = {path for path in tmp_path.resolve().iterdir() if path.is_file()}
    assert {path.resolve() for path in recipe_for(url).files(url)} == there


@pytest.mark.parametrize("kind", KINDS)
def test_backups_beside_a_store_are_seen_and_left(kind, batches, tmp_path) -> None:
    url = make(kind, tmp_path, batches[200])
    main = max(tmp_path.iterdir(), key=lambda p: p.stat().st_size)
    backup = tmp_path / f"{main.name}~"
    backup.write_bytes(main.read_bytes())
    (tmp_path / "unrelated.txt").write_text("nothing to do with it")
    recipe = recipe_for(url)
    done = recipe.purge(url, ["doc-00001"])
    assert [s.name for s in recipe.surfaces(url) if s.name == backup.name] == [backup.name]
    assert any(backup.name in note for note in done.notes)
    assert "unrelated.txt" not in str(recipe.surfaces(url)) + str(done.notes)
    assert backup.read_bytes()
    backup.unlink()
    np.testing.assert_equal(bytes_left(tmp_path, batches[200], ["doc-00001"]), 0)
