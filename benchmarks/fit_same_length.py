"""Fits the weights of `same-length`, and again without each family and each data set.

python benchmarks/fit_same_length.py    about five minutes; writes results/same_length.md

A set of honest passages, or of passages that are mostly poison, is one example. What weights
are worth is told by the planted passages in sets that come before the tenth honest set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from guard_tables import table
from numpy.typing import NDArray
from scan_detection import Draw, world_of
from scan_detection_heldout import kin
from scan_detection_world import Store, planted
from sklearn.linear_model import LogisticRegression

from ragshield.intervals import clustered_rate
from ragshield.screens import same_length
from ragshield.screens.apart import READ_CHARS, gaps, words_around
from ragshield.screens.lengths import UsualLengths, even_sets
from ragshield.screens.likeness import common_ground
from ragshield.screens.neighbours import usual_similarity
from ragshield.screens.shape import DEPTH

OUT = Path(__file__).resolve().parent / "results" / "same_length.md"
FIT_AT, TOLD_AT = 60, 200
HONEST_BEFORE = 10
KINDS = ("five", "trigger")
NAMES = ("evenness", "gap", "own words", "members")
SHIPPED = (same_length._EVEN, same_length._GAP, same_length._OWN, same_length._SIZE)
Weigh: TypeAlias = Callable[[Sequence["Example"]], NDArray[np.float64]]


@dataclass(frozen=True)
class Example:
    """A set of rows with its signs, cut off as the screen cuts them."""

    rows: tuple[int, ...]
    signs: tuple[float, ...]
    verbatim: float
    keys: tuple[str, ...] = ()

    @property
    def of_poison(self) -> bool:
        """Whether three members or more are planted."""
        return len(self.keys) >= 3


def examples(store: Store, n_words: NDArray[np.int32], draw: Draw | None = None) -> list[Example]:
    """The even sets of a store; with a draw, those alone that hold something planted."""
    near = usual_similarity(store, depth=DEPTH)
    usual = UsualLengths(store, n_words)
    cut = float(near.median[-1] - 0.5 * near.spread[-1])
    found = []
    for rows in even_sets(store, n_words, usual, cut=cut, least_words=same_length._LEAST_WORDS):
        keys = (
            ()
            if draw is None
            else tuple(draw.keys[r - store.n_honest] for r in rows if r >= store.n_honest)
        )
        if draw is not None and not keys:
            continue
        array = np.array([rows], dtype=np.intp)
        texts = [p.text[:READ_CHARS] for p in store.passages(rows)]
        own = same_length._own_words(texts, words_around(store, rows))
        signs = (
            float(np.clip(usual.evenness(n_words[array])[0], -1, 5)),
            float(np.clip(gaps(store, array)[0] / near.spread[0], -1.3, same_length._WIDEST)),
            float(np.log1p(min(len(own), same_length._MOST_OWN))),
            float(min(len(rows), 5)),
        )
        found.append(Example(rows, signs, common_ground(texts).verbatim, keys))
    return found


def signs_of(given: Iterable[Example]) -> NDArray[np.float64]:
    """(n, 4)."""
    return np.array([e.signs for e in given], dtype=np.float64).reshape(-1, len(NAMES))


def weighed(weights: NDArray[np.float64], offset: float) -> Weigh:
    """How suspicious sets are by these weights, as the screen reckons it."""

    def suspicion(given: Sequence[Example]) -> NDArray[np.float64]:
        plain = 1 / (1 + np.exp(offset - signs_of(given) @ weights))
        return np.asarray(plain * np.interp([e.verbatim for e in given], (0.08, 0.3), (1, 0)))

    return suspicion


def fit(honest: Sequence[Example], poison: Sequence[Example]) -> tuple[NDArray[np.float64], float]:
    """Weights and offset; sets that share runs of words are nobody's example."""
    kept = [e for e in honest if e.verbatim < 0.3]
    of_poison = [e for e in poison if e.of_poison and e.verbatim < 0.3]
    model = LogisticRegression(max_iter=3000)
    model.fit(signs_of([*kept, *of_poison]), [0] * len(kept) + [1] * len(of_poison))
    return np.asarray(model.coef_[0]), -float(model.intercept_[0])


def told(
    weigh: Weigh, honest: Sequence[Example], tests: Sequence[tuple[Draw, list[Example]]]
) -> str:
    """Share of what is planted that comes before the tenth honest set, with its interval."""
    least = np.sort(weigh(honest))[-HONEST_BEFORE]
    pairs: list[tuple[int, int]] = []
    for draw, given in tests:
        n_of = {key: draw.keys.count(key) for key in draw.keys}
        hit = dict.fromkeys(n_of, 0)
        for example, value in zip(given, weigh(given), strict=True):
            for key in example.keys if value > least else ():
                hit[key] += 1
        pairs += [(hit[key], n_of[key]) for key in n_of]
    return str(clustered_rate(pairs))


