"""Calibrated: the fused defender with a threshold and p-values from the user's own store."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.calibrated_drift import FALSE_ALARM, WINDOW, DriftMonitor
from ragshield.defenders.calibrated_shield import Shield, read_shield, weights_sha256
from ragshield.defenders.calibrated_store import moved
from ragshield.defenders.fused import Fused
from ragshield.errors import InputError, UsageError
from ragshield.protocols import StoreFacts
from ragshield.records import Action, Finding, Retrieval, Verdict
from ragshield.vectors import cosines

_log = logging.getLogger("ragshield.guard")

_UNCALIBRATED = (
    "uncalibrated: the threshold is the one that ships with ragshield; how many honest "
    "passages it costs on this store is unknown. Calibrate with: ragshield calibrate URL"
)


class Calibrated:
    """Drop passages as fused does, at a false-positive rate calibrated on your own store.

    `ragshield calibrate URL` asks honest questions of the store and writes shield.toml:
    a threshold, and the honest suspicions behind it. Each hit gets a conformal p-value,
    the share of honest hits at least as suspicious; it is dropped where that is at most
    the budget. As suspicious means: dropped at as high a threshold, alone or with the
    hits that say nearly the same (`critical` in the evidence).

    What is guaranteed: of the honest hits of a retrieval, the expected share that is
    dropped is at most the budget. The expectation is over the calibration questions and
    the new one together. Given one calibration the actual rate lies in the interval
    that `shield.expected` states, which narrows with the number of questions.

    What is assumed: the new question with its hits is exchangeable with the
    calibration's (same store, same encoder, same k, questions of the same kind); hits
    of one question may depend on each other in any way. Honest passages are the
    majority of the store: poison that was there when it was calibrated counts as
    honest and raises the threshold, so it costs detection, not honest passages.

    While it judges, it compares windows of retrievals with the calibration; when they
    differ more than chance allows, `drifted` turns true, one warning is logged, and
    every finding's evidence says so from then on. It goes on judging. A guard that is
    built around it shows it its store (`check_store`): another encoder is an error, a
    store that has changed a drift.

    Without a shield it is the fused defender with its uncalibrated default threshold,
    has no p-values, and says so in `warnings` and in every finding's evidence.

    Source: own; thresholds after conformal risk control (2208.02814) over questions,
    p-values after 2306.06342.

    Args:
        shield: a shield, or the file that holds one; None for the uncalibrated default.
        drift_window: retrievals compared with the calibration at a time, 20 or more.
        false_alarm: largest probability of ever reporting a drift that is none, (0, 1).

    Raises:
        InputError: the file cannot be read, or was made with other weights.
        UsageError: a drift window or false-alarm probability outside its range.
    """

    name: ClassVar[str] = "calibrated"

    def __init__(
        self,
        shield: str | Path | Shield | None = None,
        *,
        drift_window: int = WINDOW,
        false_alarm: float = FALSE_ALARM,
    ) -> None:
        from ragshield import __version__

        if shield is not None and not isinstance(shield, Shield):
            shield = read_shield(shield)
        self.shield: Shield | None = shield
        # One threshold decides in one place: fused gives reasons and status with it.
        self._fused = Fused(threshold=None if shield is None else shield.threshold)
        self._noted: list[str] = []
        self._k_noted = False
        self._lock = threading.Lock()
        self._monitor: DriftMonitor | None = None
        self._moved: str | None = None
        if shield is None:
            self._noted.append(_UNCALIBRATED)
            return
        if shield.weights_sha256 != weights_sha256():
            raise InputError(
                f"the shield was calibrated by ragshield {shield.version} with other weights "
                "of the fused defender, so its threshold means nothing here; recalibrate: "
                "ragshield calibrate URL"
            )
        if shield.version != __version__:
            self._noted.append(
                f"calibrated with ragshield {shield.version}, judging with {__version__}: "
                "calibrate again if its signals have changed"
            )
        self._noted += shield.warnings
        try:
            self._monitor = DriftMonitor(
                {
                    "median suspicion": shield.median_suspicions,
                    "median similarity": shield.median_similarities,
                },
                shield.n_questions,
                window=drift_window,
                false_alarm=false_alarm,
            )
        except ValueError as error:
            raise UsageError(f"calibrated: {error}") from error

    @property
    def threshold(self) -> float:
        """Suspicion from which a hit is dropped."""
        return self._fused.threshold

    @property
    def drifted(self) -> bool:
        """Whether store or questions have left the calibration; it stays true."""
        return bool(self._drift())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user must know: of the calibration, of k, of drift."""
        return tuple(self._noted)

    def check_store(self, facts: StoreFacts) -> None:
        """Hold a live store against the calibration; what has changed is noted as drift.

        Raises:
            InputError: it was calibrated with another encoder.
        """
        if self.shield is None or (report := moved(self.shield, facts)) is None:
            return
        self._moved = report
        self._note(
            f"drift: {report}; the stated false-positive rate may no longer hold. Calibrate "
            "again: ragshield calibrate URL"
        )

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        Raises:
            InputError: as `Fused.inspect`, or the vectors are of another width than
                those calibrated on.
        """
        if not retrieval.hits:
            return Verdict(kept=(), findings=(), status="clean", detector=self.name)
        shield = self.shield
        width = retrieval.vectors.shape[-1]
        if shield is not None and width != shield.store.dim:
            raise InputError(
                f"the shield was calibrated with encoder '{shield.encoder}' "
                f"({shield.store.dim} dimensions), this retrieval has {width}; use that "
                "encoder, or calibrate again: ragshield calibrate URL --encoder NAME"
            )
        verdict = self._fused.inspect(retrieval)
        if shield is None:
            findings = tuple(
                replace(f, detector=self.name, evidence={**f.evidence, "calibrated": False})
                for f in verdict.findings
            )
        else:
            # Not the suspicion: that of a hit which others carry depends on the threshold.
            critical = np.array([f.evidence["critical"] for f in verdict.findings])
            p_values = shield.p_values(critical)
            self._watch(retrieval, critical, shield)
            noted = self._evidence(shield, len(retrieval))
            findings = tuple(
                _with_p(finding, float(p), shield, {**noted, "p_value": float(p)}, self.name)
                for finding, p in zip(verdict.findings, p_values, strict=True)
            )
        return replace(verdict, findings=findings, detector=self.name)

    def _watch(self, retrieval: Retrieval, critical: NDArray[np.float64], shield: Shield) -> None:
        k = len(retrieval)
        # Once: a caller whose k varies must not fill the list.
        if not shield.k <= 2 * k <= 4 * shield.k and not self._k_noted:
            self._k_noted = True
            self._note(
                f"judging {k} hits at a time, calibrated with {shield.k}: the stated rate "
                f"holds for {shield.k}; calibrate with --k {k}"
            )
        if self._monitor is None or k != shield.k:
            return
        similarity = cosines(retrieval.vectors, retrieval.question_vector)
        report = self._monitor.observe(
            {
                "median suspicion": float(np.median(critical)),
                "median similarity": float(np.median(similarity)),
            }
        )
        if report is not None:
            self._note(
                f"drift: {report}; the stated false-positive rate may no longer hold. "
                + (
                    "The questions calibrated on were generated: if yours are simply of "
                    "another kind, calibrate with them (--questions FILE)"
                    if shield.questions == "generated"
                    else "If store or encoder have changed, calibrate again"
                )
            )

    def _note(self, warning: str) -> None:
        with self._lock:
            if warning in self._noted:
                return
            self._noted.append(warning)
        _log.warning("calibrated: %s", warning)

    def _evidence(self, shield: Shield, k: int) -> dict[str, Any]:
        noted: dict[str, Any] = {
            "threshold": shield.threshold,
            "budget": shield.budget,
            "n_calibration": shield.n_questions,
        }
        if k != shield.k:
            noted["calibrated_k"] = shield.k
        if drift := self._drift():
            noted["drift"] = drift
        return noted

    def _drift(self) -> str:
        reports = (self._moved, self._monitor and self._monitor.report)
        return "; ".join(report for report in reports if report)


def _with_p(
    finding: Finding, p_value: float, shield: Shield, noted: dict[str, Any], detector: str
) -> Finding:
    reason = finding.reason
    if finding.action is Action.DROP:
        share = (
            f"none of the {shield.n_questions} calibration questions had an honest passage so "
            "suspicious"
            if p_value * (shield.n_questions + 1) <= 1.0
            else f"about {p_value:.2g} of honest passages are as suspicious"
        )
        reason = f"{reason.rstrip('.')}; {share} (p = {p_value:.2g})."
    return replace(
        finding, detector=detector, reason=reason, evidence={**finding.evidence, **noted}
    )
