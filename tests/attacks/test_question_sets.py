from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.question_sets import (
    clusters,
    read_questions,
    with_trigger,
    word_salad,
)
from ragshield.errors import InputError, UsageError


def test_questions_come_from_a_list_lines_or_json_lines(tmp_path) -> None:
    lines, rows = tmp_path / "q.txt", tmp_path / "q.jsonl"
    lines.write_text("Who?\n\n Where? \nWho?\n", encoding="utf-8")
    rows.write_text('{"question": "Who?"}\n{"question": "Where?", "id": 1}\n', encoding="utf-8")
    assert read_questions("phantom", ["Who?", "Where?"]) == ("Who?", "Where?")
    assert read_questions("phantom", str(lines)) == ("Who?", "Where?")
    assert read_questions("phantom", str(rows)) == ("Who?", "Where?")
    assert read_questions("phantom", None) == ()


def test_a_set_without_questions_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="phantom: no question in questions"):
        read_questions("phantom", [" "])
    bad = tmp_path / "q.jsonl"
    bad.write_text('{"query": "Who?"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 1: no text under 'question'"):
        read_questions("phantom", str(bad))


def test_a_trigger_is_put_behind_a_question_that_lacks_it() -> None:
    assert with_trigger("who made it?", "iphone") == "who made it? iphone"
    assert with_trigger("who made the iPhone?", "iphone") == "who made the iPhone?"


def test_vectors_in_one_direction_are_one_cluster() -> None:
    axes = np.eye(3, dtype=np.float32).repeat(4, axis=0)
    noise = np.random.default_rng(0).normal(0, 0.05, axes.shape).astype(np.float32)
    labels = clusters(axes + noise, 3, np.random.default_rng(1))
    assert [len(set(labels[i : i + 4].tolist())) for i in (0, 4, 8)] == [1, 1, 1]
    assert sorted(set(labels.tolist())) == [0, 1, 2]
    assert clusters(axes[:4], 3, np.random.default_rng(1)).tolist() == [0, 0, 0, 0]


def test_a_salad_has_the_words_of_the_texts_and_the_wanted_length() -> None:
    salad = word_salad(["the old mill", "a new river"], 4, np.random.default_rng(0)).split()
    assert sorted(salad) == ["mill", "new", "old", "river"]
    assert len(word_salad(["mill"], 3, np.random.default_rng(0)).split()) == 3
    assert word_salad(["?"], 2, np.random.default_rng(0)) == "the the"
