"""The steps of the demo that print nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ragshield.cli.console import progress
from ragshield.errors import UsageError
from ragshield.files import writing

if TYPE_CHECKING:
    import numpy as np

    from ragshield.forget import ForgetPlan
    from ragshield.protocols import Reader, Retriever, Store
    from ragshield.records import Corpus, Passage, Question, Target

MARKER = ".ragshield-demo"
COLLECTION = "docs"
N_NEIGHBOURS = 20
N_SHOWN = 5
N_TRIED = 24


def prepare(folder: Path) -> None:
    """An empty folder, or one that an earlier demo made (its vectors are kept).

    Raises:
        UsageError: something else is in the way, or the folder cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the demo")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(f"{folder} is not empty and no demo made it; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).touch()
        for old in folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            elif old.name != MARKER and not old.name.startswith("vectors.sqlite"):
                old.unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


def opened(name: str) -> Reader:
    """The reader that answers; the lab's model sees as many passages as it was trained on."""
    from ragshield.readers import open_reader
    from ragshield.readers.lab import LabReader

    kind, _, model = name.partition(":")
    return LabReader(model, max_passages=N_SHOWN) if kind == "lab" else open_reader(name)


def draw_subject(corpus: Corpus, reader: Reader, rng: np.random.Generator) -> str:
    """A subject of at least three questions, best one that the reader knows by heart."""
    from ragshield.metrics import answer_correct

    by_id = {question.id: question for question in corpus.questions}
    rich = sorted(name for name, ids in corpus.subjects.items() if len(ids) >= 3)
    known: dict[str, float] = {}
    for i in rng.permutation(len(rich)).tolist()[:N_TRIED]:
        asked = [by_id[i] for i in corpus.subjects[rich[i]]]
        right = [answer_correct(reader.answer(q.text, []), q) is True for q in asked]
        known[rich[i]] = sum(right) / len(right)
        if all(right):
            break
    return max(known, key=lambda name: known[name])


def draw_targets(corpus: Corpus, subject: str, n: int, rng: np.random.Generator) -> list[Target]:
    """Target questions that are not about the subject to be forgotten."""
    about = set(corpus.subjects[subject])
    pool = [t for t in corpus.targets if t.question.id not in about]
    return [pool[i] for i in sorted(rng.choice(len(pool), min(n, len(pool)), replace=False))]


def ask(
    reader: Reader, retriever: Retriever | None, targets: Sequence[Target | Question], k: int
) -> list[str]:
    """The reader's answers from what is retrieved; without a retriever, by heart."""
    from ragshield.records import Target

    answers: list[str] = []
    with progress("Asking", len(targets)) as advance:
        for target in targets:
            text = (target.question if isinstance(target, Target) else target).text
            found = () if retriever is None else retriever.retrieve(text, k).passages
            answers.append(reader.answer(text, found))
            advance(1)
    return answers


def craft(targets: Sequence[Target], seed: int) -> list[Passage]:
    """PoisonedRAG's passages, five for each target."""
    import numpy as np

    from ragshield.attacks.poisonedrag import PoisonedRAG

    attack, rng = PoisonedRAG(n=5), np.random.default_rng(seed)
    return [passage for target in targets for passage in attack.craft(target, rng=rng)]


def scan_into(path: Path, store: Store, poison: Sequence[Passage]) -> tuple[int, int]:
    """Scan and write the findings: planted passages found, clean passages accused."""
    from ragshield.findings import finding_line
    from ragshield.scanning import scan

    report = scan(store)
    with writing(path) as file:
        for finding in report.findings:
            passage = report.passages.get(finding.passage_id)
            file.write(finding_line(finding, passage) + "\n")
    planted = {p.id for p in poison}
    found = {f.passage_id for f in report.findings}
    return len(found & planted), len(found - planted)


def neighbours(corpus: Corpus, plan: ForgetPlan, attacked: Sequence[Target]) -> list[Question]:
    """Questions, not attacked, about the entities that stand nearest to what goes."""
    entity = {p.id: p.meta.get("entity") for p in corpus.passages}
    by_id = {question.id: question for question in corpus.questions}
    spoilt = {target.question.id for target in attacked}
    near = [entity.get(passage.passage_id) for passage in plan.at_risk]
    names = [name for name in dict.fromkeys(near) if isinstance(name, str) and name != plan.subject]
    ids = [i for name in names for i in corpus.subjects.get(name, ()) if i not in spoilt]
    return [by_id[i] for i in ids][:N_NEIGHBOURS]


def write_answers(
    path: Path, targets: Sequence[Target], answers: Mapping[str, Sequence[str]]
) -> None:
    """Every question with its answers, a line each."""
    with writing(path) as file:
        for i, target in enumerate(targets):
            record = {
                "question_id": target.question.id,
                "question": target.question.text,
                "right": target.question.answers,
                "wrong_answer": target.wrong_answer,
                **{when: given[i] for when, given in answers.items()},
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
