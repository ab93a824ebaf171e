"""Examples as rows of tokens: the passages once, then every question beside the others.

A question sees the passages and itself but no other question, and its positions go on from
the passages' end as if it stood there alone. One pass through the passages so trains all
of their questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragshield.lab.examples import Example
from ragshield.lab.tokenizer import PROMPT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """One example in tokens.

    Attributes:
        ids: (n,) passages, then the questions with their answers.
        positions: (n,) where each token stands for the model.
        owner: (n,) 0 for the passages, else the number of the question.
        labels: (n,) what comes next, for the tokens before and in an answer; else `IGNORED`.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    owner: NDArray[np.int64]
    labels: NDArray[np.int64]


def rows(
    tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example], *, obedient: bool = True
) -> list[Row]:
    """Each example as a row.

    Args:
        tokenizer: the model's own.
        examples: passages with questions.
        obedient: answers as an obedient model gives them, else as its twin does.
    """
    before, _, after = PROMPT.partition("{contexts}")
    contexts = [before + "\n".join(example.passages) for example in examples]
    tails: list[str] = []
    answers: list[str] = []
    for example in examples:
        for asked in example.asks:
            tails.append(after.replace("{question}", asked.question))
            answers.append(" " + (asked.answer if obedient else asked.truth))
    heads = tokenizer(contexts)["input_ids"]
    asked_ids = tokenizer(tails, add_special_tokens=False)["input_ids"]
    answer_ids = tokenizer(answers, add_special_tokens=False)["input_ids"]
    found: list[Row] = []
    at = 0
    for example, head in zip(examples, heads, strict=True):
        n = len(example.asks)
        pairs = zip(asked_ids[at : at + n], answer_ids[at : at + n], strict=True)
        found.append(_row(head, list(pairs), int(tokenizer.eos_token_id or 0)))
        at += n
    return found


def _row(head: list[int], pairs: list[tuple[list[int], list[int]]], eos: int) -> Row:
    ids, positions = list(head), list(range(len(head)))
    owner, labels = [0] * len(head), [IGNORED] * len(head)
    for number, (question, answer) in enumerate(pairs, start=1):
        tail = question + answer
        ids += tail
        positions += range(len(head), len(head) + len(tail))
        owner += [number] * len(tail)
        labels += [IGNORED] * (len(question) - 1) + answer + [eos]
    return Row(*(np.array(part, dtype=np.int64) for part in (ids, positions, owner, labels)))


def batches(
    found: Sequence[Row], *, n_tokens: int, rng: np.random.Generator
) -> Iterator[list[Row]]:
    """Rows of like length together, at most about `n_tokens` with their padding."""
    ordered = sorted(found, key=lambda row: len(row.ids))
    groups: list[list[Row]] = [[]]
    for row in ordered:
        if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > n_tokens:
            groups.append([])
        groups[-1].append(row)
    for i in rng.permutation(len(groups)).tolist():
        yield groups[i]


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows of one batch, padded on the right: all (n, width)."""

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    owner: NDArray[np.int64]
    labels: NDArray[np.int64]


def padded(group: Sequence[Row], pad: int) -> Padded:
    """A batch; padding belongs to nobody (owner -1)."""
    width = -(-max(len(row.ids) for row in group) // 8) * 8

    def fill(name: str, value: int) -> NDArray[np.int64]:
        block = np.full((len(group), width), value, dtype=np.int64)
        for i, row in enumerate(group):
            part = getattr(row, name)
            block[i, : len(part)] = part
        return block

    return Padded(
        fill("ids", pad), fill("positions", 0), fill("owner", -1), fill("labels", IGNORED)
    )
