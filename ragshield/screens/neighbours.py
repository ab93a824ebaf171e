"""Who is near whom in a store, and how near its passages usually are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.records import Vectors
from ragshield.text import content_words

_BLOCK_CELLS = 8_000_000
"""Similarities held at once: 32 MB of float32."""

_SAMPLE = 2000
_MIN_STORE = 40
_LARGE = 24


@dataclass(frozen=True, slots=True)
class Background:
    """How near the store's passages are to their k-th neighbour, for k = 1..depth.

    Attributes:
        median: median similarity per k, shape (depth,).
        spread: standard deviation per k, estimated from the lower half alone, so that
            planted groups, which fill the upper tail, do not widen it; shape (depth,).
        n_sampled: passages it was measured on.
    """

    median: NDArray[np.float64]
    spread: NDArray[np.float64]
    n_sampled: int

    def excess(self, similarity: float, k: int) -> float:
        """Robust z of a similarity to a k-th neighbour."""
        return float((similarity - self.median[k - 1]) / self.spread[k - 1])


class Links(NamedTuple):
    """Pairs of rows with their similarity: (m,) int32, (m,) int32, (m,) float32."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    similarity: NDArray[np.float32]


def joined(parts: Sequence[Links]) -> Links:
    """The links of several parts as one."""
    if not parts:
        empty = np.empty(0, dtype=np.int32)
        return Links(empty, empty, np.empty(0, dtype=np.float32))
    return Links(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def background(unit: Vectors, *, depth: int) -> Background:
    """Measure on at most 2,000 evenly spaced passages; `unit` has more than `depth` rows."""
    n = unit.shape[0]
    chosen = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.intp))
    nearest = np.empty((len(chosen), depth), dtype=np.float64)
    for start, stop, similarity in _blocks(unit, chosen):
        top = -np.partition(-similarity, depth - 1, axis=1)[:, :depth]
        nearest[start:stop] = -np.sort(-top, axis=1)
    return _measured(nearest)


def _measured(nearest: NDArray[np.float64]) -> Background:
    median = np.median(nearest, axis=0)
    lower = np.quantile(nearest, 0.25, axis=0)
    return Background(median, np.maximum((median - lower) / 0.6745, 0.03), len(nearest))


def usual_similarity(snapshot: Snapshot, *, depth: int) -> Background:
    """The same for a snapshot, from the neighbours it knows, on at most 2,000 of its rows.

    Below 40 usable passages there is no background to measure, and that of an ordinary
    English store under MiniLM is assumed, on the side of fewer findings.
    """
    similarity = _sampled(snapshot, depth)
    if len(similarity) < _MIN_STORE:
        k = np.arange(depth)
        median = np.asarray(0.6 - 0.02 * k, dtype=np.float64)
        return Background(median, np.full(depth, 0.08, dtype=np.float64), 0)
    return _measured(similarity)


def usual_gap(snapshot: Snapshot, *, depth: int) -> NDArray[np.float64]:
    """How far three of four passages are at most from their k-th neighbour to the next.

    Returns:
        Differences of cosines for k = 1..depth, (depth,); zeros below 40 usable passages.
    """
    similarity = _sampled(snapshot, depth + 1)
    if len(similarity) < _MIN_STORE:
        return np.zeros(depth, dtype=np.float64)
    gap: NDArray[np.float64] = np.quantile(-np.diff(similarity, axis=1), 0.75, axis=0)
    return gap


def _sampled(snapshot: Snapshot, depth: int) -> NDArray[np.float64]:
    """Similarities to the first `depth` neighbours, for rows of a sample that have them."""
    n = len(snapshot)
    chosen = np.unique(np.linspace(0, max(n - 1, 0), min(n, _SAMPLE)).astype(np.intp))
    nearest = snapshot.nearest(chosen.tolist())
    if nearest.rows.shape[1] < depth:
        return np.empty((0, depth), dtype=np.float64)
    full = nearest.rows[:, :depth].min(axis=1, initial=0) >= 0
    found: NDArray[np.float64] = nearest.similarity[full, :depth].astype(np.float64)
    return found


def links(snapshot: Snapshot, part: range, *, cut: float) -> Links:
    """Pairs of rows at least `cut` similar, of which the first lies in this part.

    Only as many as `snapshot.nearest` knows per row.
    """
    nearest = snapshot.nearest(part)
    own, column = np.nonzero((nearest.similarity >= cut) & (nearest.rows >= 0))
    return Links(
        (own + part.start).astype(np.int32),
        nearest.rows[own, column],
        nearest.similarity[own, column],
    )


