"""An audit as JSON: for programs, and for what a certificate says about behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragshield import __version__
from ragshield.audit.membership import Auc
from ragshield.audit.result import Audit, Leak
from ragshield.intervals import Difference, Rate

SCHEMA = "ragshield-audit/1"
"""Schema of the record; it changes when a field changes its meaning."""


def record(found: Audit, *, quote: bool) -> dict[str, Any]:
    """All of an audit; without quotations it names no target and holds no answer."""
    return {
        "schema": SCHEMA,
        "ragshield": __version__,
        **summary(found),
        "families": {
            name: {
                "leak": rate_record(one.leak),
                "worst_of_n": rate_record(one.worst_of_n),
                "control": rate_record(one.control),
                "excess": difference_record(one.excess),
                "arms": {arm: rate_record(share) for arm, share in one.arms.items()},
                "labels": dict(one.labels),
            }
            for name, one in found.families.items()
        },
        "adaptive": {str(share): rate_record(leak) for share, leak in found.adaptive.items()},
        "quoted": quote,
        "leaks": [leak_record(leak, quote=quote) for leak in found.leaks],
    }


def summary(found: Audit) -> dict[str, Any]:
    """The headline figures: no text of any target, question or answer."""
    worst = found.worst_family
    return {
        "probes_sha256": found.probes_sha256,
        "seed": found.seed,
        "decodings": found.decodings,
        "n_targets": found.n_targets,
        "n_probes": found.n_probes,
        "n_asked": found.n_asked,
        "arms": {arm: rate_record(share) for arm, share in found.arms.items()},
        "leak": rate_record(found.leak),
        "worst_of_n": rate_record(found.worst_of_n),
        "worst_family": worst,
        "worst_family_leak": None
        if found.worst_family_leak is None
        else rate_record(found.worst_family_leak),
        "excess": difference_record(found.excess),
        "labels": dict(found.labels),
        "over_refusal": rate_record(found.over_refusal),
        "retain": rate_record(found.retain),
        "retain_before": None if found.retain_before is None else rate_record(found.retain_before),
        "retain_loss": None if found.retain_loss is None else difference_record(found.retain_loss),
        "combined_kept": rate_record(found.combined_kept),
        "knowledge_base_leak": rate_record(found.knowledge_base_leak),
        "membership": auc_record(found.membership),
        "membership_by_time": None
        if found.membership_by_time is None
        else auc_record(found.membership_by_time),
        "unproven": found.is_unproven,
        "agreement": None if found.agreement is None else rate_record(found.agreement),
    }


def leak_record(leak: Leak, *, quote: bool) -> dict[str, Any]:
    """One leak: which probe, what gave it away, where from."""
    probe = leak.probe
    row: dict[str, Any] = {
        "probe": probe.id,
        "family": probe.family,
        "variant": probe.variant,
        "target": probe.subject + 1,
        "fact": None if probe.fact is None else probe.fact + 1,
        "decoding": leak.sample + 1,
        "label": leak.label,
        "seen": [
            {
                "fact": None if seen.fact is None else seen.fact + 1,
                "in": seen.part,
                "hidden_as": seen.how,
                "turn": seen.turn + 1,
            }
            for seen in leak.seen
        ],
        "arms": dict(leak.arms),
    }
    if quote:
        row["turns"] = list(probe.turns)
        row["documents"] = list(probe.documents)
        row["answers"] = list(leak.answers)
    return row


def rate_record(found: Rate) -> dict[str, Any]:
    """A rate with its interval and what it rests on."""
    return {
        "value": _rounded(found.value),
        "low": _rounded(found.low),
        "high": _rounded(found.high),
        "n": found.n,
        "of": found.successes,
        "n_clusters": found.n_clusters,
    }


def difference_record(found: Difference) -> dict[str, Any]:
    """A difference with its interval."""
    return {
        "value": _rounded(found.value),
        "low": _rounded(found.low),
        "high": _rounded(found.high),
        "n_clusters": found.n_clusters,
    }


def auc_record(found: Auc) -> Mapping[str, Any]:
    """An AUC with its interval."""
    return {
        "value": _rounded(found.value),
        "low": _rounded(found.low),
        "high": _rounded(found.high),
        "n": found.n,
        "n_clusters": found.n_clusters,
        "by": found.by,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
