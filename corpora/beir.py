"""Data sets in the layout of the BEIR benchmark (Thakur et al. 2021, arXiv 2104.08663)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ragshield.corpora.rows import Ids, Row, at, plain_meta
from ragshield.errors import InputError, UsageError
from ragshield.files import read_jsonl, read_text
from ragshield.records import Corpus, Passage, Question


def load(path: str | Path, *, split: str = "test", max_passages: int | None = None) -> Corpus:
    """A BEIR folder: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.

    A passage's text is its title, a blank and its text, as BEIR's own models read it.
    BEIR gives no answers except in some `metadata.answer` (HotpotQA), which is read.

    Args:
        path: the folder; corpus and queries may be gzipped (.jsonl.gz).
        split: which relevance file picks the questions: `test`, `dev` or `train`.
        max_passages: keep at most this many passages, relevant ones first, then
            others in file order; questions that lose all their relevant passages go.
            None keeps everything.

    Raises:
        UsageError: max_passages < 1.
        InputError: a file is missing or malformed (the message names the line), or
            the relevance file points at ids that the folder does not hold.
    """
    if max_passages is not None and max_passages < 1:
        raise UsageError(f"max_passages is {max_passages}; it must be at least 1")
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a BEIR data set is a folder")
    qrels = folder / "qrels" / f"{split}.tsv"
    relevant = _relevant(qrels)
    wanted = {passage_id for found in relevant.values() for passage_id in found}
    passages = read_passages(folder, wanted, max_passages)
    held = {passage.id for passage in passages}
    if wanted and not wanted & held:
        raise InputError(f"{qrels}: none of its passages is in {folder}'s corpus.jsonl")

    questions = {question.id: question for question in _questions(folder)}
    unknown = next((id_ for id_ in relevant if id_ not in questions), None)
    if unknown is not None:
        raise InputError(f"{qrels}: question '{unknown}' is not in {folder}'s queries.jsonl")
    asked = tuple(questions[id_] for id_, found in relevant.items() if found & held)
    return Corpus(f"beir/{folder.resolve().name}", passages, asked)


def read_passages(
    folder: Path, wanted: set[str] | None = None, limit: int | None = None
) -> tuple[Passage, ...]:
    """Passages of a BEIR folder in file order.

    Args:
        folder: holds corpus.jsonl or corpus.jsonl.gz.
        wanted: ids that go first when there is a limit.
        limit: at most this many; None for all.

    Raises:
        InputError: missing or malformed, an id twice, or no passage at all.
    """
    path = _either(folder, "corpus")
    ids = Ids()
    first: dict[int, Passage] = {}
    others: dict[int, Passage] = {}
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        passage_id = ids.claim(row.text("_id", "id"), row.place)
        if limit is None or passage_id in (wanted or ()):
            first[number] = _passage(passage_id, row)
        elif len(others) < limit:
            others[number] = _passage(passage_id, row)
    if not first and not others:
        raise InputError(f"{path} holds no passages")
    if limit is None:
        return tuple(first.values())
    kept = [*first.items(), *others.items()][:limit]
    return tuple(passage for _, passage in sorted(kept, key=lambda item: item[0]))


def _passage(passage_id: str, row: Row) -> Passage:
    title = row.fields.get("title") or ""
    if not isinstance(title, str):
        raise InputError(f"{row.place}: field 'title' must be text, got {title!r:.60}")
    body = row.fields.get("text")
    if not isinstance(body, str):
        raise InputError(f"{row.place}: field 'text' is missing or no text")
    text = f"{title} {body}".strip()  # some BEIR passages have a title only
    meta = plain_meta(row.mapping("metadata"))
    return Passage(passage_id, text, source=title or None, meta=meta)


def _questions(folder: Path) -> Iterator[Question]:
    path = _either(folder, "queries")
    ids = Ids()
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        answers = Row(row.place, row.mapping("metadata")).texts("answer", required=False)
        yield Question(ids.claim(row.text("_id", "id"), row.place), row.text("text"), answers)


def _relevant(path: Path) -> dict[str, set[str]]:
    relevant: dict[str, set[str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or (number == 1 and line.startswith("query-id")):
            continue
        columns = line.split("\t")
        if len(columns) != 3:
            raise InputError(
                f"{path}, line {number}: {len(columns)} columns; expected 3 separated by tabs: "
                "query-id, corpus-id, score"
            )
        question_id, passage_id, grade = columns
        try:
            is_relevant = float(grade) > 0
        except ValueError as error:
            raise InputError(f"{path}, line {number}: score {grade!r} is no number") from error
        if is_relevant:
            relevant.setdefault(question_id, set()).add(passage_id)
    return relevant


def _either(folder: Path, name: str) -> Path:
    plain = folder / f"{name}.jsonl"
    zipped = folder / f"{name}.jsonl.gz"
    return zipped if zipped.is_file() and not plain.is_file() else plain