def linked_groups(
    found: Links, *, cut: float, largest: int = _LARGE, step: float = 0.2
) -> list[list[int]]:
    """Groups of rows joined by similarities of at least `cut`.

    A chain of look-alikes can join half a store; a group of more than `largest` is cut again
    at a similarity that is stricter by `step` of what is left to 1, until it falls apart or
    is truly one.

    Returns:
        Each group sorted; groups in the order of their smallest row.
    """
    done: list[list[int]] = []
    first, second, similarity = found
    while len(first):
        keep = similarity >= cut
        first, second, similarity = first[keep], second[keep], similarity[keep]
        stricter = cut + (1 - cut) * step
        pending = np.zeros(len(first), dtype=bool)
        for members, inside in _components(first, second):
            if len(members) <= largest or stricter > 0.98:
                done.append(members.tolist())
            else:
                pending[inside] = True
        first, second, similarity = first[pending], second[pending], similarity[pending]
        cut = stricter
    return sorted(done)


def mutual(found: Links, n: int) -> Links:
    """The pairs that are named from both sides, each once.

    Args:
        found: (row, neighbour it names, similarity), no pair twice.
        n: rows of the store.
    """
    low = np.minimum(found.first, found.second).astype(np.int64)
    key = low * n + np.maximum(found.first, found.second)
    pairs, at, times = np.unique(key, return_index=True, return_counts=True)
    both = times == 2
    return Links(
        (pairs[both] // n).astype(np.int32),
        (pairs[both] % n).astype(np.int32),
        found.similarity[at[both]],
    )


def _components(
    first: NDArray[np.int32], second: NDArray[np.int32]
) -> list[tuple[NDArray[np.int32], NDArray[np.intp]]]:
    """Connected rows, each with the positions of its links."""
    if not len(first):
        return []
    rows, ends = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = ends[: len(first)], ends[len(first) :]
    label = np.arange(len(rows))
    while True:
        lower = np.minimum(label[a], label[b])
        before = label.copy()
        # Each label's own row takes the lowest label that a link shows it; then all follow.
        np.minimum.at(label, before[a], lower)
        np.minimum.at(label, before[b], lower)
        while (label[label] != label).any():
            label = label[label]
        if (label == before).all():
            break
    _, label = np.unique(label, return_inverse=True)
    n = int(label.max()) + 1
    return list(
        zip(_split_by(label, n, rows), _split_by(label[a], n, np.arange(len(a))), strict=True)
    )


def _split_by(label: NDArray[Any], n: int, values: NDArray[Any]) -> list[NDArray[Any]]:
    order = np.argsort(label, kind="stable")
    ends = np.cumsum(np.bincount(label, minlength=n))[:-1]
    return np.split(values[order], ends)


def _blocks(
    unit: Vectors, rows: NDArray[np.intp]
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Similarities of some rows to all, a block at a time; a row's own is -2."""
    size = max(1, _BLOCK_CELLS // max(unit.shape[0], 1))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        similarity = unit[part] @ unit.T
        similarity[np.arange(len(part)), part] = -2.0
        yield start, start + len(part), similarity


def lexical_vectors(texts: Sequence[str], *, dim: int = 512) -> Vectors:
    """Word-count vectors for texts without embeddings: (n, dim) float32, unit rows.

    Content words hashed into `dim` signed buckets, weighted by rarity in these texts.
    A text without a content word gets a row of zeros.
    """
    counts: dict[str, int] = {}
    bags = [set(content_words(text[:4000])) for text in texts]
    for bag in bags:
        for word in bag:
            counts[word] = counts.get(word, 0) + 1
    buckets = {word: _bucket(word, dim) for word in counts}
    rows = np.zeros((len(texts), dim), dtype=np.float32)
    for row, bag in zip(rows, bags, strict=True):
        for word in sorted(bag):
            bucket, sign = buckets[word]
            row[bucket] += sign * np.log1p(len(texts) / counts[word])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def _bucket(word: str, dim: int) -> tuple[int, int]:
    # Python's own hash differs from run to run.
    value = zlib.crc32(word.encode("utf-8", "surrogatepass"))
    return (value >> 1) % dim, 1 if value & 1 else -1
