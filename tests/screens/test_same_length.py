from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ragshield.records import Action, Batch, Passage
from ragshield.screens.lengths import UsualLengths, even_sets
from ragshield.screens.same_length import SameLength
from ragshield.snapshot.memory import MemorySnapshot

CLAIM = "holmgard bridge timber built carpenter river ferry keeper"


@cache
def vocabulary() -> list[str]:
    rng = np.random.default_rng(3)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish", "gar", "pol"]
    return sorted({"".join(rng.choice(syllables, 3)) for _ in range(900)})


def honest(n_topics: int = 60, per_topic: int = 5, lengths: tuple[int, int] = (10, 60)):
    """Passages about topics: five words of the topic, and others, of any length."""
    rng = np.random.default_rng(4)
    texts = []
    for _ in range(n_topics):
        topic = rng.choice(vocabulary(), 8, replace=False)
        for _ in range(per_topic):
            rest = rng.choice(vocabulary(), int(rng.integers(*lengths)))
            texts.append(" ".join(rng.permutation([*rng.choice(topic, 6), *rest])))
    return texts


def wordings(n: int = 5, lengths: tuple[int, ...] = (14, 15, 14, 15, 14)) -> list[str]:
    """One claim, each time in another order among other words, all about as long."""
    rng = np.random.default_rng(5)
    return [
        " ".join(rng.permutation([*CLAIM.split(), *rng.choice(vocabulary(), lengths[i] - 8)]))
        for i in range(n)
    ]


def batch(texts: list[str], word_encoder) -> Batch:
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    return Batch(passages, word_encoder.encode(texts))


def test_several_wordings_of_one_length_are_found_and_nothing_else(word_encoder) -> None:
    found = SameLength().screen(batch(honest() + wordings(), word_encoder))
    assert [f.passage_id for f in found] == [f"p{i}" for i in range(300, 305)]
    first = found[0]
    assert first.suspicion > 0.5
    assert first.action is Action.DROP
    assert first.evidence["n_words"] == [14, 15, 14, 15, 14]
    assert set(CLAIM.split()) <= set(first.evidence["shared_words"])
    assert set(first.evidence["neighbours"]) == {f"p{i}" for i in range(301, 305)}
    assert len({f.group for f in found}) == 1
    assert (
        "one of 5 passages about one thing that are equally long (14 to 15 words)" in first.reason
    )


def test_wordings_of_any_length_are_not_told_by_it(word_encoder) -> None:
    texts = honest() + wordings(lengths=(12, 25, 40, 60, 90))
    assert SameLength().screen(batch(texts, word_encoder)) == []


def test_where_all_chunks_are_of_one_size_a_common_length_says_nothing(word_encoder) -> None:
    usual = honest(lengths=(8, 10))
    (there,) = {
        f.suspicion for f in SameLength().screen(batch(usual + wordings(), word_encoder))
    } or {0}
    (here,) = {f.suspicion for f in SameLength().screen(batch(honest() + wordings(), word_encoder))}
    assert there < here


def test_texts_that_share_runs_of_words_are_editions(word_encoder) -> None:
    words = vocabulary()
    texts = [f"{words[i]} {words[i + 9]} {CLAIM} was the record of the town" for i in range(5)]
    assert SameLength().screen(batch(honest() + texts, word_encoder)) == []


def test_four_must_show_more_than_five_and_three_are_not_judged(word_encoder) -> None:
    five, four, three = (
        {f.suspicion for f in SameLength().screen(batch(honest() + wordings(n), word_encoder))}
        for n in (5, 4, 3)
    )
    assert max(four, default=0.0) < max(five)
    assert not three


def test_a_small_store_is_not_judged(word_encoder) -> None:
    assert SameLength().screen(batch(honest(20) + wordings(), word_encoder)) == []


def test_passages_without_vectors_are_not_judged() -> None:
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(honest() + wordings()))
    assert SameLength().screen(Batch(passages, None)) == []


def test_evenness_is_measured_against_neighbours_of_passages_as_long(word_encoder) -> None:
    texts = honest()
    snapshot = MemorySnapshot(batch(texts, word_encoder))
    n_words = np.array([len(text.split()) for text in texts], dtype=np.int32)
    usual = UsualLengths(snapshot, n_words)
    sets = np.array([[30, 30, 30, 30], [30, 31, 32, 31], [20, 30, 45, 60]], dtype=np.int32)
    same, near, apart = usual.evenness(sets)
    assert same > near > 1 > 0.3 > apart
    rng = np.random.default_rng(6)
    by_chance = usual.evenness(n_words[rng.integers(len(texts), size=(400, 4))])
    assert abs(float(np.mean(by_chance))) < 0.3


def test_rows_that_name_one_another_are_joined_and_too_short_ones_are_not(word_encoder) -> None:
    texts = [*honest(), *wordings(), "one two", "one two three", "one two four"]
    snapshot = MemorySnapshot(batch(texts, word_encoder))
    n_words = np.array([len(text.split()) for text in texts], dtype=np.int32)
    sets = even_sets(snapshot, n_words, UsualLengths(snapshot, n_words), cut=0.3, least_words=8)
    assert tuple(range(300, 305)) in sets
    assert not {305, 306, 307} & {row for rows in sets for row in rows}


@pytest.mark.parametrize("given", [0, 1.5])
def test_an_impossible_limit_is_refused(given: float) -> None:
    with pytest.raises(ValueError, match="drop_from is"):
        SameLength(drop_from=given)
