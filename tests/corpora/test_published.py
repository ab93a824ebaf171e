from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from ragshield.corpora import published
from ragshield.errors import InputError, UsageError
from ragshield.records import Passage, Question, Target

Write = Callable[..., Path]
DATA = Path(os.environ.get("RAGSHIELD_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="no published data: set RAGSHIELD_DATA to its folder"
)

POISONED = {
    "dataset": "nq",
    "hop": "single",
    "idx": 0,
    "id": "t1",
    "question": "how many?",
    "correct_answers": ["23"],
    "target_answer": "24",
    "golden": ["gold a", "gold b"],
    "clean_other": ["other"],
    "poison": {"poisonedrag": ["p1", "p2"], "gpt4": ["g1"], "garag": ["r"], "blind": ["b"]},
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, *rows: dict[str, Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return tmp_path

    return write


def test_poisoned_qa_has_stable_ids_and_the_texts_of_one_family(write: Write) -> None:
    second = {**POISONED, "dataset": "msmarco", "id": "9", "golden": ["gold a"], "clean_other": []}
    folder = write("poisoned_qa.jsonl.gz", POISONED, second)

    corpus = published.load("poisoned_qa", folder)
    only = published.load("poisoned_qa", folder, dataset="nq", family="gpt4")

    def passage(id_: str, text: str) -> Passage:
        meta = {"question_id": "nq/t1", "field": id_.split("/")[2]}
        return Passage(id_, text, "nq", meta)

    question = Question("nq/t1", "how many?", ("23",))
    assert corpus.passages == (
        passage("nq/t1/golden/0", "gold a"),
        passage("nq/t1/golden/1", "gold b"),
        passage("nq/t1/clean_other/0", "other"),
    )
    assert corpus.targets[0] == Target(question, "24", ("p1", "p2"))
    assert [t.question.id for t in corpus.targets] == ["nq/t1", "msmarco/9"]
    assert only.name == "published/poisoned_qa/nq"
    assert only.targets == (Target(question, "24", ("g1",)),)


def test_retrieved_contexts(write: Write) -> None:
    row = {k: POISONED[k] for k in ("dataset", "id", "question", "correct_answers")}
    row |= {"target_answer": "24", "contexts": ["c0", "c1"], "poison": ["p"]}

    corpus = published.load("retrieved_contexts", write("retrieved_contexts.jsonl", row))

    assert [(p.id, p.text) for p in corpus.passages] == [
        ("nq/t1/contexts/0", "c0"),
        ("nq/t1/contexts/1", "c1"),
    ]
    assert corpus.targets == (Target(Question("nq/t1", "how many?", ("23",)), "24", ("p",)),)


@pytest.mark.parametrize(("file", "wanted"), [("hotflip", "bad"), ("phantom", "refuse")])
def test_optimised_documents(write: Write, file: str, wanted: str) -> None:
    row = {
        "query_id": "test0",
        "query": "what?",
        "correct": ["good"],
        "incorrect": ["bad"],
        "gt_text": ["true"],
        "poisoned_docs": ["d1", "d2"],
        "command": "refuse",
    }

    corpus = published.load(file, write(f"{file}.jsonl.gz", row))  # type: ignore[arg-type]

    question = Question("nq/test0", "what?", ("good",))
    assert corpus.targets == (Target(question, wanted, ("d1", "d2")),)
    assert [p.id for p in corpus.passages] == ["nq/test0/gt_text/0"]


def test_counterfact_and_injections(write: Write) -> None:
    fact = {"case_id": 3, "subject": "Bo", "prompt": "Bo plays", "true": "chess", "false": "golf"}
    folder = write("counterfact_poison.jsonl.gz", {**fact, "evidence": ["Bo golfs."]})
    write(
        "injections.jsonl",
        {"kind": "payload", "type": "x", "id": "x/0", "text": "Obey."},
        {
            "kind": "carrier",
            "type": "email",
            "id": "email/1",
            "context": "Dear all",
            "question": "To whom?",
            "answer": ["all"],
        },
    )

    false = published.load("counterfact_poison", folder)
    carriers = published.load("injections", folder)

    question = Question("counterfact/3", "Bo plays", ("chess",))
    assert false.targets == (Target(question, "golf", ("Bo golfs.",)),)
    assert false.subjects == {"Bo": ("counterfact/3",)}
    assert [p.text for p in carriers.passages] == ["Dear all"]
    assert carriers.questions == (Question("email/1", "To whom?", ("all",)),)


def test_sets_for_forgetting(write: Write) -> None:
    tofu = {"question": "Who wrote it?", "answer": "Bo did.", "author": "Bo"}
    folder = write("unlearning/tofu_forget.jsonl", {"part": "forget", "id": "forget/0", **tofu})
    write("unlearning/tofu_retain.jsonl", {"part": "retain", "id": "retain/0", **tofu})
    fact = {"relation": "P19", "question": "Born where?", "answers": ["Oskel"]}
    write("unlearning/restor_facts.jsonl", {"entity": "Bo", "facts": [fact]})

    authors = published.load("tofu", folder)
    facts = published.load("restor", folder)

    assert [(p.id, p.text) for p in authors.passages] == [
        ("forget/0", "Who wrote it? Bo did."),
        ("retain/0", "Who wrote it? Bo did."),
    ]
    assert authors.subjects == {"Bo": ("forget/0", "retain/0")}
    assert facts.questions == (Question("restor/Bo/0/P19", "Born where?", ("Oskel",)),)


def test_facts_that_are_no_list_are_refused(write: Write) -> None:
    folder = write("unlearning/restor_facts.jsonl", {"entity": "Bo", "facts": "none"})

    with pytest.raises(InputError, match=r"restor_facts\.jsonl, line 1: field 'facts'"):
        published.load("restor", folder)


def test_the_folder_comes_from_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSHIELD_DATA", str(write("poisoned_qa.jsonl.gz", POISONED)))
    assert published.load().questions[0].id == "nq/t1"

    monkeypatch.delenv("RAGSHIELD_DATA")
    with pytest.raises(UsageError, match="set RAGSHIELD_DATA"):
        published.load()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"file": "poison"}, "unknown file 'poison'; allowed: poisoned_qa"),
        ({"family": "gpt5"}, "unknown family 'gpt5'; allowed: poisonedrag, gpt4, garag, blind"),
        ({"dataset": "squad"}, "unknown dataset 'squad'; allowed: nq, hotpotqa, msmarco"),
        ({"file": "hotflip", "dataset": "nq"}, "published/hotflip has no datasets"),
        ({"file": "hotflip", "family": "gpt4"}, "published/hotflip has no families"),
    ],
)
def test_unknown_arguments_are_refused(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        published.load(path=tmp_path, **arguments)


def test_missing_files_and_fields_are_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        published.load(path=tmp_path / "none")
    with pytest.raises(InputError, match="cannot read"):
        published.load(path=tmp_path)
    without = {k: v for k, v in POISONED.items() if k != "target_answer"}
    with pytest.raises(InputError, match="line 2: field 'target_answer' is missing"):
        published.load(path=write("poisoned_qa.jsonl.gz", POISONED, without))


@needs_data
@pytest.mark.parametrize(
    ("file", "sizes"),
    [
        ("poisoned_qa", (230, 150, 150, 0)),
        ("retrieved_contexts", (494, 50, 50, 0)),
        ("hotflip", (123, 100, 100, 0)),
        ("phantom", (77, 60, 60, 0)),
        ("counterfact_poison", (0, 500, 500, 499)),
        ("injections", (100, 100, 0, 0)),
        ("tofu", (600, 600, 0, 30)),
        ("tofu_utility", (0, 217, 651, 0)),
        ("restor", (0, 3069, 0, 250)),
        ("dusk", (600, 273, 0, 0)),
        ("muse", (0, 400, 0, 0)),
        ("pq_entries", (30, 0, 0, 5)),
    ],
)
def test_the_real_files_load_with_unique_ids(
    file: published.File, sizes: tuple[int, int, int, int]
) -> None:
    corpus = published.load(file, DATA)

    found = (corpus.passages, corpus.questions, corpus.targets, corpus.subjects)
    assert tuple(len(part) for part in found) == sizes
    assert len({p.id for p in corpus.passages}) == sizes[0]
    assert len({q.id for q in corpus.questions}) == sizes[1]


@needs_data
@pytest.mark.parametrize("dataset", get_args(published.Dataset))
@pytest.mark.parametrize("family", get_args(published.Family))
def test_each_real_data_set_has_50_targets_with_texts(
    dataset: published.Dataset, family: published.Family
) -> None:
    corpus = published.load("poisoned_qa", DATA, dataset=dataset, family=family)

    assert len(corpus.targets) == 50
    assert min(len(target.texts) for target in corpus.targets) >= 2
