"""Many requests planned together: the same plans, in as many readings as one of them needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError, UsageError
from ragshield.forget import asked, overlaps, plan_forget, plan_requests
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore
from ragshield.stores.sqlite import create_sqlite
from ragshield.stores.url import open_store

REQUESTS = [
    {"ids": ["ada-1"]},
    {"ids": ["brackwater", "filler-3"], "shared": "report"},
    {"subject": "Ada Lindqvist"},
    {"subject": "Ada Lindqvist", "exceptions": ["Ada Lindqvist founded the rope works"]},
    {"texts": ["Tannow got its rope works in 1820; it was founded beside the northern quay."]},
    {"texts": ["The rope works of Tannow were founded in 1820."], "scope": "fact"},
    {"where": {"page": {"$gt": 50}}, "shared": "forget"},
    {"sentence": "Forget everything about Bror Lindqvist."},
]


class Counting(MemoryStore):
    """Counts how often it is read."""

    n_readings = 0
    with_vectors = True

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        self.n_readings += 1
        return map(self._shown, super().batches(size))

    def get(self, ids: Sequence[str]) -> Batch:
        return self._shown(super().get(ids))

    def _shown(self, batch: Batch) -> Batch:
        return batch if self.with_vectors else Batch(batch.passages, None)


def _alike(plan):
    return replace(plan, created="", cost=None)


@pytest.mark.parametrize("with_vectors", [True, False])
def test_planned_together_each_plan_is_the_one_made_alone(town, with_vectors) -> None:
    store = Counting("memory:town", town)
    store.with_vectors = with_vectors
    alone, most = [], 0
    for request in REQUESTS:
        before = store.n_readings
        alone.append(_alike(plan_forget(store, **request)))
        most = max(most, store.n_readings - before)
    before = store.n_readings
    together = plan_requests(store, [asked(**request) for request in REQUESTS])
    assert [_alike(plan) for plan in together] == alone
    assert store.n_readings - before == most
    assert any("ada-copy" in {item.passage_id for item in plan.selected} for plan in together)


def test_a_hundred_requests_read_the_store_as_often_as_one(town) -> None:
    store = Counting("memory:town", town)
    plan_forget(store, ids=["filler-0"])
    once = store.n_readings
    plans = plan_requests(
        store, [asked(ids=[f"filler-{i % 50}"], shared="keep") for i in range(100)]
    )
    assert store.n_readings - once == once
    assert [plan.selected[0].passage_id for plan in plans] == [
        f"filler-{i % 50}" for i in range(100)
    ]
    assert len(overlaps(plans[:51])) == 1


def test_other_collections_are_looked_into_for_every_request(town, tmp_path: Path) -> None:
    create_sqlite(tmp_path / "db.sqlite", "docs", town).close()
    copies = tuple(
        Passage(f"copy-of-{p.id}", p.text) for p in town.passages if p.id in ("ada-1", "bror")
    )
    vectors = np.ones((2, town.vectors.shape[1]), dtype=np.float32)
    create_sqlite(tmp_path / "db.sqlite", "mail", Batch(copies, vectors)).close()
    with open_store(f"sqlite:{tmp_path}/db.sqlite#docs") as store:
        plans = plan_requests(store, [asked(ids=[x]) for x in ("ada-1", "bror", "brackwater")])
    found = [[i.passage_id for o in plan.elsewhere for i in o.selected] for plan in plans]
    assert found == [["copy-of-ada-1"], ["copy-of-bror"], []]


def test_says_which_request_cannot_be_planned(town) -> None:
    store = MemoryStore("memory:town", town)
    with pytest.raises(InputError, match=r"request 2 of 3: .* does not hold 1 of 1 ids: 'nobody'"):
        plan_requests(store, [asked(ids=[x]) for x in ("ada-1", "nobody", "bror")])
    with pytest.raises(UsageError, match=r"request 1 of 2: no passage of .* mentions 'Zoe Zult'"):
        plan_requests(store, [asked(subject="Zoe Zult"), asked(ids=["bror"])])
    many = [p.id for p in town.passages if p.id.startswith("filler")]
    with pytest.raises(UsageError, match=r"request 2 of 2: the plan would delete 50 of 58"):
        plan_requests(store, [asked(ids=["bror"]), asked(ids=many)])
