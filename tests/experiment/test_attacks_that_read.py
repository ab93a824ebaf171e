from __future__ import annotations

import json
from pathlib import Path

from ragshield import Experiment
from ragshield.records import Spec

ROWS = [
    {"id": "c1", "text": "Ida Holm founded Ash Mill, as everybody in the town knows."},
    {"id": "c2", "text": "Ash Mill stands by the river and makes paper."},
]


def test_an_experiment_hands_the_clean_corpus_to_an_attack_that_copies_from_it(
    tmp_path: Path, word_encoder
) -> None:
    passages, questions = tmp_path / "passages.jsonl", tmp_path / "questions.jsonl"
    passages.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    question = {
        "id": "q", "question": "Who founded Ash Mill?", "answers": ["Ida Holm"],
        "wrong_answer": "Per Lund",
    }  # fmt: skip
    questions.write_text(json.dumps(question) + "\n", encoding="utf-8")
    corpus = {"path": str(passages), "questions": str(questions)}
    experiment = Experiment(
        corpora={"small": Spec("corpus", "jsonl", corpus)},
        attacks={
            name: Spec("attack", name, params)
            for name, params in {
                "edited-fact": {},
                "adaptive": {"budget": 10, "defender": "none"},
            }.items()
        },
        k=3,
    )
    trials = list(experiment.run(encoder=word_encoder))
    by_attack = {trial.attack: trial for trial in trials}
    assert by_attack["none"].retrieved_ids[0] == "c1"
    assert by_attack["edited-fact"].retrieved_own_poison == 1
    assert "edited-fact/q/0" in by_attack["edited-fact"].retrieved_ids
    assert by_attack["adaptive"].retrieved_own_poison == 1
