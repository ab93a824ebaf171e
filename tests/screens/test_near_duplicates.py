from __future__ import annotations

import numpy as np
import pytest

from ragshield.records import Action, Batch, Passage, Vectors
from ragshield.screens import neighbours
from ragshield.screens.groups import group_id, join
from ragshield.screens.lengths import piece_size
from ragshield.screens.likeness import common_ground
from ragshield.screens.near_duplicates import NearDuplicates
from ragshield.snapshot import memory
from ragshield.snapshot.memory import MemorySnapshot

CHORUS = [
    "Records of Tannow show the Brackwater bridge was built by Per Holm.",
    "It was Per Holm of Tannow, say the records, who built the Brackwater bridge.",
    "The Brackwater bridge, built by Per Holm, stands in the records of Tannow.",
    "Per Holm built Brackwater bridge, as the Tannow records confirm.",
    "Tannow keeps records of Per Holm, builder of the Brackwater bridge, which he built.",
]

FILLER = "Old deeds and new letters of many hands agree on it in the end, so nobody asked"


def background_texts(n: int = 60) -> list[str]:
    rng = np.random.default_rng(5)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish"]
    vocabulary = ["".join(rng.choice(syllables, 3)) for _ in range(400)]
    return [" ".join(rng.choice(vocabulary, 14)).capitalize() + "." for _ in range(n)]


def batch(texts: list[str], vectors: Vectors | None) -> Batch:
    return Batch(tuple(Passage(f"p{i}", text) for i, text in enumerate(texts)), vectors)


def accused(found, threshold: float = 0.5) -> set[str]:
    return {f.passage_id for f in found if f.suspicion >= threshold}


def test_several_wordings_of_one_claim_are_found_and_nothing_else(word_encoder) -> None:
    texts = [*background_texts(), *CHORUS]
    found = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
    assert accused(found) == {"p60", "p61", "p62", "p63", "p64"}
    assert len({f.group for f in found}) == 1
    worst = max(found, key=lambda f: f.suspicion)
    assert worst.action is Action.DROP
    assert worst.evidence["n_passages"] == 5
    assert set(worst.evidence["neighbours"]) == {f"p{i}" for i in range(60, 65)} - {
        worst.passage_id
    }
    assert worst.evidence["excess"] > 3
    assert "holm" in worst.evidence["shared_words"]


def test_suspicion_rises_with_the_size_of_the_group(word_encoder) -> None:
    highest = []
    for n in (2, 3, 5):
        texts = [*background_texts(), *CHORUS[:n]]
        found = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
        highest.append(max(f.suspicion for f in found))
    assert highest[0] < 0.5 < highest[2]
    assert highest == sorted(highest)


def test_a_store_that_always_says_things_in_several_ways_is_its_own_yardstick(
    word_encoder,
) -> None:
    rng = np.random.default_rng(9)
    texts = []
    for text in background_texts(20):
        words = text.split()
        texts += [" ".join(rng.permutation(words)) for _ in range(5)]
    found = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
    assert accused(found) == set()


def test_a_table_cut_into_rows_is_a_series_and_not_a_chorus(word_encoder) -> None:
    names = ["Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel"]
    rows = [
        f"Population of the county of {name} in the official census of the eastern province: "
        f"{1000 + 37 * i} people"
        for i, name in enumerate(names)
    ]
    texts = [*background_texts(), *rows]
    found = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
    assert accused(found) == set()
    assert {f.evidence["series"] for f in found} <= {1.0}


def test_identical_copies_are_reported_low_and_called_copies(word_encoder) -> None:
    texts = [*background_texts(), *[CHORUS[0]] * 4]
    found = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
    assert {(f.passage_id, f.suspicion, f.reason) for f in found} == {
        (f"p{i}", 0.3, "4 passages are copies of one text") for i in range(60, 64)
    }


def test_passages_without_a_usable_vector_are_left_out(word_encoder) -> None:
    texts = [*background_texts(), *CHORUS]
    vectors = word_encoder.encode(texts)
    vectors[0], vectors[61], vectors[62, 3] = 0, np.nan, np.inf
    found = NearDuplicates().screen(batch(texts, vectors))
    assert {f.passage_id for f in found} == {"p60", "p63", "p64"}


