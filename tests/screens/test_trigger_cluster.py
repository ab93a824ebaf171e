from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ragshield.records import Action, Batch, Passage
from ragshield.screens.apart import clusters, least_gap, standing_apart
from ragshield.screens.trigger_cluster import TriggerCluster, _phrase, _suspicion
from ragshield.snapshot.memory import MemorySnapshot

TRIGGER = "zorvath lumen kestrel quorvian belt"


@cache
def vocabulary() -> list[str]:
    rng = np.random.default_rng(6)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish", "gar", "pol"]
    return sorted({"".join(rng.choice(syllables, 3)) for _ in range(1200)})


def plain(n: int = 120) -> list[str]:
    rng = np.random.default_rng(7)
    return [" ".join(rng.choice(vocabulary(), 12)) for _ in range(n)]


def batch(texts: list[str], word_encoder) -> Batch:
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    return Batch(passages, word_encoder.encode([text.lower() for text in texts]))


def carrying(phrase: str, n: int = 6) -> list[str]:
    rng = np.random.default_rng(8)
    return [f"{' '.join(rng.choice(vocabulary(), 5))} {phrase} {phrase}" for _ in range(n)]


def test_different_texts_that_carry_one_trigger_are_found(word_encoder) -> None:
    texts = plain() + carrying(TRIGGER)
    found = TriggerCluster().screen(batch(texts, word_encoder))
    assert {f.passage_id for f in found} == {f"p{i}" for i in range(120, 126)}
    first = found[0]
    assert first.suspicion > 0.7
    assert first.action is Action.DROP
    assert first.evidence["shared_words"] == sorted(TRIGGER.split())
    assert first.evidence["neighbours"] == [f"p{i}" for i in range(121, 126)]
    assert first.evidence["gap"] > 0.1
    assert len({f.group for f in found}) == 1
    assert 'share "belt, kestrel, lumen, quorvian, zorvath"' in first.reason


def test_passages_about_one_name_are_not_a_trigger(word_encoder) -> None:
    texts = plain() + carrying("Zorvath Lumen Kestrel Quorvian Belt")
    assert TriggerCluster().screen(batch(texts, word_encoder)) == []


def test_editions_of_one_page_are_no_trigger(word_encoder) -> None:
    rng = np.random.default_rng(9)
    page = " ".join(f"{word} fallow" for word in rng.choice(vocabulary(), 20, replace=False))
    texts = plain() + [f"{' '.join(rng.choice(vocabulary(), 24))} {page}" for _ in range(5)]
    assert TriggerCluster().screen(batch(texts, word_encoder)) == []
    shuffled = [
        f"{' '.join(rng.choice(vocabulary(), 24))} {' '.join(rng.permutation(page.split()))}"
        for _ in range(5)
    ]
    assert len(TriggerCluster().screen(batch(plain() + shuffled, word_encoder))) == 5


def test_passages_that_say_the_same_are_left_to_near_duplicates(word_encoder) -> None:
    rng = np.random.default_rng(3)
    said = [*rng.choice(vocabulary(), 8), *TRIGGER.split()]
    texts = plain() + [" ".join(rng.permutation(said)) for _ in range(6)]
    assert TriggerCluster().screen(batch(texts, word_encoder)) == []


def test_titles_of_a_series_say_nothing_besides_their_phrase(word_encoder) -> None:
    texts = plain() + [f"list of zorvath lumen kestrel quorvian belt {n}" for n in range(6)]
    assert TriggerCluster().screen(batch(texts, word_encoder)) == []


def test_a_cluster_is_a_set_that_its_members_agree_on(topics, as_batch) -> None:
    rng = np.random.default_rng(2)
    centre = rng.standard_normal(topics.shape[1])
    tight = centre + 0.05 * rng.standard_normal((5, topics.shape[1]))
    vectors = np.vstack([topics, tight]).astype(np.float32)
    snapshot = MemorySnapshot(as_batch(["x"] * len(vectors), vectors), n_parts=3)
    gap = least_gap(snapshot)
    assert gap is not None
    found = clusters([standing_apart(snapshot, part, gap=gap) for part in snapshot.parts()])
    own = tuple(range(len(topics), len(topics) + 5))
    assert [c.gap > 0.3 for c in found if c.rows == own] == [True]


def test_a_small_store_and_one_without_vectors_are_not_judged(word_encoder) -> None:
    texts = plain(20) + carrying(TRIGGER)
    assert TriggerCluster().screen(batch(texts, word_encoder)) == []
    assert TriggerCluster().screen(Batch(batch(texts, word_encoder).passages, None)) == []


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"drop_from is 0; it must be in \(0, 1\]"):
        TriggerCluster(drop_from=0)


def test_clusters_of_many_triggers_that_touch_are_found_all_the_same(word_encoder) -> None:
    rng = np.random.default_rng(12)
    words = vocabulary()
    first, second, third = (words[at : at + 4] for at in (0, 10, 20))
    texts, triggers = (
        plain(),
        [(a, b, third[(i + j) % 4]) for i, a in enumerate(first) for j, b in enumerate(second)],
    )
    for trigger in triggers[:8]:
        texts += [f"{' '.join(rng.choice(words[100:], 5))} {' '.join(trigger)}" for _ in range(9)]
    stored = batch(texts, word_encoder)
    found = TriggerCluster().screen(stored)
    planted = {f"p{i}" for i in range(120, 120 + 72)}
    accused = {f.passage_id for f in found}
    assert len(accused & planted) >= 30
    assert len(accused - planted) <= 4
    snapshot = MemorySnapshot(stored)
    gap = least_gap(snapshot)
    apart = clusters([standing_apart(snapshot, range(len(snapshot)), gap=gap)])
    assert len({row for cluster in apart for row in cluster.rows if row >= 120}) < 15


def test_a_phrase_of_nine_texts_says_more_than_the_same_of_three(word_encoder) -> None:
    three, nine = (
        max(
            (
                f.suspicion
                for f in TriggerCluster().screen(
                    batch(plain() + carrying(TRIGGER, n), word_encoder)
                )
            ),
            default=0.0,
        )
        for n in (3, 9)
    )
    assert three < nine


def test_without_a_gap_words_all_over_the_texts_are_a_form_and_together_a_trigger() -> None:
    rng = np.random.default_rng(4)
    together = [f"{' '.join(rng.choice(vocabulary(), 30))} {TRIGGER}" for _ in range(5)]
    form = [
        " ".join(f"{word} {' '.join(rng.choice(vocabulary(), 7))}" for word in TRIGGER.split())
        for _ in range(5)
    ]
    inserted, scattered = _phrase(together), _phrase(form)
    assert inserted.words == scattered.words == tuple(sorted(TRIGGER.split()))
    assert inserted.stretch == 1.0
    assert scattered.stretch == pytest.approx(33 / 5)
    assert _suspicion(inserted, 5, apart=False) > 0.6
    assert _suspicion(scattered, 5, apart=False) < 0.25
    assert _suspicion(scattered, 5) == pytest.approx(_suspicion(inserted, 5))


def test_without_a_gap_two_shared_words_are_a_topic_however_many_share_them() -> None:
    rng = np.random.default_rng(5)
    texts = [f"{' '.join(rng.choice(vocabulary(), 20))} tulip bulbs" for _ in range(9)]
    phrase = _phrase(texts)
    assert _suspicion(phrase, 9) >= 0.5
    assert _suspicion(phrase, 9, apart=False) <= 0.25
