"""The query gate: is a question about something that is to be forgotten?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from ragshield.protocols import Encoder
from ragshield.records import Vectors
from ragshield.text import STOP_WORDS
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.margins import Margin, Margins
from ragshield.unlearning.namesakes import Beside, leads_on
from ragshield.unlearning.phrases import whole_sentences
from ragshield.unlearning.recognising import QUOTED, Recogniser, Strength
from ragshield.unlearning.spelling import tokens

_MOST_PARTS = 48
_TURNS = 6
_POINTS = 4
_NAMED = 2
_REFERS = frozenset(
    """he she they him her them his hers their theirs it its who whose that this those these
    same former latter person man woman one someone somebody there former author subject above
    aforementioned mentioned previous""".split()
)
_FULL_NAME = re.compile(r"\b[A-Z][\w'.-]* (?:(?:de|la|van|von|da|al|el|of|the) )*[A-Z][\w'-]+")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'-]+")


@dataclass(frozen=True, slots=True)
class Focus:
    """Which targets a question is about.

    Attributes:
        refused: rows of targets that the audience may not be told of, and why.
        allowed: rows of targets of which the question asks only what may be told.
        weak: rows of targets that it may be about, and why: what is said of them is then
            looked at more strictly.
        beside: rows of targets of which somebody else has a part of the name, and that one is
            asked about: only what is known of the target alone is then withheld.
        hints: points of the facts that it holds values of, for each target.
        margin: how much nearer it lies to a target than to what must stay known; None
            where nothing was embedded.
    """

    refused: dict[int, str] = field(default_factory=dict)
    allowed: dict[int, str] = field(default_factory=dict)
    weak: dict[int, str] = field(default_factory=dict)
    beside: dict[int, str] = field(default_factory=dict)
    hints: dict[int, dict[int, int]] = field(default_factory=dict)
    margin: float | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the question must not be answered."""
        return bool(self.refused)

    @property
    def near(self) -> frozenset[int]:
        """All targets that the question may be about."""
        return frozenset({*self.refused, *self.allowed, *self.weak})


