"""The unlearned store beside the store that never held the target."""

from ragshield.oracle.comparing import Comparison, Group, GroupComparison, compare, compared
from ragshield.oracle.distributions import KS, auc, ks_test
from ragshield.oracle.lists import Ranked, exact, searched
from ragshield.oracle.measures import (
    Recovery,
    forget_quality,
    privacy_leak,
    recovery,
    regurgitation,
    truth_ratio,
)
from ragshield.oracle.overlap import rbo

__all__ = [
    "KS",
    "Comparison",
    "Group",
    "GroupComparison",
    "Ranked",
    "Recovery",
    "auc",
    "compare",
    "compared",
    "exact",
    "forget_quality",
    "ks_test",
    "privacy_leak",
    "rbo",
    "recovery",
    "regurgitation",
    "searched",
    "truth_ratio",
]
