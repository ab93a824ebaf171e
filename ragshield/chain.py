"""Several defenders judging one retrieval in turn, and what happens when one fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from ragshield import registry
from ragshield.errors import PluginError, UsageError
from ragshield.protocols import Defender, StoreFacts
from ragshield.records import Action, Finding, Hit, Retrieval, Spec, Status, Verdict
from ragshield.vectors import as_vector, as_vectors

if TYPE_CHECKING:
    from ragshield.defenders.calibrated_shield import Shield

DEFAULT_DEFENDER = "fused"
"""Registry name of the defender that judges where none is named and no shield is given."""

SHIELDED_DEFENDER = "calibrated"
"""Registry name of the defender that judges with a shield."""

OnError: TypeAlias = Literal["raise", "keep", "drop"]
"""What to do with hits that a failing defender left unjudged."""

Defenders: TypeAlias = Defender | str | Sequence[Defender | str] | None
"""One defender or several, objects or registry names; None for the default."""

ShieldGiven: TypeAlias = "str | Path | Shield | None"
"""What `ragshield calibrate` wrote: the file, or what is in it."""

_log = logging.getLogger("ragshield.guard")
_building = Lock()


class DefenderChain:
    """Judge a retrieval with several defenders, each seeing what the one before left.

    A defender fails when it raises any exception, or when its verdict breaks the
    contract: no verdict, an invented passage, a hit without a finding, a suspicion
    outside [0, 1], or `kept` at odds with the findings. Hits that cannot be judged at
    all (NaN or all-zero vectors, another number of rows than hits, an id that occurs
    twice) count as a failure too.

    Args:
        defenders: one or several, objects or registry names; None for the default.
        on_error: `raise` lets the failure through. `keep` keeps the hits that the
            defender left unjudged and goes on with the next one: the guard is open
            for them. `drop` drops them. The last two log a warning and give status
            `not_judged`.
        shield: the default guard, calibrated on your own store, instead of `defenders`.

    Raises:
        UsageError: an unknown name, no defender at all, another `on_error`, or a shield
            beside defenders.
        InputError: the shield cannot be read, or fits another version.
    """

    def __init__(
        self,
        defenders: Defenders = None,
        *,
        on_error: OnError = "raise",
        shield: ShieldGiven = None,
    ) -> None:
        if on_error not in get_args(OnError):
            allowed = ", ".join(get_args(OnError))
            raise UsageError(f"on_error is '{on_error}'; it must be one of: {allowed}")
        if shield is not None and defenders is not None:
            raise UsageError(
                "give either a shield or defenders: a shield is for the default guard. For both, "
                "put Calibrated(shield) from ragshield.defenders.calibrated among the defenders"
            )
        self.on_error = on_error
        self._is_default = defenders is None
        self._calibrated_k = 0
        if shield is None:
            self.defenders = defenders_named(defenders)
            return
        calibrated = registry.build(Spec("defender", SHIELDED_DEFENDER, {"shield": shield}))
        self.defenders = (cast("Defender", calibrated),)
        self._calibrated_k = int(calibrated.shield.k)

    @property
    def detector(self) -> str:
        """Names of the defenders, joined by plus signs."""
        return "+".join(defender.name for defender in self.defenders)

    def depth(self, k: int, wanted: int | None = None) -> int:
        """How many hits to retrieve and judge when k are asked for.

        Five poisoned passages are the majority of five hits, and a handful among twenty.
        So the default guard judges at least 20 hits and 10 more than asked for, which
        costs a deeper search in the store and no model call; the k best that are kept
        are read. With a shield it judges as many as it was calibrated with, because its
        stated rate holds for those, or k where that is more. Defenders that the caller
        names judge the k hits that he asked for.

        Args:
            k: hits asked for.
            wanted: the caller's own choice; never less than k.
        """
        if wanted is not None:
            return max(k, wanted)
        if self._calibrated_k:
            return max(k, self._calibrated_k)
        return max(k + 10, 20) if self._is_default else k

    @property
    def is_made_for_a_store(self) -> bool:
        """Whether any defender wants to see which store it guards."""
        return any(callable(getattr(defender, "check_store", None)) for defender in self.defenders)

    def check_store(self, facts: StoreFacts | None) -> None:
        """Let the defenders that were made for one store see which one they guard.

        Raises:
            InputError: a defender was calibrated for another encoder.
        """
        for defender in self.defenders:
            check = getattr(defender, "check_store", None)
            if facts is not None and callable(check):
                check(facts)

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        Returns:
            One finding per hit, in order: of the defender that dropped it, else the
            one with the highest suspicion. The status is the first of these that
            holds: `majority_assumption_violated` if a defender says so, or if they
            dropped every hit and none failed; `not_judged` if one failed; `filtered`
            if a hit was dropped; `clean` if a defender judged; `not_judged` if none
            could.

        Raises:
            Exception: whatever a failing defender raised, with on_error="raise".
            PluginError: a verdict breaks the contract, with on_error="raise".
            InputError: the hits cannot be judged, with on_error="raise".
        """
        if not retrieval.hits:
            return Verdict((), (), "clean", self.detector)
        try:
            check_retrieval(retrieval)
        except Exception as error:
            return self.failed(retrieval.hits, error)
        rest = list(range(len(retrieval.hits)))
        found: list[list[Finding]] = [[] for _ in rest]
        statuses: list[Status] = []
        failures: list[str] = []
        for defender in self.defenders:
            if not rest:
                break
            left = retrieval.select(rest)
            try:
                verdict = defender.inspect(left)
                check_verdict(verdict, left, defender.name)
            except Exception as error:  # the caller chose what a failure means
                verdict = self.failed(left.hits, error, defender.name)
                failures.append(verdict.findings[0].reason)
            else:
                statuses.append(verdict.status)
            for i, finding in zip(rest, verdict.findings, strict=True):
                found[i].append(finding)
            rest = [
                i
                for i, finding in zip(rest, verdict.findings, strict=True)
                if finding.action is Action.KEEP
            ]
        return Verdict(
            kept=tuple(retrieval.hits[i] for i in rest),
            findings=tuple(_decisive(findings, failures) for findings in found),
            status=_combined(
                statuses,
                failed=bool(failures),
                dropped=len(rest) < len(found),
                nothing_left=not rest,
            ),
            detector=self.detector,
        )

    def failed(self, hits: Sequence[Hit], error: Exception, detector: str | None = None) -> Verdict:
        """What `on_error` makes of hits that could not be judged.

        Args:
            hits: the hits left unjudged.
            error: why.
            detector: who failed; None for the whole chain.

        Raises:
            Exception: `error` itself, with on_error="raise".
        """
        if self.on_error == "raise":
            raise error
        who = detector or self.detector
        action = Action.KEEP if self.on_error == "keep" else Action.DROP
        reason = f"not judged: {who} failed ({type(error).__name__}: {_first_line(error)})"
        _log.warning(
            "%s; on_error='%s', so %d passages were %s unjudged",
            reason,
            self.on_error,
            len(hits),
            "kept" if action is Action.KEEP else "dropped",
        )
        findings = tuple(Finding(hit.id, None, who, action, reason) for hit in hits)
        kept = tuple(hits) if action is Action.KEEP else ()
        return Verdict(kept, findings, "not_judged", who)


