from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.white_box import WhiteBox
from ragshield.encoders.cache import CachedEncoder
from ragshield.errors import MissingExtraError, UsageError

TEXT = "Ida Holm founded the mills"


@pytest.fixture
def box(gradient_encoder) -> WhiteBox:
    return WhiteBox("hotflip", gradient_encoder, screening=False)


def test_vectors_are_those_of_the_encoder(box, gradient_encoder) -> None:
    texts = [TEXT, "x", "a text of the river " * 30]
    np.testing.assert_allclose(box.embed(texts), gradient_encoder.encode(texts), atol=1e-6)
    assert box.n_embedded == 3


def test_first_order_gains_are_the_derivative_by_the_word_embeddings(box) -> None:
    """Compared with a finite difference along the way from one embedding to another."""
    towards = box.embed(["olle berg was a painter"])[0]
    vocabulary = box.vocabulary()
    gains = box.gains([("", "")], TEXT, lambda rows: np.tile(towards, (1, 1)), vocabulary)
    place = [TEXT[a:b] for a, b in gains.spans].index("mills")
    new = vocabulary.pieces.index("river")
    weight = box._words.weight.data
    old, other = int(gains.ids[place]), int(vocabulary.ids[new])
    before, step = weight[old].clone(), 1e-2
    found = []
    try:
        for sign in (1, -1):
            weight[old] = before + sign * step * (weight[other] - before)
            found.append(float(box.embed([TEXT])[0].astype(float) @ towards))
    finally:
        weight[old] = before
    slope = (found[0] - found[1]) / (2 * step)
    assert gains.gains[place, new] == pytest.approx(slope, abs=2e-3)
    assert abs(slope) > 0.005


def test_gains_add_up_over_hosts_and_leave_the_hosts_tokens_alone(box) -> None:
    def first(rows):
        return np.tile(np.eye(1, 32, dtype=np.float32), (len(rows), 1))

    vocabulary = box.vocabulary()
    one = box.gains([("who ", " north")], TEXT, first, vocabulary)
    other = box.gains([("the old ", "")], TEXT, first, vocabulary)
    both = box.gains([("who ", " north"), ("the old ", "")], TEXT, first, vocabulary)
    assert [TEXT[a:b] for a, b in both.spans] == ["Ida", "Holm", "founded", "the", "mills"]
    np.testing.assert_allclose(both.gains, one.gains + other.gains, atol=1e-5)


def test_taking_gradients_changes_nothing_of_the_model(box, gradient_encoder) -> None:
    before = gradient_encoder.encode([TEXT])
    box.gains([("", "")], TEXT, lambda rows: rows, box.vocabulary())
    assert not box._words._forward_hooks
    assert all(p.grad is None for p in gradient_encoder.model.parameters())
    np.testing.assert_array_equal(gradient_encoder.encode([TEXT]), before)


def test_the_vocabulary_holds_words_that_are_read_as_what_they_are(box) -> None:
    words = box.vocabulary()
    assert "river" in words.pieces
    assert not {"[MASK]", "[unused0]", "##a"} & set(words.pieces)
    assert not words.continues.any()
    tokenizer = box._tokenizer
    for i, piece in zip(words.ids.tolist(), words.pieces, strict=True):
        assert tokenizer(f"the {piece}", add_special_tokens=False)["input_ids"][1:] == [i]
    more = box.vocabulary(subwords=True)
    assert more.continues.sum() == len(more.ids) - len(words.ids) > 0


def test_only_tokens_in_the_window_can_be_replaced(box) -> None:
    long = "the river " * 100
    assert len(box.spans(long)) == box.n_tokens - 2
    assert box.gains([(long, "")], TEXT, lambda rows: rows, box.vocabulary()).spans == ()


def test_screening_is_close_to_the_exact_vectors(gradient_encoder) -> None:
    box = WhiteBox("hotflip", gradient_encoder)
    near = (box.screened([TEXT]) * box.embed([TEXT])).sum()
    assert near > 0.999 if box.screens else near == pytest.approx(1.0)


def test_an_encoder_behind_a_cache_is_seen_and_its_cache_is_left_alone(
    gradient_encoder, tmp_path
) -> None:
    cached = CachedEncoder(gradient_encoder, tmp_path / "vectors.sqlite")
    np.testing.assert_allclose(
        WhiteBox("hotflip", cached).embed([TEXT]), gradient_encoder.encode([TEXT]), atol=1e-6
    )


def test_what_shows_no_gradients_is_refused_in_one_line(word_encoder) -> None:
    with pytest.raises(UsageError, match=r"^phantom: needs the weights.*give encoder"):
        WhiteBox("phantom", None)
    with pytest.raises(UsageError, match=r"encoder 'word-hash' shows no gradients"):
        WhiteBox("phantom", word_encoder)


def test_without_torch_the_extra_is_named(word_encoder, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ragshield\[local\]'"):
        WhiteBox("phantom", word_encoder)
