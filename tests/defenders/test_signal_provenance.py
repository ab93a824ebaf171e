from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ragshield.defenders.fused_model import model
from ragshield.defenders.signal_provenance import added_s, provenance
from ragshield.records import Hit, MetaValue, Passage

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


def hits(*metas: dict[str, MetaValue], sources: list[str | None] | None = None) -> list[Hit]:
    named = sources or [None] * len(metas)
    return [
        Hit(Passage(f"p{i}", f"text {i}", source, meta), 0.5)
        for i, (meta, source) in enumerate(zip(metas, named, strict=True))
    ]


def alike(k: int, *pairs: tuple[int, int]) -> np.ndarray:
    found = np.zeros((k, k))
    np.fill_diagonal(found, -1.0)
    for i, j in pairs:
        found[i, j] = found[j, i] = 0.9
    return found


@pytest.mark.parametrize(
    "value",
    ["2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T02:00:00+02:00", 2024, "2024",
     NEW_YEAR, NEW_YEAR * 1e3, int(NEW_YEAR * 1e6), str(NEW_YEAR)],
)  # fmt: skip
def test_dates_are_read_in_the_usual_spellings(value: MetaValue) -> None:
    assert added_s(Passage("p", "", None, {"created_at": value})) == pytest.approx(NEW_YEAR)


@pytest.mark.parametrize("value", [None, True, "", "soon", 7, -3.0, float("nan"), float("inf")])
def test_what_is_no_date_says_nothing(value: MetaValue) -> None:
    assert added_s(Passage("p", "", None, {"date": value})) is None


def test_a_hit_added_long_after_all_others_is_late_and_only_that_one() -> None:
    dates = ["2019-03-01", "2019-05-01", "2020-01-01", "2019-08-01", "2024-06-01"]
    found = provenance(hits(*({"date": d} for d in dates)), alike(5))
    assert found["late"].tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_a_store_that_grows_evenly_has_no_late_hit() -> None:
    found = provenance(hits(*({"date": f"20{y}-01-01"} for y in range(15, 25))), alike(10))
    assert found["late"].tolist() == [0.0] * 10


def test_hits_of_one_source_that_say_the_same_stand_out_among_other_sources() -> None:
    given = hits({}, {}, {}, {}, {}, sources=["a", "b", "c", "mallory", "mallory"])
    assert provenance(given, alike(5, (3, 4)))["one_source"].tolist() == [0, 0, 0, 1, 1]
    assert provenance(given, alike(5))["one_source"].tolist() == [0.0] * 5


@pytest.mark.parametrize(
    "sources",
    [list("abcde"), ["a"] * 5, [None] * 5, ["a", "a", None, None, None], ["a", "a", "a", "b", "c"]],
)
def test_sources_that_are_missing_alone_or_usual_say_nothing(sources: list[str | None]) -> None:
    given = hits({}, {}, {}, {}, {}, sources=sources)
    found = provenance(given, alike(5, (0, 1), (1, 2), (3, 4)))
    assert found["one_source"].tolist() == [0.0] * 5


def test_without_metadata_every_value_is_exactly_0() -> None:
    found = provenance(hits({}, {}, {}, {}, {}), alike(5, (0, 1)))
    assert {name: values.tolist() for name, values in found.items()} == {
        "late": [0.0] * 5,
        "one_source": [0.0] * 5,
    }


def test_origin_alone_can_never_drop_a_hit() -> None:
    weights = model().weights
    assert 0.0 < weights["late"] + weights["one_source"] <= 1.0
    # What a hit with no other sign has, on a retrieval that is about the question.
    quiet = model().bias + weights.get("plain", 0.0) + weights["shared_topic"]
    assert quiet + weights["late"] + weights["one_source"] < -1.0
