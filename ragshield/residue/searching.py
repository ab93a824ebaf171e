"""Looking for needles in every place where a store keeps bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import StoreError
from ragshield.protocols import Surface
from ragshield.residue.forms import What
from ragshield.residue.matching import Runs
from ragshield.residue.needles import WHATS, Needles, Part

_BLOCK = 4 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in one place.

    Bytes count as often as they lie there: two copies of a text are twice its bytes.

    Attributes:
        name: the surface's.
        kind: `file`, or `decoded` where a format had to be read.
        n_bytes: how many were looked at.
        n_texts: passages of whose text at least one stretch is there.
        n_vectors: passages of whose vector at least one stretch is there.
        n_ids: passages whose id is there.
        n_metadata: passages of whose metadata or source a value is there.
        n_whole_texts: passages whose whole text is there in one piece.
        n_whole_vectors: passages whose whole vector is there in one piece.
        text_bytes: bytes that belong to such texts.
        vector_bytes: bytes that belong to such vectors.
        id_bytes: bytes that belong to such ids.
        metadata_bytes: bytes that belong to such values.
        unread: why it could not be read to its end, in words; None where it was.
        texts: rows of the batch whose texts were seen.
        vectors: rows of the batch whose vectors were seen.
    """

    name: str
    kind: Literal["file", "decoded"]
    n_bytes: int
    n_texts: int = 0
    n_vectors: int = 0
    n_ids: int = 0
    n_metadata: int = 0
    n_whole_texts: int = 0
    n_whole_vectors: int = 0
    text_bytes: int = 0
    vector_bytes: int = 0
    id_bytes: int = 0
    metadata_bytes: int = 0
    unread: str | None = None
    texts: frozenset[int] = field(default=frozenset(), repr=False)
    vectors: frozenset[int] = field(default=frozenset(), repr=False)

    @property
    def n(self) -> int:
        """Texts and vectors seen; ids and metadata are told apart."""
        return self.n_texts + self.n_vectors


def search(
    needles: Needles,
    surfaces: Iterable[Surface],
    *,
    on_bytes: Callable[[int], None] | None = None,
) -> tuple[Found, ...]:
    """Look for needles on surfaces, one after the other, in constant memory.

    Args:
        needles: what to look for.
        surfaces: where; one that cannot be read is reported so, the others are searched.
        on_bytes: called with the number of bytes just looked at.

    Returns:
        One `Found` per surface, in their order.
    """
    return tuple(_search_one(needles, surface, on_bytes) for surface in surfaces)


class _Tally:
    """What has been seen of one surface so far."""

    def __init__(self, needles: Needles) -> None:
        self.needles = needles
        self.n_bytes = 0
        self.covered = dict.fromkeys(WHATS, 0)
        self.seen = [np.zeros(len(p.what), dtype=np.bool_) for p in needles.parts]
        self.whole = [np.zeros(len(p.what), dtype=np.bool_) for p in needles.parts]

    def note(self, number: int, runs: Runs, pieces_length: NDArray[np.int64]) -> None:
        self.seen[number][runs.piece] = True
        self.whole[number][runs.piece[runs.length == pieces_length[runs.piece]]] = True

    def rows(self, what: What) -> frozenset[int]:
        """Passages of which something was seen."""
        code = WHATS.index(what)
        rows = frozenset[int]()
        for part, seen in zip(self.needles.parts, self.seen, strict=True):
            rows |= self.needles.passages(what, part.target[seen & (part.what == code)])
        return rows

    def whole_rows(self, what: What) -> frozenset[int]:
        """Passages of which one form was seen from beginning to end."""
        rows = frozenset[int]()
        for part, whole in zip(self.needles.parts, self.whole, strict=True):
            rows |= self.needles.passages(what, _complete(part, whole, WHATS.index(what)))
        return rows


def _complete(part: Part, whole: NDArray[np.bool_], code: int) -> NDArray[np.int64]:
    """Targets of which every piece of one form was seen whole."""
    of_kind = part.what == code
    broken = set(part.form[of_kind & ~whole].tolist())
    complete = of_kind & whole
    targets = part.target[complete]
    kept: NDArray[np.int64] = targets[[form not in broken for form in part.form[complete].tolist()]]
    return kept


def _search_one(
    needles: Needles, surface: Surface, on_bytes: Callable[[int], None] | None
) -> Found:
    tally, unread = _Tally(needles), None
    try:
        _read(needles, surface, tally, on_bytes)
    except (StoreError, OSError) as error:
        unread = " ".join(str(error).split()) or type(error).__name__
    texts, vectors = tally.rows("text"), tally.rows("vector")
    return Found(
        name=surface.name,
        kind=surface.kind,
        n_bytes=tally.n_bytes,
        n_texts=len(texts),
        n_vectors=len(vectors),
        n_ids=len(tally.rows("id")),
        n_metadata=len(tally.rows("metadata")),
        n_whole_texts=len(tally.whole_rows("text")),
        n_whole_vectors=len(tally.whole_rows("vector")),
        text_bytes=tally.covered["text"],
        vector_bytes=tally.covered["vector"],
        id_bytes=tally.covered["id"],
        metadata_bytes=tally.covered["metadata"],
        unread=unread,
        texts=texts,
        vectors=vectors,
    )


def _read(
    needles: Needles,
    surface: Surface,
    tally: _Tally,
    on_bytes: Callable[[int], None] | None,
) -> None:
    """Search a surface in buffers; each begins with the last bytes of the one before.

    They overlap by the longest needle, so whatever lies across a border lies whole in the
    second buffer. Bytes are counted when they leave.
    """
    tail = b""
    mask = np.zeros(0, dtype=np.uint8)
    for block, last in _blocks(surface):
        buffer = np.frombuffer(tail + block, dtype=np.uint8)
        mask = np.concatenate([mask, np.zeros(len(block), dtype=np.uint8)])
        for number, part in enumerate(needles.parts):
            runs = part.matcher.runs(buffer)
            tally.note(number, runs, part.matcher.pieces.length)
            bits = np.left_shift(np.uint8(1), part.what[runs.piece])
            for at, length, bit in zip(
                runs.at.tolist(), runs.length.tolist(), bits.tolist(), strict=True
            ):
                mask[at : at + length] |= bit
        n_done = len(buffer) if last else max(0, len(buffer) - needles.reach)
        for code, what in enumerate(WHATS):
            tally.covered[what] += int(np.count_nonzero(mask[:n_done] & (1 << code)))
        tail, mask = buffer[n_done:].tobytes(), mask[n_done:]
        tally.n_bytes += len(block)
        if on_bytes is not None:
            on_bytes(len(block))


def _blocks(surface: Surface) -> Iterator[tuple[bytes, bool]]:
    """The surface in blocks of a few MiB, however it gives them; true with the last one."""
    held: list[bytes] = []
    n = 0
    ready: bytes | None = None
    for block in surface.blocks():
        held.append(block)
        n += len(block)
        if n >= _BLOCK:
            if ready is not None:
                yield ready, False
            ready, held, n = b"".join(held), [], 0
    if ready is not None and held:
        yield ready, False
        ready = None
    yield (b"".join(held) if ready is None else ready), True
