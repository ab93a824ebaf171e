"""A store that forgot against the store that never knew."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from ragshield.errors import UsageError
from ragshield.oracle.distributions import ks_test
from ragshield.oracle.lists import Ranked, exact, searched
from ragshield.oracle.overlap import rbo
from ragshield.protocols import Store
from ragshield.records import Batch, Vectors

Group: TypeAlias = Literal["target", "neighbour", "retain"]
"""Questions about what was forgotten, about what stands near it, and about the rest."""

ALPHA = 0.05
"""Significance from which two distributions count as different."""


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """One group of questions, asked of both stores.

    Attributes:
        n: questions.
        n_same: questions with the same passages in the same order.
        rbo: mean rank-biased overlap, [0, 1], 1 = the same lists.
        rbo_least: of the question that differs most.
        ks: Kolmogorov-Smirnov distance of the best similarities, one per question, [0, 1].
        ks_p: its p-value; above 0.05 the two cannot be told apart by it.
        n_extra: passages that only the unlearned store retrieved.
        n_missing: passages that only the oracle retrieved.
    """

    n: int
    n_same: int
    rbo: float
    rbo_least: float
    ks: float
    ks_p: float
    n_extra: int
    n_missing: int

    @property
    def same(self) -> bool:
        """Whether nothing tells the two apart: every list the same, and KS p above 0.05."""
        return self.n_same == self.n and self.ks_p > ALPHA


@dataclass(frozen=True, slots=True)
class Comparison:
    """The unlearned store beside the oracle.

    Attributes:
        k: passages retrieved for each question.
        groups: by group of questions; those without questions are left out.
    """

    k: int
    groups: Mapping[Group, GroupComparison]

    @property
    def same(self) -> bool:
        """Whether no group tells the two apart, and there was at least one."""
        return bool(self.groups) and all(group.same for group in self.groups.values())

    @property
    def retrieval_shift(self) -> float | None:
        """1 - mean RBO over retain questions: how far the rest has moved; None without any."""
        retain = self.groups.get("retain")
        return None if retain is None else 1 - retain.rbo

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "k": self.k,
            "same": self.same,
            "groups": {name: asdict(group) for name, group in self.groups.items()},
        }


def compared(
    unlearned: Mapping[Group, Sequence[Ranked]],
    oracle: Mapping[Group, Sequence[Ranked]],
    *,
    k: int = 10,
) -> Comparison:
    """Compare what two stores retrieved for the same questions.

    Source of the idea: TOFU (arXiv 2401.06121, section 2.2.2) takes the p-value of a
    two-sample KS test between the unlearned model and one trained without the data. A
    knowledge base without the data can be had exactly, so lists are compared, too.
    Differs: the tested value is the best similarity of each question, one value per
    question, since hits of one question are not independent.

    Raises:
        UsageError: another number of questions on either side.
    """
    groups: dict[Group, GroupComparison] = {}
    for name, lists in unlearned.items():
        other = oracle.get(name, ())
        if len(lists) != len(other):
            raise UsageError(
                f"{len(lists)} {name} questions on one side, {len(other)} on the other"
            )
        if lists:
            groups[name] = _group(lists, other)
    return Comparison(k, groups)


def compare(
    store: Store,
    source: Callable[[], Iterable[Batch]],
    questions: Mapping[Group, Vectors],
    *,
    never: Collection[str] = (),
    k: int = 10,
) -> Comparison:
    """Compare an open store with the index rebuilt from its source without the target.

    Args:
        store: the one that forgot; asked by its own search.
        source: gives all rows that were ingested, each time anew; the target may be
            among them.
        questions: vectors (n, dim) by group.
        never: ids of the target, which the rebuilt index never gets.
        k: passages to retrieve for each question.
    """
    mine = {name: searched(store, rows, k) for name, rows in questions.items()}
    oracle = {name: exact(source(), rows, k, never=never) for name, rows in questions.items()}
    return compared(mine, oracle, k=k)


def _group(mine: Sequence[Ranked], oracle: Sequence[Ranked]) -> GroupComparison:
    overlaps = [rbo(a.ids, b.ids) for a, b in zip(mine, oracle, strict=True)]
    test = ks_test([one.best for one in mine], [one.best for one in oracle])
    pairs = [(set(a.ids), set(b.ids)) for a, b in zip(mine, oracle, strict=True)]
    return GroupComparison(
        n=len(mine),
        n_same=sum(a.ids == b.ids for a, b in zip(mine, oracle, strict=True)),
        rbo=sum(overlaps) / len(overlaps),
        rbo_least=min(overlaps),
        ks=test.statistic,
        ks_p=test.p,
        n_extra=len({x for a, b in pairs for x in a - b}),
        n_missing=len({x for a, b in pairs for x in b - a}),
    )
