from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ragshield.plant
from ragshield.errors import IncompleteError, InputError, StoreError, UsageError
from ragshield.plant import Removed, clean_up, plant, read_manifest
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MutableMemoryStore

PASSAGES = tuple(Passage(f"p{i}", f"Text {i}.") for i in range(5))
VECTORS = np.eye(5, dtype=np.float32)


class FailingStore(MutableMemoryStore):
    """Breaks at the second batch, after looking whether the manifest is there."""

    def __init__(self, manifest: Path) -> None:
        super().__init__("memory:failing")
        self.manifest = manifest
        self.n_batches = 0

    def add(self, batch: Batch) -> None:
        assert self.manifest.is_file()
        self.n_batches += 1
        if self.n_batches == 2:
            raise StoreError("the disk is full")
        super().add(batch)


def test_the_manifest_is_there_before_the_first_passage_and_undoes_half_a_planting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ragshield.plant, "_BATCH", 2)
    manifest = tmp_path / "m.json"
    store = FailingStore(manifest)
    with pytest.raises(IncompleteError, match=r"after 2 of 5 passages .*disk is full.*--clean-up"):
        plant(store, PASSAGES, VECTORS, manifest)
    assert store.count() == 2
    url, planted = read_manifest(manifest)
    assert url == "memory:failing"
    assert clean_up(store, planted) == Removed(n_removed=2, n_missing=3, changed=())
    assert store.count() == 0


def test_an_id_twice_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = MutableMemoryStore()
    with pytest.raises(InputError, match="'p0' occurs twice"):
        plant(store, (*PASSAGES[:1], *PASSAGES[:1]), VECTORS[:2], tmp_path / "m.json")
    assert store.count() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_cannot_be_written_stops_the_planting(tmp_path: Path) -> None:
    store = MutableMemoryStore()
    with pytest.raises(UsageError, match="does not exist"):
        plant(store, PASSAGES, VECTORS, tmp_path / "none" / "m.json")
    assert store.count() == 0


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "ragshield-planted/1"}', '{"format": "other/9"}', "7"]
)
def test_another_file_is_no_manifest(content: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"m\.json"):
        read_manifest(path)


def test_clean_up_touches_nothing_that_was_not_planted(tmp_path: Path) -> None:
    store = MutableMemoryStore()
    store.add(Batch((Passage("own", "Mine."),), np.ones((1, 5), dtype=np.float32)))
    plant(store, PASSAGES, VECTORS, tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["format"] == "ragshield-planted/1"
    clean_up(store, read_manifest(tmp_path / "m.json")[1])
    assert [p.id for b in store.batches() for p in b.passages] == ["own"]
