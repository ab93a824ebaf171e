from __future__ import annotations

import numpy as np
import pytest

from ragshield.errors import UsageError
from ragshield.records import Action, Batch, Passage
from ragshield.screens.misfit_vector import MisfitVector


def topic_texts(n_topics: int = 40, per_topic: int = 20) -> list[str]:
    rng = np.random.default_rng(6)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish", "gar", "pol"]
    vocabulary = sorted({"".join(rng.choice(syllables, 3)) for _ in range(1500)})
    texts = []
    for topic in range(n_topics):
        own = vocabulary[topic * 25 : topic * 25 + 25]
        texts += [
            " ".join([*rng.choice(own, 9, replace=False), *rng.choice(vocabulary, 4)])
            for _ in range(per_topic)
        ]
    return texts


def batch(texts: list[str], vectors: np.ndarray) -> Batch:
    return Batch(tuple(Passage(f"p{i}", text) for i, text in enumerate(texts)), vectors)


@pytest.fixture
def swapped(word_encoder) -> Batch:
    """800 passages, of which p5 and p500 have each other's vector."""
    texts = topic_texts()
    vectors = word_encoder.encode(texts)
    vectors[[5, 500]] = vectors[[500, 5]]
    return batch(texts, vectors)


def test_with_the_encoder_a_vector_of_another_text_is_certain(swapped, word_encoder) -> None:
    found = MisfitVector(encoder=word_encoder).screen(swapped)
    assert {f.passage_id for f in found} == {"p5", "p500"}
    for finding in found:
        assert finding.suspicion > 0.9
        assert finding.action is Action.DROP
        assert finding.evidence["similarity"] < 0.5
        assert finding.evidence["usual"] == pytest.approx(1, abs=1e-3)
        assert len(finding.evidence["neighbours"]) == 10
    assert found[0].reason.startswith("its text embedded again has a cosine of")


def test_without_an_encoder_the_words_of_the_neighbours_tell(swapped) -> None:
    found = MisfitVector().screen(swapped)
    assert {f.passage_id for f in found if f.suspicion >= 0.5} == {"p5", "p500"}
    assert all(f.suspicion <= 0.75 for f in found)
    assert found[0].evidence["shared_words_z"] < -4


def test_what_the_words_point_to_is_embedded_again_beyond_the_sample(swapped, word_encoder) -> None:
    word_encoder.n_texts = 0
    found = MisfitVector(encoder=word_encoder, sample=50).screen(swapped)
    assert {f.passage_id for f in found} == {"p5", "p500"}
    assert 50 <= word_encoder.n_texts <= 70


def test_an_honest_store_raises_nothing(word_encoder) -> None:
    texts = topic_texts()
    honest = batch(texts, word_encoder.encode(texts))
    assert MisfitVector(encoder=word_encoder).screen(honest) == []
    assert [f for f in MisfitVector().screen(honest) if f.suspicion >= 0.5] == []


def test_an_encoder_that_did_not_fill_the_store_is_refused(swapped, word_encoder) -> None:
    class Other:
        name = "other"
        dim = word_encoder.dim

        def encode(self, texts):
            rows = np.random.default_rng(1).standard_normal((len(texts), self.dim))
            return rows.astype(np.float32)

    with pytest.raises(UsageError, match="the vectors are not this encoder's"):
        MisfitVector(encoder=Other()).screen(swapped)
    narrow = Batch(swapped.passages, np.ascontiguousarray(swapped.vectors[:, :9]))
    with pytest.raises(UsageError, match="gives 64 dimensions, the store has 9"):
        MisfitVector(encoder=word_encoder).screen(narrow)


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="sample is 0; it must be at least 1"):
        MisfitVector(sample=0)
    with pytest.raises(ValueError, match=r"drop_from is -1; it must be in \(0, 1\]"):
        MisfitVector(drop_from=-1)
