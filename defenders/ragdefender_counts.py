"""RAGDefender's stage 1: how many of the retrieved passages are adversarial.

Each estimator exists twice, as printed in the paper (arXiv 2511.01268, section 4.1)
and as the released code computes it (SecAI-Lab/RAGDefender@b2ce6b9 and the PyPI
package ragdefender 0.2.0, which agree here). `defenders/ragdefender.py` says where
they differ and chooses. Nothing here removes a passage; n is the number of passages.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vectors

Mode: TypeAlias = Literal["paper", "released"]
Ties: TypeAlias = Literal["content", "rank", "released"]

SAME = 1e-6
"""Similarities nearer than this are equal: float32 embeddings are no more exact."""

_TOKEN = re.compile(r"\b\w\w+\b")  # scikit-learn's default token_pattern


# Single hop: clustering and a vote of the top terms.


def clustering_count(n_min: int, n_tfidf: int, n: int) -> int:
    """Eq. 2: the size of the smaller cluster, or of the larger if the vote says so.

    The paper's `n_tfidf <= n/2` and the code's `<= int(n/2)` are the same for whole
    numbers, and the code's extra test that a cluster is not empty always holds for two
    clusters: one function serves both modes. The result is in [1, n - 1] for n >= 2, so
    this estimator has no "no attack" outcome.
    """
    return n_min if n_tfidf <= n / 2 else n - n_min


def smaller_cluster(vectors: Vectors) -> int:
    """Size of the smaller of two Ward clusters of the rows, [1, n / 2].

    Ward's linkage on Euclidean distances, bottom up, which is what scikit-learn's
    AgglomerativeClustering(n_clusters=2) does; the paper names no linkage.

    Raises:
        ValueError: fewer than two rows.
    """
    n = len(vectors)
    if n < 2:
        raise ValueError(f"two clusters need at least 2 passages, got {n}")
    rows = vectors.astype(np.float64)
    lengths = (rows * rows).sum(axis=1)
    # Ward's criterion between clusters; between single rows the squared distance.
    cost = np.maximum(lengths[:, None] + lengths[None, :] - 2 * (rows @ rows.T), 0.0)
    np.fill_diagonal(cost, np.inf)
    sizes = np.ones(n)
    for _ in range(n - 2):
        i, j = divmod(int(cost.argmin()), n)
        total = sizes + sizes[i] + sizes[j]
        merged = (
            (sizes + sizes[i]) * cost[i] + (sizes + sizes[j]) * cost[j] - sizes * cost[i, j]
        ) / total  # Lance and Williams' update
        cost[i], cost[:, i] = merged, merged
        cost[j], cost[:, j] = np.inf, np.inf
        cost[i, i] = np.inf
        sizes[i], sizes[j] = sizes[i] + sizes[j], 0
    return int(sizes[sizes > 0].min())


def top_terms(texts: Sequence[str], m: int, *, ties: Ties = "content") -> list[str]:
    """The m terms with the largest summed TF-IDF; fewer, or none, if there are fewer.

    TF-IDF as scikit-learn's TfidfVectorizer(stop_words=ENGLISH_STOP_WORDS) has it:
    lower case, words of two or more letters, smoothed idf, rows of length 1.

    Equal sums are common (two words that only occur together) and are ordered
    alphabetically unless `ties="released"`. The released code sorts them with pandas'
    default, numpy's unstable quicksort, so that there the machine's instruction set
    decides which of two equal terms counts; `ties="released"` does the same.
    """
    stop_words = _english_stop_words()
    counts = [
        Counter(word for word in _TOKEN.findall(text.lower()) if word not in stop_words)
        for text in texts
    ]
    n_containing = Counter(term for count in counts for term in count)
    idf = {t: math.log((1 + len(texts)) / (1 + k)) + 1 for t, k in n_containing.items()}
    weights: dict[str, list[float]] = {term: [] for term in sorted(idf)}
    for count in counts:
        length = math.sqrt(math.fsum((k * idf[term]) ** 2 for term, k in count.items()))
        for term, k in count.items():
            weights[term].append(k * idf[term] / length)
    terms = list(weights)
    # fsum and rounding: the sum must not depend on the order of the passages.
    sums = np.array([round(math.fsum(parts), 12) for parts in weights.values()])
    # pandas sorts downwards by reversing, sorting upwards and reversing again.
    kind: Literal["stable", "quicksort"] = "quicksort" if ties == "released" else "stable"
    order = (len(terms) - 1 - sums[::-1].argsort(kind=kind))[::-1]
    return [terms[i] for i in order[:m]]


def n_tfidf(texts: Sequence[str], terms: Sequence[str], *, m: int, mode: Mode) -> int:
    """Eq. 1: how many passages hold more than half of the top terms.

    paper: more than m/2 of the terms are words of the passage, in any case.
    released: more than floor(len(terms)/2) of the lower-cased terms are substrings of
    the passage as written: "France" does not hold `france`, "part" holds `art`. The
    thresholds are the same for m terms; they part when a text has fewer.

    Without terms (passages of stop words only) the answer is 0; scikit-learn, and so
    the released code, raises there.
    """
    if mode == "released":
        held = [sum(term in text for term in terms) for text in texts]
        return sum(k > len(terms) // 2 for k in held)
    vocabulary = [set(_TOKEN.findall(text.lower())) for text in texts]
    held = [sum(term in found for term in terms) for found in vocabulary]
    return sum(k > m / 2 for k in held)


@cache
def _english_stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # slow to import

    return frozenset(ENGLISH_STOP_WORDS)


# Multi hop: concentration.


def concentration_count(similarities: NDArray[np.floating], *, mode: Mode) -> int:
    """Eq. 3: how many passages are nearer to the others than is usual here.

    paper: those with mean similarity above the mean, and median above the median, over
    the other passages. At most floor(n/2) of n numbers exceed their median, so the count
    never does either, and for n = 2 it is 0.
    released: either one suffices; the median's threshold is half way between the two
    global values; each passage is compared with itself too; medians are lower medians;
    and the count is turned into n - count when it is 0 or the global mean is not below
    the global median. n = 1 gives 1 and n = 2 gives 2: everything is removed.

    Args:
        similarities: cosines (n, n), symmetric, with a diagonal of 1; n >= 1.
        mode: which of the two.
    """
    return _paper_count(similarities) if mode == "paper" else _released_count(similarities)


def _paper_count(similarities: NDArray[np.floating]) -> int:
    n = len(similarities)
    if n < 2:
        return 0
    others = similarities[~np.eye(n, dtype=bool)].reshape(n, n - 1).astype(np.float64)
    means, medians = others.mean(axis=1), np.median(others, axis=1)
    flags = (means > means.mean() + SAME) & (medians > np.median(medians) + SAME)
    return int(flags.sum())


def _released_count(similarities: NDArray[np.floating]) -> int:
    n = len(similarities)
    # float32 throughout, as torch computes it there.
    cosines = similarities.astype(np.float32)
    means = cosines.mean(axis=0)
    lower = (n - 1) // 2
    medians = np.sort(cosines, axis=0)[lower]
    mean, median = means.mean(), np.sort(medians)[lower]
    flags = (means > mean) | (medians > (median + mean) / 2)
    count = int(flags.sum())
    return count if count > 0 and mean < median else n - count
