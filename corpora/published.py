"""Published attack and unlearning sets, in the formats of the development data folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ragshield.corpora import published_forgetting as forgetting
from ragshield.corpora.rows import Row, at
from ragshield.errors import InputError, UsageError
from ragshield.files import read_jsonl
from ragshield.records import Corpus, Passage, Question, Target

File: TypeAlias = Literal[
    "poisoned_qa",
    "retrieved_contexts",
    "hotflip",
    "phantom",
    "counterfact_poison",
    "injections",
    "tofu",
    "tofu_utility",
    "restor",
    "dusk",
    "muse",
    "pq_entries",
]
Family: TypeAlias = Literal["poisonedrag", "gpt4", "garag", "blind"]
Dataset: TypeAlias = Literal["nq", "hotpotqa", "msmarco"]

FOLDER_VARIABLE = "RAGSHIELD_DATA"


def load(
    file: File = "poisoned_qa",
    path: str | Path | None = None,
    *,
    dataset: Dataset | None = None,
    family: Family = "poisonedrag",
) -> Corpus:
    """Published poisoned passages, with the clean passages and questions they aim at.

    What each file gives:

    - `poisoned_qa`: clean passages are `golden` and `clean_other`; targets carry the
      texts of one `family`. `garag` and `blind` are untargeted: their texts seldom
      state the target's wrong answer.
    - `retrieved_contexts`: ten really retrieved passages a question; targets.
    - `hotflip`, `phantom`: passages from `gt_text`; targets carry whole poisoned
      documents, optimised prefix included. Phantom's wrong answer is its `command`.
    - `counterfact_poison`: no passages; targets with false statements; subjects.
    - `injections`: carriers as passages and questions; the payloads are not read.
    - `tofu`, `dusk`, `pq_entries`: passages and subjects to forget; `tofu_utility`,
      `restor`, `muse`: questions only. See `published_forgetting`.

    Texts are as published. PoisonedRAG's question prefix is not in them; the attack
    adds it. A passage id is the question's id and the passage's field and position,
    `nq/test1/golden/0`; a text that several records share is kept once, under the
    first one's id.

    Args:
        file: which set.
        path: the folder that holds the files; None for the environment variable
            RAGSHIELD_DATA.
        dataset: of poisoned_qa, only this part; None for all three.
        family: of poisoned_qa, whose poisoned texts the targets carry.

    Raises:
        UsageError: no folder is named, or an argument is not one of the above or does
            not go with this file.
        InputError: a file is missing or malformed; the message names the line.
    """
    _check(file, get_args(File), "file")
    _check(family, get_args(Family), "family")
    if dataset is not None:
        _check(dataset, get_args(Dataset), "dataset")
        if file != "poisoned_qa":
            raise UsageError(f"published/{file} has no datasets; leave dataset out")
    if family != "poisonedrag" and file != "poisoned_qa":
        raise UsageError(f"published/{file} has no families; leave family out")
    folder = _folder(path)
    if file == "poisoned_qa":
        return _poisoned_qa(folder, dataset, family)
    return _READERS[file](folder)


def _folder(path: str | Path | None) -> Path:
    named = str(path) if path is not None else os.environ.get(FOLDER_VARIABLE, "")
    if not named:
        raise UsageError(
            f"no folder with published data: give path=..., or set {FOLDER_VARIABLE} to the "
            "folder that holds poisoned_qa.jsonl.gz and the other files"
        )
    folder = Path(named)
    if not folder.is_dir():
        raise InputError(f"the folder with published data does not exist: {folder}")
    return folder


def _check(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise UsageError(f"unknown {what} '{value}'; allowed: {', '.join(allowed)}")


def _poisoned_qa(folder: Path, dataset: str | None, family: str) -> Corpus:
    passages = _Passages()
    targets: list[Target] = []
    path = folder / "poisoned_qa.jsonl.gz"
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        part = row.text("dataset")
        if dataset is not None and part != dataset:
            continue
        question_id = f"{part}/{row.text('id')}"
        for name in ("golden", "clean_other"):
            passages.add(question_id, name, row.texts(name), part)
        poison = Row(f"{row.place}, poison", row.mapping("poison"))
        question = Question(question_id, row.text("question"), row.texts("correct_answers"))
        targets.append(Target(question, row.text("target_answer"), poison.texts(family)))
    name = f"published/poisoned_qa/{dataset}" if dataset else "published/poisoned_qa"
    return _corpus(name, passages, targets)


def _retrieved_contexts(folder: Path) -> Corpus:
    passages = _Passages()
    targets: list[Target] = []
    path = folder / "retrieved_contexts.jsonl"
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        part = row.text("dataset")
        question_id = f"{part}/{row.text('id')}"
        passages.add(question_id, "contexts", row.texts("contexts"), part)
        question = Question(question_id, row.text("question"), row.texts("correct_answers"))
        targets.append(Target(question, row.text("target_answer"), row.texts("poison")))
    return _corpus("published/retrieved_contexts", passages, targets)


def _optimised(folder: Path, file: str) -> Corpus:
    passages = _Passages()
    targets: list[Target] = []
    path = folder / f"{file}.jsonl.gz"
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        question_id = f"nq/{row.text('query_id')}"
        passages.add(question_id, "gt_text", row.texts("gt_text"), "nq")
        wanted = row.text("command") if file == "phantom" else row.texts("incorrect")[0]
        question = Question(question_id, row.text("query"), row.texts("correct"))
        targets.append(Target(question, wanted, row.texts("poisoned_docs")))
    return _corpus(f"published/{file}", passages, targets)


def _counterfact(folder: Path) -> Corpus:
    targets: list[Target] = []
    subjects: dict[str, list[str]] = {}
    path = folder / "counterfact_poison.jsonl.gz"
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        question = Question(
            f"counterfact/{row.text('case_id')}", row.text("prompt"), row.texts("true")
        )
        targets.append(Target(question, row.text("false"), row.texts("evidence")))
        subjects.setdefault(row.text("subject"), []).append(question.id)
    return _corpus("published/counterfact_poison", _Passages(), targets, subjects)


def _injections(folder: Path) -> Corpus:
    passages = _Passages()
    questions: list[Question] = []
    path = folder / "injections.jsonl"
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        if row.text("kind") != "carrier":
            continue
        carrier_id = row.text("id")
        passages.add(carrier_id, "context", row.texts("context"), row.text("type"))
        questions.append(Question(carrier_id, row.text("question"), row.texts("answer")))
    return Corpus("published/injections", passages.all(), tuple(questions))


class _Passages:
    """Collects clean passages; each text once."""

    def __init__(self) -> None:
        self._by_text: dict[str, Passage] = {}

    def add(self, question_id: str, name: str, texts: tuple[str, ...], source: str) -> None:
        for position, text in enumerate(texts):
            passage_id = f"{question_id}/{name}/{position}"
            meta = {"question_id": question_id, "field": name}
            self._by_text.setdefault(text, Passage(passage_id, text, source, meta))

    def all(self) -> tuple[Passage, ...]:
        return tuple(self._by_text.values())


def _corpus(
    name: str,
    passages: _Passages,
    targets: list[Target],
    subjects: Mapping[str, list[str]] | None = None,
) -> Corpus:
    questions = tuple(target.question for target in targets)
    about = {subject: tuple(ids) for subject, ids in (subjects or {}).items()}
    return Corpus(name, passages.all(), questions, tuple(targets), about)


_READERS: Mapping[str, Callable[[Path], Corpus]] = {
    "retrieved_contexts": _retrieved_contexts,
    "hotflip": lambda folder: _optimised(folder, "hotflip"),
    "phantom": lambda folder: _optimised(folder, "phantom"),
    "counterfact_poison": _counterfact,
    "injections": _injections,
    "tofu": forgetting.tofu,
    "tofu_utility": forgetting.tofu_utility,
    "restor": forgetting.restor,
    "dusk": forgetting.dusk,
    "muse": forgetting.muse,
    "pq_entries": forgetting.pq_entries,
}
