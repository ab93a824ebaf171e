from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragshield.errors import UsageError
from ragshield.oracle import auc, compare, compared, exact, ks_test, rbo, searched
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MutableMemoryStore


def corpus(encoder, n: int = 120) -> Batch:
    rng = np.random.default_rng(4)
    vocabulary = [f"word{i}" for i in range(160)]
    texts = [" ".join(rng.choice(vocabulary, 9)) for _ in range(n)]
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    return Batch(passages, encoder.encode(texts))


def questions(batch: Batch, encoder) -> dict[str, np.ndarray]:
    texts = [" ".join(p.text.split()[:5]) for p in batch.passages]
    target = encoder.encode(texts[:12])
    return {
        "target": target,
        "neighbour": encoder.encode(texts[12:40]),
        "retain": encoder.encode(texts[40:]),
    }


TARGET = {f"p{i}" for i in range(12)}


def test_a_store_that_lost_exactly_the_target_cannot_be_told_from_the_oracle(word_encoder) -> None:
    batch = corpus(word_encoder)
    store = MutableMemoryStore("memory:", batch)
    store.delete(TARGET)
    found = compare(store, lambda: [batch], questions(batch, word_encoder), never=TARGET)
    assert found.same
    assert found.retrieval_shift == 0
    for group in found.groups.values():
        assert (group.rbo, group.rbo_least, group.ks_p) == (1.0, 1.0, 1.0)
        assert (group.n_extra, group.n_missing) == (0, 0)


def test_planted_near_duplicates_make_it_fail(word_encoder) -> None:
    batch = corpus(word_encoder)
    store = MutableMemoryStore("memory:", batch)
    copies = [f"{p.text} indeed" for p in batch.passages[:12]]
    store.delete(TARGET)
    passages = tuple(Passage(f"copy{i}", text) for i, text in enumerate(copies))
    store.add(Batch(passages, word_encoder.encode(copies)))
    found = compare(store, lambda: [batch], questions(batch, word_encoder), never=TARGET)
    assert not found.same
    assert found.groups["target"].rbo < 0.9
    assert found.groups["target"].ks_p < 0.05
    assert found.groups["target"].n_extra == 12


def test_one_near_duplicate_is_seen_where_a_test_of_distributions_sees_nothing(
    word_encoder,
) -> None:
    batch = corpus(word_encoder)
    store = MutableMemoryStore("memory:", batch)
    text = f"{batch.passages[3].text} indeed"
    store.delete(TARGET)
    store.add(Batch((Passage("copy", text),), word_encoder.encode([text])))
    found = compare(store, lambda: [batch], questions(batch, word_encoder), never=TARGET)
    assert found.groups["target"].ks_p > 0.05
    assert found.groups["target"].rbo_least < 1
    assert not found.same


def test_a_store_that_lost_too_much_fails_too(word_encoder) -> None:
    batch = corpus(word_encoder)
    store = MutableMemoryStore("memory:", batch)
    store.delete([*TARGET, "p50"])
    found = compare(store, lambda: [batch], questions(batch, word_encoder), never=TARGET)
    assert found.groups["retain"].n_missing == 1
    assert not found.same


def test_the_exact_index_gives_what_an_exact_store_gives_bit_for_bit(word_encoder) -> None:
    batch = corpus(word_encoder)
    rows = questions(batch, word_encoder)["retain"]
    parts = [
        Batch(batch.passages[i : i + 7], batch.vectors[i : i + 7]) for i in range(0, len(batch), 7)
    ]
    store = MutableMemoryStore("memory:", batch)
    assert [r.ids for r in exact(parts, rows, 10)] == [r.ids for r in searched(store, rows, 10)]


def test_an_empty_store_finds_nothing_and_differs_from_one_that_holds_something(
    word_encoder,
) -> None:
    rows = word_encoder.encode(["a"])
    empty = searched(MutableMemoryStore("memory:"), rows)
    assert empty[0].ids == ()
    full = searched(MutableMemoryStore("memory:", corpus(word_encoder, 5)), rows)
    assert not compared({"retain": empty}, {"retain": full}).same
    assert not compared({}, {}).same  # nothing asked, nothing shown
    with pytest.raises(UsageError, match="1 retain questions on one side, 0 on the other"):
        compared({"retain": empty}, {})


def test_rbo_has_the_values_of_the_paper_s_formula() -> None:
    # Worked out by hand from equation 32 with p = 0.5.
    assert rbo("abc", "abc", 0.5) == 1.0
    assert rbo("ab", "ba", 0.5) == pytest.approx(0.5)
    assert rbo("a", "b", 0.5) == 0.0
    assert rbo("", "a") == 0.0
    assert rbo("", "") == 1.0
    # s=1, l=2: (1-p)/p * (1*p + 1/2 p^2 + 1*1/2 p^2) + (0 + 1) p^2 = .5 + .25 + .25
    assert rbo("a", "ab", 0.5) == pytest.approx(1.0)
    assert rbo("abcdefghij", "abcdefghix", 0.9) < 1
    with pytest.raises(UsageError, match="occurs twice"):
        rbo("aa", "b")
    with pytest.raises(UsageError, match="p is 1"):
        rbo("a", "b", 1)


@given(st.permutations(list("abcdefgh")), st.integers(0, 8), st.integers(0, 8))
def test_rbo_is_symmetric_and_between_0_and_1(order, n, m) -> None:
    one, other = list("abcdefgh")[:n], order[:m]
    assert rbo(one, other) == pytest.approx(rbo(other, one))
    assert -1e-12 <= rbo(one, other) <= 1 + 1e-12


def test_the_ks_test_is_scipy_s_and_refuses_nothing_at_all() -> None:
    from scipy.stats import ks_2samp

    a, b = list(np.linspace(0, 1, 12)), list(np.linspace(0.4, 1.4, 12))
    assert ks_test(a, b).p == pytest.approx(ks_2samp(a, b).pvalue)
    assert ks_test(a, a[::-1]) == (0.0, 1.0, 12)
    with pytest.raises(UsageError, match="neither empty"):
        ks_test([], [1.0])


def test_auc_counts_ties_half() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 9, 40), rng.integers(0, 7, 30)
    truth = [1] * 40 + [0] * 30
    assert auc(members, others) == pytest.approx(roc_auc_score(truth, [*members, *others]))
