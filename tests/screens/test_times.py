from __future__ import annotations

import pytest

from ragshield.records import Passage
from ragshield.screens.times import arrival

NOON = 1_709_294_400.0  # 2024-03-01 12:00 UTC


@pytest.mark.parametrize(
    "value",
    [
        "2024-03-01T12:00:00Z",
        "2024-03-01T13:00:00+01:00",
        "2024-03-01 12:00:00",
        1709294400,
        1709294400.0,
        1709294400000,
        1709294400000000,
        "1709294400",
        "1709294400000",
    ],
)
def test_a_time_is_read_in_every_common_form(value) -> None:
    assert arrival(Passage("a", "x", None, {"created_at": value})) == NOON


@pytest.mark.parametrize(
    "value",
    [None, True, "", "yesterday", "2024", 7, -5, "3.14", float("nan"), float("inf"), 10**400],
)
def test_what_is_no_time_is_none(value) -> None:
    assert arrival(Passage("a", "x", None, {"timestamp": value})) is None


def test_a_day_is_a_time_and_the_most_telling_key_is_read() -> None:
    meta = {"date": "1999-01-01", "Ingested-At": "20240301"}
    assert arrival(Passage("a", "x", None, meta)) == NOON - 12 * 3600
    assert arrival(Passage("a", "x", None, {"page": 3})) is None
    assert arrival(Passage("a", "x")) is None
