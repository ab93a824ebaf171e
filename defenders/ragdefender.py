"""RAGDefender: estimate how many passages are adversarial, remove the most alike."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.ragdefender_counts import (
    SAME,
    Mode,
    Ties,
    clustering_count,
    concentration_count,
    n_tfidf,
    smaller_cluster,
    top_terms,
)
from ragshield.errors import UsageError
from ragshield.records import Action, Finding, Retrieval, Status, Verdict
from ragshield.vectors import as_vectors, unit_rows

Hop: TypeAlias = Literal["single", "multi"]


class RAGDefender:
    """Remove the estimated number of passages, those that most resemble one another.

    Stage 1 estimates how many of the n hits are adversarial: by clustering and a vote
    of the top TF-IDF terms (`hop="single"`) or by concentration (`hop="multi"`). Stage 2
    takes as many of the most similar pairs as that many passages would form, gives each
    passage the sum of its pairs' |similarity|^p, and removes those with the largest sums.
    The question is not used, no LLM is called, and nothing is embedded: the hits' stored
    vectors and texts are all it reads.

    It assumes an attack: single-hop always removes at least one passage and keeps at
    least one. On ten really retrieved clean passages it removes about 4 (single) or 6
    (multi, released): see benchmarks/README.md before putting it in front of users.

    Suspicion is stage 2's sum over that of a passage in a group of n_adv identical ones
    (n_adv - 1), cut to [0, 1]: about the mean squared similarity to its group. It follows
    the ranking, so no removed passage is less suspicious than a kept one, and it is
    comparable between questions. 0 where stage 1 counts none.

    Status: `majority_assumption_violated` where more than half of the hits were removed
    (by its own estimate the honest ones are the minority); `not_judged` below `min_hits`,
    and for two hits with the paper's multi-hop count, which is 0 whatever they are.

    Source: Kim, Lee and Koo 2025, "Rescuing the Unpoisoned" (RAGDefender), ACSAC 2025,
    arXiv 2511.01268, section 4. Compared with: SecAI-Lab/RAGDefender@b2ce6b9 and PyPI
    ragdefender 0.2.0; `mode="released"` removes the same passages as the package
    (tests/defenders/test_ragdefender_package.py).

    Differs (paper, then released code, then here):
        - Vectors: Stella; paraphrase-MiniLM-L6-v2 (artefact) or all-MiniLM-L6-v2
          (package). Here whatever the store holds, as stored, not normalised.
        - Multi-hop count, Eq. 3: `mode` switches; see `concentration_count`.
        - Top terms in a passage, Eq. 1: a word; a case-sensitive substring. `mode`
          switches; see `n_tfidf`, also for > m/2 against > floor(terms/2).
        - N_TFIDF <= n/2; <= int(n/2) and a test for an empty cluster: the same for every
          input; see `clustering_count`.
        - Linkage: not named; Ward, Euclidean. Here Ward in both modes.
        - Ties: not treated; passages in list order (the artefact lists its poison first),
          terms as an unstable sort leaves them. `ties` switches. With n_adv = 1 both
          members of the best pair always tie, and "released" drops the one listed first.
        - n = 1: not treated; single-hop crashes, multi-hop removes it. Here not judged.
          Passages of stop words only: single-hop crashes there; here no term is found.
        - Which count to use: "selected due to the score gap" (appendix A), never
          specified and not in any code. Here always `hop`.
        - What is filtered: the retriever's top k; a constructed list, retrieved from
          after filtering (artefact), with uneven numbers of clean passages. Here the
          retriever's hits. The artefact's other departures concern its evaluation and are
          listed in benchmarks/README.md.
        - Package 0.1.x skipped stage 2 and dropped the list's tail: not offered.

    Args:
        mode: as printed in the paper, or as the released code computes it.
        hop: `single` for clustering, `multi` for concentration.
        m: number of top terms, at least 1 (single-hop only).
        p: exponent of stage 2, at least 1.
        ties: how equal values are ordered. `content`: passages by mean similarity to the
            other hits and then by id, terms alphabetically, so that neither the order of
            the hits nor the machine matters. `rank`: passages as the retriever ranked
            them, terms alphabetically. `released`: passages by rank, terms as numpy's
            unstable sort leaves them, which depends on the machine. None: `content` for
            the paper, `released` for the released mode.
        min_hits: with fewer hits nothing is judged; at least 2.

    Raises:
        UsageError: a value that is not allowed.
    """

    name: ClassVar[str] = "ragdefender"

    def __init__(
        self,
        mode: Mode = "paper",
        hop: Hop = "single",
        *,
        m: int = 5,
        p: float = 2,
        ties: Ties | None = None,
        min_hits: int = 2,
    ) -> None:
        self.mode: Mode = _choice("mode", mode, get_args(Mode))
        self.hop: Hop = _choice("hop", hop, get_args(Hop))
        self.m = _whole("m", m, 1)
        if not p >= 1:
            raise UsageError(f"ragdefender: p is {p!r}; it must be at least 1")
        self.p = p
        default: Ties = "content" if mode == "paper" else "released"
        self.ties: Ties = default if ties is None else _choice("ties", ties, get_args(Ties))
        self.min_hits = _whole("min_hits", min_hits, 2)

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        Raises:
            InputError: the vectors are not one finite, non-zero row per hit.
        """
        n = len(retrieval)
        if n == 0:
            return Verdict(kept=(), findings=(), status="clean", detector=self.name)
        if n < self.min_hits:
            return self._not_judged(retrieval, f"{n} of at least {self.min_hits} hits")
        if (self.mode, self.hop, n) == ("paper", "multi", 2):
            return self._not_judged(retrieval, "Eq. 3 counts 0 for any two passages")
        vectors = as_vectors(retrieval.vectors, rows=n)
        order = list(range(n))
        if self.ties == "content":
            # One canonical order for all of the arithmetic: not even rounding may tell
            # two orders of the same hits apart.
            order.sort(key=lambda i: (retrieval[i].id, retrieval[i].text))
        judged, vectors = retrieval.select(order), vectors[order]
        # The cosines of float32 vectors, as torch has them; not clipped at 1, as there.
        unit = unit_rows(vectors)
        cosines = unit @ unit.T

        n_adv, counted = self._count(judged, cosines)
        weights = pair_weights(cosines, n_adv, p=self.p)
        removed = self._ranking(weights, cosines)[:n_adv]
        back = {order[i]: (float(weights[i]), i in removed) for i in range(n)}
        return self._verdict(retrieval, n_adv, counted, [back[i] for i in range(n)])

    def _count(
        self, retrieval: Retrieval, cosines: NDArray[np.float32]
    ) -> tuple[int, dict[str, Any]]:
        """Stage 1: n_adv, and what it rests on."""
        if self.hop == "multi":
            return concentration_count(cosines, mode=self.mode), {}
        terms = top_terms(retrieval.texts, self.m, ties=self.ties)
        voted = n_tfidf(retrieval.texts, terms, m=self.m, mode=self.mode)
        n_min = smaller_cluster(retrieval.vectors)
        n_adv = clustering_count(n_min, voted, len(retrieval))
        return n_adv, {"n_min": n_min, "n_tfidf": voted, "top_terms": terms}

    def _ranking(self, weights: NDArray[np.float64], cosines: NDArray[np.float32]) -> list[int]:
        """Indices by falling weight; ties as `ties` says, at last in the order given."""
        indices = range(len(weights))
        if self.ties != "content":
            return sorted(indices, key=lambda i: -weights[i])
        nearness = cosines.mean(axis=1)
        return sorted(
            indices, key=lambda i: (-_grid(float(weights[i])), -_grid(float(nearness[i])))
        )

    def _verdict(
        self,
        retrieval: Retrieval,
        n_adv: int,
        counted: dict[str, Any],
        judgements: list[tuple[float, bool]],
    ) -> Verdict:
        n = len(retrieval)
        clique = max(1, n_adv - 1)
        findings = []
        for rank, (hit, (weight, removed)) in enumerate(zip(retrieval, judgements, strict=True)):
            action = Action.DROP if removed else Action.KEEP
            reason = (
                f"among the {n_adv} of {n} passages most similar to one another"
                if removed
                else f"not among the {n_adv} of {n} passages estimated to be adversarial"
            )
            evidence = {"n_adv": n_adv, "n_hits": n, "pair_weight": weight, "rank": rank, **counted}
            suspicion = min(1.0, max(0.0, weight / clique))
            findings.append(
                Finding(hit.id, suspicion, self.name, action, reason, evidence=evidence)
            )
        kept = tuple(h for h, (_, gone) in zip(retrieval, judgements, strict=True) if not gone)
        status: Status = "filtered" if n_adv else "clean"
        if 2 * n_adv > n:
            status = "majority_assumption_violated"
        return Verdict(kept, tuple(findings), status, self.name)

    def _not_judged(self, retrieval: Retrieval, why: str) -> Verdict:
        findings = tuple(
            Finding(hit.id, None, self.name, Action.KEEP, f"not judged: {why}") for hit in retrieval
        )
        return Verdict(retrieval.hits, findings, "not_judged", self.name)


