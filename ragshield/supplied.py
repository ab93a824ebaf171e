"""A retrieval from what a caller already has; only what is missing is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from threading import Lock

from numpy.typing import ArrayLike

from ragshield.encoders.open import DEFAULT, open_encoder
from ragshield.errors import InputError, UsageError
from ragshield.protocols import Encoder
from ragshield.records import Hit, Passage, Retrieval, Vector, Vectors
from ragshield.vectors import as_vector, as_vectors, cosines

_loading = Lock()


def retrieval_of(
    question: str,
    passages: Sequence[Passage],
    vectors: ArrayLike | None = None,
    question_vector: ArrayLike | None = None,
    encoder: Encoder | str | None = None,
) -> Retrieval:
    """A retrieval from its parts; the encoder embeds what is missing, in one call.

    Raises:
        InputError: as for `judge`.
    """
    rows: Vectors | None = None
    row: Vector | None = None
    if vectors is not None:
        rows = as_vectors(vectors, rows=len(passages), what="vectors")
    if question_vector is not None:
        width = None if rows is None else rows.shape[1]
        row = as_vector(question_vector, dim=width, what="question_vector")
    if rows is None or row is None:
        using = encoder_named(encoder)
        given = rows if rows is not None else row
        if given is not None and using.dim != given.shape[-1]:
            what = "question_vector" if rows is None else "vectors"
            raise InputError(
                f"encoder '{using.name}' gives {using.dim} dimensions, {what} has "
                f"{given.shape[-1]}; name the encoder that made {what}, or give both"
            )
        texts = [question] if row is None else []
        if rows is None:
            texts.extend(passage.text for passage in passages)
        made = as_vectors(using.encode(texts), rows=len(texts), what=f"encoder '{using.name}'")
        if row is None:
            row, made = made[0], made[1:]
        if rows is None:
            rows = made
    similarity = cosines(rows, row)
    hits = tuple(Hit(p, float(s)) for p, s in zip(passages, similarity, strict=True))
    return Retrieval(question, hits, rows, row)


def encoder_named(encoder: Encoder | str | None) -> Encoder:
    """An encoder, given itself, its name, or None for the default; loaded once per process."""
    if encoder is None or isinstance(encoder, str):
        with _loading:
            return _load(encoder or DEFAULT)
    return encoder


@cache
def _load(name: str) -> Encoder:
    return open_encoder(name)


def passages_of(given: Sequence[str | Passage]) -> tuple[Passage, ...]:
    """Passages for texts, with ids "0", "1", ..., and for passages as they are.

    Raises:
        UsageError: an id occurs twice, or something is neither.
    """
    if isinstance(given, str | Passage):
        raise UsageError("passages is a single passage; give a list of texts or Passages")
    found: list[Passage] = []
    seen: set[str] = set()
    for i, item in enumerate(given):
        if not isinstance(item, str | Passage):
            raise UsageError(
                f"passage {i} is of type {type(item).__name__}; give texts or ragshield.Passage"
            )
        passage = item if isinstance(item, Passage) else Passage(str(i), item)
        if passage.id in seen:
            raise UsageError(f"passage id '{passage.id}' occurs twice; ids must be unique")
        seen.add(passage.id)
        found.append(passage)
    return tuple(found)
