"""Out of the store, into quarantine and back: nothing is lost, wherever it is killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError, UsageError
from ragshield.isolation import isolate, restore
from ragshield.quarantine import Quarantine
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.stores.memory import MutableMemoryStore

N = 6


def _batch(n: int = N) -> Batch:
    passages = tuple(Passage(f"p{i}", f"text {i}", f"source {i}", {"page": i}) for i in range(n))
    return Batch(passages, np.eye(n, 8, dtype=np.float32) + 0.25)


def _reasons(*ids: str) -> dict[str, list[Finding]]:
    return {x: [Finding(x, 0.9, "test", Action.DROP, "looks planted")] for x in ids}


@pytest.fixture
def store() -> MutableMemoryStore:
    return MutableMemoryStore("memory:", _batch())


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine.jsonl")


def _contents(store: MutableMemoryStore) -> dict[str, tuple[Passage, bytes]]:
    found = {}
    for batch in store.batches():
        assert batch.vectors is not None
        for passage, vector in zip(batch.passages, batch.vectors, strict=True):
            found[passage.id] = (passage, vector.tobytes())
    return found


def test_what_was_isolated_comes_back_as_it_was(
    store: MutableMemoryStore, quarantine: Quarantine
) -> None:
    before = _contents(store)
    done = isolate(store, quarantine, _reasons("p1", "gone", "p4"))
    assert (done.n_isolated, done.missing) == (2, ("gone",))
    assert set(_contents(store)) == {"p0", "p2", "p3", "p5"}
    assert [item.store for item in quarantine.list()] == ["memory:", "memory:"]
    assert restore(store, quarantine, ["p4", "p1"]) == 2
    assert _contents(store) == before
    assert quarantine.list() == []


def test_an_isolation_that_stopped_before_the_deletion_is_finished_by_the_same_call(
    store: MutableMemoryStore, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(ids: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "delete", die)
    with pytest.raises(KeyboardInterrupt):
        isolate(store, quarantine, _reasons("p1"))
    monkeypatch.undo()
    assert "p1" in _contents(store)
    isolate(store, quarantine, _reasons("p1"))
    assert "p1" not in _contents(store)
    assert [item.passage.id for item in quarantine.list()] == ["p1"]


def test_a_release_that_stopped_after_the_addition_is_finished_by_the_same_call(
    store: MutableMemoryStore, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _contents(store)
    isolate(store, quarantine, _reasons("p1", "p2"))

    def die(ids: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(quarantine, "release", die)
    with pytest.raises(KeyboardInterrupt):
        restore(store, quarantine, ["p1", "p2"])
    monkeypatch.undo()
    assert restore(store, quarantine, ["p1", "p2"]) == 0
    assert _contents(store) == before
    assert quarantine.list() == []


def test_another_text_under_the_id_is_never_overwritten(
    store: MutableMemoryStore, quarantine: Quarantine
) -> None:
    isolate(store, quarantine, _reasons("p1", "p2"))
    store.add(Batch((Passage("p2", "another"),), np.ones((1, 8), dtype=np.float32)))
    with pytest.raises(InputError, match="another text under id 'p2'"):
        restore(store, quarantine, ["p1", "p2"])
    assert "p1" not in _contents(store)
    assert len(quarantine.list()) == 2


def test_what_was_held_without_a_vector_is_not_put_into_a_store_with_vectors(
    store: MutableMemoryStore, quarantine: Quarantine
) -> None:
    quarantine.hold((Passage("x", "text"),), _reasons("x"))
    with pytest.raises(InputError, match="held without a vector"):
        restore(store, quarantine, ["x"])
    with pytest.raises(UsageError, match="not held"):
        restore(store, quarantine, ["p0"])


_WORK = """
import sys
from pathlib import Path
from ragshield.isolation import isolate, restore
from ragshield.quarantine import Quarantine
from ragshield.records import Action, Finding
from ragshield.stores.url import open_store
url, held = sys.argv[1], Quarantine(Path(sys.argv[2]))
why = {x: [Finding(x, 0.9, "test", Action.DROP, "looks planted")] for x in ("p1", "p3")}
print("ready", flush=True)
for _ in range(1000):
    with open_store(url, writable=True) as store:
        isolate(store, held, why)
    with open_store(url, writable=True) as store:
        restore(store, held, ["p1", "p3"])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process by signal")
def test_killed_anywhere_every_passage_is_in_the_store_or_held(tmp_path: Path) -> None:
    from ragshield.stores.url import open_store

    path, held = tmp_path / "store.jsonl", tmp_path / "quarantine.jsonl"
    path.write_text("")
    url = f"jsonl:{path}"
    with open_store(url, writable=True) as store:
        store.add(_batch())
    rng = random.Random(5)
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", _WORK, url, str(held)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            child.wait(rng.uniform(0.0, 0.15))
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        child.stdout.close()
        with open_store(url) as store:
            stored = {p.id: p for batch in store.batches() for p in batch.passages}
        waiting = {item.passage.id: item.passage for item in Quarantine(held).list()}
        assert {**stored, **waiting} == {p.id: p for p in _batch().passages}
    with open_store(url, writable=True) as store:
        restore(store, Quarantine(held), list(waiting))
        assert store.count() == N
        found = store.get([f"p{i}" for i in range(N)])
        assert found.vectors is not None
        np.testing.assert_array_equal(found.vectors, _batch().vectors)
