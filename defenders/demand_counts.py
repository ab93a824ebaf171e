"""Bounded counters of who wins how many different questions, and what chance explains."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, TypeAlias

from ragshield.defenders.demand_chance import (
    binomial_tail,
    look_share,
    trial_share,
    upper_rate,
)
from ragshield.defenders.demand_seen import Signature

Standing: TypeAlias = Literal["established", "trial", "flagged"]

SAMPLE = 16
"""Questions sampled per passage."""
QUESTION_SAMPLE = 32
"""Questions sampled of all that were asked."""
_SAME_VECTOR_BITS = 3  # of 64; float noise of a re-read vector flips none, another vector ~ 20
_REFRESH = 50  # questions between two looks at the established passages' demand


@dataclass(slots=True)
class Wins:
    """What is remembered of one passage.

    Attributes:
        text: hash of its text, 64 bits.
        vector: signature of its stored vector.
        standing: `established` (was there before, or outlasted its trial), `trial` (new
            or changed), `flagged` (its demand is beyond what chance explains).
        wins: different questions it was among the hits of; decayed once established.
        since: number of the question at which the trial began; 0 if there was none.
        since_s: the clock's time then, seconds.
        changed: on trial because its text or vector changed, not because it is new.
        number: of the trial, from 1.
        usual: share of questions that it may win, as known when the trial began.
        p_value: at its last win, corrected for all trials and looks, [0, 1].
        sample: (hash, signature) of the questions won with the smallest hashes.
    """

    text: int
    vector: Signature
    standing: Standing
    wins: float = 1.0
    since: int = 0
    since_s: float = 0.0
    changed: bool = False
    number: int = 0
    usual: float = 0.0
    p_value: float = 1.0
    sample: list[tuple[int, Signature]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """One hit as the counters see it; `known` True or False where its age is on record."""

    passage_id: str
    text: int
    vector: Signature
    known: bool | None = None


@dataclass(slots=True)
class Limits:
    """The detector's settings that the counters need; see `DemandDetector`."""

    alpha: float
    tolerated: float
    warm_up: int
    trial: int
    min_spread: float
    max_passages: int
    max_questions: int


