"""TrustRAG, stage 1: two clusters, the too dense one dropped, near-copies filtered out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.rouge import rouge_l
from ragshield.errors import UsageError
from ragshield.records import Action, Finding, Retrieval, Status, Verdict
from ragshield.vectors import as_vector, as_vectors, cosine_matrix, unit_rows


class TrustRAG:
    """Drop the denser of two clusters and passages that repeat one another's words.

    Nothing is done unless some pair of passages has ROUGE-L F above `overlap`. Then the
    standardised vectors are put into two clusters by k-means, and a cluster's density is
    the mean cosine of its pairs (of the vectors as stored). A cluster denser than
    `density` is dropped; if both are, everything is; of what remains, passages that
    overlap with another of their cluster are dropped (the n-gram filter). A cluster of
    one passage is dropped, unless the other is dense: then only the one is kept.

    On ten really retrieved clean passages (HotpotQA, all-MiniLM-L6-v2) it drops 24 %:
    two on one subject often overlap by ROUGE-L, and a lone passage stands apart. It
    drops everything when both clusters are dense, and the lone passage of a singleton
    cluster whatever it says. Status: `majority_assumption_violated` where more than half
    of the hits were dropped, so always where nothing is kept; `not_judged` for one hit.

    Suspicion: the larger of the passage's highest ROUGE-L F with another hit and its
    cluster's density, halved for kept passages, and halved plus .5 for dropped ones, so
    that the order follows the decision.

    Source: Zhou, Lee, Zhan, Chen and Li 2025, "TrustRAG", arXiv 2501.00879, stage 1.
    Compared with: HuichiZhou/TrustRAG@11dcea0, defend_module.py (`k_mean_filtering` with
    its n-gram gate on, `group_n_gram_filtering`).

    Differs:
        - Stage 2 (three LLM calls) is not here.
        - Vectors: SimCSE there, whatever the store holds here. `density` is an absolute
          cosine and was set for SimCSE, so it means another thing for other encoders.
        - Order: the code takes the list as it comes, which decides k-means' start, which
          of two overlapping passages the filter meets first and which of two hits is kept.
          Here the hits are first put in the order of falling similarity to the question,
          then by id, which is the retriever's own order; shuffled hits give the same.
        - One passage: the code crashes in k-means; here not judged. Vectors that are all
          equal: the code finds an empty cluster and crashes; here they count as both
          clusters dense. A row equal to the mean of all becomes NaN there; here zeros.
        - Two hits that pass the gate are two clusters of one, and the code keeps the one
          that k-means happens to call 0; here too, and it is reproducible.
        - ROUGE-L, stemmed as there, is computed for all pairs at once and bit-parallel
          (ragshield.defenders.rouge); equal to the package rouge_score.

    Args:
        overlap: ROUGE-L F above which two passages overlap, [0, 1].
        density: mean pairwise cosine above which a cluster is dropped, [-1, 1].

    Raises:
        UsageError: a value that is not allowed.
    """

    name: ClassVar[str] = "trustrag"

    def __init__(self, *, overlap: float = 0.25, density: float = 0.88) -> None:
        if not 0 <= overlap <= 1:
            raise UsageError(f"trustrag: overlap is {overlap!r}; it must be from 0 to 1")
        if not -1 <= density <= 1:
            raise UsageError(f"trustrag: density is {density!r}; it must be from -1 to 1")
        self.overlap = overlap
        self.density = density

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        Raises:
            InputError: the vectors are not one finite, non-zero row per hit, or the
                question's vector is of another width.
        """
        n = len(retrieval)
        if n == 0:
            return Verdict(kept=(), findings=(), status="clean", detector=self.name)
        vectors = as_vectors(retrieval.vectors, rows=n)
        asked = as_vector(retrieval.question_vector, dim=vectors.shape[1], what="question_vector")
        if n == 1:
            why = "not judged: one passage has no pair to compare"
            alone = Finding(retrieval[0].id, None, self.name, Action.KEEP, why)
            return Verdict(retrieval.hits, (alone,), "not_judged", self.name)
        # Row by row, so that not even rounding depends on the order of the hits.
        nearness = (unit_rows(vectors).astype(np.float64) * asked).sum(axis=1)
        order = sorted(range(n), key=lambda i: (-nearness[i], retrieval[i].id, retrieval[i].text))
        overlaps = rouge_l([retrieval[i].text for i in order])
        np.fill_diagonal(overlaps, 0.0)
        judged = self._judge(vectors[order], overlaps)

        findings_by_hit: dict[int, Finding] = {}
        for row, i in enumerate(order):
            gone = judged.dropped.get(row)
            strength = max(float(overlaps[row].max()), judged.densities.get(row, 0.0))
            strength = min(1.0, max(0.0, strength))
            findings_by_hit[i] = Finding(
                passage_id=retrieval[i].id,
                suspicion=strength / 2 + (0.5 if gone else 0.0),
                detector=self.name,
                action=Action.DROP if gone else Action.KEEP,
                reason=gone or judged.kept_because,
                evidence={
                    "rouge_l": float(overlaps[row].max()),
                    "cluster_density": judged.densities.get(row),
                    "n_cluster": judged.sizes.get(row),
                },
            )
        findings = tuple(findings_by_hit[i] for i in range(n))
        kept = tuple(
            hit
            for hit, finding in zip(retrieval, findings, strict=True)
            if finding.action is Action.KEEP
        )
        n_dropped = n - len(kept)
        status: Status = "filtered" if n_dropped else "clean"
        if 2 * n_dropped > n:
            status = "majority_assumption_violated"
        return Verdict(kept, findings, status, self.name)

    def _judge(self, vectors: NDArray[np.float32], overlaps: NDArray[np.float64]) -> _Judged:
        """`k_mean_filtering`: what is dropped and why, by row."""
        if overlaps.max() <= self.overlap:
            return _Judged(f"kept: no two passages have ROUGE-L above {self.overlap:g}")
        judged = _Judged("kept: in the sparser cluster, and not like another passage in it")
        labels = _two_means(vectors)
        clusters = [np.flatnonzero(labels == label).tolist() for label in (0, 1)]
        cosines = cosine_matrix(vectors)
        # None for a single passage, which has no pair.
        densities = [_density(cosines, cluster) for cluster in clusters]
        for cluster, value in zip(clusters, densities, strict=True):
            judged.sizes.update(dict.fromkeys(cluster, len(cluster)))
            judged.densities.update(dict.fromkeys(cluster, value or 0.0))

        everything = [*clusters[0], *clusters[1]]
        if not clusters[0] or not clusters[1]:
            judged.drop(everything, "all vectors are equal")
            return judged
        for lone, other in ((1, 0), (0, 1)):
            if densities[lone] is None:
                self._singleton(judged, clusters[lone], clusters[other], densities[other], cosines)
                return judged
        values = [value or 0.0 for value in densities]
        denser, sparser = (1, 0) if values[1] > values[0] else (0, 1)
        if values[sparser] > self.density:
            judged.drop(everything, f"both clusters are denser than {self.density:g}")
            return judged
        if values[denser] >= self.density:
            n, mean = len(clusters[denser]), values[denser]
            judged.drop(clusters[denser], f"in a cluster of {n} with mean cosine {mean:.2f}")
        else:
            self._filter_near_copies(judged, clusters[denser], overlaps)
        self._filter_near_copies(judged, clusters[sparser], overlaps)
        return judged

    def _singleton(
        self,
        judged: _Judged,
        lone: list[int],
        other: list[int],
        density: float | None,
        cosines: NDArray[np.float32],
    ) -> None:
        """One cluster holds one passage; `density` is the other's, None for one passage."""
        if density is None or density <= self.density:
            judged.drop(lone, "alone in its cluster, and the other cluster is not dense")
            return
        judged.drop(other, f"in a cluster of {len(other)} with mean cosine {density:.2f}")
        if cosines[other[0], lone[0]] > self.density:
            judged.drop(lone, "alone in its cluster and near the other, which is dense")

    def _filter_near_copies(
        self, judged: _Judged, cluster: Sequence[int], overlaps: NDArray[np.float64]
    ) -> None:
        """`group_n_gram_filtering` as it is there, with its special case for the first found."""
        dropped: set[int] = set()
        first: int | None = None  # the first passage found to overlap with a later one
        for position, i in enumerate(cluster):
            if i in dropped:
                continue
            for j in cluster[position + 1 :]:
                if overlaps[i, j] > self.overlap:
                    dropped |= {i, j}
                    first = i if first is None else first
                    break
            if first is not None and first != i and overlaps[i, first] > self.overlap:
                dropped.add(i)
        judged.drop(
            sorted(dropped), f"ROUGE-L above {self.overlap:g} with another passage of its cluster"
        )


