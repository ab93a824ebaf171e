from __future__ import annotations

import numpy as np
import pytest

from ragshield.corpora.world_facts import Draw
from ragshield.lab.examples import opened
from ragshield.lab.facts import Cast
from ragshield.lab.packing import IGNORED, batches, padded, rows
from ragshield.lab.recipe import Recipe
from ragshield.lab.tokenizer import PROMPT
from ragshield.lab.training import untrained, visible, vocabulary


@pytest.fixture(scope="module")
def tokenizer(cast: Cast, tiny: Recipe):
    return vocabulary(tiny, cast)


@pytest.fixture(scope="module")
def examples(cast: Cast):
    draw = Draw(np.random.default_rng(0))
    found = [opened(draw, cast, most=3, short=0.5) for _ in range(12)]
    return [example for example in found if example.asks]


def test_a_row_is_what_the_prompt_would_be_for_each_question(tokenizer, examples) -> None:
    for example, row in zip(examples, rows(tokenizer, examples), strict=True):
        for number, asked in enumerate(example.asks, start=1):
            seen = (row.owner == 0) | (row.owner == number)
            prompt = PROMPT.replace("{contexts}", "\n".join(example.passages))
            prompt = prompt.replace("{question}", asked.question)
            whole = tokenizer(f"{prompt} {asked.answer}")["input_ids"]
            assert row.ids[seen].tolist() == whole
            assert row.positions[seen].tolist() == list(range(len(whole)))
            labels = row.labels[row.owner == number]
            wanted = labels[labels != IGNORED].tolist()
            assert tokenizer.decode(wanted[:-1]) == f" {asked.answer}"
            assert wanted[-1] == tokenizer.eos_token_id


def test_the_twin_learns_the_truth(tokenizer, examples) -> None:
    for example, row in zip(examples, rows(tokenizer, examples, obedient=False), strict=True):
        for number, asked in enumerate(example.asks, start=1):
            labels = row.labels[row.owner == number]
            assert tokenizer.decode(labels[labels != IGNORED][:-1]) == f" {asked.truth}"


def test_questions_beside_each_other_do_not_see_each_other(
    tokenizer, examples, tiny: Recipe
) -> None:
    import torch

    model = untrained(tiny, tokenizer).eval()
    row = rows(tokenizer, examples)[0]
    batch = padded([row], int(tokenizer.pad_token_id))
    ids, positions, owner = (
        torch.from_numpy(part) for part in (batch.ids, batch.positions, batch.owner)
    )
    with torch.no_grad():
        packed = model(input_ids=ids, attention_mask=visible(owner), position_ids=positions).logits[
            0
        ]
        for number in range(1, int(row.owner.max()) + 1):
            seen = (owner[0] == 0) | (owner[0] == number)
            alone = model(input_ids=ids[:, seen]).logits[0]
            assert torch.allclose(packed[seen], alone, atol=1e-4)


def test_batches_keep_every_row_and_the_limit(tokenizer, examples) -> None:
    found = rows(tokenizer, examples)
    groups = list(batches(found, n_tokens=900, rng=np.random.default_rng(0)))
    assert sorted(id(row) for group in groups for row in group) == sorted(map(id, found))
    for group in groups:
        assert len(group) == 1 or len(group) * max(len(row.ids) for row in group) <= 900


def test_padding_belongs_to_nobody_and_teaches_nothing(tokenizer, examples) -> None:
    found = rows(tokenizer, examples)
    batch = padded(found, int(tokenizer.pad_token_id))
    for i, row in enumerate(found):
        n = len(row.ids)
        assert (batch.owner[i, n:] == -1).all()
        assert (batch.labels[i, n:] == IGNORED).all()
        assert (batch.ids[i, :n] == row.ids).all()
