"""HotFlip: replace tokens where the gradient says it helps; the engine that attacks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.objectives import Objective
from ragshield.attacks.white_box import Gains, Vocabulary, WhiteBox
from ragshield.records import Vectors

_GAIN = 1e-6
"""Least improvement that is taken; below it, rounding decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How long and how widely HotFlip searches.

    Attributes:
        budget: texts embedded at most, gradients not counted.
        n_candidates: replacements evaluated in one step.
        n_positions: places they are spread over in one step; the papers take 1.
        n_checked: of screened candidates, how many are evaluated exactly.
        subwords: whether continuations of words may be put in.
        ascii_only: whether only ASCII tokens may be put in.
        stop_at: value of the objective that is enough; None for no such value.
        batched: False evaluates one text at a time, exactly, to compare with.
    """

    budget: int = 3000
    n_candidates: int = 100
    n_positions: int = 1
    n_checked: int = 4
    subwords: bool = False
    ascii_only: bool = True
    stop_at: float | None = None
    batched: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What HotFlip found.

    Attributes:
        text: the optimised text.
        value: the objective there, of the text as it is read again by the encoder.
        start_value: the objective at the start.
        n_evaluations: texts embedded.
        n_gradients: texts whose gradient was taken.
        path: every text that was accepted with its value, the start first.
    """

    text: str
    value: float
    start_value: float
    n_evaluations: int
    n_gradients: int
    path: tuple[tuple[str, float], ...]


def hotflip(
    box: WhiteBox,
    start: str,
    objective: Objective,
    *,
    rng: np.random.Generator,
    hosts: Sequence[tuple[str, str]] = (("", ""),),
    search: Search | None = None,
    avoid: Sequence[str] = (),
    worth: Callable[[Sequence[str]], NDArray[np.float64]] | None = None,
) -> Found:
    """Raise an objective by replacing one token of a text at a time.

    One step: gradient at the word embeddings; a place drawn among those not tried since the
    last change; its best replacements by first-order gain, embedded in batches; the best of
    them is taken if it is better. When no place is left, the next best replacements are tried
    until the budget is used up.

    Candidates are texts, never token ids: each is tokenised again before it is accepted, so
    that what is returned has the value that is stated.

    Source: Ebrahimi et al., ACL 2018, arXiv 1712.06751; as used by PoisonedRAG (2402.07867) and
    corpus poisoning (2310.19156).
    Differs: both draw places with replacement and try the same ones in vain again; the released
    codes also flip special tokens and evaluate token ids that no text leads to. Candidates
    may be screened in bfloat16 and by parts of the model; what is accepted was evaluated exactly.

    Args:
        box: the encoder.
        start: the text to begin with; its first tokens count if it exceeds the model's window.
        objective: what to raise.
        rng: draws the places.
        hosts: what stands before and after the text, blanks included.
        search: how long and how widely.
        avoid: words that are not put in.
        worth: what a text is worth by itself, added to the objective.
    """
    return _Run(box, objective, hosts, search or Search(), avoid, worth).found(start, rng)


class _Candidate(NamedTuple):
    """A text with one token replaced, the place, and the row of the new token."""

    text: str
    place: int
    token: int


