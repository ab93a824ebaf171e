"""The output gate: does an answer give away what is to be forgotten, and what is left of it?"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from ragshield.forget_set import Answer, folded
from ragshield.protocols import Encoder
from ragshield.unlearning.hashing import KeyedHashes
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.margins import Margins
from ragshield.unlearning.namesakes import Beside
from ragshield.unlearning.phrases import whole_sentences
from ragshield.unlearning.query_gate import Focus
from ragshield.unlearning.recognising import QUOTED, Recogniser, Seen, Strength, Told
from ragshield.unlearning.samples import PART

_MOST_SENTENCES = 200
_POINTS = 4
_SHORTEST = 6


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that must not be told.

    Attributes:
        target: row of the target.
        how: in words that quote nothing.
        gate: which part of the gate found it.
    """

    target: int
    how: str
    gate: str


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer after the gate.

    Attributes:
        answer: what may be told of it; None: nothing.
        leaks: what was found.
    """

    answer: Answer | None
    leaks: tuple[Leak, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether something was taken out."""
        return bool(self.leaks)


class OutputGate:
    """Lets through what gives nothing away, over answer, reasoning, citations and tools.

    Three tests of each sentence: names and telling phrases, however spelled or hidden; a
    value of a target that is in view (asked about, named or nearly named), but not what is said
    of others too where the name is theirs (`ragshield.unlearning.namesakes`); and its meaning,
    against the calibrated margin. Sentences that fail are taken out and the rest is tested
    again once, as ALU (2502.00406) does not with its merged answer. What hides in several
    sentences together withholds all of it; a tool's argument that fails withholds the
    whole answer, and a citation or a train of thought that fails is left out.

    Args:
        keys: of the forget set.
        encoder: the one they were made with; None to go without meaning.
        exact: whether to look for names and telling phrases.
        attributes: whether to look for values of targets in view.
    """

    def __init__(
        self,
        keys: ForgetKeys,
        encoder: Encoder | None = None,
        *,
        exact: bool = True,
        attributes: bool = True,
    ) -> None:
        self.keys = keys
        self.recogniser = Recogniser(keys)
        self._encoder = encoder
        self._margins = Margins(keys)
        self._exact = exact
        self._attributes = attributes
        self._implied = KeyedHashes(keys.secret).mark("attribute", folded(PART))

    def judge(self, answer: Answer, focus: Focus, *, audience: str | None = None) -> Judged:
        """What may be told of an answer.

        Args:
            answer: what the application would say.
            focus: what its question was about, from the query gate.
            audience: who asked.
        """
        arguments = [
            leak for text in answer.tool_arguments for leak in self.leaks(text, focus, audience)
        ]
        if arguments:
            return Judged(None, tuple(arguments))
        text, leaks = self._mended(answer.text, focus, audience)
        if text is None:
            return Judged(None, leaks)
        thoughts = self.leaks(answer.reasoning, focus, audience)
        cited = [(c, self.leaks(c, focus, audience)) for c in answer.citations]
        every = (*leaks, *thoughts, *(leak for _, found in cited for leak in found))
        if not every:
            return Judged(answer)
        mended = replace(
            answer,
            text=text,
            reasoning="" if thoughts else answer.reasoning,
            citations=tuple(c for c, found in cited if not found),
        )
        return Judged(mended, tuple(every))

    def leaks(self, text: str, focus: Focus, audience: str | None = None) -> list[Leak]:
        """All that a text would give away."""
        if not text.strip():
            return []
        free = frozenset(
            i for i, target in enumerate(self.keys.targets) if target.is_free_for(audience)
        )
        seen = [
            s
            for s in self.recogniser.names(text)
            if s.target not in free and s.beside is not Beside.LISTED
        ]
        found = [*self._named(seen, audience)] if self._exact else []
        found += self._stated(text, seen, focus, audience, free)
        own = {s.target for s in seen if s.beside is Beside.NO}
        in_view = own | focus.near | focus.hints.keys()
        if self._exact:
            # Eight words in a row are no chance; six are none where the target is in view.
            found += [
                Leak(target, "quotes it", "exact")
                for target, n_runs in self.recogniser.passages(text).items()
                if target not in free and (n_runs >= QUOTED or target in in_view)
            ]
        found += self._meant(text, in_view, free, audience)
        return found

    def _mended(
        self, text: str, focus: Focus, audience: str | None
    ) -> tuple[str | None, tuple[Leak, ...]]:
        leaks = self.leaks(text, focus, audience)
        if not leaks:
            return text, ()
        # What a sentence says of "he" belongs to the one who was named before.
        parts = whole_sentences(text)[:_MOST_SENTENCES]
        kept: list[str] = []
        tainted = False
        for sentence in parts:
            tainted = bool(self.leaks(sentence, focus, audience)) or (
                tainted and _goes_on(sentence)
            )
            if not tainted:
                kept.append(sentence)
        rest = " ".join(kept)
        # What no sentence tells by itself, all of them do; lines may spell what words do not.
        if len(kept) == len(parts) or not any(c.isalnum() for c in rest):
            return None, tuple(leaks)
        if any(self.leaks(sep.join(kept), focus, audience) for sep in (" ", "\n")):
            return None, tuple(leaks)
        return rest, tuple(leaks)

    def _named(self, seen: Sequence[Seen], audience: str | None) -> list[Leak]:
        return [
            Leak(s.target, s.how, "exact")
            for s in seen
            if s.certain
            and self.keys.targets[s.target].kind == "concept"
            and not self.keys.targets[s.target].told(audience)
        ]

    def _stated(
        self,
        text: str,
        seen: Sequence[Seen],
        focus: Focus,
        audience: str | None,
        free: frozenset[int],
    ) -> list[Leak]:
        in_view = {s.target for s in seen if s.beside is Beside.NO} | focus.near
        beside = {s.target for s in seen} | focus.beside.keys()
        found = []
        points: dict[int, dict[int, int]] = {}
        for told in self.recogniser.values(text):
            fact = self.keys.facts[told.fact]
            if fact.owner in free or self._stays(told, fact.owner, focus):
                continue
            if fact.attribute in self.keys.targets[fact.owner].told(audience):
                continue
            if told.strength is Strength.TELLING and self._exact:
                found.append(Leak(fact.owner, told.how, "exact"))
            elif self._attributes and (
                fact.owner in in_view
                or self._asked_of_sample(told, fact.owner, focus)
                or (fact.owner in beside and told.strength is not Strength.SHARED)
            ):
                found.append(Leak(fact.owner, told.how, "attribute"))
            elif told.points:
                points.setdefault(fact.owner, {})[told.fact] = told.points
        if self._attributes:
            # Values in question and answer that only together can mean nobody else.
            found += [
                Leak(owner, "states several of its values", "attribute")
                for owner, own in points.items()
                if sum({**focus.hints.get(owner, {}), **own}.values()) >= self._enough(owner, focus)
            ]
        return found

    def _stays(self, told: Told, owner: int, focus: Focus) -> bool:
        """Whether a part of a sample tells nothing: texts that stay, or the question, do."""
        if self.keys.targets[owner].kind != "sample":
            return False
        implied = self.keys.facts[told.fact].attribute == self._implied
        asked = told.fact in focus.hints.get(owner, ())
        # A listed answer is none the less told for standing in the question.
        return implied and (told.strength is Strength.SHARED or asked)

    def _asked_of_sample(self, told: Told, owner: int, focus: Focus) -> bool:
        """Whether a listed answer of a sample is given to a question that names its subject."""
        listed = self.keys.facts[told.fact].attribute != self._implied
        of_sample = self.keys.targets[owner].kind == "sample"
        return listed and of_sample and owner in focus.hints

    def _enough(self, owner: int, focus: Focus) -> int:
        """Points that are too many: of a sample any thing more than the question names."""
        of_sample = self.keys.targets[owner].kind == "sample"
        return 2 if of_sample and owner in focus.hints else _POINTS

    def _meant(
        self, text: str, in_view: AbstractSet[int], free: frozenset[int], audience: str | None
    ) -> list[Leak]:
        if self._encoder is None:
            return []
        # A word or two means nothing by itself: it is the values' test that knows it.
        parts = [p for p in whole_sentences(text)[:_MOST_SENTENCES] if len(p.split()) >= _SHORTEST]
        if not parts:
            return []
        # Of who may be told something, meaning cannot tell what from what.
        partly = frozenset(i for i, target in enumerate(self.keys.targets) if target.told(audience))
        threshold = self.keys.calibration.sentence_threshold
        margins = self._margins.of(self._encoder.encode(parts), free | partly)
        return [
            Leak(m.owner, "means it", "semantic")
            for part, m in zip(parts, margins, strict=True)
            # Of what nobody asked about, only what can hardly mean anything else.
            if m.similarity >= self.keys.calibration.similarity
            and m.margin >= (threshold if m.owner in in_view else 2 * threshold)
            and not self.recogniser.neighbours(part)
        ]


def _goes_on(sentence: str) -> bool:
    """Whether a sentence speaks of who was named before it."""
    first = sentence.split()[:3]
    return any(
        word.strip(".,'\"").lower() in {"he", "she", "they", "his", "her", "their", "it", "its"}
        for word in first
    )
