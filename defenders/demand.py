"""The demand detector: new passages that suddenly win many different questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from ragshield.defenders import demand_state
from ragshield.defenders.demand_counts import DemandCounts, Limits, Seen, Wins
from ragshield.defenders.demand_seen import hash_of, question_of, seconds_of, signatures_of
from ragshield.errors import UsageError
from ragshield.records import Action, Finding, Passage, Retrieval, Status, Verdict


class DemandDetector:
    """Drop new or changed passages that suddenly win many different questions.

    Counters only: it remembers who was among the hits of how many different questions.
    A passage first seen after the warm-up, or whose text or vector changed, is on trial;
    it is dropped once it has won more questions since than the most wanted established
    passages would have, beyond chance. What was there in the warm-up is established, and
    so is what outlasts its trial: this finds what arrives, not what a store already held
    (scan for that). Each call counts its question, then judges, so that asking the same
    again gives the same verdict; a question whose content words were asked before
    counts nothing.

    False positives. (1) Let every passage on trial win each further question, given all
    that went before, with a probability of at most the usual demand as estimated when
    its trial began. Then the probability that any of them is ever dropped is at most
    `alpha`: an exact binomial tail at each win, and a budget split over all trials
    and all looks, so that neither their number nor peeking inflates it. (2) The usual
    demand is the upper 99 % limit of the demand of the most wanted established passage
    after the top `tolerated` share. A new honest passage whose popularity is drawn like
    the n established ones' exceeds it with probability at most about
    `tolerated` + 1 / (n + 1). No statement holds for honest passages that are in greater
    demand than all old ones, such as news that everybody asks about; where the questions
    keep to one topic, `min_spread` spares them, and for the same reason a campaign
    against one topic is not found here. `release` takes a passage back.

    Suspicion: 1 - the corrected p-value; 0 for established passages; None in the
    warm-up. A passage that wins no more than `usual` is not found, however poisoned.
    Whoever can ask questions can also frame a new passage or raise the usual demand.

    Status: `not_judged` in the warm-up, `majority_assumption_violated` where more than
    half of the hits were dropped.

    Source: "Coverage Is Not Containment", 2026, arXiv 2608.16044 (recency and demand
    concentration). Compared with: nothing; no code was at hand.

    Differs: only the two ideas are the paper's. The test, the trial, the spread of the
    questions and the bounded memory are ours.

    Args:
        alpha: probability of ever dropping a passage in no unusual demand, (0, 1).
        tolerated: share of the established passages above the yardstick, [0, 1).
        warm_up: different questions before anything is judged, at least 1.
        trial: questions after which a passage that was not dropped is established.
        depth: only the best so many hits win a question.
        min_spread: least mean distance of the questions won, as a share of that of any
            two questions asked, [0, 1]: hubs come near 1, one topic near 0.6, wordings
            of one question below 0.4.
        max_passages: remembered at most, at least 16; about 1 kB each.
        max_questions: different questions remembered, to know a repeated one.
        time_key: metadata field with the time of ingest (ISO 8601, or seconds since
            1970) that says what is new; only one that no attacker can write. Passages
            without it are new when first seen.
        state: a file that keeps the counters; read if it exists.
        save_every: write `state` after so many counted questions; 0 leaves it to `save`.
        clock: the time now in seconds since 1970; for tests.

    Raises:
        UsageError: a value that is not allowed.
        InputError: `state` exists and is no such file.
    """

    name: ClassVar[str] = "demand"

    def __init__(
        self,
        alpha: float = 0.01,
        tolerated: float = 0.001,
        *,
        warm_up: int = 500,
        trial: int = 5000,
        depth: int = 10,
        min_spread: float = 0.7,
        max_passages: int = 8192,
        max_questions: int = 16384,
        time_key: str | None = None,
        state: str | Path | None = None,
        save_every: int = 1000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check("alpha", alpha, 0 < alpha < 1, "between 0 and 1")
        _check("tolerated", tolerated, 0 <= tolerated < 1, "at least 0 and below 1")
        _check("min_spread", min_spread, 0 <= min_spread <= 1, "between 0 and 1")
        _check("max_passages", max_passages, max_passages >= 16, "at least 16")
        _check("save_every", save_every, save_every >= 0, "at least 0")
        for what, value in (("warm_up", warm_up), ("trial", trial), ("depth", depth)):
            _check(what, value, value >= 1, "at least 1")
        _check("max_questions", max_questions, max_questions >= 1, "at least 1")
        self.depth = depth
        self.time_key = time_key
        self.state = None if state is None else Path(state)
        self.save_every = save_every
        self._clock = clock
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        limits = Limits(alpha, tolerated, warm_up, trial, min_spread, max_passages, max_questions)
        if self.state is not None and self.state.exists():
            self._counts = demand_state.read(self.state, limits)
        else:
            self._counts = DemandCounts(limits, clock())

    @property
    def n_questions(self) -> int:
        """Different questions counted so far."""
        return self._counts.n_questions

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Count the question for its hits and judge them.

        Raises:
            UsageError: `state` is due to be written and cannot be.
        """
        if not retrieval.hits:
            return Verdict(kept=(), findings=(), status="clean", detector=self.name)
        question, signature = question_of(retrieval)
        started = self._counts.started_s
        seen = self._seen(retrieval, started)
        with self._lock:
            counts = self._counts
            counted = counts.count(question, signature, seen, self._clock())
            findings = tuple(self._finding(hit.id) for hit in retrieval)
            warm, due = counts.warm, self.save_every and counts.n_questions % self.save_every == 0
        if counted and due and self.state is not None:
            self.save()
        kept = tuple(
            hit for hit, f in zip(retrieval, findings, strict=True) if f.action is Action.KEEP
        )
        n_dropped = len(findings) - len(kept)
        status: Status = "filtered" if n_dropped else "clean" if warm else "not_judged"
        if 2 * n_dropped > len(findings):
            status = "majority_assumption_violated"
        return Verdict(kept, findings, status, self.name)

    def flagged(self) -> tuple[Finding, ...]:
        """The passages that are dropped now, longest unasked first."""
        with self._lock:
            return tuple(self._finding(passage_id) for passage_id in self._counts.flagged)

    def release(self, passage_id: str) -> bool:
        """Keep a dropped passage from now on, as an established one; False if none is."""
        with self._lock:
            return self._counts.release(passage_id)

    def save(self, path: str | Path | None = None) -> None:
        """Write the counters whole or not at all, to `path` or to `state`.

        Raises:
            UsageError: no path was ever given, or it cannot be written.
        """
        target = self.state if path is None else Path(path)
        if target is None:
            raise UsageError("demand: no file to save to; give save(path) or state=...")
        with self._saving:  # a slower, older snapshot must not replace a newer one
            with self._lock:
                snapshot = demand_state.snapshot(self._counts)
            demand_state.write(target, snapshot)

    @classmethod
    def load(cls, path: str | Path, *, clock: Callable[[], float] = time.time) -> Self:
        """A detector that goes on where a saved one stopped, with the default settings.

        For other settings: `DemandDetector(..., state=path)`.

        Raises:
            InputError: the file is missing or holds no saved counters.
        """
        detector = cls(clock=clock)
        detector._counts = demand_state.read(Path(path), detector._counts.limits)
        detector.state = Path(path)
        return detector

    def _seen(self, retrieval: Retrieval, started_s: float) -> list[Seen]:
        best = retrieval.hits[: self.depth]
        signatures = signatures_of(retrieval.vectors[: len(best)], len(best))
        found: dict[str, Seen] = {}
        for hit, signature in zip(best, signatures, strict=True):
            known = self._known(hit.passage, started_s)
            found.setdefault(hit.id, Seen(hit.id, hash_of(hit.text), signature, known))
        return list(found.values())

    def _known(self, passage: Passage, started_s: float) -> bool | None:
        """Whether the passage is older than the counters; None if nothing says."""
        if self.time_key is None:
            return None
        ingested = seconds_of(passage.meta.get(self.time_key))
        return None if ingested is None else ingested < started_s

    def _finding(self, passage_id: str) -> Finding:
        counts, entry = self._counts, self._counts.find(passage_id)
        if not counts.warm:
            need = counts.limits.warm_up
            reason = f"not judged: demand is known after {need} different questions"
            return Finding(passage_id, None, self.name, Action.KEEP, reason)
        if entry is None:
            reason = "not judged: not among the best hits of any question remembered"
            return Finding(passage_id, None, self.name, Action.KEEP, reason)
        if entry.standing == "established":
            reason = "kept: an established passage, neither new nor changed"
            return Finding(passage_id, 0.0, self.name, Action.KEEP, reason)
        evidence = self._evidence(entry)
        what = f"{'changed' if entry.changed else 'new'} since {evidence['since']}"
        n_wins, n_asked = evidence["n_wins"], evidence["n_questions"]
        won = f"a hit for {n_wins} of the {n_asked} different questions since"
        usual = f"the most wanted established passages win {evidence['usual']:.2%} at most"
        if entry.standing == "flagged":
            reason = f"dropped: {what} and {won}; {usual} (p = {entry.p_value:.1g})"
            return Finding(
                passage_id,
                1 - entry.p_value,
                self.name,
                Action.DROP,
                reason,
                evidence=evidence,
            )
        reason = f"kept: {what} and {won}; {usual}"
        suspicion = min(1 - entry.p_value, 1 - counts.limits.alpha)
        return Finding(passage_id, suspicion, self.name, Action.KEEP, reason, evidence=evidence)

    def _evidence(self, entry: Wins) -> dict[str, Any]:
        counts = self._counts
        spread = counts.spread_of(entry)
        return {
            "n_wins": int(entry.wins) - 1,
            "n_questions": counts.n_questions - entry.since,
            "usual": max(entry.usual, counts.usual),
            "p_value": entry.p_value,
            "spread": None if spread is None else round(spread, 3),
            "since": datetime.fromtimestamp(entry.since_s, UTC).isoformat(timespec="seconds"),
            "changed": entry.changed,
        }


def _check(what: str, value: object, allowed: bool, rule: str) -> None:
    if not allowed:
        raise UsageError(f"demand: {what} is {value!r}; it must be {rule}")
