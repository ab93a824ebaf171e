from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import sys
import time

import pytest

from ragshield.protocols import Reader
from ragshield.readers import open_reader
from ragshield.readers.extractive import ExtractiveReader
from ragshield.readers.segments import segments, stem
from ragshield.records import Passage

UNKNOWN = "I don't know"


def answer(question: str, *texts: str) -> str:
    passages = [Passage(str(i), text) for i, text in enumerate(texts)]
    return ExtractiveReader().answer(question, passages)


def test_the_sentence_with_the_answer_is_quoted_alone() -> None:
    text = "Talia Venn is a baker. Talia Venn was born in Qelby. She likes tea."
    assert answer("Where was Talia Venn born?", text) == "Talia Venn was born in Qelby."


def test_a_pronoun_stands_for_the_name_in_the_sentence_before() -> None:
    text = "Talia Venn is a baker from a large family. She was born in Qelby. She likes tea."
    assert answer("Where was Talia Venn born?", text) == "She was born in Qelby."


def test_five_passages_that_agree_outvote_one_that_does_not() -> None:
    right = "Brackwater Mills was founded by Ida Holm."
    wrong = [f"Per Lund founded Brackwater Mills in spring {i}." for i in range(5)]
    question = "Who founded Brackwater Mills?"
    assert "Ida Holm" in answer(question, right)
    assert "Per Lund" in answer(question, right, *wrong)


def test_support_is_counted_by_passage_not_by_repetition() -> None:
    loud = "Per Lund founded Brackwater Mills. " * 9
    quiet = ["Ida Holm founded Brackwater Mills.", "The founder of Brackwater Mills is Ida Holm."]
    assert "Ida Holm" in answer("Who founded Brackwater Mills?", loud, *quiet)


def test_a_passage_about_somebody_with_the_same_surname_does_not_answer() -> None:
    assert (
        answer("Where was Talia Venn born?", "Arvo Venn was born in Yark.", "Talia Morn is a cook.")
        == UNKNOWN
    )


def test_namesakes_by_first_name_and_by_surname_together_do_not_make_up_the_person() -> None:
    texts = ["Talia Morn was born in Xest."] + [
        f"{name} Venn was born in Yark." for name in ("Arvo", "Edda", "Ole", "Ida")
    ]
    assert answer("Where was Talia Venn born?", *texts) == UNKNOWN


@pytest.mark.parametrize(
    "question",
    ["where was talia venn born", "WHERE WAS TALIA VENN BORN?", "Where Was Talia Venn Born?"],
)
def test_the_case_of_the_question_does_not_matter(question: str) -> None:
    texts = ["Talia Venn is a baker. She was born in Qelby.", "Arvo Morn was born in Yark."]
    assert answer(question, *texts) == "She was born in Qelby."


def test_a_second_hop_is_followed_through_a_shared_name() -> None:
    question = "When was the firm of Talia Venn founded?"
    hop, fact = "Talia Venn runs Ostrel Glass.", "Ostrel Glass was founded in 1911."
    stranger = "Harn Tiles was founded in 1875."
    assert answer(question, stranger, hop, fact) == fact
    assert answer(question, stranger, hop) == hop


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("When was Ostrel Glass founded?", "1911"),
        ("How many people work at Ostrel Glass?", "240"),
        ("Who leads Ostrel Glass?", "Edda Rune"),
    ],
)
def test_the_kind_of_answer_asked_for_decides_between_sentences(
    question: str, expected: str
) -> None:
    text = (
        "Ostrel Glass is a maker of lenses. It was established in 1911. The works employ 240 "
        "people. Its head is Edda Rune. It is well known for its lenses."
    )
    assert expected in answer(question, text)


@pytest.mark.parametrize(
    "text",
    [
        "Who founded Brackwater Mills?",
        "who founded brackwater mills.",
        "Brackwater Mills founded. Who founded Brackwater Mills?",
    ],
)
def test_an_echo_of_the_question_is_no_answer(text: str) -> None:
    assert answer("Who founded Brackwater Mills?", text) == UNKNOWN


def test_the_text_glued_to_an_echoed_question_is_the_answer_without_the_echo() -> None:
    text = "Who founded Brackwater Mills?.Per Lund did it alone."
    assert answer("Who founded Brackwater Mills?", text).endswith("Per Lund did it alone.")
    assert "Who founded" not in answer("Who founded Brackwater Mills?", text)


def test_nothing_relevant_is_not_known() -> None:
    assert answer("Who founded Brackwater Mills?", "Rain fell on the hills of Ashby.") == UNKNOWN


