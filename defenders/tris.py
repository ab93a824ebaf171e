"""TRIS, the layers without a language model: query echo, and a second encoder's majority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ragshield import registry
from ragshield.errors import UsageError
from ragshield.protocols import Encoder
from ragshield.records import Action, Finding, Retrieval, Spec, Status, Verdict
from ragshield.text import words
from ragshield.vectors import as_vectors, unit_rows

Layer: TypeAlias = Literal["query", "cluster", "both"]


class TRIS:
    """Drop passages that begin with the question, or that a second encoder groups apart.

    Layer `query` (the paper's L2): the overlap of the question with the first `n_tokens`
    words of a passage is the larger of the Jaccard similarity of the two word sets and
    the share of the question's word pairs that stand there; at `overlap` or more the
    passage is dropped. Layer `cluster` (L1): the passages are embedded by `judge`, an
    encoder other than the retriever's, put into two clusters by k-means, and the smaller
    one is dropped. `both` drops what either layer drops. No hit's own vector is read.

    Layer `query` needs no honest majority and finds nothing that does not repeat the
    question; layer `cluster` always drops something, attack or not.

    Suspicion: layer `query`: the overlap. Layer `cluster`: the share of the hits that are
    not in the passage's cluster. `both`: the larger of the two.

    Status: `majority_assumption_violated` where more than half of the hits were dropped,
    and where two clusters are equally large, so that neither is the majority (both are
    kept then); `not_judged` for a question without words (query) or one hit (cluster).

    Source: "TRIS", Findings of EMNLP 2026, arXiv 2609.00470. Compared with: nothing; only
    the abstract's account was at hand, and no code.

    Differs (inferred, since the abstract gives names and two numbers only):
        - "Jaccard / n-gram overlap >= .8 with the first 20 document tokens" is read as
          the larger of the two. Jaccard alone cannot reach .8 for a passage that goes on
          after a question of fewer than 16 words; the share of the question's pairs can.
        - Tokens are lower-case words; n = 2; a one-word question is compared as a word.
          The question too is cut to 20, or a longer one could never overlap by .8.
        - k-means on unit rows with ten starts and seed 0. The hits are put in the order
          of their ids first, so that their order does not matter.
        - L3, a language model asked where L1 and L2 disagree, is not here: `both` drops
          what either drops.

    Args:
        layer: which layers to use.
        judge: an encoder, or the registry name of one, that is not the retriever's; needed
            by `cluster` and `both`. It embeds all hits' texts for every question.
        overlap: least overlap that is dropped, (0, 1].
        n_tokens: how many words of a passage are compared, at least 1.

    Raises:
        UsageError: a value that is not allowed, or a judge missing or not used.
    """

    name: ClassVar[str] = "tris"

    def __init__(
        self,
        layer: Layer = "query",
        judge: Encoder | str | None = None,
        *,
        overlap: float = 0.8,
        n_tokens: int = 20,
    ) -> None:
        if layer not in get_args(Layer):
            allowed = ", ".join(get_args(Layer))
            raise UsageError(f"tris: layer is {layer!r}; allowed: {allowed}")
        if layer == "query" and judge is not None:
            raise UsageError("tris: layer 'query' uses no judge; say layer='both' or leave it out")
        if layer != "query" and judge is None:
            raise UsageError(
                f"tris: layer '{layer}' needs judge, an encoder that is not the retriever's"
            )
        if not 0 < overlap <= 1:
            raise UsageError(f"tris: overlap is {overlap!r}; it must be above 0 and at most 1")
        if isinstance(n_tokens, bool) or not isinstance(n_tokens, int) or n_tokens < 1:
            raise UsageError(f"tris: n_tokens is {n_tokens!r}; it must be a whole number >= 1")
        self.layer: Layer = layer
        self.overlap = overlap
        self.n_tokens = n_tokens
        self._judge: Encoder | None = (
            registry.build(Spec("encoder", judge)) if isinstance(judge, str) else judge
        )

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        Raises:
            InputError: the judge's vectors are not one finite, non-zero row per hit.
        """
        n = len(retrieval)
        if n == 0:
            return Verdict(kept=(), findings=(), status="clean", detector=self.name)
        echoes = self._echoes(retrieval)
        others = self._outside_share(retrieval)
        if echoes is None and others is None:
            why = "a question without words" if self.layer == "query" else "one passage"
            findings = tuple(
                Finding(hit.id, None, self.name, Action.KEEP, f"not judged: {why}")
                for hit in retrieval
            )
            return Verdict(retrieval.hits, findings, "not_judged", self.name)

        findings = tuple(
            self._finding(
                hit.id,
                None if echoes is None else echoes[i],
                None if others is None else float(others[i]),
            )
            for i, hit in enumerate(retrieval)
        )
        kept = tuple(h for h, f in zip(retrieval, findings, strict=True) if f.action is Action.KEEP)
        n_dropped = n - len(kept)
        status: Status = "filtered" if n_dropped else "clean"
        if 2 * n_dropped > n or (others is not None and (others == 0.5).all()):
            status = "majority_assumption_violated"
        return Verdict(kept, findings, status, self.name)

    def _finding(self, passage_id: str, echo: float | None, outside: float | None) -> Finding:
        """One hit's finding from whichever layers judged it."""
        evidence: dict[str, Any] = {}
        why = []
        if echo is not None:
            evidence["overlap"] = echo
            if echo >= self.overlap:
                why.append(
                    f"its first {self.n_tokens} words overlap with the question by {echo:.2f}"
                )
        if outside is not None:
            evidence["outside_share"] = outside
            if outside > 0.5:
                why.append(f"the judge encoder puts {outside:.0%} of the passages elsewhere")
        suspicion = max(value for value in (echo, outside) if value is not None)
        if why:
            reason = "dropped: " + "; ".join(why)
            return Finding(passage_id, suspicion, self.name, Action.DROP, reason, evidence=evidence)
        reason = "kept: does not begin with the question"
        if outside is not None:
            part = "not in a minority of the judge encoder's clusters"
            reason = f"kept: {part}" if echo is None else f"{reason}, {part}"
        return Finding(passage_id, suspicion, self.name, Action.KEEP, reason, evidence=evidence)

    def _echoes(self, retrieval: Retrieval) -> list[float] | None:
        """L2: overlap of each hit with the question; None where it is not used."""
        asked = words(retrieval.question)[: self.n_tokens]
        if self.layer == "cluster" or not asked:
            return None
        return [query_overlap(asked, words(text)[: self.n_tokens]) for text in retrieval.texts]

    def _outside_share(self, retrieval: Retrieval) -> NDArray[np.float64] | None:
        """L1: share of the hits outside each hit's cluster; None where it is not used."""
        n = len(retrieval)
        if self._judge is None or n < 2:
            return None
        from sklearn.cluster import KMeans  # slow to import

        order = sorted(range(n), key=lambda i: (retrieval[i].id, retrieval[i].text))
        encoded = self._judge.encode([retrieval[i].text for i in order])
        rows = unit_rows(as_vectors(encoded, rows=n, what="the judge's vectors"))
        if (rows == rows[0]).all():
            return np.zeros(n)
        labels = np.empty(n, dtype=np.intp)
        labels[order] = KMeans(n_clusters=2, n_init=10, random_state=0).fit(rows).labels_
        return 1.0 - np.bincount(labels, minlength=2)[labels] / n


def query_overlap(question: Sequence[str], passage: Sequence[str]) -> float:
    """Larger of the Jaccard similarity and the share of the question's pairs found: [0, 1].

    Args:
        question: words in order.
        passage: words in order.
    """
    asked, found = set(question), set(passage)
    if not asked or not found:
        return 0.0
    jaccard = len(asked & found) / len(asked | found)
    n = min(2, len(question))
    pairs, held = (
        {tuple(part[i : i + n]) for i in range(len(part) - n + 1)} for part in (question, passage)
    )
    return max(jaccard, len(pairs & held) / len(pairs))
