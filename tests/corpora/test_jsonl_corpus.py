from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield.corpora import jsonl
from ragshield.errors import InputError
from ragshield.records import Passage, Question, Target


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_reads_passages_and_questions(tmp_path: Path) -> None:
    docs = write(
        tmp_path / "docs.jsonl",
        {"id": "a", "text": "Änne lives in Oskel.", "source": "wiki", "meta": {"year": 3}},
        {"_id": 7, "text": "Nothing.", "page": 4, "tags": ["x"], "vector": [0.1, 0.2]},
    )
    questions = write(
        tmp_path / "questions.jsonl",
        {"id": "q1", "question": "Where?", "answers": ["Oskel", "Oskel town"], "subject": "Änne"},
        {"id": "q2", "question": "Who?", "answers": "Änne", "wrong_answer": "Bo", "texts": ["t"]},
    )

    corpus = jsonl.load(docs, questions)

    q1 = Question("q1", "Where?", ("Oskel", "Oskel town"))
    q2 = Question("q2", "Who?", ("Änne",))
    assert corpus.name == "jsonl/docs.jsonl"
    assert corpus.passages == (
        Passage("a", "Änne lives in Oskel.", "wiki", {"year": 3}),
        Passage("7", "Nothing.", None, {"page": 4}),
    )
    assert corpus.questions == (q1, q2)
    assert corpus.targets == (Target(q2, "Bo", ("t",)),)
    assert corpus.subjects == {"Änne": ("q1",)}


def test_passages_alone_are_enough(tmp_path: Path) -> None:
    corpus = jsonl.load(str(write(tmp_path / "docs.jsonl", {"id": "a", "text": "x"})))

    assert corpus.questions == ()
    assert corpus.targets == ()


def test_a_passage_of_a_megabyte_is_read_whole(tmp_path: Path) -> None:
    text = "word " * 210_000

    corpus = jsonl.load(write(tmp_path / "docs.jsonl", {"id": "a", "text": text}))

    assert corpus.passages[0].text == text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a"}], r"docs\.jsonl, line 1: field 'text' is missing; it has: id"),
        ([{"text": "x"}], "line 1: field 'id' is missing; it has: text"),
        ([{"id": "a", "text": ""}], "line 1: field 'text' is empty"),
        ([{"id": "a", "text": ["x"]}], "line 1: field 'text' must be text"),
        ([{"id": True, "text": "x"}], "line 1: field 'id' must be text, got True"),
        ([{"id": "a", "text": "x", "meta": 1}], "field 'meta' must be an object, got 1"),
        (
            [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}],
            r"line 2: id 'a' was used before \(.*line 1\)",
        ),
        ([["a", "x"]], "line 1: expected a JSON object"),
        ([], "holds no passages"),
    ],
)
def test_malformed_passages_are_refused_with_the_line(
    tmp_path: Path, rows: list[object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        jsonl.load(write(tmp_path / "docs.jsonl", *rows))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "q"}, "field 'question' is missing"),
        ({"id": "q", "question": "?", "answers": [1.5, None]}, "field 'answers' must be text"),
        ({"id": "q", "question": "?", "texts": ["t"]}, "'texts' needs a 'wrong_answer'"),
        ({"id": "q", "question": "?", "wrong_answer": None}, "'wrong_answer' must be text"),
    ],
)
def test_malformed_questions_are_refused_with_the_line(
    tmp_path: Path, row: object, message: str
) -> None:
    docs = write(tmp_path / "docs.jsonl", {"id": "a", "text": "x"})
    questions = write(tmp_path / "questions.jsonl", row)

    with pytest.raises(InputError, match=f"questions.jsonl, line 1.*{message}"):
        jsonl.load(docs, questions)


def test_a_missing_file_and_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.jsonl: No such file"):
        jsonl.load(tmp_path / "none.jsonl")

    bad = tmp_path / "latin.jsonl"
    bad.write_bytes(b'{"id": "a", "text": "caf\xe9"}\n')
    with pytest.raises(InputError, match="not UTF-8"):
        jsonl.load(bad)
