from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragshield.errors import UsageError
from ragshield.minhash import NearIndex, exact_jaccard, jaccard, signature, signatures

TEXT = (
    "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay, and ran "
    "it for thirty years with her two sisters until the harbour silted up."
)
OTHER = (
    "The Brackwater mills were sold to the Holm family after the great flood, which carried "
    "away the weir, the bridge and most of the lower town."
)


def edited(text: str, every: int) -> str:
    words = text.split()
    return " ".join("zinc" if i % every == every - 1 else word for i, word in enumerate(words))


def test_case_punctuation_and_invisible_characters_do_not_count() -> None:
    same = (
        "  ADA Lind\u00adqvist founded the Tannow rope-works in 1820 beside the northern\u200b quay"
    )
    plain = "Ada Lindqvist founded the Tannow rope works in 1820, beside the northern quay."
    np.testing.assert_array_equal(signature(same), signature(plain))
    assert exact_jaccard(same, plain) == 1.0


def test_a_lightly_edited_text_is_near_and_another_is_far() -> None:
    assert exact_jaccard(TEXT, edited(TEXT, 10)) > 0.7
    assert exact_jaccard(TEXT, OTHER) < 0.2
    assert exact_jaccard("Bror paints harbours", "Bror paints harbors") > 0.5


def test_the_order_of_words_counts_and_scripts_without_blanks_compare() -> None:
    assert 0.5 < exact_jaccard("the dog bit the man", "the man bit the dog") < 1
    assert exact_jaccard("艾达创办了坦诺绳索厂并经营多年", "艾达创办了坦诺绳索厂并经营十年") > 0.5


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(TEXT.split() + OTHER.split()), min_size=1, max_size=60), st.data())
def test_the_estimate_is_near_the_count(words, data) -> None:
    kept = data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=60))
    a, b = " ".join(words), " ".join(kept)
    # Six standard errors of 512 numbers.
    estimate = float(jaccard(signature(a, n_perm=512), signature(b, n_perm=512)))
    assert abs(estimate - exact_jaccard(a, b)) < 6 * 0.5 / 512**0.5


def test_a_key_changes_every_number_and_gives_the_same_similarities() -> None:
    plain, keyed = signature(TEXT), signature(TEXT, key=b"secret")
    assert float(jaccard(plain, keyed)) < 0.05
    assert float(jaccard(keyed, signature(TEXT, key=b"secret2"))) < 0.05
    near = float(jaccard(keyed, signature(edited(TEXT, 10), key=b"secret")))
    assert abs(near - exact_jaccard(TEXT, edited(TEXT, 10))) < 0.15


def test_signatures_are_the_same_in_another_process() -> None:
    code = (
        "import sys; from ragshield.minhash import signature;"
        "print(signature(sys.argv[1], key=b'k', n_perm=16).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, TEXT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(signature(TEXT, key=b"k", n_perm=16).tolist())


def test_a_text_without_words_is_like_nothing() -> None:
    empty = signature(" \u200b—")
    assert (empty == 0xFFFFFFFF).all()
    assert float(jaccard(empty, empty)) == 0.0
    assert exact_jaccard("", "") == 0.0
    index = NearIndex(0.5)
    index.add("empty", empty)
    assert index.find(empty) == []


def test_many_signatures_are_those_of_each_text() -> None:
    rows = signatures([TEXT, OTHER, ""])
    assert rows.shape == (3, 128)
    assert rows.dtype == np.uint32
    np.testing.assert_array_equal(rows[1], signature(OTHER))
    np.testing.assert_allclose(jaccard(rows, signature(TEXT))[0], 1.0)


def test_the_index_finds_the_near_ones_nearest_first() -> None:
    index = NearIndex(0.6)
    index.add("same", signature(TEXT))
    index.add("near", signature(edited(TEXT, 12)))
    index.add("other", signature(OTHER))
    found = index.find(signature(TEXT))
    assert [near.name for near in found] == ["same", "near"]
    assert found[0].jaccard == 1.0
    assert 0.6 <= found[1].jaccard < 1


def test_the_index_misses_few_of_those_well_above_its_threshold() -> None:
    rng = np.random.default_rng(3)
    vocabulary = [f"word{i}" for i in rng.integers(0, 10**6, 3000)]
    texts = [" ".join(rng.choice(vocabulary, 40)) for _ in range(300)]
    index = NearIndex(0.7)
    for i, text in enumerate(texts):
        index.add(i, signature(text))
    copies = [edited(text, 20) for text in texts]
    assert min(exact_jaccard(a, b) for a, b in zip(texts, copies, strict=True)) > 0.78
    found = [[near.name for near in index.find(signature(text))] for text in copies]
    hits = sum(found[i] == [i] for i in range(300))
    assert hits >= 294


def test_a_name_added_twice_is_replaced() -> None:
    index = NearIndex(0.6)
    index.add("a", signature(TEXT))
    index.add("a", signature(OTHER))
    assert len(index) == 1
    assert index.find(signature(TEXT)) == []
    assert [near.name for near in index.find(signature(OTHER))] == ["a"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: signature("a", n_perm=0), "n_perm is 0"),
        (lambda: signature("a", key=b"x" * 65), "the key has 65 bytes, at most 64"),
        (lambda: NearIndex(0), "threshold is 0, allowed is more than 0 up to 1"),
        (
            lambda: NearIndex(0.5).add("a", signature("a", n_perm=16)),
            r"shape \(16,\) in an index of \(128,\)",
        ),
    ],
)
def test_mistakes_say_what_is_allowed(call, said) -> None:
    with pytest.raises(UsageError, match=said):
        call()
