import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ragshield
from ragshield import guard as guard_module
from ragshield import supplied
from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Finding, Passage, Verdict

PASSAGES = ["red fox", "green tree", "red tree"]


class ColourEncoder:
    name = "colours"
    dim = 4
    words = ("red", "green", "fox", "tree")

    def __init__(self):
        self.calls = []

    def encode(self, texts):
        self.calls.append(list(texts))
        rows = [[text.count(word) for word in self.words] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), 4)


class Seeing:
    """Keeps what is near the question; remembers what it was given."""

    name = "seeing"

    def __init__(self):
        self.retrieval = None

    def inspect(self, retrieval):
        self.retrieval = retrieval
        actions = [Action.KEEP if hit.similarity > 0.4 else Action.DROP for hit in retrieval]
        findings = tuple(
            Finding(hit.id, round(min(1.0, 1 - hit.similarity), 3), self.name, action, "similarity")
            for hit, action in zip(retrieval, actions, strict=True)
        )
        kept = tuple(h for h, a in zip(retrieval, actions, strict=True) if a is Action.KEEP)
        return Verdict(kept, findings, "filtered", self.name)


@pytest.fixture
def encoder():
    return ColourEncoder()


@pytest.fixture
def no_default_encoder(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("an encoder was loaded")

    monkeypatch.setattr(supplied, "open_encoder", refuse)
    supplied._load.cache_clear()
    yield
    supplied._load.cache_clear()


def test_texts_get_positions_as_ids_and_everything_is_embedded_in_one_call(encoder):
    defender = Seeing()
    verdict = ragshield.judge("red", PASSAGES, encoder=encoder, defender=defender)
    assert encoder.calls == [["red", *PASSAGES]]
    assert verdict.kept_ids == ("0", "2")
    assert [(f.passage_id, f.suspicion) for f in verdict.findings] == [
        ("0", 0.293),
        ("1", 1.0),
        ("2", 0.293),
    ]
    np.testing.assert_array_equal(defender.retrieval.question_vector, [1, 0, 0, 0])
    np.testing.assert_array_equal(defender.retrieval.vectors[1], [0, 1, 0, 1])


def test_given_vectors_are_judged_as_they_are_and_no_encoder_is_loaded(no_default_encoder):
    defender = Seeing()
    passages = [ragshield.Passage(id=f"p{i}", text=text) for i, text in enumerate(PASSAGES)]
    verdict = ragshield.judge(
        "red",
        passages,
        vectors=[[0, 2], [2, 0], [1, 1]],
        question_vector=[0.0, 3.0],
        defender=defender,
    )
    assert verdict.kept_ids == ("p0", "p2")
    assert verdict.kept[0].passage is passages[0]
    assert [hit.similarity for hit in defender.retrieval] == pytest.approx(
        [1.0, 0.0, 0.7071068], abs=1e-6
    )
    assert defender.retrieval.vectors.dtype == np.float32
    np.testing.assert_array_equal(defender.retrieval.vectors, [[0, 2], [2, 0], [1, 1]])


def test_only_the_missing_question_vector_is_embedded(encoder):
    vectors = encoder.encode(PASSAGES)
    encoder.calls.clear()
    verdict = ragshield.judge("red", PASSAGES, vectors=vectors, encoder=encoder, defender=Seeing())
    assert encoder.calls == [["red"]]
    assert verdict.kept_ids == ("0", "2")


def test_only_the_missing_passage_vectors_are_embedded(encoder):
    verdict = ragshield.judge(
        "red", PASSAGES, question_vector=[0, 1, 0, 0], encoder=encoder, defender=Seeing()
    )
    assert encoder.calls == [PASSAGES]
    assert verdict.kept_ids == ("1",)


def test_an_encoder_of_another_width_is_refused_before_it_embeds(encoder):
    with pytest.raises(InputError, match="'colours' gives 4 dimensions, vectors has 3"):
        ragshield.judge("red", ["a"], vectors=[[1, 2, 3]], encoder=encoder, defender=Seeing())
    with pytest.raises(InputError, match="'colours' gives 4 dimensions, question_vector has 2"):
        ragshield.judge("red", ["a"], question_vector=[1, 2], encoder=encoder, defender=Seeing())
    assert encoder.calls == []


def test_no_passages_give_an_empty_clean_verdict_without_a_model(no_default_encoder):
    verdict = ragshield.judge("red", [], defender=Seeing())
    assert verdict == Verdict((), (), "clean", "seeing")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 0.0]], "1 rows for 2 passages"),
        ([[1.0, 0.0], [np.nan, 1.0]], "row 1 holds NaN"),
        ([[0.0, 0.0], [0.0, 1.0]], "row 0 is all zeros"),
        ([1.0, 0.0], "shape"),
        ([["x", "y"], ["z", "w"]], "cannot be read as numbers"),
    ],
)
def test_bad_vectors_are_refused_with_their_row(vectors, message):
    with pytest.raises(InputError, match=message):
        ragshield.judge("red", ["a", "b"], vectors=vectors, question_vector=[1, 0], defender="none")


