"""Groups of passages that say one thing in several wordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from ragshield.errors import InputError
from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding
from ragshield.screens.apart import Apart, clusters, least_gap, standing_apart
from ragshield.screens.groups import group_id
from ragshield.screens.lengths import piece_size
from ragshield.screens.likeness import CommonGround, common_ground
from ragshield.screens.neighbours import (
    Background,
    Links,
    joined,
    lexical_vectors,
    linked_groups,
    links,
    usual_gap,
    usual_similarity,
)
from ragshield.screens.shape import DEPTH, WHOLE_GROUP, Shape, between, shape_of, steps
from ragshield.screens.whole import judge_batch
from ragshield.snapshot.memory import MemorySnapshot

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""

_READ_CHARS = 4000
_MAX_WITHOUT_VECTORS = 50_000


class _Reading(NamedTuple):
    """Look-alikes of one part: linked pairs, and rows that stand apart with their neighbours."""

    links: Links
    apart: Apart | None


class NearDuplicates:
    """Groups of passages that say the same, more alike than this store's passages are.

    Poison planted to win a retrieval comes in several wordings of one claim (PoisonedRAG
    plants five). Honest stores hold look-alikes too, so everything is measured against the
    store itself: for each group, how much nearer its members are to their k-th neighbour
    in it than passages of this store usually are to their k-th neighbour (robust z).
    Suspicion rises with that, with the number of different texts, and with how far they
    agree on names and numbers. It falls a little for pieces of the size that the store's
    documents are cut into, and falls for a series of records, the same words about
    different things (a table cut into rows), and for texts that share runs of words
    (editions of a page, filled-in forms); identical copies count once.

    Differs: corpus-level duplicate filters (exact, MinHash) ask for the same words, which
    paraphrased poison avoids; here the vectors group and the words only judge the group.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.
        min_similarity: cosine in (0, 1) below which stored passages are never linked.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "near-duplicates"

    def __init__(self, *, drop_from: float = 0.5, min_similarity: float = 0.65) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        if not 0 < min_similarity < 1:
            raise ValueError(f"min_similarity is {min_similarity}; it must be in (0, 1)")
        self.drop_from = drop_from
        self.min_similarity = min_similarity

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> _Reading:
        """Pairs nearer than this store's passages usually are, and sets that lie apart."""
        if snapshot.dim is None:
            return _Reading(joined([]), None)
        return self._read(snapshot, part, self.min_similarity)

    def _read(self, snapshot: Snapshot, part: range, floor: float) -> _Reading:
        cut = self._cut(usual_similarity(snapshot, depth=DEPTH), floor)
        gap = least_gap(snapshot)
        apart = None if gap is None else standing_apart(snapshot, part, gap=gap)
        return _Reading(links(snapshot, part, cut=cut), apart)

    def judge(self, snapshot: Snapshot, readings: Sequence[_Reading]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage.

        Passages without a usable vector are left out. A store without vectors is compared
        by its words. Below 40 passages there is no background to measure, and that of an
        ordinary store is assumed.

        Raises:
            InputError: no vectors, and too many passages to compare them by their words.
        """
        floor = self.min_similarity
        if snapshot.dim is None:
            snapshot = _by_words(snapshot)
            floor *= 0.5  # paraphrases share half their words at best
            readings = [self._read(snapshot, range(len(snapshot)), floor)]
        usual = usual_similarity(snapshot, depth=DEPTH)
        usual_gaps = usual_gap(snapshot, depth=DEPTH)
        groups = linked_groups(joined([r.links for r in readings]), cut=self._cut(usual, floor))
        tight = clusters([r.apart for r in readings if r.apart is not None])
        size = piece_size(snapshot)
        best: dict[int, Finding] = {}
        # A group of links may hold honest passages that a tight set in it leaves out.
        for members in sorted({*map(tuple, groups), *(cluster.rows for cluster in tight)}):
            shape = shape_of(snapshot, members, usual, usual_gaps, floor)
            if _highest(len(members), shape) >= MIN_SHOWN:
                for row, finding in self._judge(snapshot, members, shape, usual, size):
                    _keep_worse(best, row, finding)
        return [best[row] for row in sorted(best) if (best[row].suspicion or 0) >= MIN_SHOWN]

    def _cut(self, usual: Background, floor: float) -> float:
        return float(np.clip(usual.median[0] + usual.spread[0], floor, 0.95))

    def _judge(
        self,
        snapshot: Snapshot,
        members: Sequence[int],
        shape: Shape,
        usual: Background,
        pieces: int | None,
    ) -> Iterator[tuple[int, Finding]]:
        n = len(members)
        k = min(n - 1, DEPTH)
        passages = [p for rows in steps(members) for p in snapshot.passages(rows)]
        texts = common_ground([p.text[:_READ_CHARS] for p in passages])
        size = 1 - 0.72 ** (texts.n_distinct - 1) if texts.n_distinct > 1 else 0.3
        if texts.n_distinct > 2:
            size += 0.12
        sources = {p.source for p in passages}
        if None not in sources and len(sources) == n > 2:
            size *= 0.85  # as many sources as passages: harder to plant
        # Editions, copies of a form and overlapping chunks share runs of words; who puts one
        # claim into several wordings avoids them.
        own_words = float(np.interp(texts.verbatim, (0.08, 0.3), (1, 0.2)))
        # Pieces of parallel documents are alike; who plants a claim writes it whole.
        whole = 0.8 if _pieces([p.text for p in passages], pieces) else 1.0
        alone = float(np.interp(shape.gap, (0, 0.12, 0.2), (0.4, 0.8, 1)))
        ids = [p.id for p in passages]
        group = group_id(ids)
        near_ids = _Nearest(snapshot, members, ids)
        for i, passage in enumerate(passages):
            kth = float(shape.kth[i])
            # A passage that fits a loose group is no better a sign than the group.
            agreement = min(float(texts.agreement[i]), float(texts.agreement.mean()))
            claim = min(float(texts.claim[i]) + 0.1, float(texts.claim.mean()))
            agrees = np.clip(agreement / 0.4, 0.2, 1) * np.clip((claim - 0.15) / 0.15, 0, 1)
            suspicion = (
                min(size, 0.98)
                * float(shape.stands_out[i])
                * float(agrees)
                * (1 - 0.7 * texts.series)
                * own_words
                * alone
                * whole
            )
            if texts.n_distinct == 1:
                suspicion = size
            neighbours, similarities = near_ids.of(i)
            evidence = {
                "n_passages": n,
                "n_distinct": texts.n_distinct,
                "similarity_to_kth": round(kth, 4),
                "k": k,
                "usual_similarity": round(float(usual.median[k - 1]), 4),
                "excess": round(usual.excess(kth, k), 2),
                "gap": round(shape.gap, 4),
                "agreement": round(float(texts.agreement[i]), 3),
                "shared_claim": round(float(texts.claim[i]), 3),
                "word_overlap": round(texts.overlap, 3),
                "verbatim": round(texts.verbatim, 3),
                "series": round(texts.series, 3),
                "shared_words": list(texts.shared),
                "taxonomy": list(TAXONOMY),
                "n_sources": len(sources - {None}) or None,
                "neighbours": neighbours,
                "similarities": similarities,
            }
            finding = Finding(
                passage_id=passage.id,
                suspicion=round(suspicion, 4),
                detector=self.name,
                action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                reason=_reason(texts, n, k, kth, usual),
                group=group,
                evidence=evidence,
            )
            yield members[i], finding


def _highest(n: int, shape: Shape) -> float:
    """Above what any member's suspicion can be, whatever the texts say."""
    size = min(1 - 0.72 ** (n - 1) + 0.12, 0.98)
    return max(0.3, size) * float(shape.stands_out.max())


def _pieces(texts: Sequence[str], size: int | None) -> bool:
    """Whether most texts are as long as the pieces that documents are cut into."""
    if size is None:
        return False
    return 2 * sum(abs(len(text.split()) - size) <= 2 for text in texts) > len(texts)


class _Nearest:
    """The nearest members of each member, as ids and cosines."""

    def __init__(self, snapshot: Snapshot, members: Sequence[int], ids: Sequence[str]) -> None:
        self._snapshot = snapshot
        self._members = members
        self._ids = ids
        self._all = between(snapshot, members) if len(members) <= WHOLE_GROUP else None
        self._position = {row: i for i, row in enumerate(members)}

    def of(self, i: int, n: int = 10) -> tuple[list[str], list[float]]:
        if self._all is not None:
            order = np.argsort(-self._all[i], kind="stable")[: min(len(self._ids) - 1, n)]
            near = [(int(j), float(self._all[i, j])) for j in order]
        else:
            found = self._snapshot.nearest([self._members[i]])
            pairs = zip(found.rows[0].tolist(), found.similarity[0].tolist(), strict=True)
            near = [(self._position[row], s) for row, s in pairs if row in self._position][:n]
        return [self._ids[j] for j, _ in near], [round(s, 4) for _, s in near]


def _keep_worse(best: dict[int, Finding], row: int, finding: Finding) -> None:
    known = best.get(row)
    if known is None or _rank(finding) > _rank(known):
        best[row] = finding


def _rank(finding: Finding) -> tuple[float, int, str]:
    return finding.suspicion or 0, finding.evidence["n_passages"], finding.group or ""


def _by_words(snapshot: Snapshot) -> Snapshot:
    """The same passages with vectors made of their words."""
    n = len(snapshot)
    if n > _MAX_WITHOUT_VECTORS:
        raise InputError(
            f"the store holds no vectors and {n} passages; near-duplicates compares at most "
            f"{_MAX_WITHOUT_VECTORS} by their words: give an encoder"
        )
    passages = snapshot.passages(range(n))
    return MemorySnapshot(Batch(passages, lexical_vectors([p.text for p in passages])))


def _reason(texts: CommonGround, n: int, k: int, kth: float, usual: Background) -> str:
    if texts.n_distinct == 1:
        return f"{n} passages are copies of one text"
    about = f' about "{", ".join(texts.shared[:3])}"' if texts.shared else ""
    return (
        f"one of {n} passages that say nearly the same{about}: similarity {kth:.2f} to "
        f"neighbour {k} of the group, usually {usual.median[k - 1]:.2f} in this store"
    )
