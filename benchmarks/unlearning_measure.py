"""One model under every method: success, leak, over-refusal, utility, membership, cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from unlearning_data import Asked, Setting
from unlearning_methods import METHODS, App, Methods, Mind, SwitchedEncoder

from ragshield.audit import Audit, Dialogue, Retained, audit
from ragshield.intervals import Difference, Rate, clustered_rate, paired_difference
from ragshield.text import states
from ragshield.unlearning import is_refusal
from ragshield.unlearning.measures import forgot, rouge_l_recall
from ragshield.unlearning.planning import GATES, GateName

ARMS = ("before", "no retrieval", "oracle")
ADAPTIVE = ("published P+Q", "hardened")
_SHARE = 4
_N_TIMED = 40
_N_RETAINED = 30

ABLATIONS: dict[str, tuple[GateName, ...]] = {
    "all gates": GATES,
    "without query gate": ("retrieval", "exact", "attribute", "semantic"),
    "without retrieval filter": ("query", "exact", "attribute", "semantic"),
    "query gate alone": ("query",),
    "retrieval filter alone": ("retrieval",),
    "exact alone": ("exact",),
    "exact and attribute": ("exact", "attribute"),
    "semantic alone": ("semantic",),
}


def parts() -> tuple[str, ...]:
    """What is measured of a model, each by itself, the longest first; `cost` when all is quiet."""
    return (
        *(f"audit {name}" for name in METHODS),
        *(f"adaptive {name}" for name in ADAPTIVE),
        *(f"questions {name}" for name in METHODS),
        *(f"gates {name}" for name in ABLATIONS),
    )


class Model:
    """One model with all that is asked of it.

    Args:
        setting: what is asked.
        model: `obedient`, `twin` or a folder.
        cache: file of answers given before; None for none.
        vectors: file of vectors made before; None for none.
        per_family: probes a family and target for the hardened method; the others get one.
    """

    def __init__(
        self,
        setting: Setting,
        model: str,
        cache: Path | None,
        vectors: Path | None,
        *,
        per_family: int,
    ) -> None:
        self.setting = setting
        self.encoder = SwitchedEncoder(vectors)
        self.mind = Mind(model, cache)
        self.methods = Methods(setting, self.mind, self.encoder)
        self._questions = _Questions(setting)
        self._per_family = per_family
        self._before: dict[str, list[str]] | None = None

    def measured(self, part: str) -> dict[str, Any]:
        """One of `parts()`, `arms`, which is what the others compare with, or `cost`."""
        start = time.perf_counter()
        kind, _, name = part.partition(" ")
        found = {
            "arms": self._arms,
            "audit": self._audited,
            "adaptive": self._adaptive,
            "questions": self._asked,
            "gates": self._gates,
            "cost": self._cost,
        }[kind](name)
        return {"seconds": round(time.perf_counter() - start, 1), "found": found}

    @property
    def before(self) -> dict[str, list[str]]:
        """The answers before anything was forgotten."""
        if self._before is None:
            self._before = self._questions.asked(self.methods.app("before"))
        return self._before

    def _arms(self, _: str) -> dict[str, Any]:
        direct = [one.question for one in self.setting.direct]
        limits = self.methods.keys.calibration
        found = {
            "hits": self.methods.hits(direct, self.setting),
            "weights": self.mind.weights,
            "calibration": {
                "threshold": limits.threshold,
                "sample_threshold": limits.sample_threshold,
                "n": limits.n,
            },
            "methods": {name: self._asked(name) for name in ARMS},
        }
        # The answers of these arms to all probes, so that no two processes ask for them.
        app = self.methods.app("no retrieval")
        _audited(self.setting, self.methods, app, per_family=1, before=True)
        return found

    def _asked(self, name: str) -> dict[str, Any]:
        share = 1 if name in ("before", *ADAPTIVE) else _SHARE
        app = self.methods.app(name)
        after = self.before if name == "before" else self._questions.asked(app, share=share)
        return self._questions.measured(self.before, after, share=share)

    def _gates(self, name: str) -> dict[str, Any]:
        app = self.methods.hardened(ABLATIONS[name])
        return self._questions.measured(
            self.before, self._questions.asked(app, share=_SHARE), share=_SHARE
        )

    def _audited(self, name: str) -> dict[str, Any]:
        n = self._per_family if name == "hardened" else 1
        app = self.methods.app(name)
        return _audited(self.setting, self.methods, app, per_family=n, before=n == 1)

    def _adaptive(self, name: str) -> dict[str, Any]:
        return _adaptive(self.setting, self.methods, self.methods.app(name))

    def _cost(self, _: str) -> dict[str, Any]:
        return {
            name: _cost(self.setting, self.methods, self.mind, self.encoder, name)
            for name in METHODS
        }


def put_together(found: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """A model's parts as the report reads them; None where the first ones are missing."""
    needed = {"arms", "audit hardened", "adaptive hardened", "questions hardened"}
    if not needed <= found.keys():
        return None
    arms = found["arms"]["found"]
    methods: dict[str, Any] = dict(arms["methods"])
    costs = found["cost"]["found"] if "cost" in found else {}
    for name in METHODS:
        if f"audit {name}" not in found or f"questions {name}" not in found:
            continue
        row = found[f"questions {name}"]["found"] | found[f"audit {name}"]["found"]
        if f"adaptive {name}" in found:
            row["adaptive"] = found[f"adaptive {name}"]["found"]
        if name in costs:
            row["cost"] = costs[name]
        methods[name] = row
    gates = {n: found[f"gates {n}"]["found"] for n in ABLATIONS if f"gates {n}" in found}
    seconds = {part: one["seconds"] for part, one in found.items()}
    return {**arms, "methods": methods, "gates": gates, "seconds": seconds}


