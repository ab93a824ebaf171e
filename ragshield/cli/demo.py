"""`ragshield demo`: the whole loop on the bundled world, in a folder to look around in."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.padding import Padding

from ragshield.cli.console import embed, err, out, progress
from ragshield.errors import UsageError
from ragshield.files import writing
from ragshield.text import states

if TYPE_CHECKING:
    import numpy as np

    from ragshield.forget import ForgetPlan
    from ragshield.metrics import Rate
    from ragshield.protocols import Encoder, Reader, Retriever, Store
    from ragshield.records import Corpus, Passage, Question, Target

MARKER = ".ragshield-demo"
COLLECTION = "docs"
N_NEIGHBOURS = 20


@dataclass
class Story:
    """What happened, for the table and for summary.json."""

    rows: list[tuple[str, str, Rate]] = field(default_factory=list)
    """(chapter, what was counted, how many of how many)."""

    def count(self, chapter: str, what: str, successes: int, n: int) -> None:
        """Add one line of the table."""
        from ragshield.metrics import rate

        self.rows.append((chapter, what, rate(successes, n)))


def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put everything.")] = Path("demo"),
    questions: Annotated[
        int, typer.Option("--questions", min=5, max=200, help="How many questions to attack.")
    ] = 40,
    k: Annotated[int, typer.Option("--k", min=1, max=50, help="Passages per question.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Which questions and which poison.")] = 0,
) -> None:
    """Poison a knowledge base, guard it, scan it, forget a target; about a minute."""
    started = time.monotonic()
    prepare(folder)
    import numpy as np

    from ragshield.corpora.world import load as load_world
    from ragshield.encoders import open_encoder
    from ragshield.guard import Guard
    from ragshield.readers.extractive import ExtractiveReader
    from ragshield.records import Batch
    from ragshield.retriever import StoreRetriever
    from ragshield.stores import open_store
    from ragshield.stores.chroma import create_chroma

    story, reader, rng = Story(), ExtractiveReader(), np.random.default_rng(seed)
    url = f"chroma:{folder}/db#{COLLECTION}"
    with err.status("Loading the offline encoder (all-MiniLM-L6-v2)"):
        encoder = open_encoder("minilm", cache=folder / "vectors.sqlite")

    corpus = load_world()
    subject, about = forget_subject(corpus, rng)
    targets = draw_targets(corpus, about, questions, rng)
    chapter(1, "A knowledge base", f"{len(corpus.passages):,} passages of an invented world")
    vectors = embed(encoder, [p.text for p in corpus.passages], "Embedding passages")
    with err.status("Writing Chroma"):
        create_chroma(folder / "db", COLLECTION, Batch(corpus.passages, vectors)).close()
    with open_store(url) as store:
        before = ask(StoreRetriever(store, encoder), reader, [t.question for t in targets], k)
        report_answers(story, "before the attack", targets, before)

    chapter(2, "The attack", f"PoisonedRAG plants 5 passages for each of {len(targets)} questions")
    poison = plant(url, targets, encoder, seed)
    with open_store(url) as store:
        retriever = StoreRetriever(store, encoder)
        after = ask(retriever, reader, [t.question for t in targets], k)
        report_answers(story, "under attack", targets, after)
        show_example(targets, before, after)

        chapter(3, "The guard", "the default defender, on the vectors that the store holds")
        guarded = ask(Guard(retriever, ["ragdefender"]), reader, [t.question for t in targets], k)
        report_answers(story, "behind the guard", targets, guarded)

        chapter(4, "The scan", "no question known, every passage looked at")
        scan_store(story, store, poison, folder)

    chapter(5, "Forgetting", f"everything about {subject}")
    forget_target(story, folder, subject, corpus, encoder, reader, k)
    given = {"before": before, "under_attack": after, "behind_guard": guarded}
    write_answers(folder / "answers.jsonl", targets, given)
    show_table(story)
    out.print(
        f"\nDone in {time.monotonic() - started:.0f} s. Everything is in {folder}/. Look around:\n"
        f"  ragshield scan '{url}'\n"
        f"  ragshield undo {folder}/plan.json\n"
        f"  less {folder}/answers.jsonl\n",
        soft_wrap=True,
        markup=False,
    )


def prepare(folder: Path) -> None:
    """An empty folder, or one that an earlier demo made (its vectors are kept)."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the demo")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(f"{folder} is not empty and no demo made it; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    for old in folder.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != MARKER and not old.name.startswith("vectors.sqlite"):
            old.unlink()


def forget_subject(corpus: Corpus, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """A subject that several questions are about, and those questions' ids."""
    rich = sorted(name for name, ids in corpus.subjects.items() if len(ids) >= 3)
    name = rich[int(rng.integers(len(rich)))]
    return name, tuple(corpus.subjects[name])


def draw_targets(
    corpus: Corpus, without: Sequence[str], n: int, rng: np.random.Generator
) -> list[Target]:
    """Target questions that are not about the subject to be forgotten."""
    pool = [t for t in corpus.targets if t.question.id not in set(without)]
    return [pool[i] for i in sorted(rng.choice(len(pool), min(n, len(pool)), replace=False))]


def ask(retriever: Retriever, reader: Reader, questions: Sequence[Question], k: int) -> list[str]:
    """The reader's answers from what is retrieved."""
    answers = []
    with progress("Asking", len(questions)) as advance:
        for question in questions:
            found = retriever.retrieve(question.text, k)
            answers.append(reader.answer(question.text, found.passages))
            advance(1)
    return answers


def report_answers(
    story: Story, when: str, targets: Sequence[Target], answers: Sequence[str]
) -> None:
    """Count and say how many answers are right and how many are the attacker's."""
    from ragshield.metrics import answer_correct, attack_succeeded

    pairs = list(zip(targets, answers, strict=True))
    right = [answer_correct(answer, t.question) for t, answer in pairs]
    turned = [attack_succeeded(answer, t.wrong_answer, t.question) for t, answer in pairs]
    n_right, n_turned = right.count(True), turned.count(True)
    out.print(f"  {when}: {n_right} of {len(pairs)} right, {n_turned} as the attacker wants")
    story.count("Answers", f"right {when}", n_right, len(pairs))
    story.count("Answers", f"turned {when}", n_turned, len(pairs))


def plant(url: str, targets: Sequence[Target], encoder: Encoder, seed: int) -> list[Passage]:
    """Craft and add the poison; returns what was planted."""
    import numpy as np

    from ragshield.attacks.poisonedrag import PoisonedRAG
    from ragshield.records import Batch
    from ragshield.stores import open_store

    attack = PoisonedRAG(n=5)
    rng = np.random.default_rng(seed)
    poison = [passage for target in targets for passage in attack.craft(target, rng=rng)]
    vectors = embed(encoder, [p.text for p in poison], "Embedding poison")
    with open_store(url, writable=True) as store:
        store.add(Batch(tuple(poison), vectors))
    return poison


def show_example(targets: Sequence[Target], before: Sequence[str], after: Sequence[str]) -> None:
    """One question whose answer was turned."""
    for target, clean, turned in zip(targets, before, after, strict=True):
        if states(clean, target.question.answers[0]) and states(turned, target.wrong_answer):
            for label, text in (("Q", target.question.text), ("before", clean), ("after", turned)):
                out.print(Padding(f"[dim]{label:8}[/dim]{escape(text)}", (0, 0, 0, 2)))
            return


def scan_store(story: Story, store: Store, poison: Sequence[Passage], folder: Path) -> None:
    """Scan, and count what was found against what was planted."""
    from ragshield.findings import finding_line
    from ragshield.scanning import scan

    with err.status("Scanning"):
        report = scan(store)
    planted = {p.id for p in poison}
    found = {f.passage_id for f in report.findings}
    with writing(folder / "findings.jsonl") as file:
        for finding in report.findings:
            file.write(finding_line(finding) + "\n")
    out.print(
        f"  {len(found & planted)} of {len(planted)} planted passages found, "
        f"{len(found - planted)} of {report.n_passages - len(planted):,} clean ones accused"
    )
    story.count("Scan", "planted passages found", len(found & planted), len(planted))
    story.count(
        "Scan", "clean passages accused", len(found - planted), report.n_passages - len(planted)
    )


def forget_target(
    story: Story,
    folder: Path,
    subject: str,
    corpus: Corpus,
    encoder: Encoder,
    reader: Reader,
    k: int,
) -> None:
    """Plan, apply, and ask again: about the subject, and about its nearest neighbours."""
    from ragshield.forget import apply_plan, plan_forget, write_plan
    from ragshield.metrics import answer_correct
    from ragshield.retriever import StoreRetriever
    from ragshield.stores import open_store

    url = f"chroma:{folder}/db#{COLLECTION}"
    by_id = {question.id: question for question in corpus.questions}
    about = [by_id[i] for i in corpus.subjects[subject]]

    def n_right(questions: Sequence[Question]) -> int:
        with open_store(url) as store:
            answers = ask(StoreRetriever(store, encoder), reader, questions, k)
        pairs = zip(questions, answers, strict=True)
        return sum(answer_correct(answer, question) is True for question, answer in pairs)

    with open_store(url) as store:
        plan = write_plan(plan_forget(store, subject=subject), folder / "plan.json")
    out.print(
        f"  the plan: {len(plan.selected)} passages go, {len(plan.review)} are left for review"
    )
    near = neighbours(corpus, plan, N_NEIGHBOURS)
    before = n_right(about), n_right(near)
    result = apply_plan(folder / "plan.json")
    after = n_right(about), n_right(near)
    out.print(f"  {result.n_deleted} deleted, {result.n_left:,} left; snapshot {result.snapshot}")
    story.count("Forgetting", "target answered before", before[0], len(about))
    story.count("Forgetting", "target answered after", after[0], len(about))
    story.count("Forgetting", "neighbours answered before", before[1], len(near))
    story.count("Forgetting", "neighbours answered after", after[1], len(near))


def neighbours(corpus: Corpus, plan: ForgetPlan, n: int) -> list[Question]:
    """Questions about the entities whose passages stand nearest to what goes, and stay."""
    entity = {p.id: p.meta.get("entity") for p in corpus.passages}
    by_id = {question.id: question for question in corpus.questions}
    gone = {item.passage_id for item in plan.selected}
    near = [entity.get(x.passage_id) for x in plan.at_risk if x.passage_id not in gone]
    names = [name for name in dict.fromkeys(near) if isinstance(name, str) and name != plan.subject]
    return [by_id[i] for name in names for i in corpus.subjects.get(name, ())][:n]


def write_answers(
    path: Path, targets: Sequence[Target], answers: Mapping[str, Sequence[str]]
) -> None:
    """Every question with its answers before, under and behind, a line each."""
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


def chapter(number: int, title: str, what: str) -> None:
    """A heading."""
    out.print(f"\n[bold]{number}  {title}[/bold]: {what}")


def show_table(story: Story) -> None:
    """The short table at the end."""
    from rich.table import Table

    table = Table(title="What happened", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("", "counted", "n", "share", "95 % interval"):
        table.add_column(name, justify="left" if name in ("", "counted") else "right")
    last = ""
    for part, what, counted in story.rows:
        value = "" if counted.value is None else f"{counted.value:.2f}"
        interval = "" if counted.low is None else f"{counted.low:.2f} to {counted.high:.2f}"
        table.add_row(
            part if part != last else "",
            what,
            f"{counted.successes:,} / {counted.n:,}",
            value,
            interval,
        )
        last = part
    out.print()
    out.print(table)
