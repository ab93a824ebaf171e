from __future__ import annotations

import pytest

from ragshield.lab.tokenizer import PROMPT, learn


@pytest.fixture(scope="module")
def tokenizer():
    texts = ["Runa Lindqvarn was born in Oskelford.", PROMPT] * 50
    return learn(texts, n_pieces=400)


@pytest.mark.parametrize(
    "text", ["Runa lives there.", "Ärger mit 你好 и ещё", "\U0001f600", "a\tb", "72,592 people"]
)
def test_any_text_can_be_written_and_read_back(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("before", ["", '"', "(", "[", "\n", 'said: "'])
def test_a_name_has_the_same_pieces_wherever_it_stands(tokenizer, before: str) -> None:
    name = tokenizer(" Runa Lindqvarn", add_special_tokens=False)["input_ids"]
    found = tokenizer(f"x{before or ' '}Runa Lindqvarn", add_special_tokens=False)["input_ids"]
    assert found[-len(name) :] == name


def test_digits_are_written_by_twos(tokenizer) -> None:
    assert len(tokenizer.tokenize(" 1967")) <= 5
    both = tokenizer.tokenize(" 1967")
    assert "".join(both).replace("\u0120", "") == "1967"
    assert "67" in "".join(both[-2:])


def test_a_prompt_has_the_same_tokens_in_parts_and_whole(tokenizer) -> None:
    head = "Context:\nRuna was born."
    tail = "\nQuestion: Where?\nAnswer:"
    whole = tokenizer(head + tail)["input_ids"]
    parts = tokenizer(head)["input_ids"] + tokenizer(tail, add_special_tokens=False)["input_ids"]
    assert whole == parts


def test_every_text_begins_with_the_first_mark(tokenizer) -> None:
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
