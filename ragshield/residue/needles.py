"""What to look for: every form of every text and vector that should be gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Batch, Passage, Vectors
from ragshield.residue.forms import (
    SHORTEST,
    VECTOR_BYTES,
    Form,
    What,
    decimal_forms,
    text_forms,
    unlike,
    word_forms,
)
from ragshield.residue.matching import GAP, Matcher, maximal, pieces_of

PIECE_BYTES = 1 << 16
"""Needles longer than this are cut up, so that a search needs to look back no further."""

_PART_BYTES = 96 << 20
_KINDS: tuple[What, ...] = get_args(What)
_DECIMALS_FOR = 2000


class Forms(Protocol):
    """The one thing of a `Recipe` that needles need."""

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """Every way in which the store may keep these vectors."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the needles, searched for together.

    Attributes:
        matcher: finds them.
        what: (m,) uint8, the kind of each piece, a position in `WHATS`.
        target: (m,) int64, which text, vector, id or value of metadata it belongs to.
        form: (m,) int64, one number for all pieces that one long needle was cut into.
    """

    matcher: Matcher
    what: NDArray[np.uint8]
    target: NDArray[np.int64]
    form: NDArray[np.int64]


WHATS = _KINDS


class Needles:
    """What to look for in the files of a store, so that pieces of it are found too.

    Every stretch of a text of 24 bytes or more counts, every twelve numbers of a vector
    in a row, in any of the forms in which a store may keep them; ids and values of
    metadata count as a whole. A stretch that a live row holds as well is left out: it is
    no residue, wherever it lies. Texts, ids and values of fewer than 8 bytes are not
    looked for.

    Attributes:
        batch: the passages that should be gone.
        n_passages: how many they are.
        parts: the needles, in parts that are searched for one after the other.
        reach: how far a search must look back at the border of two blocks, in bytes.
    """

    def __init__(self, batch: Batch, parts: tuple[Part, ...]) -> None:
        self.batch = batch
        self.n_passages = len(batch)
        self.parts = parts
        self.reach = max(
            (int(p.matcher.pieces.length.max()) for p in parts if len(p.matcher.pieces)), default=0
        )
        self._rows = _rows_of(batch)
        self._found_in = {what: frozenset[int]() for what in WHATS}
        for part in parts:
            seen = part.matcher.searchable
            for code, what in enumerate(WHATS):
                targets = part.target[seen & (part.what == code)]
                self._found_in[what] |= self.passages(what, targets)

    @classmethod
    def of(
        cls,
        batch: Batch,
        recipe: Forms,
        *,
        live: Iterable[Batch] = (),
        by_text: bool = False,
    ) -> Needles:
        """Make needles of passages that should be gone.

        Args:
            batch: the passages, with the vectors that the store held, if it held any. A
                row of NaN counts as no vector.
            recipe: the store's, for the forms in which it keeps vectors.
            live: the rows that stay, read once; a row of `batch` among them (the same id
                and text) is left out, as a deletion that did not happen is residue.
            by_text: leave out live rows with the text of a target whatever their id, for
                targets of which only the texts are known.
        """
        stacks = list(_in_parts(_all_needles(batch, recipe)))
        matchers = [
            Matcher(pieces_of([(f.content, f.least, what != "vector") for f, what, _, _ in s]))
            for s in stacks
        ]
        spans = _shared(matchers, batch, recipe, live, by_text)
        parts = []
        for stack, matcher, shared in zip(stacks, matchers, spans, strict=True):
            parts.append(
                Part(
                    matcher.without(shared) if len(shared) else matcher,
                    np.array([WHATS.index(what) for _, what, _, _ in stack], dtype=np.uint8),
                    np.array([target for _, _, target, _ in stack], dtype=np.int64),
                    np.array([form for _, _, _, form in stack], dtype=np.int64),
                )
            )
        return cls(batch, tuple(parts))

    def passages(self, what: What, targets: Iterable[int]) -> frozenset[int]:
        """The rows of the batch that these texts, vectors, ids or values belong to."""
        rows = self._rows[what]
        return frozenset(row for target in set(map(int, targets)) for row in rows[target])

    def searchable(self, what: What) -> frozenset[int]:
        """Rows of the batch of which at least one stretch can be looked for.

        The others hold nothing of the kind, or nothing of their own: it is shorter than
        8 bytes, repeats itself, or stands in live rows as well.
        """
        return self._found_in[what]


def _rows_of(batch: Batch) -> Mapping[What, list[list[int]]]:
    """For each different text, vector, id and value: the rows that hold it."""
    rows: dict[What, dict[object, list[int]]] = {what: {} for what in WHATS}
    for i, passage in enumerate(batch.passages):
        rows["text"].setdefault(passage.text, []).append(i)
        rows["id"].setdefault(passage.id, []).append(i)
        for value in _values(passage):
            rows["metadata"].setdefault(value, []).append(i)
    if batch.vectors is not None:
        for i in np.flatnonzero(np.isfinite(batch.vectors).all(axis=1)).tolist():
            rows["vector"].setdefault(batch.vectors[i].tobytes(), []).append(i)
    return {what: list(found.values()) for what, found in rows.items()}


def _values(passage: Passage) -> dict[str, None]:
    values = [passage.source, *passage.meta.values()]
    # The text and the id may stand in the metadata, too: they are looked for already.
    return dict.fromkeys(
        v for v in values if isinstance(v, str) and v not in (passage.text, passage.id)
    )


def _all_needles(batch: Batch, recipe: Forms) -> Iterator[tuple[Form, What, int]]:
    """Every needle with its kind and the number of its text, vector, id or value."""
    rows = _rows_of(batch)
    for target, (first, *_) in enumerate(rows["text"]):
        for form in text_forms(batch.passages[first].text):
            yield form, "text", target
    for target, (first, *_) in enumerate(rows["id"]):
        for form in word_forms(batch.passages[first].id):
            yield form, "id", target
    values = dict.fromkeys(v for p in batch.passages for v in _values(p))
    for target, value in enumerate(values):
        for form in word_forms(value):
            yield form, "metadata", target
    if batch.vectors is not None and rows["vector"]:
        vectors = batch.vectors[[first for first, *_ in rows["vector"]]]
        for array in vector_forms(vectors, recipe):
            for target, row in enumerate(array):
                yield Form(row.tobytes(), VECTOR_BYTES), "vector", target
        for target, form in decimal_forms(vectors[:_DECIMALS_FOR]):
            yield form, "vector", target


def vector_forms(vectors: Vectors, recipe: Forms) -> tuple[NDArray[np.uint8], ...]:
    """The recipe's forms, and the vectors as they are given."""
    given = np.ascontiguousarray(vectors, dtype="<f4").view(np.uint8).reshape(len(vectors), -1)
    return unlike([given, *recipe.forms(vectors)])


