"""Vectors that are not those of their text."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Snapshot
from ragshield.records import Action, Batch, Finding, Vectors
from ragshield.screens.encoding import encoder_of
from ragshield.screens.tails import expected_beyond, suspicion_from
from ragshield.screens.whole import judge_batch
from ragshield.text import content_words
from ragshield.vectors import unit_rows

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0070", "AML.T0066", "LLM08:2025", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning, Retrieval Content Crafting; OWASP embedding weaknesses."""

_BITS = 512
_STEP = 1024
_READ_CHARS = 4000
_MIN_STORE = 200
_MIN_WORDS = 6
_LEAST_USUAL = 0.5
_LEXICAL_TOP = 0.75


class _Reading(NamedTuple):
    """Of one part: 64 bytes a row of which words stand in its text, and what was embedded.

    Attributes:
        words: (m, 64) uint8, one bit for each of 512 buckets that its words fall in.
        embedded: rows that were embedded again, (s,) int32.
        similarity: cosine of their stored and their new vector, (s,) float32.
    """

    words: NDArray[np.uint8]
    embedded: NDArray[np.int32]
    similarity: NDArray[np.float32]


class MisfitVector:
    """Passages whose stored vector belongs to another text.

    Who can write to the store can put a text where it does not belong: the vector of a
    question with the poison as its text. With an encoder, all passages of a small store
    and an even sample of a large one are embedded again, and so are those that the words
    below point to; the cosine with the stored vector is compared with what is usual here
    (0.3 lower is a suspicion of about 0.8). Without one, words tell: a passage whose
    nearest neighbours by vector share far fewer of its rare words than passages of its
    length, as near to their neighbours as it is, usually do. The suspicion is 0.5 where
    one honest store in twenty has such a passage, at most 0.75: it sees about one in
    three, in stores of long passages two in three.

    Source: integrity of embeddings (VectorPin and OWASP LLM08:2025, embedding weaknesses);
    a proposal of ragshield's own, no paper describes the test by words.

    Args:
        encoder: the encoder that filled the store, or its registry name; None for words.
        sample: how many passages are embedded again at most, above 0.
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "misfit-vector"

    def __init__(
        self,
        *,
        encoder: Encoder | str | None = None,
        sample: int = 2000,
        drop_from: float = 0.8,
    ) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        if sample < 1:
            raise ValueError(f"sample is {sample}; it must be at least 1")
        self.encoder = encoder
        self.sample = sample
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; none without vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> _Reading:
        """Which words the part's texts hold, and its share of the sample embedded again.

        Raises:
            UsageError: the encoder has another width than the store.
        """
        words = np.zeros((len(part), _BITS // 8), dtype=np.uint8)
        if snapshot.dim is not None:
            for start in range(part.start, part.stop, _STEP):
                here = range(start, min(start + _STEP, part.stop))
                texts = [p.text for p in snapshot.passages(here)]
                words[start - part.start : here.stop - part.start] = _word_bits(texts)
        n = len(snapshot)
        sampled = np.unique(np.linspace(0, max(n - 1, 0), min(n, self.sample)).astype(np.int32))
        mine = sampled[(sampled >= part.start) & (sampled < part.stop)]
        return _Reading(words, *self._again(snapshot, mine))

    def judge(self, snapshot: Snapshot, readings: Sequence[_Reading]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage.

        Raises:
            UsageError: the encoder is not the one that filled the store.
        """
        if snapshot.dim is None or not readings:
            return []
        unshared = _unshared(snapshot, np.concatenate([r.words for r in readings]))
        by_words = np.zeros(len(snapshot))
        judged = np.flatnonzero(np.isfinite(unshared))
        if len(judged) >= _MIN_STORE:
            expected = expected_beyond(unshared[judged], least_scale=0.1)
            by_words[judged] = np.minimum(suspicion_from(expected), _LEXICAL_TOP)
        if self.encoder is None:
            return self._from_words(snapshot, by_words, unshared)
        rows = np.concatenate([r.embedded for r in readings])
        similarity = np.concatenate([r.similarity for r in readings])
        if not len(rows):
            return []
        usual = float(np.median(similarity))
        if usual < _LEAST_USUAL:
            raise UsageError(
                f"the vectors are not this encoder's: texts embedded again have a cosine of "
                f"{usual:.2f} with what is stored; give the encoder that filled the store"
            )
        spread = max(1.4826 * float(np.median(np.abs(similarity - usual))), 0.01)
        hinted = np.setdiff1d(np.flatnonzero(by_words >= MIN_SHOWN), rows)[: self.sample]
        more, more_similarity = self._again(snapshot, hinted.astype(np.int32))
        rows, similarity = np.append(rows, more), np.append(similarity, more_similarity)
        return self._from_vectors(snapshot, rows, similarity, usual, spread)

    def _again(
        self, snapshot: Snapshot, rows: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Cosines of stored and new vectors, for rows with a usable vector and a text."""
        if self.encoder is None or snapshot.dim is None or not len(rows):
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        stored = snapshot.unit(rows.tolist())
        texts = [p.text for p in snapshot.passages(rows.tolist())]
        good = [i for i, text in enumerate(texts) if text.strip() and stored[i].any()]
        encoder = encoder_of(self.encoder)
        new: Vectors = unit_rows(encoder.encode([texts[i] for i in good]))
        if good and new.shape[1] != snapshot.dim:
            raise UsageError(
                f"the encoder gives {new.shape[1]} dimensions, the store has {snapshot.dim}; "
                "use the encoder that filled the store"
            )
        return rows[good], np.einsum("ij,ij->i", new, stored[good]) if good else stored[:0, 0]

    def _from_vectors(
        self,
        snapshot: Snapshot,
        rows: NDArray[np.int32],
        similarity: NDArray[np.float32],
        usual: float,
        spread: float,
    ) -> list[Finding]:
        fall = usual - similarity.astype(np.float64)
        suspicion = np.where(fall >= 6 * spread, np.clip(0.2 + 2 * fall, 0, 0.98), 0.0)
        # Truncation and rounding move a vector a little; another text moves it far.
        suspicion[fall < 0.1] = 0.0
        found = []
        for i in np.argsort(rows, kind="stable").tolist():
            if suspicion[i] < MIN_SHOWN:
                continue
            reason = (
                f"its text embedded again has a cosine of {similarity[i]:.2f} with the stored "
                f"vector, usually {usual:.2f} in this store"
            )
            evidence = {"similarity": round(float(similarity[i]), 4), "usual": round(usual, 4)}
            found.append((int(rows[i]), float(suspicion[i]), reason, evidence))
        return self._findings(snapshot, found)

    def _from_words(
        self, snapshot: Snapshot, by_words: NDArray[np.float64], unshared: NDArray[np.float64]
    ) -> list[Finding]:
        found = []
        for row in np.flatnonzero(by_words >= MIN_SHOWN).tolist():
            reason = (
                "the passages nearest to its vector hardly share a word with it; others of its "
                f"length and nearness do (robust z {-unshared[row]:.1f})"
            )
            evidence: dict[str, float] = {"shared_words_z": round(-float(unshared[row]), 2)}
            found.append((row, float(by_words[row]), reason, evidence))
        return self._findings(snapshot, found)

    def _findings(
        self, snapshot: Snapshot, found: Sequence[tuple[int, float, str, dict[str, float]]]
    ) -> list[Finding]:
        out = []
        for row, suspicion, reason, evidence in found:
            near = [int(other) for other in snapshot.nearest([row]).rows[0] if other >= 0]
            (passage,) = snapshot.passages([row])
            ids = [other.id for other in snapshot.passages(near[:10])]
            out.append(
                Finding(
                    passage_id=passage.id,
                    suspicion=round(suspicion, 4),
                    detector=self.name,
                    action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                    reason=reason,
                    evidence={**evidence, "neighbours": ids, "taxonomy": list(TAXONOMY)},
                )
            )
        return out


def _word_bits(texts: Sequence[str]) -> NDArray[np.uint8]:
    bits = np.zeros((len(texts), _BITS), dtype=np.bool_)
    for row, text in zip(bits, texts, strict=True):
        for word in set(content_words(text[:_READ_CHARS])):
            # Six letters stand for a stem. Python's own hash differs from run to run.
            row[zlib.crc32(word[:6].encode("utf-8", "surrogatepass")) % _BITS] = True
    return np.packbits(bits, axis=1)


def _unshared(snapshot: Snapshot, words: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much fewer rare words a row shares with its neighbours than rows like it, robust z.

    NaN where there are too few words or no neighbours.
    """
    n = len(words)
    steps = [range(i, min(i + _STEP, n)) for i in range(0, n, _STEP)]
    share = sum(np.unpackbits(words[s], axis=1).sum(axis=0, dtype=np.int64) for s in steps) / n
    weight = -np.log(np.maximum(share, 1 / n))
    shared = np.full(n, np.nan)
    nearest_similarity = np.zeros(n)
    n_words = np.zeros(n)
    for step in steps:
        own = np.unpackbits(words[step], axis=1)
        near = snapshot.nearest(step)
        known = near.rows >= 0
        others = np.where(known, near.rows, 0)
        holding = np.zeros((len(step), _BITS), dtype=np.uint8)
        for column in range(near.rows.shape[1]):
            bits = np.unpackbits(words[others[:, column]], axis=1)
            holding += bits & known[:, column, None]
        n_known = known.sum(axis=1)
        beyond = np.maximum(holding - n_known[:, None] * share, 0) * own
        total = (own * weight).sum(axis=1) * np.maximum(n_known, 1)
        value = (beyond * weight).sum(axis=1) / np.maximum(total, 1e-9)
        n_words[step] = own.sum(axis=1)
        enough = (n_words[step] >= _MIN_WORDS) & (n_known == near.rows.shape[1])
        shared[step] = np.where(enough, np.log(value + 0.005), np.nan)
        nearest_similarity[step] = near.similarity[:, 0]
    return _below_usual(shared, nearest_similarity, n_words)


def _below_usual(
    shared: NDArray[np.float64], similarity: NDArray[np.float64], n_words: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far below rows of like similarity and length, in spreads of their lower half."""
    below = np.full(len(shared), np.nan)
    rows = np.flatnonzero(np.isfinite(shared))
    by_similarity = rows[np.argsort(similarity[rows], kind="stable")]
    for like in np.array_split(by_similarity, max(1, min(10, len(rows) // _MIN_STORE))):
        by_length = like[np.argsort(n_words[like], kind="stable")]
        for alike in np.array_split(by_length, max(1, min(4, len(like) // _MIN_STORE))):
            if len(alike) < 20:
                continue
            median, lower = np.quantile(shared[alike], (0.5, 0.25))
            spread = max((median - lower) / 0.6745, 0.1)
            below[alike] = (median - shared[alike]) / spread
    return below
