from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ragshield.corpora import beir
from ragshield.errors import InputError, UsageError

CORPUS = [
    {"_id": "d1", "title": "Lamps", "text": "They burn oil.", "metadata": {"url": "x"}},
    {"_id": "d2", "title": "", "text": "Only a text."},
    {"_id": "d3", "title": "Only a title", "text": ""},
    {"_id": "d4", "title": "Bells", "text": "They ring."},
]
QUERIES = [
    {"_id": "q1", "text": "what burns?", "metadata": {"answer": "lamps"}},
    {"_id": "q2", "text": "what rings?"},
    {"_id": "q3", "text": "asked in no split"},
]
QRELS = "query-id\tcorpus-id\tscore\nq2\td4\t1\nq1\td1\t2\nq1\td2\t0\n"


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tiny"
    (made / "qrels").mkdir(parents=True)
    (made / "corpus.jsonl").write_text(lines(CORPUS))
    (made / "queries.jsonl").write_text(lines(QUERIES))
    (made / "qrels" / "test.tsv").write_text(QRELS)
    return made


def test_reads_passages_with_titles_and_the_questions_of_the_split(folder: Path) -> None:
    corpus = beir.load(folder)

    assert corpus.name == "beir/tiny"
    assert [(p.id, p.text) for p in corpus.passages] == [
        ("d1", "Lamps They burn oil."),
        ("d2", "Only a text."),
        ("d3", "Only a title"),
        ("d4", "Bells They ring."),
    ]
    assert corpus.passages[0].meta == {"url": "x"}
    assert corpus.passages[0].source == "Lamps"
    assert [(q.id, q.text, q.answers) for q in corpus.questions] == [
        ("q2", "what rings?", ()),
        ("q1", "what burns?", ("lamps",)),
    ]


def test_gzipped_files_are_read(folder: Path) -> None:
    for name in ("corpus", "queries"):
        plain = folder / f"{name}.jsonl"
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            file.write(plain.read_text())
        plain.unlink()

    assert [p.id for p in beir.load(folder).passages] == ["d1", "d2", "d3", "d4"]


def test_a_limit_keeps_relevant_passages_first_in_file_order(folder: Path) -> None:
    corpus = beir.load(folder, max_passages=3)

    assert [p.id for p in corpus.passages] == ["d1", "d2", "d4"]
    assert [q.id for q in corpus.questions] == ["q2", "q1"]


def test_questions_without_a_kept_relevant_passage_go(folder: Path) -> None:
    corpus = beir.load(folder, max_passages=1)

    assert [p.id for p in corpus.passages] == ["d1"]
    assert [q.id for q in corpus.questions] == ["q1"]


def test_another_split_is_another_file(folder: Path) -> None:
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")

    assert [q.id for q in beir.load(folder, split="dev").questions] == ["q1"]
    with pytest.raises(InputError, match=r"cannot read .*train\.tsv"):
        beir.load(folder, split="train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.jsonl", lines([*CORPUS, CORPUS[0]]), r"line 5: id 'd1' was used before"),
        ("corpus.jsonl", '{"title": "x", "text": "y"}\n', r"line 1: field '_id' is missing"),
        ("corpus.jsonl", '{"_id": "a"}\n', r"line 1: field 'text' is missing"),
        ("corpus.jsonl", '{"_id": "a", "title": 3, "text": "y"}\n', r"'title' must be text"),
        ("corpus.jsonl", "\n", "holds no passages"),
        ("corpus.jsonl", "{\n", "line 1: not JSON"),
        ("corpus.jsonl", '{"_id": "z", "text": "y"}\n', "none of its passages is in"),
        ("queries.jsonl", lines(QUERIES[:1]), "question 'q2' is not in"),
        ("queries.jsonl", '{"_id": "q1", "text": " "}\n', r"line 1: field 'text' is empty"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\n", "line 2: 2 columns"),
        ("qrels/test.tsv", "q1\td1\tgood\n", "line 1: score 'good' is no number"),
    ],
)
def test_malformed_files_are_refused_with_the_line(
    folder: Path, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)

    with pytest.raises(InputError, match=message):
        beir.load(folder)


def test_other_encodings_are_refused(folder: Path) -> None:
    (folder / "corpus.jsonl").write_bytes(b'{"_id": "a", "text": "caf\xe9"}\n')

    with pytest.raises(InputError, match=r"corpus\.jsonl, after line 0: not UTF-8"):
        beir.load(folder)


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(InputError, match="a BEIR data set is a folder"):
        beir.load(folder / "corpus.jsonl")


def test_a_limit_below_one_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="max_passages is 0"):
        beir.load(folder, max_passages=0)