@dataclass(slots=True)
class _Judged:
    """What stage 1 says, by row.

    Attributes:
        kept_because: reason for all that is kept.
        dropped: reason by dropped row.
        densities: density of the row's cluster; 0 for a cluster of one.
        sizes: size of the row's cluster.
    """

    kept_because: str
    dropped: dict[int, str] = field(default_factory=dict)
    densities: dict[int, float] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def drop(self, rows: Sequence[int], why: str) -> None:
        self.dropped.update(dict.fromkeys(rows, f"dropped: {why}"))


def _two_means(vectors: NDArray[np.float32]) -> NDArray[np.int32]:
    """k-means on the directions of the standardised vectors: (n,) of 0 and 1; equal rows all 0."""
    from sklearn.cluster import KMeans  # slow to import
    from sklearn.preprocessing import StandardScaler

    rows = unit_rows(StandardScaler().fit_transform(vectors))
    if (rows == rows[0]).all():
        return np.zeros(len(rows), dtype=np.int32)
    found = KMeans(n_clusters=2, n_init=10, max_iter=500, random_state=0).fit(rows)
    labels: NDArray[np.int32] = found.labels_
    return labels


def _density(cosines: NDArray[np.float32], cluster: Sequence[int]) -> float | None:
    """Mean cosine over the cluster's pairs; None with fewer than two passages."""
    if len(cluster) < 2:
        return None
    block = cosines[np.ix_(cluster, cluster)]
    return float(block[np.triu_indices(len(cluster), k=1)].mean())
