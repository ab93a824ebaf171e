"""The measures of TOFU, MUSE and RESTOR, carried from models to retrieval.

In each, the model that answers becomes the store that retrieves, and the model retrained
without the data becomes the index rebuilt without the passages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ragshield.errors import UsageError
from ragshield.intervals import Rate, rate
from ragshield.oracle.distributions import auc, ks_test
from ragshield.oracle.lists import Ranked
from ragshield.records import Passage, Question
from ragshield.text import words

PREFIX_WORDS = 12


def support(best_similarity: float) -> float:
    """How much a store backs a statement: (1 + s) / 2 of its nearest passage, [0, 1]."""
    return (1 + best_similarity) / 2


def truth_ratio(right: float, wrong: Sequence[float]) -> float:
    """TOFU's truth ratio, carried to retrieval: >= 0, below 1 where the right answer is backed.

    TOFU: R = mean_i p(wrong_i | q)^(1/len) / p(right | q)^(1/len), with a paraphrase of the
    right answer. Here the length-normalised probability of an answer becomes the store's
    `support` for the statement "question answer": R = mean_i support(wrong_i) /
    support(right).

    Source: Maini et al. (2024), TOFU, arXiv 2401.06121, section 2.2.

    Args:
        right: similarity of the passage nearest to the right statement.
        wrong: the same for each wrong one.

    Raises:
        UsageError: no wrong statement.
    """
    if not wrong:
        raise UsageError("a truth ratio needs at least one wrong answer")
    backed = support(right)
    mean = sum(map(support, wrong)) / len(wrong)
    return mean / backed if backed > 0 else float("inf")


def forget_quality(unlearned: Sequence[float], oracle: Sequence[float]) -> float:
    """TOFU's forget quality: p-value of a two-sample KS test on truth ratios, [0, 1].

    High: the store cannot be told from one that never held the target.
    """
    return ks_test(unlearned, oracle).p


def truth_on_forgotten(ratios: Sequence[float]) -> float:
    """TOFU's truth ratio over the forget set: mean of min(R, 1/R), [0, 1], 1 = undecided."""
    return float(np.mean([min(r, 1 / r) if r > 0 else 0.0 for r in ratios]))


def truth_on_retained(ratios: Sequence[float]) -> float:
    """TOFU's truth ratio elsewhere: mean of max(0, 1 - R), [0, 1], higher = truer."""
    return float(np.mean([max(0.0, 1 - r) for r in ratios]))


def regurgitation(passages: Sequence[Passage], found: Sequence[Ranked]) -> float | None:
    """MUSE's verbatim memorisation (C1), carried to retrieval: [0, 1], 0 = nothing comes back.

    MUSE: VerbMem = mean over x of ROUGE-L-F1(f(x[:l]), x[l:]), a model asked with the
    beginning of a text. Here f is the store's first passage for that beginning, what
    follows the first 12 words is looked for in it, and the recall of ROUGE-L is taken,
    since a whole passage comes back and not a continuation of equal length.

    Source: Shi et al. (2024), MUSE, arXiv 2407.06460, section 3.1.
    Differs: ROUGE-L recall instead of F1, for the reason above.

    Args:
        passages: what was forgotten.
        found: what was retrieved for the beginning of each, with texts.

    Returns:
        None where no passage is longer than its beginning.
    """
    shares = []
    for passage, ranked in zip(passages, found, strict=True):
        rest = words(passage.text)[PREFIX_WORDS:]
        if rest:
            there = words(ranked.texts[0]) if ranked.texts else []
            shares.append(_common(rest, there) / len(rest))
    return sum(shares) / len(shares) if shares else None


def beginnings(passages: Sequence[Passage]) -> list[str]:
    """The beginning of each passage: what `regurgitation` is asked with."""
    return [" ".join(passage.text.split()[:PREFIX_WORDS]) or passage.text for passage in passages]


def privacy_leak(
    forgotten: Sequence[float],
    forgotten_oracle: Sequence[float],
    never: Sequence[float],
) -> float:
    """MUSE's privacy leakage (C3) by membership inference on the store, in per cent.

    PrivLeak = (AUC_unlearned - AUC_oracle) / AUC_oracle * 100, where AUC is that of telling
    forgotten passages from ones that were never ingested by the store's best similarity
    to each. 0: the attack learns as much as from a store that never held them; above:
    too little was forgotten; below: too much, which gives it away as well.

    Source: MUSE, section 3.1, criterion 3, with the sign of open-unlearning's AUC of
    members over others.

    Args:
        forgotten: best similarity to each forgotten passage, in the unlearned store.
        forgotten_oracle: the same in the oracle.
        never: best similarity, in the unlearned store, to each of some passages that it
            never held.
    """
    base = auc(forgotten_oracle, never)
    if base == 0:
        return 0.0 if auc(forgotten, never) == 0 else float("inf")
    return (auc(forgotten, never) - base) / base * 100


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came back when poison was removed, in the sense of RESTOR.

    Attributes:
        clean: share answered rightly before the poison.
        corrupted: share answered rightly with it.
        cleaned: share answered rightly after its removal.
        restored: share of the questions that the poison spoilt and that are right again.
    """

    clean: Rate
    corrupted: Rate
    cleaned: Rate
    restored: Rate

    @property
    def recovered(self) -> float | None:
        """(cleaned - corrupted) / (clean - corrupted): 1 = all that was lost is back.

        None where the poison cost nothing.
        """
        lost = self.clean.successes - self.corrupted.successes
        return (self.cleaned.successes - self.corrupted.successes) / lost if lost > 0 else None


def recovery(
    questions: Sequence[Question],
    clean: Callable[[str], str],
    corrupted: Callable[[str], str],
    cleaned: Callable[[str], str],
) -> Recovery:
    """RESTOR: does removing poison bring the right answers back, or only silence?

    Source: Rezaei et al. (2024), RESTOR, arXiv 2411.00204: accuracy of the clean, the
    corrupted and the unlearned model on the same facts.

    Args:
        questions: with right answers; those that cannot be scored are left out.
        clean: answers a question from the store before it was poisoned.
        corrupted: from the poisoned store.
        cleaned: from the store after the removal.
    """
    from ragshield.metrics import answer_correct

    def right(answer: Callable[[str], str]) -> list[bool]:
        return [answer_correct(answer(q.text), q) is True for q in scored]

    scored = [q for q in questions if answer_correct("", q) is not None]
    before, poisoned, after = right(clean), right(corrupted), right(cleaned)
    spoilt = [i for i in range(len(scored)) if before[i] and not poisoned[i]]
    return Recovery(
        clean=rate(sum(before), len(scored)),
        corrupted=rate(sum(poisoned), len(scored)),
        cleaned=rate(sum(after), len(scored)),
        restored=rate(sum(after[i] for i in spoilt), len(spoilt)),
    )


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for j, there in enumerate(other, start=1):
            before, row[j] = row[j], before + 1 if word == there else max(row[j], row[j - 1])
    return row[-1]
