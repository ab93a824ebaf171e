"""PoisonedRAG's own published targets (Zou et al., USENIX Security 2025, arXiv 2402.07867)."""

from __future__ import annotations

import json
from pathlib import Path

from ragshield.corpora import beir, jsonl
from ragshield.corpora.rows import Ids, Row
from ragshield.errors import InputError
from ragshield.files import read_text
from ragshield.records import Corpus, Passage, Question, Target


def load(path: str | Path, passages: str | Path | None = None) -> Corpus:
    """Targets with supplied texts from PoisonedRAG's results/adv_targeted_results/*.json.

    The file maps ids to `question`, `correct answer`, `incorrect answer` and
    `adv_texts`. The texts lack the question that PoisonedRAG puts before them; the
    attack adds it.

    Args:
        path: one of the JSON files, for example nq.json.
        passages: the clean passages, which the file does not hold: a BEIR folder or a
            JSON Lines file; None for none.

    Raises:
        InputError: missing, not UTF-8, not JSON, or an entry lacks a field.
    """
    path = Path(path)
    if path.is_dir():
        found = ", ".join(sorted(file.name for file in path.glob("*.json"))) or "no .json file"
        raise InputError(f"{path} is a folder; name one file in it ({found})")
    try:
        entries = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"{path}: expected an object that maps ids to targets")
    ids = Ids()
    targets = tuple(
        _target(Row(f"{path}, entry '{key}'", _object(path, key, value)), key, ids)
        for key, value in entries.items()
    )
    return Corpus(
        f"poisonedrag/{path.stem}",
        _companion(passages),
        tuple(target.question for target in targets),
        targets,
    )


def _object(path: Path, key: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InputError(f"{path}, entry '{key}': expected an object, got {value!r:.60}")
    return value


def _target(row: Row, key: str, ids: Ids) -> Target:
    question_id = row.text("id") if "id" in row.fields else key
    question = Question(
        ids.claim(question_id, row.place),
        row.text("question"),
        row.texts("correct answer", "correct_answer"),
    )
    wrong_answer = row.text("incorrect answer", "incorrect_answer")
    return Target(question, wrong_answer, row.texts("adv_texts"))


def _companion(passages: str | Path | None) -> tuple[Passage, ...]:
    if passages is None:
        return ()
    path = Path(passages)
    return beir.read_passages(path) if path.is_dir() else jsonl.read_passages(path)
