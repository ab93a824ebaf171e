"""Chooses the constants of `scan --like` without each family, and without each data set.

    python benchmarks/scan_like.py                      # five minutes of one core

One or two passages of a campaign are confirmed; looked at are the sixty honest passages of the
scan benchmark's store that lie nearest to them, and the rest of the campaign. Sources and rounds
are left out: of what `ragshield.campaign` compares, this is nearness, wording and manner.
"""

from __future__ import annotations

import argparse
import itertools
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from guard_tables import table
from numpy.typing import NDArray
from scan_detection import world_of
from scan_detection_heldout import kin
from scan_detection_poison import Campaign, Family
from scan_detection_world import Store

from ragshield import campaign as followed
from ragshield.intervals import clustered_rate
from ragshield.protocols import Encoder
from ragshield.vectors import unit_rows

RESULTS = Path(__file__).parent / "results"
N_CAMPAIGNS = 30
NEAREST = 60
NEARNESS = (0.65, 0.8, 0.9)
MANNER = (0.0, 0.2, 0.3, 0.4, 0.5)
HONEST = 1.3
"""Honest passages that may be accused a campaign, on average over those chosen with."""

Constants: TypeAlias = tuple[float, float]
CHOSEN: Constants = (followed._NEARNESS, followed._MANNER)


@dataclass(frozen=True)
class Case:
    """Passages beside one confirmed passage or two: honest ones, and the rest of the campaign."""

    family: str
    key: str
    n_confirmed: int
    near: NDArray[np.float64]
    wording: NDArray[np.float64]
    manner: NDArray[np.float64]
    planted: NDArray[np.bool_]

    @property
    def data(self) -> str:
        """The data set that the campaign's question is from."""
        name = self.key.partition("-")[0]
        known = ("nq", "hotpotqa", "msmarco", "counterfact", "hotflip")
        return name if name in known else "triggers"

    def alike(self, constants: Constants) -> NDArray[np.float64]:
        """How alike each is, as `ragshield.campaign` has it."""
        nearness, manner = constants
        topic = self.near**nearness * self.wording ** (1 - nearness)
        return topic * (1 - manner + 2 * manner * self.manner)


def cases_of(store: Store, encoder: Encoder, families: Sequence[Family]) -> list[Case]:
    """Cases of all families with three or more passages a campaign."""
    background = followed._Background.of(store)
    rng = np.random.default_rng(7)
    out = []
    for family in families:
        some = [c for c in family.campaigns if len(c.passages) >= 3]
        if family.kind not in ("five", "gradient", "trigger") or len(some) < 2:
            continue
        for at in rng.permutation(len(some))[:N_CAMPAIGNS]:
            for n_confirmed in (1, 2):
                out.append(_case(store, encoder, background, family, some[at], n_confirmed, rng))
    return out


def _case(
    store: Store,
    encoder: Encoder,
    background: followed._Background,
    family: Family,
    one: Campaign,
    n_confirmed: int,
    rng: np.random.Generator,
) -> Case:
    order = rng.permutation(len(one.passages))
    vectors = unit_rows(encoder.encode([p.text for p in one.passages]))
    seeds = [one.passages[i] for i in order[:n_confirmed]]
    known, rest = vectors[order[:n_confirmed]], order[n_confirmed:]
    honest = (store.vectors @ known.T).max(axis=1)
    nearest = np.argsort(-honest, kind="stable")[:NEAREST]
    passages = [*(store.all[i] for i in nearest), *(one.passages[i] for i in rest)]
    similarity = np.concatenate([honest[nearest], (vectors[rest] @ known.T).max(axis=1)])
    usual = followed._usual(honest[background.sample], [], background.sample)
    shared = followed._shared_words(seeds, background)
    return Case(
        family.name,
        one.key,
        n_confirmed,
        np.clip((similarity - usual) / max(1 - usual, 0.05), 0, 1),
        np.array([followed._wording(p, seeds, shared, background) for p in passages]),
        followed._manners(passages, seeds, background),
        np.arange(len(passages)) >= NEAREST,
    )


def limit(cases: Sequence[Case], constants: Constants) -> float:
    """How alike a passage has to be for `HONEST` honest ones a case to be accused."""
    honest = np.sort(np.concatenate([c.alike(constants)[~c.planted] for c in cases]))[::-1]
    return float(honest[int(HONEST * len(cases))]) + 1e-9


def recall(cases: Sequence[Case], constants: Constants, least: float) -> float:
    """Share of the rest that is found, the mean over families."""
    by_family = defaultdict(list)
    for case in cases:
        found = case.alike(constants)[case.planted] >= least
        by_family[case.family].append(float(found.mean()))
    return float(np.mean([np.mean(shares) for shares in by_family.values()]))


def chosen(cases: Sequence[Case]) -> tuple[Constants, float]:
    """The constants that suit these cases best, and how alike is alike enough."""
    tried = [(pair, limit(cases, pair)) for pair in itertools.product(NEARNESS, MANNER)]
    return max(tried, key=lambda one: recall(cases, *one))


def left_out(cases: Sequence[Case], group: Callable[[Case], str]) -> str:
    """By group: constants chosen without it, and what they find in it."""
    lines = []
    for name in dict.fromkeys(map(group, cases)):
        constants, least = chosen([c for c in cases if group(c) != name])
        own = [c for c in cases if group(c) == name]
        lines.append([name, str(len(own)), *_measured(own, constants, least)])
    head = ["left out", "cases", "constants", "alike from", "rest found, one confirmed"]
    return table([*head, "two confirmed", "honest accused"], lines)


def _measured(own: Sequence[Case], constants: Constants, least: float) -> list[str]:
    rates = []
    for n_confirmed in (1, 2):
        alike = [(c.alike(constants) >= least, c) for c in own if c.n_confirmed == n_confirmed]
        pairs = [(int(is_alike[c.planted].sum()), int(c.planted.sum())) for is_alike, c in alike]
        rates.append(str(clustered_rate(pairs)))
    honest = [int((c.alike(constants)[~c.planted] >= least).sum()) for c in own]
    return [
        ", ".join(map(str, constants)), f"{least:.2f}", *rates,
        f"{np.mean(honest):.1f} (most {max(honest)})",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    started = time.perf_counter()
    world = world_of(100_000, False, (20,), with_peers=False, folder=None)
    cases = cases_of(world.store, world.encoder, world.families)
    least = followed._ALIKE[1]
    present = [
        [name, str(len(own)), *_measured(own, CHOSEN, least)]
        for name in dict.fromkeys(c.family for c in cases)
        if (own := [c for c in cases if c.family == name])
    ]
    head = ["family", "cases", "constants", "alike from", "rest found, one confirmed"]
    page = [
        "# The rest of a campaign, by constants chosen without it",
        textwrap.fill(
            f"`python benchmarks/scan_like.py`: {len(cases)} cases in {len(world.store):,} honest "
            f"passages, {(time.perf_counter() - started) / 60:.0f} min. "
            f"{' '.join(__doc__.split(chr(10) * 2)[2].split())} Constants: the power of nearness "
            "(of wording: the rest to 1), and the weight of manner. They and the limit are chosen "
            f"for the highest mean recall over families at {HONEST} honest passages a case. "
            "Intervals are clustered by campaign.",
            width=100,
        ),
        f"## Without the family\n\n{left_out(cases, lambda c: kin(c.family))}",
        f"## Without the data set\n\n{left_out(cases, lambda c: c.data)}",
        f"## The constants in use\n\n{table([*head, 'two confirmed', 'honest accused'], present)}",
    ]
    (given.out / "scan_like.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
