from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ragshield.plant.planting
from ragshield.errors import IncompleteError, InputError, StoreError, UsageError
from ragshield.plant import clean_up, plant, read_manifest, state_of
from ragshield.records import Batch, Passage
from ragshield.stores.chroma import create_chroma
from ragshield.stores.memory import MutableMemoryStore
from ragshield.stores.sqlite import create_sqlite
from ragshield.stores.url import open_store

PASSAGES = tuple(Passage(f"p{i}", f"Text {i}.") for i in range(5))
VECTORS = np.eye(5, dtype=np.float32)
OWN = Batch((Passage("own", "Mine.", "me", {"year": 1999}),), np.ones((1, 5), dtype=np.float32))


@pytest.fixture
def store() -> MutableMemoryStore:
    made = MutableMemoryStore("memory:mine")
    made.add(OWN)
    return made


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
    monkeypatch.setattr(ragshield.plant.planting, "_BATCH", 2)
    manifest = tmp_path / "m.json"
    store = FailingStore(manifest)
    with pytest.raises(IncompleteError, match=r"after 2 of 5 passages .*disk is full.*--clean-up"):
        plant(store, PASSAGES, VECTORS, manifest)
    assert store.count() == 2
    assert read_manifest(manifest).url == "memory:failing"
    done = clean_up(store, manifest)
    assert (done.n_removed, done.n_missing, done.changed) == (2, 3, ())
    assert done.is_as_before
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
    "content",
    ["", "[]", "{}", '{"format": "ragshield-planted/2"}', '{"format": "other/9"}', "7",
     '{"format": "ragshield-planted/2", "url": "x", "before": 1, "passages": [], "after": null}'],
)  # fmt: skip
def test_another_file_is_no_manifest(content: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"m\.json"):
        read_manifest(path)


def test_clean_up_brings_back_what_was_there_and_says_so_in_the_manifest(
    store: MutableMemoryStore, tmp_path: Path
) -> None:
    before = state_of(store)
    manifest = tmp_path / "m.json"
    planned = plant(store, PASSAGES, VECTORS, manifest)
    assert store.count() == 6
    assert planned.before == before
    assert not planned.is_finished
    done = clean_up(store, manifest)
    assert (done.before, done.after, done.n_removed) == (before, before, 5)
    assert [p for b in store.batches() for p in b.passages] == list(OWN.passages)
    assert read_manifest(manifest).is_finished
    assert json.loads(manifest.read_text())["after"]["sha256"] == before.sha256


def test_planting_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = MutableMemoryStore(), MutableMemoryStore()
    first = plant(one, PASSAGES, VECTORS, tmp_path / "1.json")
    assert plant(two, PASSAGES, VECTORS, tmp_path / "2.json").passages == first.passages


def test_an_id_that_is_taken_is_passed_over_and_what_has_it_is_left_alone(
    store: MutableMemoryStore, tmp_path: Path
) -> None:
    usual = plant(MutableMemoryStore(), PASSAGES, VECTORS, tmp_path / "usual.json").passages
    squatters = tuple(Passage(entry.id, f"Was here first: {entry.id}.") for entry in usual[:2])
    store.add(Batch(squatters, np.ones((2, 5), dtype=np.float32)))
    before = state_of(store)
    manifest = tmp_path / "m.json"
    planted = plant(store, PASSAGES, VECTORS, manifest).passages
    assert [entry.id for entry in planted[2:]] == [entry.id for entry in usual[2:]]
    assert not {entry.id for entry in planted[:2]} & {entry.id for entry in usual}
    assert [entry.made_as for entry in planted] == [p.id for p in PASSAGES]
    assert store.get([s.id for s in squatters]).passages == squatters
    assert clean_up(store, manifest).is_as_before
    assert state_of(store) == before


def test_a_campaign_planted_twice_comes_out_once_for_each_manifest(
    store: MutableMemoryStore, tmp_path: Path
) -> None:
    plant(store, PASSAGES, VECTORS, tmp_path / "1.json")
    plant(store, PASSAGES, VECTORS, tmp_path / "2.json")
    assert store.count() == 11
    assert clean_up(store, tmp_path / "2.json").is_as_before
    assert store.count() == 6
    assert clean_up(store, tmp_path / "1.json").is_as_before
    assert store.count() == 1


def test_a_manifest_of_another_store_is_refused(store: MutableMemoryStore, tmp_path: Path) -> None:
    plant(store, PASSAGES, VECTORS, tmp_path / "m.json")
    other = MutableMemoryStore("memory:other")
    with pytest.raises(InputError, match="planted in memory:mine, not in memory:other"):
        clean_up(other, tmp_path / "m.json")


# A kill at any moment: planting and cleaning up run in a process of their own.

_PLANTER = """
import sys
from pathlib import Path
import numpy as np
import ragshield.plant.planting as planting
from ragshield.records import Passage
from ragshield.stores.sqlite import create_sqlite
from ragshield.stores.url import open_store

url, manifest, n, what = sys.argv[1:]
planting._BATCH = 10
texts = [Passage(f"p{i}", f"Poison {i}.") for i in range(int(n))]
vectors = np.random.default_rng(1).standard_normal((int(n), 8)).astype(np.float32)
with open_store(url, writable=True) as store:
    store.count()
    print("ready", flush=True)
    if what == "plant":
        planting.plant(store, texts, vectors, Path(manifest))
    else:
        planting.clean_up(store, Path(manifest))
print("done", flush=True)
"""


def killed_within(seconds: float, *arguments: object) -> bool:
    """Run the planter, kill -9 it so long after it has opened the store; whether it was cut."""
    command = [sys.executable, "-c", _PLANTER, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        return "done" not in process.stdout.read()


def filled(kind: str, folder: Path) -> str:
    texts = tuple(Passage(f"c{i}", f"Clean {i}.", meta={"i": i}) for i in range(40))
    batch = Batch(texts, np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32))
    if kind == "chroma":
        create_chroma(folder / "db", "docs", batch).close()
        return f"chroma:{folder / 'db'}#docs"
    if kind == "sqlite":
        create_sqlite(folder / "docs.sqlite", "docs", batch).close()
        return f"sqlite:{folder / 'docs.sqlite'}#docs"
    (folder / "docs.jsonl").touch()
    with open_store(f"jsonl:{folder / 'docs.jsonl'}", writable=True) as store:
        store.add(batch)
    return f"jsonl:{folder / 'docs.jsonl'}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n_kills", "longest_s"), [("jsonl", 10, 0.25), ("sqlite", 10, 0.1), ("chroma", 6, 0.8)]
)
def test_killed_at_any_point_a_clean_up_still_brings_the_store_back(
    kind: str, n_kills: int, longest_s: float, tmp_path: Path
) -> None:
    url = filled(kind, tmp_path)
    with open_store(url) as store:
        before = state_of(store)
    pauses = random.Random(3)
    n_cut = 0
    for kill in range(n_kills):
        manifest = tmp_path / f"{kill}.json"
        n_cut += killed_within(pauses.uniform(0, longest_s), url, manifest, 300, "plant")
        if not manifest.exists():  # killed while the store was read: nothing was planted
            with open_store(url) as store:
                assert state_of(store) == before
            continue
        n_cut += killed_within(pauses.uniform(0, longest_s / 2), url, manifest, 300, "clean")
        with open_store(url, writable=True) as store:
            done = clean_up(store, manifest)
        assert done.is_as_before, f"kill {kill}"
        assert done.before == before
    assert n_cut >= n_kills // 2
