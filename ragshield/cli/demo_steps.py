"""The steps of the demo that print nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragshield.cli.console import progress
from ragshield.errors import UsageError
from ragshield.files import writing

if TYPE_CHECKING:
    import numpy as np

    from ragshield.forget import ForgetPlan
    from ragshield.protocols import Encoder, Retriever, Store
    from ragshield.records import Corpus, Passage, Question, Target

MARKER = ".ragshield-demo"
COLLECTION = "docs"
N_NEIGHBOURS = 20


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


def draw_subject(corpus: Corpus, rng: np.random.Generator) -> str:
    """A subject that at least three questions are about."""
    rich = sorted(name for name, ids in corpus.subjects.items() if len(ids) >= 3)
    return rich[int(rng.integers(len(rich)))]


def draw_targets(corpus: Corpus, subject: str, n: int, rng: np.random.Generator) -> list[Target]:
    """Target questions that are not about the subject to be forgotten."""
    about = set(corpus.subjects[subject])
    pool = [t for t in corpus.targets if t.question.id not in about]
    return [pool[i] for i in sorted(rng.choice(len(pool), min(n, len(pool)), replace=False))]


def ask(retriever: Retriever, targets: Sequence[Target | Question], k: int) -> list[str]:
    """The extractive reader's answers from what is retrieved."""
    from ragshield.readers.extractive import ExtractiveReader
    from ragshield.records import Target

    reader, answers = ExtractiveReader(), []
    with progress("Asking", len(targets)) as advance:
        for target in targets:
            question = target.question if isinstance(target, Target) else target
            found = retriever.retrieve(question.text, k)
            answers.append(reader.answer(question.text, found.passages))
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


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgetting did; `answered` holds (who, when, right answers, questions)."""

    n_planned: int
    n_review: int
    n_deleted: int
    n_left: int
    answered: tuple[tuple[str, str, int, int], ...]


def forget(
    folder: Path,
    subject: str,
    corpus: Corpus,
    attacked: Sequence[Target],
    retriever: Callable[[Store, Encoder], Retriever],
    encoder: Encoder,
    k: int,
) -> Forgotten:
    """Plan, apply, and ask again: about the subject, and about its nearest neighbours."""
    from ragshield.forget import apply_plan, plan_forget, write_plan
    from ragshield.metrics import answer_correct
    from ragshield.stores import open_store

    url = f"chroma:{folder}/db#{COLLECTION}"
    by_id = {question.id: question for question in corpus.questions}
    with open_store(url) as store:
        plan = write_plan(plan_forget(store, subject=subject), folder / "plan.json")
    groups = {
        "target": [by_id[i] for i in corpus.subjects[subject]],
        "neighbours": neighbours(corpus, plan, attacked),
    }
    encoder.encode([question.text for group in groups.values() for question in group])  # cached
    answered: list[tuple[str, str, int, int]] = []

    def ask_all(when: str) -> None:
        with open_store(url) as store:
            for who, questions in groups.items():
                answers = ask(retriever(store, encoder), questions, k)
                pairs = zip(answers, questions, strict=True)
                n_right = sum(answer_correct(answer, asked) is True for answer, asked in pairs)
                answered.append((who, when, n_right, len(questions)))

    ask_all("before")
    result = apply_plan(folder / "plan.json")
    ask_all("after")
    answered.sort(key=lambda row: row[0] != "target")
    return Forgotten(
        len(plan.selected), len(plan.review), result.n_deleted, result.n_left, tuple(answered)
    )


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