@pytest.mark.parametrize("question", ["", "  ", "?!"])
def test_an_empty_question_is_not_known(question: str) -> None:
    assert answer(question, "Ida Holm founded Brackwater Mills.") == UNKNOWN


def test_another_script_is_read_sentence_by_sentence() -> None:
    texts = ["Иван родился в Москве. Он любит чай.", "Пётр любит кофе."]
    assert answer("Где родился Иван?", *texts) == "Иван родился в Москве."


def test_initials_and_footnotes_do_not_cut_an_answer() -> None:
    text = "Brackwater Mills was founded by Ida B. Holm in spring.[2] It stands by a weir."
    expected = "Brackwater Mills was founded by Ida B. Holm in spring.[2]"
    assert answer("Who founded Brackwater Mills?", text) == expected


def test_the_order_of_passages_changes_nothing_without_a_tie() -> None:
    texts = [
        "Ida Holm founded Brackwater Mills in 1870.",
        "The mill by the weir belongs to Ida Holm.",
        "Per Lund founded Ashby Works.",
        "Brackwater Mills stands by a weir.",
    ]
    answers = {
        answer("Who founded Brackwater Mills?", *order) for order in itertools.permutations(texts)
    }
    assert len(answers) == 1


def test_a_tie_goes_to_the_earlier_passage() -> None:
    first, second = "Mill A is run by Ida.", "Mill A is run by Per."
    assert answer("Who runs Mill A?", first, second) == first
    assert answer("Who runs Mill A?", second, first) == second


def test_the_answer_is_the_same_in_processes_that_hash_differently() -> None:
    code = (
        "from ragshield.readers.extractive import ExtractiveReader as R\n"
        "from ragshield.records import Passage as P\n"
        "t = ['Ida Holm, Per Lund and Edda Rune run Mill A.', 'Edda Rune left Mill A to Per Lund.',"
        " 'Mill A: Ida Holm, Edda Rune.']\n"
        "print(R().answer('Who runs Mill A?', [P(str(i), x) for i, x in enumerate(t)]))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert said == {"Ida Holm, Per Lund and Edda Rune run Mill A.\n"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["lorem ipsum dolor ", "x", "Ash is in Elm. ", ".", "\n", ".[1]", '."', "A. ", "Who "]
)
def test_a_passage_of_a_megabyte_is_read_in_seconds(unit: str) -> None:
    huge = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    start = time.monotonic()
    said = answer("Who founded Brackwater Mills?", huge, "Ida Holm founded Brackwater Mills.")
    assert said == "Ida Holm founded Brackwater Mills."
    assert time.monotonic() - start < 30


def test_a_passage_without_full_stops_is_not_one_answer() -> None:
    text = "Brackwater Mills was founded by Ida Holm " + "and so on " * 500
    assert len(answer("Who founded Brackwater Mills?", text).split()) <= 80


def test_a_long_question_is_read() -> None:
    question = "Who founded Brackwater Mills " + "in the valley " * 700 + "?"
    assert "Ida Holm" in answer(question, "Ida Holm founded Brackwater Mills.")


def test_random_text_never_fails_and_the_answer_is_part_of_a_passage() -> None:
    rng = random.Random(0)
    alphabet = "aB .?!\n[1]\"'é中\u0301\u200b\x00"
    n_answered = 0
    for _ in range(300):
        texts = ["".join(rng.choices(alphabet, k=40)) for _ in range(4)]
        said = answer("aB B aa é", *texts)
        n_answered += said != UNKNOWN
        letters = [re.sub(r"[\W\d]", "", text) for text in texts]
        assert said == UNKNOWN or any(re.sub(r"[\W\d]", "", said) in text for text in letters)
    assert n_answered > 100


def test_it_is_a_reader_and_checks_its_parameter() -> None:
    assert isinstance(open_reader("extractive"), Reader)
    with pytest.raises(ValueError, match="within"):
        ExtractiveReader(min_relevance=1.5)


def test_words_for_one_relation_have_one_stem_but_not_inside_names() -> None:
    assert stem("founder") == stem("established") == stem("founded")
    assert stem("star", frozenset({"star"})) != stem("starring")


def test_an_echoed_question_becomes_a_segment_of_its_own() -> None:
    parts = segments("Who founded the mill?.Per Lund did.", "Who founded the mill?")
    assert [part.text for part in parts] == ["Who founded the mill?.", "Per Lund did."]