class QueryGate:
    """Tells questions about targets from questions about their neighbours.

    By name, however spelled; by several of a target's values together; by runs of words of
    a sample; by meaning, where the calibrated margin is passed; and by what was asked
    before. Thread-safe where the encoder is.

    Source: after the detection steps of GUARD (2505.13312) and STaR (2601.09281).
    Differs: no trained classifier; keyed hashes and a margin against hard neighbours, so
    that nothing of the forget set is stored.

    Args:
        keys: of the forget set.
        encoder: the one they were made with; None to go without meaning.
    """

    def __init__(self, keys: ForgetKeys, encoder: Encoder | None = None) -> None:
        self.keys = keys
        self.recogniser = Recogniser(keys)
        self.margins = Margins(keys)
        self._encoder = encoder

    def judge(
        self,
        question: str,
        *,
        audience: str | None = None,
        history: Sequence[str] = (),
        vectors: Vectors | None = None,
    ) -> Focus:
        """What a question is about.

        Args:
            question: any text.
            audience: who asks; None or an unknown one: anybody.
            history: what the same person asked before, oldest first.
            vectors: (n, dim) of `parts_of(question)`, where they are at hand already.
        """
        free = self.free(audience)
        focus = Focus()
        self._by_name(question, free, audience, focus)
        self._by_values(question, free, audience, focus)
        for target, n_runs in self.recogniser.passages(question).items():
            if target not in free and n_runs >= QUOTED:
                focus.refused.setdefault(target, "quotes it")
        self._by_history(question, history, free, audience, focus)
        margin = self._by_meaning(question, free, focus, vectors)
        self._not_beside(question, focus)
        return replace(focus, margin=margin)

    def free(self, audience: str | None) -> frozenset[int]:
        """Rows of the targets of which an audience may be told everything."""
        return frozenset(
            i for i, target in enumerate(self.keys.targets) if target.is_free_for(audience)
        )

    def _by_name(
        self, question: str, free: frozenset[int], audience: str | None, focus: Focus
    ) -> None:
        for seen in self.recogniser.names(question):
            if seen.target in free:
                continue
            if not seen.certain:
                if seen.beside is Beside.LISTED and not _leads_on(question):
                    continue
                about = focus.beside if seen.beside >= Beside.ALL else focus.weak
                about.setdefault(seen.target, seen.how)
            elif self._may_be_told(question, seen.target, audience):
                focus.allowed.setdefault(seen.target, seen.how)
            else:
                focus.refused.setdefault(seen.target, seen.how)

    def _may_be_told(self, question: str, target: int, audience: str | None) -> bool:
        """Whether a question asks for attributes, and only for those that may be told."""
        told = self.keys.targets[target].told(audience)
        if not told:
            return False
        asked = self.recogniser.attributes(question)
        return bool(asked) and asked <= told

    def _by_values(
        self, question: str, free: frozenset[int], audience: str | None, focus: Focus
    ) -> None:
        telling: set[int] = set()
        for told in self.recogniser.values(question):
            fact = self.keys.facts[told.fact]
            target = self.keys.targets[fact.owner]
            if fact.owner in free or (not told.points and target.kind != "sample"):
                continue
            focus.hints.setdefault(fact.owner, {})[told.fact] = told.points
            if told.strength is Strength.TELLING and fact.attribute not in target.told(audience):
                telling.add(fact.owner)
        # Who names a neighbour asks about that one, whatever they have in common.
        of_neighbour = self.recogniser.neighbours(question)
        for owner, facts in focus.hints.items():
            if owner in focus.allowed:
                continue
            if owner in telling or (sum(facts.values()) >= _POINTS and not of_neighbour):
                focus.refused.setdefault(owner, "describes it by its values")

    def _by_history(
        self,
        question: str,
        history: Sequence[str],
        free: frozenset[int],
        audience: str | None,
        focus: Focus,
    ) -> None:
        turns = list(history)[-_TURNS:]
        if not turns:
            return
        before = {
            seen.target
            for turn in turns
            for seen in self.recogniser.names(turn)
            if seen.certain and seen.target not in free
        }
        refers = refers_back(question) and not self.recogniser.neighbours(question)
        for target in before:
            if target in focus.refused or target in focus.allowed:
                continue
            if refers and self._may_be_told(question, target, audience):
                focus.allowed[target] = "was named before"
            elif refers:
                focus.refused[target] = "was named before"
            else:
                focus.weak.setdefault(target, "was named before")
        # A name given in pieces, one turn after the other.
        for seen in self.recogniser.names(" ".join((*turns, question))):
            known = focus.refused.keys() | focus.allowed.keys() | before | free
            if seen.certain and seen.target not in known:
                focus.refused.setdefault(seen.target, "is named over several turns")

    def _by_meaning(
        self, question: str, free: frozenset[int], focus: Focus, vectors: Vectors | None
    ) -> float | None:
        if vectors is None:
            if self._encoder is None:
                return None
            vectors = self._encoder.encode(parts_of(question))
        best = self.nearness(question, vectors, free, focus)
        if best is None:
            return None
        kind = self.keys.targets[best.owner].kind
        threshold = self.keys.calibration.threshold_of(kind)
        near = best.similarity >= self.keys.calibration.similarity
        if near and best.owner not in focus.allowed:
            # Who names a part of a sample and lies near it asks about it: half is enough.
            limit = threshold / 2 if self._names_sample(best.owner, focus) else threshold
            # A neighbour's name says more about whom is asked than the rest does.
            if best.margin >= limit and not self.recogniser.neighbours(question):
                focus.refused.setdefault(best.owner, "means it")
            elif best.margin >= threshold / 2:
                other = self.recogniser.somebody_else(question, best.owner)
                about = focus.beside if other else focus.weak
                about.setdefault(best.owner, "may mean it")
        return best.margin

    def _not_beside(self, question: str, focus: Focus) -> None:
        """Of whom somebody else is asked about, those that the question leads to after all."""
        if not focus.beside:
            return
        leads = _leads_on(question)
        known = {self.keys.facts[told.fact].owner for told in self.recogniser.values(question)}
        for target, how in list(focus.beside.items()):
            if leads or target in known or target in focus.near:
                del focus.beside[target]
                if target not in focus.near:
                    focus.weak[target] = how

    def nearness(
        self,
        question: str,
        vectors: Vectors,
        free: frozenset[int] = frozenset(),
        focus: Focus | None = None,
    ) -> Margin | None:
        """The margin of the part of a question that is nearest to a target; None: no target.

        Half of it where the question has a name and nothing that is known of the target:
        what they share is then the form.

        Args:
            question: any text.
            vectors: (n, dim) of its parts.
            free: rows of targets that do not count.
            focus: what is known of it already; None to find out.
        """
        found = self.margins.of(vectors, free)
        if not found:
            return None
        lowest = self.keys.calibration.similarity
        near = [margin for margin in found if margin.similarity >= lowest]
        best = max(near or found, key=self._lead)
        if best.margin <= 0 or not (_FULL_NAME.search(question) or _NAME.search(question)):
            return best
        if focus is None:
            focus = Focus()
            self._by_values(question, free, None, focus)
        own = any(focus.hints.get(best.owner, {}).values())
        return best if own else best._replace(margin=best.margin / 2)

    def _lead(self, margin: Margin) -> float:
        """How far a margin is above the threshold of its target's kind."""
        limits = self.keys.calibration
        return margin.margin - limits.threshold_of(self.keys.targets[margin.owner].kind)

    def _names_sample(self, owner: int, focus: Focus) -> bool:
        of_sample = self.keys.targets[owner].kind == "sample"
        return of_sample and sum(focus.hints.get(owner, {}).values()) >= _NAMED


def _leads_on(question: str) -> bool:
    return leads_on(token.word for token in tokens(question))


def parts_of(question: str) -> list[str]:
    """A question, and where it has several sentences, each of them, for embedding."""
    parts = [part for part in whole_sentences(question[:40_000]) if any(c.isalnum() for c in part)]
    if len(parts) <= 1:
        return [question.strip()[:2000] or "?"]
    if len(parts) > _MOST_PARTS:
        # All of a long text, in at most so many pieces.
        at = np.linspace(0, len(parts), _MOST_PARTS + 1).astype(int)
        parts = [" ".join(parts[a:b]) for a, b in pairwise(at)]
    return [*parts, question[:2000]]


def refers_back(question: str) -> bool:
    """Whether a question speaks of what went before: a pronoun, and no name of its own."""
    words = [word.lower() for word in re.findall(r"\w+", question)]
    if _NAME.search(question) and not question.isupper():
        return False
    bare = [word for word in words if word not in STOP_WORDS]
    return bool(_REFERS & set(words)) or len(bare) <= 3