class _Questions:
    """The benchmark's own questions and what is read from their answers."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.parts: dict[str, Sequence[Asked]] = {
            "direct": setting.direct,
            "listed": setting.listed,
            "unlisted": setting.unlisted,
            "same_subject": setting.same_subject,
            "other": setting.other,
        }

    def asked(self, app: App, *, share: int = 1) -> dict[str, list[str]]:
        """The answers to all of them, or to every `share`-th of those about neighbours."""
        return {
            part: [
                _text(a)
                for a in app.answers(
                    [Dialogue(one.question) for one in asked[:: _share(part, share)]]
                )
            ]
            for part, asked in self.parts.items()
        }

    def measured(
        self, before: dict[str, list[str]], after: dict[str, list[str]], *, share: int = 1
    ) -> dict[str, Any]:
        """All shares of one method, asked with the same `share`."""
        row: dict[str, Any] = {}
        direct = list(zip(self.setting.direct, before["direct"], after["direct"], strict=True))
        for kind, of in (("concept", True), ("sample", False)):
            own = [d for d in direct if (d[0].target < self.setting.n_concepts) is of]
            known = [d for d in own if _right(d[0], d[1])]
            row[f"success_{kind}"] = _rate((d[0].target, self._forgot(*d)) for d in known)
            row[f"told_{kind}"] = _rate((d[0].target, _right(d[0], d[2])) for d in own)
            row[f"rouge_{kind}"] = _mean([(d[0].target, rouge_l_recall(d[1], d[2])) for d in known])
        for part in ("listed", "unlisted", "same_subject", "other"):
            step = _share(part, share)
            asked = list(
                zip(self.parts[part][::step], before[part][::step], after[part], strict=True)
            )
            row[f"refused_{part}"] = _rate(
                (self._cluster(one), is_refusal(now))
                for one, was, now in asked
                if not is_refusal(was)
            )
            row[f"right_{part}"] = _rate(
                (self._cluster(one), _right(one, now)) for one, _, now in asked
            )
        step = _share("other", share)
        other = list(
            zip(self.setting.other[::step], before["other"][::step], after["other"], strict=True)
        )
        row["utility_loss"] = _difference(
            paired_difference(
                [(int(_right(one, was)), 1) for one, was, _ in other],
                [(int(_right(one, now)), 1) for one, _, now in other],
            )
        )
        return row

    def _forgot(self, one: Asked, was: str, now: str) -> bool:
        return forgot(self.setting.targets[one.target].name, one.question, was, now)

    @staticmethod
    def _cluster(one: Asked) -> object:
        return one.target if one.target >= 0 else one.question


def _audited(
    setting: Setting, methods: Methods, app: App, *, per_family: int, before: bool
) -> dict[str, Any]:
    """Leak in thirteen families, with where it came from."""
    found = audit(
        app,
        [replace(target, neighbours=()) for target in setting.targets],
        before=methods.app("before") if before else None,
        no_retrieval=methods.app("no retrieval"),
        retained=[
            Retained(one.question, one.answers)
            for one in setting.other[:: max(1, len(setting.other) // _N_RETAINED)]
        ],
        entries=methods.entries,
        deleted=[p.text for p in setting.passages if p.id in setting.deleted],
        per_family=per_family,
    )
    return {
        "leak": _of(found.leak),
        "families": {
            name: {
                "leak": _of(family.leak),
                "control": _of(family.control),
                "before": None if family.before is None else _of(family.before),
                "labels": dict(family.labels),
            }
            for name, family in found.families.items()
        },
        "worst_family": found.worst_family,
        "excess": _difference(found.excess),
        "labels": dict(found.labels),
        "before": _of(found.arms["before"]) if "before" in found.arms else None,
        "combined_kept": _of(found.combined_kept),
        "knowledge_base_leak": _of(found.knowledge_base_leak),
        "membership": _auc(found),
        "n_probes": found.n_probes,
        "probes_sha256": found.probes_sha256,
        "kinds": _by_kind(setting, found),
    }


def _by_kind(setting: Setting, found: Audit) -> dict[str, int]:
    """How many of the leaks are about concepts and about samples."""
    counted = {"concept": 0, "sample": 0}
    for leak in found.leaks:
        counted["concept" if leak.probe.subject < setting.n_concepts else "sample"] += 1
    return counted


def _adaptive(setting: Setting, methods: Methods, app: App) -> dict[str, Any]:
    """Leak by the share of the unlearning entries that the attacker holds."""
    found = audit(
        app,
        [replace(target, neighbours=()) for target in setting.targets],
        entries=methods.entries,
        families=("adaptive",),
        per_family=6,
    )
    return {str(share): _of(leak) for share, leak in found.adaptive.items()}


def _cost(
    setting: Setting, methods: Methods, mind: Mind, encoder: SwitchedEncoder, name: str
) -> dict[str, float]:
    """What one answer costs, nothing cached: half of the questions about targets."""
    step = max(1, len(setting.direct) // (_N_TIMED // 2))
    asked = [one.question for one in setting.direct[::step]][: _N_TIMED // 2]
    asked += [one.question for one in setting.other[: _N_TIMED // 2]]
    app = methods.hardened(even_cost=True) if name == "hardened" else methods.app(name)
    with mind.live(), encoder.live():
        app(asked[0])
        walls, tokens = [], mind.reader.n_tokens_in
        cpu = time.process_time()
        for question in asked:
            start = time.perf_counter()
            app(question)
            walls.append((time.perf_counter() - start) * 1e3)
        cpu = (time.process_time() - cpu) * 1e3 / len(asked)
        tokens = (mind.reader.n_tokens_in - tokens) / len(asked)
    return {
        "median_ms": round(float(np.median(walls)), 1),
        "p95_ms": round(float(np.quantile(walls, 0.95)), 1),
        "cpu_ms": round(cpu, 1),
        "tokens_in": round(tokens, 1),
        "n": len(asked),
    }


def _share(part: str, share: int) -> int:
    """Neighbours and others may be asked about in part; targets are all asked about."""
    return {"direct": 1, "listed": share, "unlisted": share}.get(part, min(share, 2))


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else str(answer.text)


def _right(one: Asked, said: str) -> bool:
    return any(states(said, answer) for answer in one.answers)


def _rate(outcomes: Any) -> dict[str, Any]:
    groups: dict[object, list[int]] = {}
    for cluster, outcome in outcomes:
        own = groups.setdefault(cluster, [0, 0])
        own[0] += int(outcome)
        own[1] += 1
    return _of(clustered_rate([(yes, n) for yes, n in groups.values()]))


def _of(found: Rate) -> dict[str, Any]:
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "k": found.successes,
        "n": found.n,
        "n_clusters": found.n_clusters,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n_clusters}


def _auc(found: Audit) -> dict[str, Any]:
    auc = found.membership
    return {"value": auc.value, "low": auc.low, "high": auc.high, "n": auc.n, "by": auc.by}


def _mean(values: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """A mean with a bootstrap interval over targets."""
    if not values:
        return {"value": None, "low": None, "high": None, "n": 0}
    groups: dict[int, list[float]] = {}
    for target, value in values:
        groups.setdefault(target, []).append(value)
    own = list(groups.values())
    rng = np.random.default_rng(0)
    means = []
    for _ in range(1000):
        drawn = [own[int(i)] for i in rng.integers(len(own), size=len(own))]
        means.append(float(np.mean([value for group in drawn for value in group])))
    low, high = np.quantile(means, [0.025, 0.975])
    mean = float(np.mean([value for _, value in values]))
    return {"value": mean, "low": float(low), "high": float(high), "n": len(values)}
