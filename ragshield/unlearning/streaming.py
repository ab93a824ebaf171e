"""Streaming: sentences are held back until they have been judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ragshield.unlearning.phrases import whole_sentences
from ragshield.unlearning.refusing import is_refusal


class PartJudge(NamedTuple):
    """How a streamed answer is judged.

    Attributes:
        leaks: whether the text so far gives something away; what it finds is logged.
        whole: what may be given of an answer of which nothing has been given yet.
        refusal: what is said where nothing may be given.
        ended: called when all of an answer has been given.
    """

    leaks: Callable[[str], bool]
    whole: Callable[[str], str]
    refusal: str
    ended: Callable[[], object]


class Held:
    """The end of a streamed answer, held back until it has been judged.

    Args:
        judge: judges what has come so far.
    """

    def __init__(self, judge: PartJudge) -> None:
        self._judge = judge
        self._text = ""
        self._n_given = 0
        self.is_over = False

    def add(self, piece: str) -> Iterator[str]:
        """Take in a piece; give the sentences that have become safe."""
        self._text += piece
        if self._text.lstrip().startswith("<"):
            return  # perhaps thoughts: nothing until the answer is whole
        parts = whole_sentences(self._text)
        # The last two are held back: one is unfinished, one may be changed by it.
        if len(parts) - 2 > self._n_given:
            yield from self._safe(parts, len(parts) - 2)

    def end(self) -> Iterator[str]:
        """What is left when the model has ended, or the refusal where nothing was given."""
        if self.is_over:
            return
        if not self._n_given:
            yield self._judge.whole(self._text)
            return
        parts = whole_sentences(self._text)
        yield from self._safe(parts, len(parts))
        if not self.is_over:
            self._judge.ended()

    def _safe(self, parts: list[str], upto: int) -> Iterator[str]:
        if not self._n_given and is_refusal(parts[0]):
            return  # what begins as a refusal is judged when it is whole
        if self._judge.leaks(self._text):
            self.is_over = True
            if not self._n_given:
                yield self._judge.refusal
            return
        for part in parts[self._n_given : upto]:
            yield part if not self._n_given else f" {part}"
            self._n_given += 1
