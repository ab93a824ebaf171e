from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest

from ragshield.errors import UsageError


def test_passages_grow_surer_over_time_and_sources(craft) -> None:
    passages = craft("slow-drip", n=5, every_days=30, start="2024-02-28")
    days = [date.fromisoformat(str(p.meta["date"])) for p in passages]
    gaps = [(b - a).days for a, b in pairwise(days)]
    assert days[0] >= date(2024, 2, 28)
    assert all(20 <= gap <= 40 for gap in gaps)
    assert [p.meta["step"] for p in passages] == [1, 3, 5, 8, 10]
    assert len({p.source for p in passages}) == 5


def test_a_single_passage_is_the_surest(craft) -> None:
    assert craft("slow-drip", n=1)[0].meta["step"] == 10


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": "soon"}, "Invalid isoformat string: 'soon'"),
        ({"every_days": 0}, "every_days is 0"),
        ({"n": 11}, "n is 11; there are 10 steps"),
    ],
)
def test_what_is_out_of_range_is_refused(craft, params, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        craft("slow-drip", **params)