class _Run:
    """One search: the parts that do not change, and the count of what it cost."""

    def __init__(
        self,
        box: WhiteBox,
        objective: Objective,
        hosts: Sequence[tuple[str, str]],
        search: Search,
        avoid: Sequence[str],
        worth: Callable[[Sequence[str]], NDArray[np.float64]] | None,
    ) -> None:
        self._box = box
        self._objective = objective
        self._hosts = list(hosts)
        self._search = search
        self._worth = worth
        self._screens = box.screens and search.batched
        self._first = (box.n_embedded, box.n_gradients)
        self._vocabulary = _without(
            box.vocabulary(subwords=search.subwords, ascii_only=search.ascii_only), avoid
        )

    def found(self, start: str, rng: np.random.Generator) -> Found:
        """The search itself."""
        search = self._search
        text, value = start, float(self._values([start], exact=True)[0])
        path = [(text, value)]
        gains, ranks, tried, depth = self._ranked(text)
        while not self._enough(value) and self._room() > 0 and gains.spans:
            places = [p for p in range(len(gains.spans)) if p not in tried]
            if not places:
                depth, tried = depth + 1, set()
                if depth * search.n_candidates >= len(self._vocabulary.ids):
                    break
                continue
            chosen = rng.permutation(places)[: search.n_positions].tolist()
            tried.update(chosen)
            candidates = self._candidates(text, gains, ranks, chosen, depth)
            if not candidates:
                continue
            better = self._better(text, gains, candidates, value)
            if better is not None:
                text, value = better
                path.append(better)
                gains, ranks, tried, depth = self._ranked(text)
        embedded, graded = self._first
        return Found(
            text,
            value,
            path[0][1],
            self._box.n_embedded - embedded,
            self._box.n_gradients - graded,
            tuple(path),
        )

    def _enough(self, value: float) -> bool:
        return self._search.stop_at is not None and value >= self._search.stop_at

    def _room(self) -> int:
        """Candidates that the budget still pays for."""
        left = self._search.budget - (self._box.n_embedded - self._first[0])
        return left // len(self._hosts)

    def _ranked(self, text: str) -> tuple[Gains, dict[int, NDArray[np.intp]], set[int], int]:
        gains = self._box.gains(self._hosts, text, self._objective.slope, self._vocabulary)
        return gains, {}, set(), 0

    def _candidates(
        self,
        text: str,
        gains: Gains,
        ranks: dict[int, NDArray[np.intp]],
        places: Sequence[int],
        depth: int,
    ) -> list[_Candidate]:
        """Texts with one token replaced, by gain within each place; none twice."""
        each = max(1, self._search.n_candidates // len(places))
        made: dict[str, _Candidate] = {}
        for place in places:
            if place not in ranks:
                ranks[place] = np.argsort(-gains.gains[place], kind="stable")
            for v in ranks[place][depth * each : (depth + 1) * each].tolist():
                if self._vocabulary.ids[v] != gains.ids[place]:
                    piece, glued = self._vocabulary.pieces[v], bool(self._vocabulary.continues[v])
                    new = replaced(text, gains.spans[place], piece, glued=glued)
                    made.setdefault(new, _Candidate(new, place, v))
        made.pop(text, None)
        # What is screened has to be checked too.
        spared = self._search.n_checked if self._screens else 0
        return list(made.values())[: max(1, self._room() - spared)]

    def _better(
        self, text: str, gains: Gains, candidates: Sequence[_Candidate], value: float
    ) -> tuple[str, float] | None:
        """The best candidate with its exact value, if it is better than what there is."""
        texts = [candidate.text for candidate in candidates]
        if not self._screens:
            values = self._values(texts, exact=True)
            best = int(np.argmax(values))
            return (texts[best], float(values[best])) if values[best] > value + _GAIN else None
        rough = self._roughly(text, gains, candidates)
        order = np.argsort(-rough, kind="stable")
        first = [texts[i] for i in order[: min(self._search.n_checked, self._room())]]
        if not first or rough[order[0]] <= value - 0.01 * max(1.0, abs(value)):
            return None  # further below than screening can err
        exact = self._values(first, exact=True)
        best = int(np.argmax(exact))
        return (first[best], float(exact[best])) if exact[best] > value + _GAIN else None

    def _roughly(
        self, text: str, gains: Gains, candidates: Sequence[_Candidate]
    ) -> NDArray[np.float64]:
        """The objective of each candidate as screening sees it."""
        parts = []
        for place, group in groupby(candidates, key=lambda candidate: candidate.place):
            some = list(group)
            ids = self._vocabulary.ids[[candidate.token for candidate in some]].tolist()
            rows = self._box.swapped(self._hosts, text, gains.places[place].tolist(), ids)
            texts = [candidate.text for candidate in some]
            parts.append(
                self._values(texts, exact=False) if rows is None else self._of(rows, texts)
            )
        return np.concatenate(parts)

    def _values(self, texts: Sequence[str], *, exact: bool) -> NDArray[np.float64]:
        whole = [f"{before}{text}{after}" for text in texts for before, after in self._hosts]
        if not self._search.batched:
            rows = np.concatenate([self._box.embed([one]) for one in whole])
        else:
            rows = self._box.embed(whole) if exact else self._box.screened(whole)
        return self._of(rows, texts)

    def _of(self, rows: Vectors, texts: Sequence[str]) -> NDArray[np.float64]:
        """The objective, from the vectors of all texts in all hosts."""
        found = self._objective.values(rows.reshape(len(texts), len(self._hosts), -1))
        return found if self._worth is None else found + self._worth(texts)


def replaced(text: str, span: tuple[int, int], piece: str, *, glued: bool = False) -> str:
    """The text with one token replaced; a whole word gets blanks around it.

    Args:
        text: the text.
        span: characters of the token.
        piece: how the new token is written.
        glued: whether it continues the word before it.
    """
    left, right = text[: span[0]].rstrip(), text[span[1] :].lstrip()
    joint = "" if glued or not left else " "
    return f"{left}{joint}{piece}{' ' if right else ''}{right}"


def first_tokens(box: WhiteBox, text: str, most: int) -> str:
    """The text up to its token number `most`."""
    spans = box.spans(text)
    return text if len(spans) <= most else text[: spans[most - 1][1]]


def _without(vocabulary: Vocabulary, avoid: Sequence[str]) -> Vocabulary:
    words = {word.lower() for text in avoid for word in text.split()}
    if not words:
        return vocabulary
    kept = [i for i, piece in enumerate(vocabulary.pieces) if piece.lower() not in words]
    return Vocabulary(
        vocabulary.ids[kept],
        tuple(vocabulary.pieces[i] for i in kept),
        vocabulary.continues[kept],
    )
