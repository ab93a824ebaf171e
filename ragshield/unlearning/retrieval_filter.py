"""The retrieval filter: what is forgotten does not reach the model's context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragshield.protocols import Encoder
from ragshield.records import Vectors
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.margins import Margins
from ragshield.unlearning.phrases import whole_sentences
from ragshield.unlearning.query_gate import Focus
from ragshield.unlearning.recognising import QUOTED, Recogniser, Strength

_MOSTLY = 0.34
_GOES_ON = frozenset("he she they his her their hers theirs him them it its this that".split())


class RetrievalFilter:
    """Takes out of retrieved texts what is said of targets.

    A text that is mostly about a target, quotes a sample or lies nearer to a target than
    the margin allows is dropped; of others, the sentences that speak of one are left out,
    and those after them that go on about it.

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
        """At most k texts of which something may be shown: what is left out makes room.

        Args:
            texts: retrieved passages, best first.
            k: how many are wanted.
            focus: what the question was about.
            audience: who asks.
        """
        shown: list[str] = []
        for start in range(0, len(texts), max(1, k)):
            rest = self.rest(texts[start : start + k], focus, audience=audience)
            shown += [text for text in rest if text is not None]
            if len(shown) >= k:
                break
        return shown[:k]

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
        if not self._speaks(text, focus, free, audience):
            return text
        parts = whole_sentences(text)
        kept: list[str] = []
        tainted = False
        for part in parts:
            goes_on = part.split()[0].strip(".,'\"").lower() in _GOES_ON
            tainted = self._speaks(part, focus, free, audience) or (tainted and goes_on)
            if not tainted:
                kept.append(part)
        if not kept or 1 - len(kept) / len(parts) > _MOSTLY:
            return None
        rest = " ".join(kept)
        return None if self._speaks(rest, focus, free, audience) else rest

    def _speaks(self, text: str, focus: Focus, free: frozenset[int], audience: str | None) -> bool:
        """Whether a text says what must not be told: a name, or of who may be named, a value."""
        in_view = set(focus.near)
        for seen in self.recogniser.names(text):
            if seen.target in free:
                continue
            told = self.keys.targets[seen.target].told(audience)
            if seen.certain and not told:
                return True
            in_view.add(seen.target)
        for value in self.recogniser.values(text):
            fact = self.keys.facts[value.fact]
            if fact.owner in free or fact.attribute in self.keys.targets[fact.owner].told(audience):
                continue
            if value.strength is Strength.TELLING or fact.owner in in_view:
                return True
        return False