def test_a_question_vector_of_another_width_or_zero_is_refused():
    with pytest.raises(InputError, match="question_vector has 3 dimensions"):
        ragshield.judge("q", ["a"], vectors=[[1, 0]], question_vector=[1, 0, 0], defender="none")
    with pytest.raises(InputError, match="question_vector: row 0 is all zeros"):
        ragshield.judge("q", ["a"], vectors=[[1, 0]], question_vector=[0, 0], defender="none")


def test_empty_questions_twin_ids_and_other_types_are_refused(encoder):
    with pytest.raises(UsageError, match="the question is empty"):
        ragshield.judge(" ", PASSAGES, encoder=encoder, defender="none")
    with pytest.raises(UsageError, match="the question is of type int"):
        ragshield.judge(3, PASSAGES, encoder=encoder, defender="none")
    twins = [Passage("x", "red"), Passage("x", "green")]
    with pytest.raises(UsageError, match="id 'x' occurs twice"):
        ragshield.judge("red", twins, encoder=encoder, defender="none")
    with pytest.raises(UsageError, match="passage 1 is of type NoneType"):
        ragshield.judge("red", ["a", None], encoder=encoder, defender="none")
    with pytest.raises(UsageError, match="give a list of texts"):
        ragshield.judge("red", "one text", encoder=encoder, defender="none")
    with pytest.raises(UsageError, match="unknown defender 'nones'; did you mean 'none'"):
        ragshield.judge("red", PASSAGES, encoder=encoder, defender="nones")


def test_a_text_that_embeds_to_zeros_is_an_error_and_not_a_verdict(encoder):
    with pytest.raises(InputError, match="encoder 'colours': row 1 is all zeros"):
        ragshield.judge("red", ["nothing known"], encoder=encoder, defender="none")


def test_a_megabyte_and_broken_utf8_are_judged_like_any_text(encoder):
    passages = ["red " * 250_000, b"red \xff".decode("utf-8", "surrogateescape")]
    verdict = ragshield.judge("red", passages, encoder=encoder, defender=Seeing())
    assert verdict.kept_ids == ("0", "1")
    assert verdict.kept[1].text == "red \udcff"


def test_the_encoder_is_loaded_once_even_when_many_threads_ask_first(monkeypatch):
    built = []

    def slow(name):
        built.append(name)
        time.sleep(0.05)
        return ColourEncoder()

    monkeypatch.setattr(supplied, "open_encoder", slow)
    supplied._load.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(
            pool.map(lambda _: ragshield.judge("red", PASSAGES, defender=Seeing()), range(8))
        )
    supplied._load.cache_clear()
    assert built == ["minilm"]
    assert [v.kept_ids for v in verdicts] == [("0", "2")] * 8


async def test_ajudge_gives_what_judge_gives(encoder):
    defender = Seeing()
    verdict = await guard_module.ajudge("red", PASSAGES, encoder=encoder, defender=defender)
    assert verdict == ragshield.judge("red", PASSAGES, encoder=encoder, defender=defender)


@pytest.mark.model
def test_the_default_encoder_judges_real_texts_offline():
    defender = Seeing()
    texts = ["The harbour of Varn was built by Ada Tam.", "Bread is baked from flour and water."]
    verdict = ragshield.judge("Who built the harbour of Varn?", texts, defender=defender)
    assert verdict.kept_ids == ("0",)
    assert defender.retrieval.vectors.shape == (2, 384)
