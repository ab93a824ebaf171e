"""Published sets for forgetting: who is to be forgotten, and what must stay known.

Each function takes the data folder and reads from its `unlearning` folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ragshield.corpora.rows import Row, at
from ragshield.errors import InputError
from ragshield.files import read_jsonl
from ragshield.records import Corpus, Passage, Question, Target


def tofu(folder: Path) -> Corpus:
    """TOFU's invented authors (arXiv 2401.06121): each record as passage and question.

    A passage is the question followed by its answer; `meta["part"]` is forget or
    retain. Subjects are the authors of both parts.
    """
    passages: list[Passage] = []
    questions: list[Question] = []
    subjects: dict[str, list[str]] = {}
    for part in ("forget", "retain"):
        for row in _rows(folder / "unlearning" / f"tofu_{part}.jsonl"):
            question = _question(row)
            author = row.text("author")
            questions.append(question)
            subjects.setdefault(author, []).append(question.id)
            text = f"{question.text} {question.answers[0]}"
            meta = {"part": part, "question_id": question.id}
            passages.append(Passage(question.id, text, source=author, meta=meta))
    return Corpus("published/tofu", tuple(passages), tuple(questions), (), _tuples(subjects))


def tofu_utility(folder: Path) -> Corpus:
    """TOFU's real authors and world facts: knowledge that must stay; no passages.

    Each wrong answer of a record makes a target without texts.
    """
    questions: list[Question] = []
    targets: list[Target] = []
    for part in ("real_authors", "world_facts"):
        for row in _rows(folder / "unlearning" / f"tofu_{part}.jsonl"):
            question = _question(row)
            questions.append(question)
            targets.extend(Target(question, wrong) for wrong in row.texts("wrong_answers"))
    return Corpus("published/tofu_utility", (), tuple(questions), tuple(targets))


def restor(folder: Path) -> Corpus:
    """RESTOR's facts about real people (arXiv 2411.00204): questions by subject."""
    questions: list[Question] = []
    subjects: dict[str, list[str]] = {}
    for row in _rows(folder / "unlearning" / "restor_facts.jsonl"):
        entity = row.text("entity")
        facts = row.fields.get("facts")
        if not isinstance(facts, list) or not all(isinstance(fact, dict) for fact in facts):
            raise InputError(f"{row.place}: field 'facts' must be a list of objects")
        for position, fact in enumerate(facts):
            inner = Row(f"{row.place}, fact {position}", fact)
            question_id = f"restor/{entity}/{position}/{inner.text('relation')}"
            questions.append(Question(question_id, inner.text("question"), inner.texts("answers")))
            subjects.setdefault(entity, []).append(question_id)
    return Corpus("published/restor", (), tuple(questions), (), _tuples(subjects))


def dusk(folder: Path) -> Corpus:
    """DUSK's documents in five styles that share facts (arXiv 2505.15209).

    A passage's source is its style; `meta["part"]` is forget or retain. A question's
    id starts with its kind: shared, forget_only or retain_only.
    """
    passages = tuple(
        Passage(
            id=row.text("id"),
            text=row.text("text"),
            source=row.text("style"),
            meta={"part": row.text("set"), "title": row.text("title")},
        )
        for row in _rows(folder / "unlearning" / "dusk_documents.jsonl.gz")
    )
    questions = tuple(_question(row) for row in _rows(folder / "unlearning" / "dusk_qa.jsonl"))
    return Corpus("published/dusk", passages, questions)


def muse(folder: Path) -> Corpus:
    """MUSE's knowledge questions (arXiv 2407.06460): news and books; no passages."""
    path = folder / "unlearning" / "muse_knowmem_qa.jsonl"
    return Corpus("published/muse", (), tuple(_question(row) for row in _rows(path)))


def pq_entries(folder: Path) -> Corpus:
    """Confidentiality entries of RAG-based unlearning (arXiv 2410.15267) as passages."""
    passages: list[Passage] = []
    subjects: dict[str, tuple[str, ...]] = {}
    for row in _rows(folder / "unlearning" / "pq_entries.jsonl"):
        target = row.text("target")
        subjects[target] = ()  # the source has no questions about its targets
        meta = {"kind": row.text("kind"), "subject": target}
        passages.append(Passage(row.text("id"), row.text("text"), source="pq_entries", meta=meta))
    return Corpus("published/pq_entries", tuple(passages), (), (), subjects)


def _rows(path: Path) -> Iterator[Row]:
    for number, fields in read_jsonl(path):
        yield at(path, number, fields)


def _question(row: Row) -> Question:
    return Question(row.text("id"), row.text("question"), row.texts("answer", "answers"))


def _tuples(subjects: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(ids) for name, ids in subjects.items()}