def main() -> None:
    world = world_of(100_000, False, (FIT_AT, TOLD_AT), with_peers=False, folder=None)
    screen = same_length.SameLength()
    n_words = np.concatenate([screen.read(world.store, part) for part in world.store.parts()])
    honest = examples(world.store, n_words)
    found: dict[tuple[str, int], tuple[Draw, list[Example]]] = {}
    for draw in world.draws:
        if draw.kind not in KINDS or draw.size not in (FIT_AT, TOLD_AT):
            continue
        store = planted(
            world.store, draw.passages, world.encoder.encode([p.text for p in draw.passages])
        )
        new = screen.read(store, range(len(world.store), len(store)))
        found[draw.family, draw.size] = draw, examples(store, np.concatenate([n_words, new]), draw)
        print(draw.family, draw.size, file=sys.stderr, flush=True)
    OUT.write_text(report(honest, found), encoding="utf-8")


def report(
    honest: Sequence[Example], found: dict[tuple[str, int], tuple[Draw, list[Example]]]
) -> str:
    """The page: weights and what they tell, all of them and without each family or data set."""
    fitted_on = {name: given for (name, size), given in found.items() if size == FIT_AT}
    tested_on = {name: given for (name, size), given in found.items() if size == TOLD_AT}
    every = [e for _, given in fitted_on.values() for e in given]
    shipped = weighed(np.array(SHIPPED), same_length._OFFSET)
    rows: list[list[Any]] = []
    for name, test in tested_on.items():
        others = [e for f, (_, given) in fitted_on.items() if kin(f) != kin(name) for e in given]
        weights, offset = fit(honest, others)
        rows.append(
            [
                name, told(shipped, honest, [test]), told(weighed(weights, offset), honest, [test]),
                ", ".join(f"{w:.1f}" for w in weights),
            ]
        )  # fmt: skip
    weights, _ = fit(honest, every)
    by_set = []
    for name in sorted(
        {key.split("-")[0] for draw, _ in tested_on.values() for key in draw.keys if "-" in key}
    ):
        others = [e for e in every if e.keys and e.keys[0].split("-")[0] != name]
        own, offset = fit(honest, others)
        tests = [_only(test, name) for test in tested_on.values()]
        tests = [test for test in tests if test[0].keys]
        by_set.append(
            [
                name, told(shipped, honest, tests), told(weighed(own, offset), honest, tests),
                ", ".join(f"{w:.1f}" for w in own),
            ]
        )  # fmt: skip
    head = ["share found", "fitted without", f"weights of {', '.join(NAMES)}"]
    return PAGE.format(
        n=len(honest), n_poison=sum(e.of_poison for e in every),
        weights=", ".join(f"{w:.2f}" for w in weights),
        shipped=", ".join(f"{w:.1f}" for w in SHIPPED),
        families=table(["family", *head], rows), sets=table(["data set", *head], by_set),
    )  # fmt: skip


def _only(test: tuple[Draw, list[Example]], name: str) -> tuple[Draw, list[Example]]:
    """What of a draw is about questions of one data set."""
    draw, given = test
    keys = tuple(key for key in draw.keys if key.split("-")[0] == name and "-" in key)
    kept = [e for e in given if e.keys and e.keys[0] in keys]
    reduced = Draw(draw.family, draw.kind, draw.size, draw.passages, keys, draw.peers)
    return reduced, [
        Example(e.rows, e.signs, e.verbatim, tuple(k for k in e.keys if k in keys)) for e in kept
    ]


PAGE = """# The weights of same-length

`python benchmarks/fit_same_length.py`. Examples: {n:,} even sets of the detection benchmark's
honest store, and {n_poison} that hold three or more of 60 planted passages. Fitted on all:
{weights}; the screen has {shipped}, fitted
while sets of three were judged, too, and worth as much without them.
*Share found*: of 200 planted passages, those in sets that come before the tenth honest set
(about fifty honest passages, a quarter of an alert budget of 0.2 %), with 95 % intervals
clustered by question; *fitted without*: the same with weights that never saw the family and its
kin, or the data set.

{families}

{sets}

What this page cannot show: all families were looked at when the signs were chosen.
"""


if __name__ == "__main__":
    main()
