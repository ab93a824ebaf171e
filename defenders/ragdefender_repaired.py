"""RAGDefender with its count replaced: it can find one poisoned passage, and none."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.ragdefender import pair_weights
from ragshield.defenders.ragdefender_counts import SAME
from ragshield.errors import UsageError
from ragshield.records import Action, Finding, Retrieval, Status, Verdict
from ragshield.vectors import as_vector, as_vectors, unit_rows


class RAGDefenderRepaired:
    """Remove a group that is much nearer to the question and itself than to the rest.

    RAGDefender's ranking (stage 2, its Eqs. 4 to 7) is kept: for every count g it names
    the g passages with the largest pair-frequency sums. Its stage 1, which always finds
    somebody, is replaced by two ratios of cosine distances, for the group of g passages
    together with the question against the other passages:

        separation(g) = mean distance, group to rest / mean distance inside the group
        gap(g)        = mean distance, group to nearest outsider / largest inside distance

    If no g has a separation of at least `separation`, nothing is removed: the gate. Of
    the counts that pass, the one with the widest gap is taken: the count. Both ratios
    stay the same when an encoder squeezes all similarities towards 1, and both use only
    the retrieval at hand. The question is a member of every group, because poison must
    be near it to be retrieved; that is what makes a group of one passage possible.

    Limits: it cannot say that all hits are poisoned, and a small rest that is on the
    subject hides much (five poisoned beside one or two golden passages: recall .26, with
    the question prefix .70). Where a store holds one honest answer among nothing related,
    that answer stands apart just as poison does and is removed; so is an FAQ that repeats
    the question (clean loss .04).

    Suspicion: s / (s + threshold), where s is the largest separation of the groups that
    hold the passage; .5 at the threshold. A kept passage has .5 at most.

    Status: `majority_assumption_violated` where more than half of the hits were removed;
    `not_judged` below `min_hits`.

    Source: stage 2: Kim, Lee and Koo 2025, RAGDefender, arXiv 2511.01268, section 4.2;
    gate and count: own. Compared with: `ragdefender` of this package.

    Differs from RAGDefender:
        - The count: any of 0 to n - 1, by gate and gap; there by clustering (1 to n - 1)
          or concentration (0 to n / 2 in print).
        - The question takes part in the pairs; there it is not used. It is never removed,
          and it breaks the tie that a single pair's two members otherwise have.
        - Equal sums: nearer to the question first, then by id; there in list order.
        - No hop to choose, and the texts are not read.

    Args:
        separation: least separation that is removed, above 1. Chosen on unattacked
            retrievals only (all-MiniLM-L6-v2, 15 sources of questions, k = 10): 2.75 to 2.85
            loses 1 % on average over all sources but one, whichever is left out. At 3 the
            one left out loses 0 to .017, MS MARCO's 50 questions .036.
        p: exponent of stage 2, at least 1.
        min_hits: with fewer hits nothing is judged; at least 2.

    Raises:
        UsageError: a value that is not allowed.
    """

    name: ClassVar[str] = "ragdefender-repaired"

    def __init__(self, *, separation: float = 3.0, p: float = 2, min_hits: int = 3) -> None:
        if not separation > 1:
            raise UsageError(f"{self.name}: separation is {separation!r}; it must be above 1")
        if not p >= 1:
            raise UsageError(f"{self.name}: p is {p!r}; it must be at least 1")
        if isinstance(min_hits, bool) or not isinstance(min_hits, int) or min_hits < 2:
            raise UsageError(
                f"{self.name}: min_hits is {min_hits!r}; it must be a whole number >= 2"
            )
        self.separation = separation
        self.p = p
        self.min_hits = min_hits

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        Raises:
            InputError: the vectors are not one finite, non-zero row per hit, or the
                question's vector is of another width.
        """
        n = len(retrieval)
        if n == 0:
            return Verdict(kept=(), findings=(), status="clean", detector=self.name)
        if n < self.min_hits:
            why = f"not judged: {n} of at least {self.min_hits} hits"
            unjudged = tuple(Finding(h.id, None, self.name, Action.KEEP, why) for h in retrieval)
            return Verdict(retrieval.hits, unjudged, "not_judged", self.name)
        vectors = as_vectors(retrieval.vectors, rows=n)
        asked = as_vector(retrieval.question_vector, dim=vectors.shape[1], what="question_vector")
        # One canonical order: not even rounding may tell two orders of the hits apart.
        order = sorted(range(n), key=lambda i: (retrieval[i].id, retrieval[i].text))
        unit = unit_rows(np.vstack([asked[None, :], vectors[order]]))
        cosines = np.clip(unit @ unit.T, -1.0, 1.0)  # row and column 0 are the question's

        groups = ranked_groups(cosines, p=self.p)
        separations, gaps = zip(*(_ratios(cosines, group) for group in groups), strict=True)
        passing = [g for g, value in enumerate(separations) if value >= self.separation]
        # Of equal gaps the smaller group: fewer passages are lost for the same evidence.
        chosen = max(passing, key=lambda g: (gaps[g], -g)) if passing else None
        removed = set() if chosen is None else set(groups[chosen])
        found = max(separations) if chosen is None else separations[chosen]
        strength = np.zeros(n)
        for group, value in zip(groups, separations, strict=True):
            strength[group] = np.maximum(strength[group], value)
        return self._verdict(retrieval, order, strength, removed, found)

    def _verdict(
        self,
        retrieval: Retrieval,
        order: list[int],
        strength: NDArray[np.float64],
        removed: set[int],
        found: float,
    ) -> Verdict:
        """`strength` and `removed` are by place in `order`; `found` is the group's separation."""
        n, n_adv = len(retrieval), len(removed)
        place = {i: row for row, i in enumerate(order)}
        findings = []
        for i, hit in enumerate(retrieval):
            own = float(strength[place[i]])
            gone = place[i] in removed
            suspicion = own / (own + self.separation)
            if gone:
                action, reason = (
                    Action.DROP,
                    (
                        f"dropped: one of {n_adv} of {n} passages that lie {found:.1f} times "
                        "nearer to the question and one another than to the rest"
                    ),
                )
            else:
                action, reason = (
                    Action.KEEP,
                    (
                        f"kept: not in the group of {n_adv} that stands apart"
                        if n_adv
                        else f"kept: no group stands apart by {self.separation:g} times"
                    ),
                )
                suspicion = min(suspicion, 0.5)
            evidence = {"n_adv": n_adv, "n_hits": n, "separation": own, "group_separation": found}
            findings.append(
                Finding(hit.id, suspicion, self.name, action, reason, evidence=evidence)
            )
        kept = tuple(h for h, f in zip(retrieval, findings, strict=True) if f.action is Action.KEEP)
        status: Status = "filtered" if n_adv else "clean"
        if 2 * n_adv > n:
            status = "majority_assumption_violated"
        return Verdict(kept, tuple(findings), status, self.name)


