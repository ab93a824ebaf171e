"""The retrieval filter: what is forgotten does not reach the model's context."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np

from ragshield.protocols import Encoder
from ragshield.records import Vectors
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.margins import Margins
from ragshield.unlearning.namesakes import Beside
from ragshield.unlearning.phrases import whole_sentences
from ragshield.unlearning.query_gate import Focus
from ragshield.unlearning.recognising import QUOTED, Recogniser, Strength

_MOSTLY = 0.34
_FEW = 2
_SLACK = 0.25
_OF_PERSONS = frozenset("he she his her hers him".split())
_GOES_ON = _OF_PERSONS | frozenset("they their theirs them it its this that".split())
_CLAUSE = re.compile(r"[,;:] ")
_CAPITAL = r"[A-Z\u00c0-\u00de][\w'\u2019-]+"
_SUBJECT = re.compile(rf"{_CAPITAL} (?:(?:of|de|da|van|von|la|&) )?{_CAPITAL}")


class _Said(NamedTuple):
    """For whom and for which question a text is read; `beside`: of whose names it has parts."""

    focus: Focus
    free: frozenset[int]
    audience: str | None
    beside: frozenset[int]


class RetrievalFilter:
    """Takes out of retrieved texts what is said of targets.

    A text that is mostly about a target, quotes a sample or lies nearer to a target than
    the margin allows is dropped; of others, the sentences that speak of one are left out,
    and those after them that go on about it. A text that begins with somebody else's name is
    about that one: all that it says beside is kept, and of a sentence with that name what
    stands in the clauses before the first that speaks of a target. "She" goes on about no
    firm or place.

    Args:
        keys: of the forget set.
        encoder: the one they were made with; None to go without meaning.
    """

    def __init__(self, keys: ForgetKeys, encoder: Encoder | None = None) -> None:
        self.keys = keys
        self.recogniser = Recogniser(keys)
        self._encoder = encoder
        self._margins = Margins(keys)

    def first(
        self, texts: Sequence[str], k: int, focus: Focus, *, audience: str | None = None
    ) -> list[str]:
        """Texts of which something may be shown: what is left out makes room for others.

        As many as hold about as much as `k` whole ones, since what a question asks for may
        stand in what was left out.

        Args:
            texts: retrieved passages, best first.
            k: how many are wanted.
            focus: what the question was about.
            audience: who asks.
        """
        shown: list[str] = []
        held = 0.0
        for text in texts:
            if held >= k - _SLACK:
                break
            (rest,) = self.rest([text], focus, audience=audience)
            if rest is not None:
                shown.append(rest)
                held += len(rest) / len(text)
        return shown

    def rest(
        self,
        texts: Sequence[str],
        focus: Focus | None = None,
        *,
        audience: str | None = None,
        vectors: Vectors | None = None,
    ) -> list[str | None]:
        """What may be shown of each text; None: nothing of it.

        Args:
            texts: retrieved passages.
            focus: what the question was about.
            audience: who asks.
            vectors: (n, dim) of the texts by the keys' encoder, where at hand; else texts
                that no other test finds are embedded.
        """
        focus = focus or Focus()
        free = frozenset(
            i for i, target in enumerate(self.keys.targets) if target.is_free_for(audience)
        )
        shown = [self._shown(text, focus, free, audience) for text in texts]
        untouched = [i for i, text in enumerate(texts) if shown[i] == text]
        if untouched and (vectors is not None or self._encoder is not None):
            rows = (
                vectors[untouched]
                if vectors is not None
                else self._encoder.encode([texts[i][:2000] for i in untouched])  # type: ignore[union-attr]
            )
            partly = frozenset(
                i for i, target in enumerate(self.keys.targets) if target.told(audience)
            )
            threshold = self.keys.calibration.sentence_threshold
            for i, margin in zip(
                untouched, self._margins.of(np.asarray(rows), free | partly), strict=True
            ):
                limit = threshold if margin.owner in focus.near else 2 * threshold
                near = margin.similarity >= self.keys.calibration.similarity
                if near and margin.margin >= limit and not self.recogniser.neighbours(texts[i]):
                    shown[i] = None
        return shown

    def _shown(
        self, text: str, focus: Focus, free: frozenset[int], audience: str | None
    ) -> str | None:
        quoted = self.recogniser.passages(text)
        if any(t not in free and (n >= QUOTED or t in focus.near) for t, n in quoted.items()):
            return None
        beside = {s.target for s in self.recogniser.names(text) if s.beside is not Beside.NO}
        said = _Said(focus, free, audience, frozenset(beside))
        if not self._speaks(text, said):
            return text
        parts = whole_sentences(text)
        kept: list[str] = []
        of: set[int] = set()  # whom the last sentence that was left out speaks of
        n_whole = 0
        for part in parts:
            spoken = self._speaks(part, said)
            if spoken:
                of = spoken
                before = self._before(part, spoken, said)
                kept += [before] if before else []
            elif not of or not self._goes_on(part, of):
                of = set()
                kept.append(part)
                n_whole += 1
        rest = " ".join(kept)
        of_another = bool(kept) and _SUBJECT.match(kept[0]) is not None
        if not kept or (1 - n_whole / len(parts) > _MOSTLY and not of_another):
            return None
        return None if self._speaks(rest, said) else rest

    def _before(self, sentence: str, spoken: AbstractSet[int], said: _Said) -> str:
        """What a sentence says of another, whom it begins with, before it speaks of a target."""
        if not _SUBJECT.match(sentence):
            return ""
        for end in reversed([match.start() for match in _CLAUSE.finditer(sentence)]):
            before = sentence[:end]
            if not self._speaks(before, said):
                few = len(before.split()) <= _FEW
                return "" if few or self._states(before, spoken) else f"{before}."
        return ""

    def _goes_on(self, sentence: str, of: AbstractSet[int]) -> bool:
        """Whether a sentence still speaks of the targets that the one before spoke of."""
        first = sentence.split()[0].strip(".,'\"\u201c").lower()
        if first in _OF_PERSONS and all(self.keys.targets[i].thing for i in of):
            return self._states(sentence, of)
        return first in _GOES_ON

    def _states(self, text: str, of: AbstractSet[int]) -> bool:
        """Whether a text has a value of one of some targets, also one that others have."""
        return any(self.keys.facts[v.fact].owner in of for v in self.recogniser.values(text))

    def _speaks(self, text: str, said: _Said) -> set[int]:
        """Of whom a text says what must not be told: a name, or of who may be named, a value."""
        in_view, beside = set(said.focus.near), set(said.focus.beside)
        found: set[int] = set()
        for seen in self.recogniser.names(text):
            if seen.target in said.free or seen.beside is Beside.LISTED:
                continue
            told = self.keys.targets[seen.target].told(said.audience)
            if seen.certain and not told:
                found.add(seen.target)
            elif seen.certain or (seen.beside is Beside.NO and seen.target not in said.beside):
                in_view.add(seen.target)
            else:
                beside.add(seen.target)
        for value in self.recogniser.values(text):
            fact = self.keys.facts[value.fact]
            if fact.owner in said.free:
                continue
            if fact.attribute in self.keys.targets[fact.owner].told(said.audience):
                continue
            others_too = value.strength is Strength.SHARED
            near = fact.owner in in_view or (fact.owner in beside and not others_too)
            if value.strength is Strength.TELLING or near:
                found.add(fact.owner)
        return found
