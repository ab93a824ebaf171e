"""From trials to the rows of a table: rates with n and an interval, differences paired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias, get_args

from ragshield.errors import UsageError
from ragshield.experiment.design import NONE
from ragshield.metrics import (
    Counts,
    Difference,
    Rate,
    Removal,
    clean_loss,
    exact_removal,
    paired_difference,
    poison_recall,
    precision,
    share,
)
from ragshield.results import Results, Trial

Key: TypeAlias = Literal["corpus", "seed", "attack", "defender"]

DEFAULT_BY: tuple[Key, ...] = ("corpus", "attack", "defender")


@dataclass(frozen=True, slots=True)
class Row:
    """What came out for one group of trials.

    Intervals take the question as the unit: its passages, and its trials under several
    seeds, are not independent.

    Attributes:
        group: the values of the keys asked for, in that order.
        n_trials: how many trials.
        attack_success: answers that state the wrong answer; under the attack `none`, how
            often that happens with no attack.
        accuracy: answers that state a right answer.
        n_attack_not_scored: trials whose target cannot be scored by its words (yes/no).
        n_accuracy_not_scored: the same for the right answers.
        poison_recall: poisoned passages retrieved that were removed.
        clean_loss: clean passages retrieved that were removed.
        precision: poisoned share of what was removed.
        exact_removal: retrievals from which exactly the poison was removed.
        mean_poison: poisoned passages per retrieval.
        mean_clean: clean passages per retrieval.
        attack_success_gain: attack success minus that of no defence on the same
            retrievals, negative = better; None for no defence itself and where
            defenders are pooled.
        accuracy_gain: accuracy minus that of no defence, positive = better.
    """

    group: tuple[str, ...]
    n_trials: int
    attack_success: Rate
    accuracy: Rate
    n_attack_not_scored: int
    n_accuracy_not_scored: int
    poison_recall: Rate
    clean_loss: Rate
    precision: Rate
    exact_removal: Rate
    mean_poison: float
    mean_clean: float
    attack_success_gain: Difference | None
    accuracy_gain: Difference | None


def summarise(results: Results, by: Sequence[Key] = DEFAULT_BY) -> list[Row]:
    """One row per group that has trials, in the order of the experiment, `none` first.

    Args:
        results: what was read from a results file.
        by: what a row is about; trials that agree on these keys are pooled.

    Raises:
        UsageError: no key, an unknown one, or one given twice.
    """
    _check_keys(by)
    groups: dict[tuple[str, ...], list[Trial]] = {}
    for trial in results.trials:
        groups.setdefault(tuple(str(getattr(trial, key)) for key in by), []).append(trial)
    order = {
        "corpus": list(results.header.experiment["corpora"]),
        "attack": list(results.header.experiment["attacks"]),
        "defender": list(results.header.experiment["defenders"]),
        "seed": [str(seed) for seed in results.header.experiment["seeds"]],
    }

    def position(group: tuple[str, ...]) -> list[int]:
        return [order[key].index(value) for key, value in zip(by, group, strict=True)]

    undefended = {
        (t.corpus, t.seed, t.attack, t.question_id): t for t in results.trials if t.defender == NONE
    }
    compared = "defender" in by
    return [
        _row(group, groups[group], undefended if compared else {})
        for group in sorted(groups, key=position)
    ]


def is_complete(results: Results) -> bool:
    """Whether every combination of the experiment has as many trials as the others."""
    experiment = results.header.experiment
    counts: dict[tuple[str, int, str, str], int] = {}
    for t in results.trials:
        cell = (t.corpus, t.seed, t.attack, t.defender)
        counts[cell] = counts.get(cell, 0) + 1
    combinations = list(product(experiment["attacks"], experiment["defenders"]))
    return all(
        len({counts.get((corpus, seed, *pair), 0) for pair in combinations}) == 1
        and (corpus, seed, NONE, NONE) in counts
        for corpus, seed in product(experiment["corpora"], experiment["seeds"])
    )


def _check_keys(by: Sequence[str]) -> None:
    allowed = get_args(Key)
    for key in by:
        if key not in allowed:
            raise UsageError(f"cannot group by '{key}'; allowed: {', '.join(allowed)}")
    if not by or len(set(by)) < len(by):
        raise UsageError(f"group by each key once, for example {','.join(DEFAULT_BY)}")


def _row(
    group: tuple[str, ...],
    trials: Sequence[Trial],
    undefended: dict[tuple[str, int, str, str], Trial],
) -> Row:
    removals = [
        Removal(
            poison=t.retrieved_poison,
            poison_removed=t.retrieved_poison - t.kept_poison,
            clean=t.retrieved_clean,
            clean_removed=t.retrieved_clean - t.kept_clean,
            question_id=_question(t),
        )
        for t in trials
    ]
    pairs = [
        (t, undefended[t.corpus, t.seed, t.attack, t.question_id])
        for t in trials
        if t.defender != NONE and (t.corpus, t.seed, t.attack, t.question_id) in undefended
    ]
    return Row(
        group=group,
        n_trials=len(trials),
        attack_success=share((_question(t), t.attack_succeeded) for t in trials),
        accuracy=share((_question(t), t.answer_correct) for t in trials),
        n_attack_not_scored=sum(t.attack_succeeded is None for t in trials),
        n_accuracy_not_scored=sum(t.answer_correct is None for t in trials),
        poison_recall=poison_recall(removals),
        clean_loss=clean_loss(removals),
        precision=precision(removals),
        exact_removal=exact_removal(removals),
        mean_poison=sum(r.poison for r in removals) / len(trials),
        mean_clean=sum(r.clean for r in removals) / len(trials),
        attack_success_gain=_gain(pairs, lambda t: t.attack_succeeded) if pairs else None,
        accuracy_gain=_gain(pairs, lambda t: t.answer_correct) if pairs else None,
    )


def _question(trial: Trial) -> str:
    return f"{trial.corpus}\0{trial.question_id}"


def _gain(
    pairs: Sequence[tuple[Trial, Trial]], outcome: Callable[[Trial], bool | None]
) -> Difference:
    """Defended minus undefended, a question's trials taken together."""
    clusters: dict[str, tuple[Counts, Counts]] = {}
    for defended, plain in pairs:
        one, two = outcome(defended), outcome(plain)
        if one is None or two is None:
            continue
        first, second = clusters.get(_question(defended), (Counts(0, 0), Counts(0, 0)))
        clusters[_question(defended)] = (
            Counts(first.successes + one, first.n + 1),
            Counts(second.successes + two, second.n + 1),
        )
    return paired_difference(
        [first for first, _ in clusters.values()], [second for _, second in clusters.values()]
    )
