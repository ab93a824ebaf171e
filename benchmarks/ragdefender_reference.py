"""RAGDefender as measured before: what this benchmark has to reproduce.

Released-code mode, all-MiniLM-L6-v2 vectors, passages listed poison first; an independent
implementation measured these on the same development data. Not the paper's own numbers,
which rest on other passages and another embedder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TOLERANCE = 0.03


@dataclass(frozen=True)
class Reference:
    """One row; None = not recorded.

    Attributes:
        regime: `retrieved` = ten retrieved passages and `n_poison` poisoned ones;
            `golden` = the golden passages and five poisoned ones (fewer where the set has).
        dataset: nq, hotpotqa or msmarco.
        family: whose poison.
        hop: single = clustering, multi = concentration.
        n_poison: at most this many poisoned passages.
        prefix: whether the poison begins with the question and a full stop.
        recall: share of the poison removed.
        loss: share of the clean passages removed.
        precision: poisoned share of the removed.
        exact: share of questions where exactly the poison was removed.
    """

    regime: Literal["retrieved", "golden"]
    dataset: str
    family: str
    hop: Literal["single", "multi"]
    n_poison: int
    prefix: bool
    recall: float | None
    loss: float
    precision: float | None
    exact: float | None = None

    @property
    def label(self) -> str:
        """The row in words."""
        poison = f"{self.n_poison} {self.family}" if self.n_poison else "no poison"
        prefixed = ", prefix" if self.prefix else ""
        return f"{self.dataset} {self.regime} + {poison}{prefixed}, {self.hop}"


def _retrieved(n: int, prefix: bool, single: tuple, multi: tuple) -> tuple[Reference, Reference]:
    return (
        Reference("retrieved", "hotpotqa", "poisonedrag", "single", n, prefix, *single),
        Reference("retrieved", "hotpotqa", "poisonedrag", "multi", n, prefix, *multi),
    )


def _golden(dataset: str, family: str, hop: str, prefix: bool, *values: float) -> Reference:
    return Reference("golden", dataset, family, hop, 5, prefix, *values)  # type: ignore[arg-type]


REFERENCE: tuple[Reference, ...] = (
    *_retrieved(0, False, (None, 0.380, None), (None, 0.590, None)),
    *_retrieved(1, False, (0.660, 0.348, 0.159), (0.780, 0.560, 0.122)),
    *_retrieved(1, True, (0.580, 0.346, 0.144), (0.820, 0.566, 0.127)),
    *_retrieved(2, False, (0.860, 0.284, 0.377), (0.880, 0.512, 0.256)),
    *_retrieved(2, True, (0.920, 0.298, 0.382), (0.920, 0.506, 0.267)),
    *_retrieved(5, False, (0.928, 0.138, 0.771), (0.956, 0.368, 0.565)),
    *_retrieved(5, True, (0.980, 0.116, 0.809), (0.984, 0.352, 0.583)),
    _golden("nq", "poisonedrag", "single", False, 0.580, 0.050, 0.980, 0.38),
    _golden("nq", "poisonedrag", "single", True, 0.996, 0.050, 0.988, 0.94),
    _golden("nq", "gpt4", "single", False, 0.592, 0.067, 0.974, 0.38),
    _golden("nq", "garag", "single", False, 0.856, 0.050, 0.986, 0.74),
    _golden("nq", "blind", "single", False, 0.360, 0.133, 0.918, 0.02),
    _golden("msmarco", "poisonedrag", "single", False, 0.516, 0.098, 0.963, 0.30),
    _golden("msmarco", "poisonedrag", "single", True, 0.976, 0.000, 1.000, 0.94),
    _golden("msmarco", "gpt4", "single", False, 0.536, 0.078, 0.971, 0.28),
    _golden("hotpotqa", "poisonedrag", "multi", False, 0.984, 0.010, 0.996, 0.92),
    _golden("hotpotqa", "poisonedrag", "multi", True, 1.000, 0.000, 1.000, 1.00),
    _golden("hotpotqa", "gpt4", "multi", False, 0.988, 0.010, 0.996, 0.92),
    _golden("hotpotqa", "garag", "multi", False, 0.800, 0.210, 0.884, 0.40),
)
