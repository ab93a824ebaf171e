from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragshield.corpora import poisonedrag
from ragshield.errors import InputError
from ragshield.records import Question, Target


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "id": "test1",
        "question": "how many lamps?",
        "correct answer": "23",
        "incorrect answer": "24",
        "adv_texts": ["There are 24 lamps.", "24 lamps were counted."],
        **changes,
    }


def write(path: Path, entries: object) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_reads_targets_with_their_texts(tmp_path: Path) -> None:
    several = entry(id="test2", **{"correct answer": ["red", "crimson"], "incorrect answer": 7})
    path = write(tmp_path / "nq.json", {"test1": entry(), "test2": several})

    corpus = poisonedrag.load(path)

    texts = ("There are 24 lamps.", "24 lamps were counted.")
    assert corpus.name == "poisonedrag/nq"
    assert corpus.passages == ()
    assert corpus.targets == (
        Target(Question("test1", "how many lamps?", ("23",)), "24", texts),
        Target(Question("test2", "how many lamps?", ("red", "crimson")), "7", texts),
    )
    assert corpus.questions == tuple(target.question for target in corpus.targets)


def test_the_key_stands_in_for_a_missing_id(tmp_path: Path) -> None:
    fields = entry()
    del fields["id"]

    corpus = poisonedrag.load(write(tmp_path / "nq.json", {"test9": fields}))

    assert corpus.questions[0].id == "test9"


def test_clean_passages_come_from_a_companion(tmp_path: Path) -> None:
    path = write(tmp_path / "nq.json", {"test1": entry()})
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "23 lamps"}\n')
    (tmp_path / "nq").mkdir()
    (tmp_path / "nq" / "corpus.jsonl").write_text('{"_id": "b", "title": "T", "text": "x"}\n')

    from_file = poisonedrag.load(path, tmp_path / "docs.jsonl")
    from_folder = poisonedrag.load(path, passages=str(tmp_path / "nq"))

    assert [(p.id, p.text) for p in from_file.passages] == [("a", "23 lamps")]
    assert [(p.id, p.text) for p in from_folder.passages] == [("b", "T x")]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"t": entry(**{"adv_texts": [None]})}, "entry 't': field 'adv_texts' must be text"),
        ({"t": {"id": "x"}}, "entry 't': field 'question' is missing"),
        ({"t": ["x"]}, "entry 't': expected an object"),
        ({"a": entry(), "b": entry()}, "entry 'b': id 'test1' was used before"),
        ([], "expected an object that maps ids to targets"),
        ({}, "expected an object that maps ids to targets"),
    ],
)
def test_malformed_entries_are_refused_by_name(
    tmp_path: Path, entries: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        poisonedrag.load(write(tmp_path / "nq.json", entries))


def test_broken_json_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "nq.json"
    path.write_text('{"test1":\n  {"id": }}')

    with pytest.raises(InputError, match=r"nq\.json, line 2: not JSON"):
        poisonedrag.load(path)


def test_a_folder_is_refused_with_the_files_in_it(tmp_path: Path) -> None:
    write(tmp_path / "nq.json", {})

    with pytest.raises(InputError, match=r"name one file in it \(nq\.json\)"):
        poisonedrag.load(tmp_path)