def pair_weights(cosines: NDArray[np.float32], n_adv: int, *, p: float = 2) -> NDArray[np.float64]:
    """Eqs. 4 to 6: each passage's sum of |similarity|^p over the most similar pairs.

    Takes max(1, n_adv(n_adv - 1)/2) pairs, equal ones in list order; a negative
    similarity counts against. All zeros for n_adv = 0.

    Args:
        cosines: (n, n), symmetric.
        n_adv: estimated number of adversarial passages, [0, n].
        p: exponent.

    Returns:
        (n,) float64; larger = more like the others.
    """
    n = len(cosines)
    weights = np.zeros(n)
    if n_adv <= 0 or n < 2:
        return weights
    left, right = np.triu_indices(n, k=1)  # in the order (0, 1), (0, 2), ...
    similarities = cosines[left, right].astype(np.float64)
    n_pairs = max(1, math.comb(n_adv, 2))
    top = np.argsort(-similarities, kind="stable")[:n_pairs]
    signed = np.copysign(np.abs(similarities[top]) ** p, similarities[top])
    np.add.at(weights, left[top], signed)
    np.add.at(weights, right[top], signed)
    return weights


def _grid(value: float) -> int:
    """Values that differ only by float32 rounding fall together."""
    return round(value / SAME)


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise UsageError(f"ragdefender: {name} is {value!r}; allowed: {', '.join(allowed)}")
    return value


def _whole(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"ragdefender: {name} is {value!r}; it must be a whole number >= {least}")
    return value
