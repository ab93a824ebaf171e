from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ragshield
from ragshield import registry
from ragshield.rarity import at_least, rarities
from ragshield.records import Action, Finding


def found(values: list[float], screen: str = "question-echo", group: str | None = None):
    return [Finding(f"p{i}", v, screen, Action.KEEP, "", group) for i, v in enumerate(values)]


def worth(values: list[float], n: int, *, screen: str = "question-echo") -> list[float]:
    findings = found(values, screen)
    rarity = rarities(screen, findings, n)
    return [rarity(finding) for finding in findings]


def test_what_honest_passages_set_off_often_is_worth_less_than_what_they_hardly_do() -> None:
    assert worth([0.6], 100_000, screen="hidden-text")[0] > 0.8
    assert worth([0.6], 100_000, screen="near-duplicates")[0] < 0.65
    assert worth([0.3], 100_000, screen="near-duplicates")[0] < 0.3


def test_more_than_elsewhere_is_no_chance_and_much_more_is_a_habit() -> None:
    few, many, habit = (worth([0.6] * n, 100_000)[0] for n in (20, 100, 4000))
    assert few < many
    assert habit < 0.1


def test_a_group_is_one_accusation_of_the_habit() -> None:
    apart = worth([0.9] * 900, 100_000)[0]
    grouped = found([0.9] * 900, group="one")
    assert rarities("question-echo", grouped, 100_000)(grouped[0]) > apart


def test_a_small_store_is_measured_as_a_large_one() -> None:
    assert worth([0.8], 60)[0] == pytest.approx(worth([0.8], 100_000)[0], abs=0.12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.integers(1, 300_000))
def test_who_is_accused_more_is_worth_no_less(values: list[float], n: int) -> None:
    for screen in ("question-echo", "a screen of others"):
        order = worth(sorted(values), n, screen=screen)
        assert order == sorted(order)
        assert all(0 <= value <= 1 for value in order)


def test_the_rates_are_those_of_screens_that_exist_and_fall_with_the_suspicion() -> None:
    path = Path(ragshield.__file__).with_name("usual_rates.toml")
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(table["rates"]) <= set(registry.names("screen"))
    for rates in table["rates"].values():
        assert len(rates) == len(table["levels"])
        assert sorted(rates, reverse=True) == rates


def test_values_not_smaller_are_counted() -> None:
    assert at_least([0.1, 0.5, 0.5, 0.9], 0.5) == 3