def _in_parts(
    needles: Iterable[tuple[Form, What, int]],
) -> Iterator[list[tuple[Form, What, int, int]]]:
    stack: list[tuple[Form, What, int, int]] = []
    n_bytes = 0
    for number, (form, what, target) in enumerate(needles):
        content, least = form
        if len(content) < SHORTEST:
            continue
        step = PIECE_BYTES - least
        for start in range(0, max(1, len(content) - least), step):
            piece = content[start : start + PIECE_BYTES]
            stack.append((Form(piece, least), what, target, number))
            n_bytes += len(piece) + GAP
        if n_bytes > _PART_BYTES:
            yield stack
            stack, n_bytes = [], 0
    if stack:
        yield stack


def _shared(
    matchers: list[Matcher], batch: Batch, recipe: Forms, live: Iterable[Batch], by_text: bool
) -> list[NDArray[np.int64]]:
    """Per matcher the stretches of its needles that live rows hold as well."""
    gone = {(None if by_text else passage.id, passage.text) for passage in batch.passages}
    spans = [np.zeros((0, 2), dtype=np.int64) for _ in matchers]
    for rows in live:
        stay = [
            i
            for i, p in enumerate(rows.passages)
            if (None if by_text else p.id, p.text) not in gone
        ]
        alike = _touched(matchers, spans, [_plain(rows, i) for i in stay])
        # What shares a stretch with a needle may do so in every other form, too.
        near = [stay[i] for i in alike]
        _touched(matchers, spans, [b for i in near for b in _other_forms(rows, i, recipe)])
    return spans


def _touched(
    matchers: list[Matcher], spans: list[NDArray[np.int64]], contents: list[bytes]
) -> list[int]:
    """Add what these have in common with needles to `spans`; gives which of them do."""
    if not contents:
        return []
    gap = bytes(GAP)
    buffer = np.frombuffer(gap.join(contents), dtype=np.uint8)
    starts = np.cumsum([0, *(len(content) + GAP for content in contents[:-1])])
    found: set[int] = set()
    for i, matcher in enumerate(matchers):
        runs = matcher.runs(buffer)
        if len(runs):
            new = np.stack([runs.needle, runs.needle + runs.length], axis=1)
            spans[i] = maximal(np.concatenate([spans[i], new]))
            found |= set((np.searchsorted(starts, runs.at, side="right") - 1).tolist())
    return sorted(found)


def _plain(rows: Batch, i: int) -> bytes:
    """A live row in its simplest form: texts in UTF-8 and the vector as float32."""
    passage = rows.passages[i]
    parts = [passage.text, passage.id, *_values(passage)]
    plain = bytes(GAP).join(part.encode("utf-8", "surrogatepass") for part in parts)
    if rows.vectors is None:
        return plain
    return plain + bytes(GAP) + np.ascontiguousarray(rows.vectors[i], dtype="<f4").tobytes()


def _other_forms(rows: Batch, i: int, recipe: Forms) -> Iterator[bytes]:
    yield from (form.content for form in text_forms(rows.passages[i].text))
    if rows.vectors is not None and np.isfinite(rows.vectors[i]).all():
        vector = rows.vectors[i : i + 1]
        yield from (array.tobytes() for array in vector_forms(vector, recipe))
        yield from (form.content for _, form in decimal_forms(vector))
