from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ragshield.calibration.drawing import draw_questions, read_questions
from ragshield.calibration.sentences import Asked, kind_of, questions_about
from ragshield.corpora.world import load
from ragshield.errors import InputError
from ragshield.records import Passage
from ragshield.text import normal_form, states, words


@pytest.mark.parametrize(
    ("sentence", "asked"),
    [
        (
            "The old harbour was rebuilt by masons in 1911.",
            Asked("When was the old harbour rebuilt by masons?", "1911", "time"),
        ),
        (
            "Dora Kell was born in the town of Ashmere.",
            Asked("What was Dora Kell born in the town of?", "Ashmere", "name"),
        ),
        (
            "The mayor was elected by Orla Venn, who left.",
            Asked("Who was the mayor elected by?", "Orla Venn", "name"),
        ),
        (
            "Per Holm founded the school near the river.",
            Asked("Who or what founded the school near the river?", "Per Holm", "name"),
        ),
    ],
)
def test_a_sentence_becomes_a_question_that_it_answers(sentence: str, asked: Asked) -> None:
    assert asked in questions_about(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "It was rebuilt by masons in 1911.",
        "However, they were never seen in the town again.",
        "Short one.",
        "",
        "a b c d e f g",
        "日本語の文章です。これは質問になりません。",
        "is was are were has had",
    ],
)
def test_a_sentence_without_a_subject_of_its_own_gives_no_question(sentence: str) -> None:
    assert questions_about(sentence) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("1911", "time"),
        ("May", "time"),
        ("42,000", "number"),
        ("Orla Venn", "name"),
        ("", "phrase"),
    ],
)
def test_answers_have_kinds(answer: str, kind: str) -> None:
    assert kind_of(answer) == kind


def test_drawn_questions_are_varied_repeatable_and_never_quote_a_sentence() -> None:
    passages = load(seed=0, people=120, firms=40, places=40).passages
    drawn = draw_questions(passages, 200, seed=3)
    assert len(drawn) == 200
    assert drawn == draw_questions(passages, 200, seed=3)
    assert drawn != draw_questions(passages, 200, seed=4)
    assert {h.form for h in drawn} == {"sentence", "keywords", "topic", "relation", "long"}
    assert len({normal_form(h.target.question.text) for h in drawn}) == 200
    assert len({h.passage_id for h in drawn}) == 200
    by_id = {p.id: p for p in passages}
    for honest in drawn:
        asked = words(honest.target.question.text)
        text = words(by_id[honest.passage_id].text)
        runs = {tuple(text[i : i + 9]) for i in range(len(text) - 8)}
        assert not any(tuple(asked[i : i + 9]) in runs for i in range(len(asked) - 8))


def test_a_drawn_wrong_answer_is_not_in_the_passage() -> None:
    passages = load(seed=0, people=120, firms=40, places=40).passages
    by_id = {p.id: p for p in passages}
    for honest in draw_questions(passages, 100):
        assert honest.target.wrong_answer.strip()
        assert not states(by_id[honest.passage_id].text, honest.target.wrong_answer)


@pytest.mark.parametrize(
    "texts", [["", " "], ["!!!", "..."], ["日本語の文章です。"] * 3, ["word"] * 3, ["\x00"] * 2]
)
def test_texts_that_allow_few_questions_give_few(texts: list[str]) -> None:
    passages = [Passage(str(i), text) for i, text in enumerate(texts)]
    assert len(draw_questions(passages, 10)) <= 1


def test_questions_are_read_one_a_line_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text("Who built it?\n\n  When? \nWho built it?\n", encoding="utf-8")
    found = read_questions(path, [Passage("a", "Per Holm founded the school near the river.")])
    assert [h.target.question.text for h in found] == ["Who built it?", "When?"]
    assert all(h.target.wrong_answer for h in found)


def test_questions_are_read_from_jsonl_with_their_answers(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write('{"question": "Who?", "answers": ["Ann"], "wrong_answer": "Bob"}\n')
        file.write('{"id": "x", "question": "Why?", "answer": "so", "wrong_answer": "so"}\n')
    one, two = read_questions(path, [Passage("a", "text")])
    assert (one.target.question.answers, one.target.wrong_answer) == (("Ann",), "Bob")
    assert two.target.question.id == "x"
    assert two.target.wrong_answer != "so"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", "\n \n", "holds no questions"),
        ("q.jsonl", '{"text": "x"}\n', "line 1: field 'question' is missing"),
        ("q.jsonl", "no json\n", "line 1: not JSON"),
        ("q.jsonl", '{"question": "  "}\n', "line 1"),
    ],
)
def test_a_bad_question_file_is_refused_with_its_line(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_questions(tmp_path / name, [])