def check_retrieval(retrieval: Retrieval) -> None:
    """Refuse hits that no defender could judge.

    Raises:
        InputError: vectors that are NaN, infinite, all zero, or not one per hit, or a
            question vector of another width.
        PluginError: an id occurs twice.
    """
    vectors = as_vectors(retrieval.vectors, rows=len(retrieval.hits), what="passage vectors")
    as_vector(retrieval.question_vector, dim=vectors.shape[1], what="the question's vector")
    seen: set[str] = set()
    for hit in retrieval.hits:
        if hit.id in seen:
            raise PluginError(
                f"the retriever returned passage '{hit.id}' twice; ids must be unique"
            )
        seen.add(hit.id)


def check_verdict(verdict: Verdict, retrieval: Retrieval, detector: str) -> None:
    """Refuse a verdict that breaks the contract of `Defender.inspect`.

    Raises:
        PluginError: naming the defender and the passage.
    """
    if not isinstance(verdict, Verdict):
        raise PluginError(f"defender '{detector}' returned {type(verdict).__name__}, not a Verdict")
    ids = [hit.id for hit in retrieval.hits]
    judged = [finding.passage_id for finding in verdict.findings]
    if judged != ids:
        invented = sorted(set(judged) - set(ids))
        missing = [passage_id for passage_id in ids if passage_id not in set(judged)]
        if invented:
            problem = f"judged passage '{invented[0]}', which was not retrieved"
        elif missing:
            problem = f"gave no finding for passage '{missing[0]}'"
        else:
            problem = "gave its findings in another order than the retriever's, or one twice"
        raise PluginError(f"defender '{detector}' {problem}")
    for finding in verdict.findings:
        if finding.suspicion is not None and not 0.0 <= finding.suspicion <= 1.0:
            raise PluginError(
                f"defender '{detector}' gave passage '{finding.passage_id}' suspicion "
                f"{finding.suspicion}; allowed: 0 to 1, or None"
            )
    if verdict.status not in get_args(Status) or verdict.status == "abstained":
        raise PluginError(f"defender '{detector}' gave the unknown status '{verdict.status}'")
    keeps = [f.passage_id for f in verdict.findings if f.action is Action.KEEP]
    if [hit.id for hit in verdict.kept] != keeps:
        raise PluginError(f"defender '{detector}' keeps other passages than its findings say")