class DemandCounts:
    """The counters; not thread-safe by themselves.

    Three tables, each bounded: established passages keep the most wanted (space-saving
    without inheriting counts), trials the most recently wanted, flagged the most
    recently wanted. A trial table of its own keeps the many passages that win once from
    pushing out, and from being pushed out by, the established ones.
    """

    def __init__(self, limits: Limits, started_s: float) -> None:
        self.limits = limits
        self.started_s = started_s
        self.n_questions = 0
        self.n_trials = 0
        self.exposure = 0.0  # questions over which the established passages' wins are counted
        self.usual = 1.0
        self.spread = 0.0  # mean signature distance of two questions, bits
        self.questions: OrderedDict[int, None] = OrderedDict()
        self.question_sample: list[tuple[int, Signature]] = []
        self.established: dict[str, Wins] = {}
        self.trials: OrderedDict[str, Wins] = OrderedDict()
        self.flagged: OrderedDict[str, Wins] = OrderedDict()

    @property
    def warm(self) -> bool:
        """Whether enough questions were asked to judge."""
        return self.n_questions >= self.limits.warm_up

    def find(self, passage_id: str) -> Wins | None:
        """What is remembered of a passage, if anything."""
        return (
            self.flagged.get(passage_id)
            or self.trials.get(passage_id)
            or self.established.get(passage_id)
        )

    def count(
        self, question: int, signature: Signature, seen: Sequence[Seen], now_s: float
    ) -> bool:
        """Count one question's winners, in an order that does not depend on the hits'.

        Returns:
            False if the question is remembered: it is not a different one, so nothing
            is counted.
        """
        if question in self.questions:
            self.questions.move_to_end(question)
            return False
        self.questions[question] = None
        if len(self.questions) > self.limits.max_questions:
            self.questions.popitem(last=False)
        self.n_questions += 1
        self.exposure += 1
        _sample(self.question_sample, question, signature, QUESTION_SAMPLE)
        if self.n_questions % _REFRESH == 0 or self.n_questions == self.limits.warm_up:
            self._refresh()
        for hit in sorted(seen, key=lambda hit: hit.passage_id):
            self._win(hit, question, signature, now_s)
        return True

    def release(self, passage_id: str) -> bool:
        """Take a flagged passage as established; False if it is not flagged."""
        entry = self.flagged.pop(passage_id, None)
        if entry is None:
            return False
        self._establish(passage_id, entry)
        return True

    def spread_of(self, entry: Wins) -> float | None:
        """How different the questions it won are, 1 = as any two; None if too few known."""
        own = _mean_distance(entry.sample)
        if own is None or self.spread <= 0:
            return None
        return own / self.spread

    def _win(self, hit: Seen, question: int, signature: Signature, now_s: float) -> None:
        entry = self.find(hit.passage_id)
        if entry is None or _differs(entry, hit):
            self._start(hit, question, signature, now_s, changed=entry is not None)
            return
        entry.wins += 1
        if entry.standing == "established":
            return
        _sample(entry.sample, question, signature, SAMPLE)
        if entry.standing == "flagged":
            self.flagged.move_to_end(hit.passage_id)
            return
        self.trials.move_to_end(hit.passage_id)
        if self.warm and self._look(entry):
            entry.standing = "flagged"
            self.flagged[hit.passage_id] = self.trials.pop(hit.passage_id)
            if len(self.flagged) > self.limits.max_passages // 8:
                self.flagged.popitem(last=False)
        elif self.n_questions - entry.since >= self.limits.trial:
            self._establish(hit.passage_id, self.trials.pop(hit.passage_id))

    def _start(
        self, hit: Seen, question: int, signature: Signature, now_s: float, *, changed: bool
    ) -> None:
        for table in (self.established, self.trials, self.flagged):
            table.pop(hit.passage_id, None)
        entry = Wins(hit.text, hit.vector, "trial", changed=changed)
        if hit.known or (hit.known is None and not changed and not self.warm):
            self._establish(hit.passage_id, entry)
            return
        self.n_trials += 1
        entry.since, entry.since_s, entry.number = self.n_questions, now_s, self.n_trials
        entry.usual = self.usual if self.warm else 0.0
        _sample(entry.sample, question, signature, SAMPLE)
        self.trials[hit.passage_id] = entry
        if len(self.trials) > self.limits.max_passages // 2:
            self.trials.popitem(last=False)

    def _establish(self, passage_id: str, entry: Wins) -> None:
        asked = self.n_questions - entry.since
        if entry.since and asked:  # as many wins as at this rate over the others' questions
            entry.wins = (entry.wins - 1) * self.exposure / asked
        entry.standing, entry.p_value, entry.sample = "established", 1.0, []
        self.established[passage_id] = entry
        capacity = self.limits.max_passages * 3 // 8
        if len(self.established) > capacity + capacity // 8:
            ranked = sorted(self.established.items(), key=lambda item: (-item[1].wins, item[0]))
            self.established = dict(ranked[:capacity])

    def _look(self, entry: Wins) -> bool:
        """Renew a trial's p-value at a win; whether it is beyond chance."""
        n_wins, n_asked = int(entry.wins) - 1, self.n_questions - entry.since
        usual = max(entry.usual, self.usual)
        tail = binomial_tail(n_wins, n_asked, usual)
        entry.p_value = min(1.0, tail / (trial_share(entry.number) * look_share(n_wins)))
        if entry.p_value > self.limits.alpha:
            return False
        spread = self.spread_of(entry)
        return spread is None or spread >= self.limits.min_spread

    def _refresh(self) -> None:
        """How much demand is usual now: an upper limit for the most wanted established."""
        if self.exposure >= 2 * self.limits.trial + self.limits.warm_up:
            self.exposure /= 2  # old demand fades, so that the yardstick follows the traffic
            for entry in self.established.values():
                entry.wins /= 2
        place = int(self.limits.tolerated * len(self.established))
        counts = (entry.wins for entry in self.established.values())
        top = heapq.nlargest(place + 1, counts)
        self.usual = upper_rate(top[-1], self.exposure) if top else 1.0
        self.spread = _mean_distance(self.question_sample) or 0.0


def _differs(entry: Wins, hit: Seen) -> bool:
    if entry.text != hit.text:
        return True
    if entry.vector < 0 or hit.vector < 0:
        return False
    return (entry.vector ^ hit.vector).bit_count() > _SAME_VECTOR_BITS


def _sample(
    sample: list[tuple[int, Signature]], question: int, signature: Signature, size: int
) -> None:
    """Keep the k minimum hashes: a uniform sample of the different questions."""
    if len(sample) == size and question >= sample[-1][0]:
        return
    sample.append((question, signature))
    sample.sort()
    del sample[size:]


def _mean_distance(sample: Sequence[tuple[int, Signature]]) -> float | None:
    """Mean Hamming distance of the questions' signatures; None for fewer than 4."""
    known = [signature for _, signature in sample if signature >= 0]
    if len(known) < 4:
        return None
    pairs = [(a ^ b).bit_count() for a, b in combinations(known, 2)]
    return sum(pairs) / len(pairs)
