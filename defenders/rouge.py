"""ROUGE-L between all pairs of a few texts, by bit-parallel longest common subsequences."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.porter import stem

_NOT_A_TOKEN = re.compile(r"[^a-z0-9]+")


def rouge_tokens(text: str) -> list[str]:
    """Lower-case ASCII words and numbers; those of more than three letters stemmed."""
    parts = _NOT_A_TOKEN.sub(" ", text.lower()).split()
    return [stem(part) if len(part) > 3 else part for part in parts]


def rouge_l(texts: Sequence[str]) -> NDArray[np.float64]:
    """ROUGE-L F of every pair: (n, n), symmetric, [0, 1]; 0 for a text without tokens.

    F = 2 lcs / (tokens of one + tokens of the other), from precision and recall. The
    values are those of the package rouge_score with use_stemmer=True, which TrustRAG calls pair
    by pair.
    """
    tokens = [rouge_tokens(text) for text in texts]
    lengths = np.array([len(part) for part in tokens], dtype=np.float64)
    found = lcs_lengths(tokens)
    safe = np.maximum(lengths, 1.0)
    precision, recall = found / safe[None, :], found / safe[:, None]
    # In the package's own order of operations: .25 exactly is a threshold somewhere.
    total = np.where(found > 0, precision + recall, 1.0)
    return 2 * precision * recall / total


def lcs_lengths(sequences: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Length of the longest common subsequence of every pair: (n, n), symmetric.

    The bit-vector recurrence of Hyyrö (2004), for one sequence against all later ones at
    once: they lie side by side in one integer, each in whole bytes with at least one bit
    to spare, which takes up the carry of the addition and is cleared after each step.
    """
    n = len(sequences)
    starts, ends, position = [], [], 0
    where: dict[str, int] = {}  # token -> the bits at which it stands
    for sequence in sequences:
        starts.append(position)
        for offset, token in enumerate(sequence):
            where[token] = where.get(token, 0) | 1 << (8 * position + offset)
        position += len(sequence) // 8 + 1
        ends.append(position)
    used = 0
    for sequence, start in zip(sequences, starts, strict=True):
        used |= ((1 << len(sequence)) - 1) << (8 * start)

    lengths = np.zeros((n, n))
    for i, sequence in enumerate(sequences):
        lengths[i, i] = len(sequence)
        if i == n - 1:
            break
        shift = 8 * ends[i]
        full = used >> shift
        masks = {token: where[token] >> shift for token in set(sequence)}
        state = full
        for token in sequence:
            matched = state & masks[token]
            if matched:
                state = ((state + matched) | (state ^ matched)) & full
        data = (full ^ state).to_bytes(ends[-1] - ends[i], "little")
        for j in range(i + 1, n):
            part = data[starts[j] - ends[i] : ends[j] - ends[i]]
            lengths[i, j] = lengths[j, i] = int.from_bytes(part, "little").bit_count()
    return lengths
