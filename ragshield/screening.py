"""Screens judging arriving passages, and what happens when one fails."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np

from ragshield import registry
from ragshield.errors import PluginError, UsageError
from ragshield.protocols import Screen
from ragshield.quarantine import Quarantine
from ragshield.records import Action, Batch, Finding, Spec

OnScreenError: TypeAlias = Literal["raise", "keep", "quarantine"]
"""What to do with arriving passages that a failing screen left unjudged."""

_log = logging.getLogger("ragshield.ingest")


class Screening:
    """Several screens over arriving passages, and what happens when one fails.

    A screen fails when it raises any exception, or when it judges a passage that it
    was not shown or gives a suspicion outside [0, 1].
    """

    def __init__(
        self, screens: Sequence[Screen | str] | None = None, *, on_error: OnScreenError = "raise"
    ) -> None:
        if on_error not in get_args(OnScreenError):
            allowed = ", ".join(get_args(OnScreenError))
            raise UsageError(f"on_error is '{on_error}'; it must be one of: {allowed}")
        self.screens = screens_named(screens)
        self.on_error = on_error

    def judge(self, arrivals: Batch, context: Batch | None = None) -> tuple[Finding, ...]:
        """Findings about arriving passages, in the order of arrival.

        Args:
            arrivals: passages with vectors.
            context: stored passages with vectors to compare with; never judged.
        """
        if not arrivals.passages:
            return ()
        batch = arrivals if context is None else joined(arrivals, context)
        position = {passage_id: i for i, passage_id in enumerate(ids_of(arrivals))}
        found: list[Finding] = []
        for screen in self.screens:
            try:
                given = screen.screen(batch)
                _check(given, set(ids_of(batch)), screen.name)
            except Exception as error:  # the caller chose what a failure means
                given = self._failed(arrivals, error, screen.name)
            found.extend(finding for finding in given if finding.passage_id in position)
        return tuple(sorted(found, key=lambda finding: position[finding.passage_id]))

    def _failed(self, arrivals: Batch, error: Exception, screen: str) -> list[Finding]:
        if self.on_error == "raise":
            raise error
        action = Action.KEEP if self.on_error == "keep" else Action.DROP
        what = (str(error).splitlines() or ["no message"])[0]
        reason = f"not judged: {screen} failed ({type(error).__name__}: {what})"
        _log.warning(
            "%s; on_error='%s' for %d arriving passages", reason, self.on_error, len(arrivals)
        )
        return [Finding(x, None, screen, action, reason) for x in ids_of(arrivals)]


def screens_named(
    screens: Sequence[Screen | str] | None = None, **context: Any
) -> tuple[Screen, ...]:
    """Screens for objects and registry names; all registered ones for None.

    Args:
        screens: objects and names.
        context: what a screen that is named may ask for: `encoder`, `questions`.

    Raises:
        UsageError: an unknown name, none at all, or something that cannot screen.
    """
    given: Sequence[Any] = registry.names("screen") if screens is None else screens
    if isinstance(given, str) or not isinstance(given, Sequence):
        given = [given]
    if not given:
        raise UsageError("no screen given; see: ragshield list screens")
    built = [
        registry.build(Spec("screen", x), **context) if isinstance(x, str) else x for x in given
    ]
    for screen in built:
        if isinstance(screen, type) or not callable(getattr(screen, "screen", None)):
            raise UsageError(f"{screen!r} is no screen: give an object with a method screen()")
    return tuple(cast("Screen", screen) for screen in built)


def hold(quarantine: Quarantine, batch: Batch, findings: Iterable[Finding]) -> frozenset[str]:
    """Put the passages that a finding says to drop into the quarantine; gives their ids."""
    reasons: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.action is Action.DROP:
            reasons.setdefault(finding.passage_id, []).append(finding)
    rejects = select(batch, [i for i, x in enumerate(ids_of(batch)) if x in reasons])
    quarantine.hold(rejects.passages, reasons, rejects.vectors)
    return frozenset(reasons)


def joined(first: Batch, second: Batch) -> Batch:
    """Two batches as one; passages of the second with an id of the first are left out."""
    known = set(ids_of(first))
    rest = select(second, [i for i, x in enumerate(ids_of(second)) if x not in known])
    vectors = None
    if first.vectors is not None and rest.vectors is not None:
        vectors = np.concatenate([first.vectors, rest.vectors])
    return Batch(first.passages + rest.passages, vectors)


def select(batch: Batch, rows: Sequence[int]) -> Batch:
    """The passages at these positions, with their vectors."""
    vectors = None if batch.vectors is None else batch.vectors[list(rows)]
    return Batch(tuple(batch.passages[i] for i in rows), vectors)


def ids_of(batch: Batch) -> list[str]:
    """The ids of a batch's passages, in order."""
    return [passage.id for passage in batch.passages]


def _check(findings: Sequence[Finding], ids: set[str], screen: str) -> None:
    for finding in findings:
        if finding.passage_id not in ids:
            raise PluginError(
                f"screen '{screen}' judged passage '{finding.passage_id}', which it was not shown"
            )
        if finding.suspicion is not None and not 0.0 <= finding.suspicion <= 1.0:
            raise PluginError(
                f"screen '{screen}' gave passage '{finding.passage_id}' suspicion "
                f"{finding.suspicion}; allowed: 0 to 1, or None"
            )
