"""The constants of the ranking, chosen again for each family without it and its kin."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ragshield import ranking, rarity
from ragshield.records import Action, Finding

Each: TypeAlias = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]
BUDGETS = (0.001, 0.002, 0.01)
_KIN = {
    "attack poisonedrag": "poisonedrag",
    "attack synonyms": "poisonedrag",
    "attack garag": "garag",
    "attack edited-fact": "edited",
    "BIPIA payloads": "injection",
    "attack injection": "injection",
    "attack hijackrag": "injection",
}


@dataclass(frozen=True)
class Constants:
    """A setting of the ranking's constants."""

    spike: float
    habitual: float
    damping: float


CHOSEN = Constants(rarity._SPIKE, rarity._HABITUAL, ranking._DAMPING)
DICTIONARIES = ("wordnet", "gcide", "foldoc")


def candidates(*, quick: bool) -> list[Constants]:
    """The settings that are tried."""
    if quick:
        return [CHOSEN, Constants(0.0, 0.001, 0.5)]
    grid = itertools.product((0.0, 0.5, 1.0), (0.001, 0.002, 0.005), (0.5,))
    return [Constants(*values) for values in grid]


def kin(family: str) -> str:
    """Families that stand or fall together: with and without the question, and so on."""
    if family in _KIN:
        return _KIN[family]
    if family.startswith("edited "):
        return "edited"
    name = family.removesuffix(" + question").removeprefix("attack ")
    return name.split(",")[0].split(":")[0]


def held_out(
    rows: Sequence[dict[str, Any]], tried: Sequence[Constants], each: Each = map
) -> dict[str, Any]:
    """By family and kind, recall with the constants that suit all other families best.

    The draws that peers saw, too; the best have the highest mean recall at 0.2 %. `each` is
    `map`, or one that works in several processes.
    """
    used = [row for row in rows if row["peers"]]
    found = {c: list(each(partial(_recalls, constants=c), used)) for c in tried}
    out: dict[str, Any] = {}
    for i, row in enumerate(used):
        others = [j for j, other in enumerate(used) if kin(other["family"]) != kin(row["family"])]
        by_mean = {c: float(np.mean([found[c][j][1] for j in others or [i]])) for c in tried}
        best = max(tried, key=lambda c: by_mean[c])
        out[f"{row['family']} / {row['kind']}"] = {
            "recall": found[best][i],
            "constants": [best.spike, best.habitual, best.damping],
        }
    means = {
        str([c.spike, c.habitual, c.damping]): [
            float(np.mean([r[b] for r in found[c]])) for b in range(len(BUDGETS))
        ]
        for c in tried
    }
    return {"families": out, "means": means}


def transferred(
    rows: Sequence[dict[str, Any]],
    honest: Sequence[Sequence[Any]],
    ids: Sequence[str],
    each: Each = map,
) -> list[dict[str, Any]]:
    """Recall in each half of the store, ranked with the usual rates of either half.

    The halves are unlike: dictionaries, and manual pages with other documents. Their findings
    are those of the whole store.

    Args:
        rows: the draws that are measured.
        honest: what the screens find where nothing is planted: as `compact` gives it.
        ids: of the honest passages.
        each: see `held_out`.
    """
    n_of = {half: sum(_half(name) == half for name in ids) for half in (True, False)}
    rates = {half: _rates([f for f in honest if _half(f[0]) == half], n_of[half]) for half in n_of}
    out = []
    for half, n in n_of.items():
        for of in (half, not half):
            recalls = partial(_recalls, constants=CHOSEN, half=half, n=n, rates=rates[of])
            found = list(each(recalls, rows))
            names = ("documentation", "dictionaries")
            out.append(
                {
                    "store": names[half], "rates": names[of], "n": n,
                    "recall": [float(np.mean([r[b] for r in found])) for b in range(len(BUDGETS))],
                }
            )  # fmt: skip
    return out


def _half(name: str) -> bool:
    return name.split("-")[0] in DICTIONARIES


def _rates(honest: Sequence[Sequence[Any]], n: int) -> dict[str, dict[float, float]]:
    levels = (0.25, 0.5, 0.75)
    out: dict[str, dict[float, float]] = {}
    for screen in rarity._usual_rates():
        own = [suspicion for _, suspicion, detector, _ in honest if detector == screen]
        counts = [max(sum(s >= level for s in own), 0.5) for level in levels]
        rates = [float(f"{count / n:.0e}") for count in (*counts, 0.5)]
        out[screen] = dict(zip((*levels, 1.0), rates, strict=True))
    return out


def _recalls(
    row: dict[str, Any],
    constants: Constants,
    *,
    half: bool | None = None,
    n: int | None = None,
    rates: dict[str, dict[float, float]] | None = None,
) -> list[float]:
    planted = row["findings"]["planted"]
    n = row["n_store"] if n is None else n + len(planted)
    findings = [
        Finding(name, suspicion, detector, Action.KEEP, "", group)
        for name, suspicion, detector, group in row["findings"]["found"]
        if half is None or name in planted or _half(name) == half
    ]
    with _set(constants, rates):
        # Of equals the honest come first, as they do in the store.
        ranked = ranking.fused(findings, n, lambda name: int(name in planted))
    at = [i for i, finding in enumerate(ranked) if finding.passage_id in planted]
    return [sum(i < int(b * n + 1e-9) for i in at) / len(planted) for b in BUDGETS]


@contextmanager
def _set(
    constants: Constants, rates: dict[str, dict[float, float]] | None = None
) -> Iterator[None]:
    places = ((rarity, "_SPIKE"), (rarity, "_HABITUAL"), (ranking, "_DAMPING"))
    before = [getattr(module, name) for module, name in places]
    usual = rarity._usual_rates
    values = (constants.spike, constants.habitual, constants.damping)
    try:
        for (module, name), value in zip(places, values, strict=True):
            setattr(module, name, value)
        if rates is not None:
            rarity._usual_rates = lambda: rates  # type: ignore[assignment]
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)
        rarity._usual_rates = usual
