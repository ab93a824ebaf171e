"""Markdown tables of rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from guard_cells import OTHER, REGIMES

Table = dict[str, dict[str, Any]]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [list(head), ["---"] * len(head), *map(list, lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def short(rate: dict[str, Any] | None, digits: int = 2) -> str:
    """`.95`, `1.00`, or `-` where nothing was counted."""
    if rate is None or rate["value"] is None:
        return "-"
    return f"{rate['value']:.{digits}f}".removeprefix("0")


def full(rate: dict[str, Any] | None, digits: int = 3) -> str:
    """`0.950 [0.912, 0.973] n=200`, or `-`."""
    if rate is None or rate["value"] is None:
        return "-"
    value, low, high = (f"{rate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}] n={rate['n']}"


def cells_of(rows: Table, *, prefixed: bool) -> list[str]:
    """The cells that any row has, in order: regimes, then doses; attack-free ones always."""
    names = {name for cells in rows.values() for name in cells}
    kept = [n for n in names if (n.endswith("+q") if prefixed else not n.endswith("+q"))]
    if prefixed:
        kept += [n for n in names if n.endswith((" 0", OTHER))]
    return sorted(set(kept), key=place)


def place(cell: str) -> tuple[int, int, str]:
    """Where a cell such as `c20 5+q` stands."""
    regime, _, dose = cell.partition(" ")
    at = REGIMES.index(regime) if regime in REGIMES else len(REGIMES)
    number = dose.removesuffix("+q")
    return at, int(number) if number.isdigit() else -1, cell


def rates(rows: dict[str, Any], metrics: Sequence[str]) -> str:
    """One line for each set, every rate with its interval and n."""
    names = [metric.replace("_", " ") for metric in metrics]
    lines = [[name, *(full(cell.get(m)) for m in metrics)] for name, cell in rows.items()]
    return table(["set", *names], lines)


def removal(cell: dict[str, Any] | None) -> str:
    """`recall / clean loss / exact` of one cell; clean loss alone where nothing is poisoned."""
    if cell is None:
        return "-"
    if cell["recall"]["value"] is None:
        return short(cell["loss"], 3)
    return f"{short(cell['recall'])} / {short(cell['loss'], 3)} / {short(cell['exact'])}"


def answers(cell: dict[str, Any] | None) -> str:
    """`attack success / accuracy` of one cell."""
    if cell is None or "accuracy" not in cell:
        return "-"
    return f"{short(cell['attack_success'])} / {short(cell['accuracy'])}"


def by_family(rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`poisonedrag / a 1` to the family and then the cell."""
    found: dict[str, dict[str, Any]] = {}
    for name, cell in rows.items():
        family, _, where = name.partition(" / ")
        found.setdefault(family, {})[where] = cell
    return found