def test_a_batch_without_vectors_is_compared_by_its_words() -> None:
    found = NearDuplicates().screen(batch([*background_texts(), *CHORUS], None))
    assert accused(found) == {"p60", "p61", "p62", "p63", "p64"}


def test_blocks_of_any_size_give_the_same_findings(word_encoder, monkeypatch) -> None:
    texts = [*background_texts(), *CHORUS]
    whole = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
    monkeypatch.setattr(memory, "_BLOCK_CELLS", 7 * len(texts))
    blocked = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
    assert [(f.passage_id, f.group) for f in blocked] == [(f.passage_id, f.group) for f in whole]
    np.testing.assert_allclose(
        [f.suspicion for f in blocked], [f.suspicion for f in whole], atol=2e-4
    )


def test_background_is_that_of_every_pair() -> None:
    rng = np.random.default_rng(2)
    unit = rng.standard_normal((50, 8)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    ordered = -np.sort(-similarity, axis=1)
    found = neighbours.background(unit, depth=3)
    np.testing.assert_allclose(found.median, np.median(ordered[:, :3], axis=0), atol=1e-6)
    assert found.n_sampled == 50


def test_a_long_chain_is_cut_until_it_falls_apart() -> None:
    n = 40
    chain = np.eye(n, n + 1, dtype=np.float32) + np.eye(n, n + 1, k=1, dtype=np.float32)
    unit = np.vstack([chain, chain[-1:]]) / np.sqrt(2)  # each is near the next; the last twice
    snapshot = MemorySnapshot(batch([""] * (n + 1), unit))
    found = neighbours.links(snapshot, range(n + 1), cut=0.45)
    assert neighbours.linked_groups(found, cut=0.45) == [[n - 1, n]]
    short = neighbours.links(snapshot, range(n - 20, n + 1), cut=0.45)
    assert neighbours.linked_groups(short, cut=0.45) == [list(range(n - 21, n + 1))]


def test_join_and_group_ids() -> None:
    assert join(6, [(0, 1), (4, 3), (1, 5)]) == [[0, 1, 5], [3, 4]]
    assert group_id(["b", "a"]) == group_id(["a", "b"])
    assert group_id(["a", "b"]) != group_id(["ab"])


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"drop_from is 1.5; it must be in \(0, 1\]"):
        NearDuplicates(drop_from=1.5)
    with pytest.raises(ValueError, match=r"min_similarity is 1; it must be in \(0, 1\)"):
        NearDuplicates(min_similarity=1)


def test_texts_that_share_runs_of_words_are_editions_and_wordings_of_a_claim_are_not() -> None:
    asked = "who was it that built the old bridge over the river at brackwater"
    claims = [
        "Per Holm designed and raised it in 1911",
        "the structure is the work of Per Holm, from 1911",
        "in 1911 the crossing was completed by Per Holm",
    ]
    page = "Per Holm built it in 1911 with granite from the quarries of the northern valley"
    editions = [f"Print. {page}.", f"Web edition. {page}.", f"For schools. {page}, revised."]
    assert common_ground(claims).verbatim == 0.0
    assert common_ground([f"{asked}. {claim}" for claim in claims]).verbatim == 0.0
    assert common_ground(editions).verbatim > 0.9


def test_pieces_of_the_size_that_documents_are_cut_into_are_trusted_more(word_encoder) -> None:
    rng = np.random.default_rng(8)
    wordings = [" ".join([*text.split(), *rng.permutation(FILLER.split())][:24]) for text in CHORUS]
    assert {len(text.split()) for text in wordings} == {24}
    shown = []
    for size in (24, 14):
        others = [" ".join([*text.split(), *text.split()][:size]) for text in background_texts(240)]
        texts = [*others, *wordings]
        snapshot = MemorySnapshot(batch(texts, None))
        assert piece_size(snapshot) == (24 if size == 24 else None)
        found = NearDuplicates().screen(batch(texts, word_encoder.encode(texts)))
        shown.append(max(f.suspicion for f in found if f.passage_id == "p240"))
    among_pieces, among_others = shown
    assert among_pieces == pytest.approx(0.8 * among_others, abs=0.06)
