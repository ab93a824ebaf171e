"""Who is near whom in a store: blocked products, so memory stays bounded by the block."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vectors
from ragshield.screens.groups import join
from ragshield.text import content_words

_BLOCK_CELLS = 8_000_000
"""Similarities held at once: 32 MB of float32."""

_MAX_LINKS = 32
_SAMPLE = 2000
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


def background(unit: Vectors, *, depth: int) -> Background:
    """Measure on at most 2,000 evenly spaced passages; `unit` has more than `depth` rows."""
    n = unit.shape[0]
    chosen = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.intp))
    nearest = np.empty((len(chosen), depth), dtype=np.float64)
    for start, stop, similarity in _blocks(unit, chosen):
        top = -np.partition(-similarity, depth - 1, axis=1)[:, :depth]
        nearest[start:stop] = -np.sort(-top, axis=1)
    median = np.median(nearest, axis=0)
    lower = np.quantile(nearest, 0.25, axis=0)
    return Background(median, np.maximum((median - lower) / 0.6745, 0.03), len(chosen))


def linked_groups(unit: Vectors, *, cut: float) -> list[list[int]]:
    """Groups of rows joined by similarities of at least `cut`.

    A chain of look-alikes can join half a store; a group of more than 24 is cut again at a
    stricter similarity until it falls apart or is truly one.
    """
    n = unit.shape[0]
    links: dict[tuple[int, int], float] = {}
    for start, _, similarity in _blocks(unit, np.arange(n)):
        for offset in np.flatnonzero((similarity >= cut).any(axis=1)):
            row = similarity[offset]
            near = np.flatnonzero(row >= cut)
            if len(near) > _MAX_LINKS:
                near = near[np.argsort(-row[near], kind="stable")[:_MAX_LINKS]]
            a = start + int(offset)
            links.update({(min(a, b), max(a, b)): float(row[b]) for b in near.tolist()})
    return _split(n, links, cut)


def _split(n: int, links: dict[tuple[int, int], float], cut: float) -> list[list[int]]:
    done: list[list[int]] = []
    for members in join(n, links):
        stricter = cut + (1 - cut) * 0.2
        if len(members) <= _LARGE or stricter > 0.98:
            done.append(members)
            continue
        position = {row: i for i, row in enumerate(members)}
        kept = {
            (position[a], position[b]): s
            for (a, b), s in links.items()
            if s >= stricter and a in position and b in position
        }
        done += [[members[i] for i in part] for part in _split(len(members), kept, stricter)]
    return done


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