def defenders_named(defenders: Defenders) -> tuple[Defender, ...]:
    """Defender objects for objects and registry names; the default one for None.

    Raises:
        UsageError: an unknown name, none at all, or something that cannot judge.
    """
    if defenders is None:
        defenders = DEFAULT_DEFENDER
    if isinstance(defenders, str) or not isinstance(defenders, Sequence):
        defenders = [defenders]
    if not defenders:
        raise UsageError('no defender given; name at least one ("none" to judge nothing)')
    built = []
    for given in defenders:
        defender: Any = defender_named(given) if isinstance(given, str) else given
        if isinstance(defender, type) or not callable(getattr(defender, "inspect", None)):
            raise UsageError(f"{given!r} is no defender: give an object with a method inspect()")
        built.append(cast("Defender", defender))
    return tuple(built)


def defender_named(name: str) -> Defender:
    """The registered defender with its default parameters, built once per process."""
    with _building:
        return _build(name)


@cache
def _build(name: str) -> Defender:
    return cast("Defender", registry.build(Spec("defender", name)))


def _decisive(findings: Sequence[Finding], failures: Sequence[str]) -> Finding:
    last = findings[-1]
    chosen = last
    if last.action is not Action.DROP:
        chosen = max(findings, key=lambda f: -1.0 if f.suspicion is None else f.suspicion)
    if failures and chosen.suspicion is not None:
        # Somebody failed: the judgement of the others must not hide that.
        return replace(chosen, evidence={**chosen.evidence, "failures": tuple(failures)})
    return chosen


def _combined(
    statuses: Sequence[Status], *, failed: bool, dropped: bool, nothing_left: bool
) -> Status:
    if "majority_assumption_violated" in statuses:
        return "majority_assumption_violated"
    if failed:
        return "not_judged"
    if nothing_left:
        return "majority_assumption_violated"
    if dropped:
        return "filtered"
    return "clean" if set(statuses) - {"not_judged"} else "not_judged"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no message"])[0]
