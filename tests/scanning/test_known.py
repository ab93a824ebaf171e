"""An incremental scan speaks of new and changed passages alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.scanning import scan
from ragshield.stores.memory import MutableMemoryStore


class Every:
    """Finds every passage it is shown, and remembers which."""

    name = "every"

    def __init__(self) -> None:
        self.shown: list[str] = []

    def screen(self, batch: Batch) -> list[Finding]:
        self.shown += [p.id for p in batch.passages]
        return [Finding(p.id, 0.9, self.name, Action.KEEP, "there") for p in batch.passages]


@pytest.fixture
def rows() -> tuple[list[Passage], np.ndarray]:
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    return [Passage(f"p{i}", f"text {i}", meta={"page": i}) for i in range(30)], vectors


def store_of(passages: list[Passage], vectors: np.ndarray) -> MutableMemoryStore:
    store = MutableMemoryStore("memory:docs")
    store.add(Batch(tuple(passages), vectors))
    return store


def test_only_new_and_changed_passages_are_judged_and_listed(rows, tmp_path: Path) -> None:
    passages, vectors = rows
    state = tmp_path / "docs.state"
    first = scan(store_of(passages, vectors), [Every()], known=state)
    assert (first.n_new, len(first.findings)) == (30, 30)
    again = scan(store_of(passages, vectors), [Every()], known=state)
    assert (again.n_new, again.findings, again.n_passages) == (0, (), 30)

    passages[3] = Passage("p3", "another text", meta={"page": 3})
    passages[5] = Passage("p5", "text 5", meta={"page": 6})
    vectors[9] += 0.5
    passages.append(Passage("late", "new"))
    vectors = np.vstack([vectors, vectors[:1] * 2])
    order = np.random.default_rng(1).permutation(31)
    every = Every()
    changed = store_of([passages[i] for i in order], vectors[order])
    report = scan(changed, [every], known=state)
    assert report.n_new == 4
    assert sorted(every.shown) == ["late", "p3", "p5", "p9"]
    assert sorted(f.passage_id for f in report.findings) == ["late", "p3", "p5", "p9"]
    assert scan(changed, [Every()], known=state).n_new == 0


def test_groups_are_found_with_old_passages_and_listed_for_new_ones(rows, tmp_path: Path) -> None:
    passages, vectors = rows
    rng = np.random.default_rng(4)
    state = tmp_path / "docs.state"
    for n in (2, 3):
        passages += [
            Passage(f"g{n}{i}", f"Orrin Vale founded the guild of Tarn in {word} year.")
            for i, word in enumerate(["one", "that", "some"][:n])
        ]
        near = np.eye(8)[:1] * 3 + 0.02 * rng.normal(size=(n, 8))
        vectors = np.vstack([vectors, near]).astype(np.float32)
        report = scan(store_of(passages, vectors), ["near-duplicates"], threshold=0.1, known=state)
    assert {f.passage_id for f in report.findings} == {"g30", "g31", "g32"}
    assert report.findings[0].evidence["n_passages"] == 5


def test_an_incomplete_scan_does_not_make_passages_known(rows, tmp_path: Path) -> None:
    class Failing(Every):
        def screen(self, batch: Batch) -> list[Finding]:
            raise KeyError("colour")

    state = tmp_path / "docs.state"
    report = scan(store_of(*rows), [Failing(), "question-echo"], known=state)
    assert report.problem == "screen 'every' failed: KeyError: 'colour'"
    assert report.screens == ("question-echo",)
    assert not state.exists()


def test_a_file_that_is_no_state_is_refused(rows, tmp_path: Path) -> None:
    state = tmp_path / "docs.state"
    state.write_text("hello")
    with pytest.raises(InputError, match="is no state of an earlier scan"):
        scan(store_of(*rows), [Every()], known=state)
    np.savez((tmp_path / "other.npz").open("wb"), schema="other/1")
    with pytest.raises(InputError, match="its schema is other/1"):
        scan(store_of(*rows), [Every()], known=tmp_path / "other.npz")
    with pytest.raises(UsageError, match=r"the folder .* does not exist"):
        scan(store_of(*rows), [Every()], known=tmp_path / "no" / "state")
