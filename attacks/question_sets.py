"""Sets of questions: what an attack on many questions is aimed at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, UsageError
from ragshield.files import read_jsonl, read_text
from ragshield.records import Target, Vectors
from ragshield.text import content_words, states
from ragshield.vectors import unit_rows

Questions: TypeAlias = Sequence[str] | str | None
"""Questions, or a file of them (JSON Lines with `question`, or one a line), or None."""

_ROUNDS = 50
_LONGEST = 40


def read_questions(attack: str, questions: Questions) -> tuple[str, ...]:
    """The different questions, in order; none for None.

    Raises:
        UsageError: no question among those given.
        InputError: the file cannot be read, or a line of it has no question.
    """
    if questions is None:
        return ()
    if not isinstance(questions, str):
        found = [str(question) for question in questions]
    elif ".jsonl" in (path := Path(questions)).suffixes:
        found = []
        for line, row in read_jsonl(path):
            if not isinstance(row.get("question"), str):
                raise InputError(f"{path}, line {line}: no text under 'question'")
            found.append(row["question"])
    else:
        found = read_text(path).splitlines()
    kept = tuple(dict.fromkeys(text.strip() for text in found if text.strip()))
    if not kept:
        raise UsageError(f"{attack}: no question in questions; give at least one")
    return kept


def aimed_at(questions: Sequence[str], target: Target) -> tuple[str, ...]:
    """The set; without one, the target's own question."""
    return tuple(questions) or (target.question.text,)


def with_trigger(question: str, trigger: str) -> str:
    """The question with the trigger in it: behind it, unless it states it already."""
    return question if states(question, trigger) else f"{question} {trigger}"


def clusters(vectors: Vectors, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Cluster of each vector, (m,), by spherical k-means with a spread-out start.

    No cluster is empty unless there are fewer different vectors than n.
    """
    unit = unit_rows(vectors)
    n = min(n, len(unit))
    centres = unit[[int(rng.integers(len(unit)))]]
    while len(centres) < n:
        far = np.clip(1 - (unit @ centres.T).max(axis=1), 0, None).astype(np.float64)
        if far.sum() <= 1e-9:
            break
        centres = np.vstack([centres, unit[[int(rng.choice(len(unit), p=far / far.sum()))]]])
    labels: NDArray[np.intp] = np.argmax(unit @ centres.T, axis=1)
    for _ in range(_ROUNDS):
        means = [unit[labels == c].mean(axis=0) for c in range(len(centres)) if (labels == c).any()]
        moved: NDArray[np.intp] = np.argmax(unit @ unit_rows(np.stack(means)).T, axis=1)
        if np.array_equal(moved, labels):
            break
        labels = moved
    return labels


def word_salad(texts: Sequence[str], n_words: int, rng: np.random.Generator) -> str:
    """Random words of some texts: where a search for a passage near all of them starts."""
    words = (word[:_LONGEST] for text in texts for word in content_words(text))
    known = list(dict.fromkeys(words))
    known = known or ["the"]
    order = [known[i] for i in rng.permutation(len(known)).tolist()]
    more = [known[i] for i in rng.integers(len(known), size=max(0, n_words - len(order))).tolist()]
    return " ".join([*order, *more][:n_words])