def ranked_groups(cosines: NDArray[np.float32], *, p: float = 2) -> list[list[int]]:
    """The g passages that RAGDefender's stage 2 would remove, for g = 1 to n - 1.

    Args:
        cosines: (n + 1, n + 1), symmetric; row 0 is the question, a member of every group.
        p: exponent of the pair weights.

    Returns:
        n - 1 lists of passage indices, 0 for the passage of row 1.
    """
    n = len(cosines) - 1
    nearness = np.round(cosines[0, 1:].astype(np.float64) / SAME)
    groups = []
    for g in range(1, n):
        weights = np.round(pair_weights(cosines, g + 1, p=p)[1:] / SAME)
        groups.append(np.lexsort((-nearness, -weights))[:g].tolist())
    return groups


def _ratios(cosines: NDArray[np.float32], group: list[int]) -> tuple[float, float]:
    """Separation and gap of a group of passages with the question, both at least 0."""
    n = len(cosines) - 1
    inside = np.array([0, *(i + 1 for i in group)])
    outside = np.setdiff1d(np.arange(n + 1), inside)
    distances = 1.0 - cosines[np.ix_(inside, inside)].astype(np.float64)
    own = distances[np.triu_indices(len(inside), k=1)]
    # Mean distance of each outsider to the group.
    away = 1.0 - cosines[np.ix_(inside, outside)].astype(np.float64).mean(axis=0)
    return (
        max(0.0, float(away.mean())) / max(SAME, float(own.mean())),
        max(0.0, float(away.min())) / max(SAME, float(own.max())),
    )
