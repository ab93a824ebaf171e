"""Knowledge bases as plain JSON Lines."""

from __future__ import annotations

from pathlib import Path

from ragshield.corpora.rows import Ids, Row, at, plain_meta
from ragshield.errors import InputError
from ragshield.files import read_jsonl
from ragshield.records import Corpus, Passage, Question, Target

_PASSAGE_FIELDS = frozenset({"id", "_id", "text", "source", "meta"})
_VECTOR_FIELDS = frozenset({"vector", "vectors", "embedding"})


def load(path: str | Path, questions: str | Path | None = None) -> Corpus:
    """Passages from a JSON Lines file, questions from a second one.

    Args:
        path: one passage a line: `id` (or `_id`) and `text`; optional `source` and
            `meta` (an object). Other plain fields become metadata; vectors are not
            read. Gzipped if the name ends in .gz.
        questions: one question a line: `id`, `question`; optional `answers` (a text
            or a list), `wrong_answer`, which makes it a target, `texts` (poisoned
            texts supplied for the target) and `subject` (whom it is about).

    Raises:
        InputError: a file is missing, not UTF-8 or malformed, a field is missing, or
            an id occurs twice; the message names the line.
    """
    path = Path(path)
    passages = read_passages(path)
    asked: list[Question] = []
    targets: list[Target] = []
    subjects: dict[str, list[str]] = {}
    if questions is not None:
        ids = Ids()
        for number, fields in read_jsonl(Path(questions)):
            row = at(Path(questions), number, fields)
            question = Question(
                ids.claim(row.text("id", "_id"), row.place),
                row.text("question", "text"),
                row.texts("answers", "answer", required=False),
            )
            asked.append(question)
            texts = row.texts("texts", required=False)
            if "wrong_answer" in fields:
                targets.append(Target(question, row.text("wrong_answer"), texts))
            elif texts:
                raise InputError(f"{row.place}: 'texts' needs a 'wrong_answer' to go with them")
            for subject in row.texts("subject", required=False):
                subjects.setdefault(subject, []).append(question.id)
    return Corpus(
        f"jsonl/{path.name}",
        passages,
        tuple(asked),
        tuple(targets),
        {name: tuple(found) for name, found in subjects.items()},
    )


def read_passages(path: Path) -> tuple[Passage, ...]:
    """All passages of a JSON Lines file, in its order.

    Raises:
        InputError: as `load`; also when the file holds no passage.
    """
    ids = Ids()
    passages = tuple(_passage(at(path, number, fields), ids) for number, fields in read_jsonl(path))
    if not passages:
        raise InputError(f"{path} holds no passages; give one JSON object with id and text a line")
    return passages


def _passage(row: Row, ids: Ids) -> Passage:
    others = {
        key: value
        for key, value in row.fields.items()
        if key not in _PASSAGE_FIELDS and key not in _VECTOR_FIELDS
    }
    return Passage(
        id=ids.claim(row.text("id", "_id"), row.place),
        text=row.text("text"),
        source=row.text("source") if row.fields.get("source") is not None else None,
        meta=plain_meta({**others, **row.mapping("meta")}),
    )
