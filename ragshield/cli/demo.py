"""`ragshield demo`: the whole loop on the bundled world, in a folder to look around in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli import demo_forget
from ragshield.cli import demo_steps as steps
from ragshield.cli.console import embed, err, out
from ragshield.text import visible

if TYPE_CHECKING:
    from ragshield.metrics import Rate
    from ragshield.protocols import Reader
    from ragshield.records import Retrieval, Target, Verdict
    from ragshield.retriever import StoreRetriever


@dataclass
class Story:
    """What is counted on the way, for the table at the end: (chapter, what, how many)."""

    rows: list[tuple[str, str, Rate]] = field(default_factory=list)

    def count(self, chapter: str, what: str, successes: int, n: int) -> None:
        """Add one line."""
        from ragshield.metrics import rate

        self.rows.append((chapter, what, rate(successes, n)))


@dataclass
class Tally:
    """Counts what a guard drops; given to it as `on_verdict`."""

    n_poison: int = 0
    n_poison_dropped: int = 0
    n_stray: int = 0
    """Poison that is aimed at another question."""
    n_stray_dropped: int = 0
    n_clean: int = 0
    n_clean_dropped: int = 0

    def __call__(self, retrieval: Retrieval, verdict: Verdict) -> None:
        """Count one verdict."""
        dropped = {finding.passage_id for finding in verdict.dropped}
        for hit in retrieval:
            aim = hit.passage.meta.get("question") if hit.passage.meta.get("attack") else None
            if aim == retrieval.question:
                self.n_poison += 1
                self.n_poison_dropped += hit.id in dropped
            elif aim is not None:
                self.n_stray += 1
                self.n_stray_dropped += hit.id in dropped
            else:
                self.n_clean += 1
                self.n_clean_dropped += hit.id in dropped


def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put everything.")] = Path("demo"),
    questions: Annotated[
        int, typer.Option("--questions", min=5, max=200, help="How many questions to attack.")
    ] = 40,
    k: Annotated[int, typer.Option("--k", min=1, max=50, help="Passages per question.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Which questions and which poison.")] = 0,
    reader: Annotated[
        str, typer.Option("--reader", help="Who answers; for example extractive, openai:URL#MODEL.")
    ] = "lab",
) -> None:
    """Poison a knowledge base, guard it, scan it, forget a target.

    The lab's own small language model answers, from memory and from what is retrieved.
    Takes less than a minute and leaves everything in a folder to look around in.
    """
    started = time.monotonic()
    steps.prepare(folder)
    import numpy as np

    from ragshield.corpora.world import load as load_world
    from ragshield.corpora.world_vectors import shipped
    from ragshield.encoders import open_encoder
    from ragshield.records import Batch
    from ragshield.retriever import StoreRetriever
    from ragshield.stores import open_store
    from ragshield.stores.chroma import create_chroma

    story, rng = Story(), np.random.default_rng(seed)
    url = f"chroma:{folder}/db#{steps.COLLECTION}"
    with err.status("Loading the offline encoder (all-MiniLM-L6-v2)"):
        encoder = open_encoder("minilm", cache=folder / "vectors.sqlite")
    answering = steps.opened(reader)
    corpus = load_world()
    subject = steps.draw_subject(corpus, answering, rng)
    targets = steps.draw_targets(corpus, subject, questions, rng)

    chapter(1, "A knowledge base", f"{len(corpus.passages):,} passages of an invented world")
    vectors = shipped(corpus.passages)  # made beforehand by this encoder; saves a minute or two
    if vectors is None:
        vectors = embed(encoder, [p.text for p in corpus.passages], "Embedding passages")
    embed(encoder, [t.question.text for t in targets], "Embedding questions")  # at once, cached
    with err.status("Writing Chroma"):
        create_chroma(folder / "db", steps.COLLECTION, Batch(corpus.passages, vectors)).close()
    by_heart = steps.ask(answering, None, targets, k)
    report_answers(story, "by heart, no passages", targets, by_heart, attacked=False)
    with open_store(url) as store:
        retriever = StoreRetriever(store, encoder)
        before = steps.ask(answering, retriever, targets, k)
        report_answers(story, "before the attack", targets, before)
        guard_clean(story, retriever, targets, k)

    chapter(2, "The attack", f"PoisonedRAG plants 5 passages for each of {len(targets)} questions")
    poison = steps.craft(targets, seed)
    poison_vectors = embed(encoder, [p.text for p in poison], "Embedding poison")
    with open_store(url, writable=True) as writable:
        writable.add(Batch(tuple(poison), poison_vectors))
    with open_store(url) as store:
        retriever = StoreRetriever(store, encoder)
        attacked = steps.ask(answering, retriever, targets, k)
        report_answers(story, "under attack", targets, attacked)

        chapter(3, "The guard", "the default defender, on the vectors that the store holds")
        guarded = guard_poisoned(story, answering, retriever, targets, k)
        show_example(targets, (by_heart, before, attacked, guarded))

        chapter(4, "The scan", "no question known, every passage looked at")
        with err.status("Scanning"):
            n_found, n_accused = steps.scan_into(folder / "findings.jsonl", store, poison)
        n_clean = store.count() - len(poison)
    out.print(
        f"  {n_found} of {len(poison)} planted passages found, "
        f"{n_accused} of {n_clean:,} clean ones accused"
    )
    story.count("Scan", "planted passages found", n_found, len(poison))
    story.count("Scan", "clean passages accused", n_accused, n_clean)

    chapter(5, "Forgetting", f"everything about {subject}")
    forgotten = demo_forget.forget(folder, subject, corpus, targets, answering, encoder, k)
    out.print(
        f"  the plan: {forgotten.n_planned} passages go, {forgotten.n_review} wait for review\n"
        f"  {forgotten.n_deleted} deleted, {forgotten.n_left:,} left; "
        f"snapshot {folder}/plan.json.snapshot"
    )
    tell("Q", forgotten.example[0])
    for when, said in zip(demo_forget.PHASES, forgotten.example[1:], strict=True):
        tell(when, said)
    for who, when, n_right, n in forgotten.answered:
        story.count("Forgetting", f"{who}, {when}", n_right, n)

    steps.write_answers(
        folder / "answers.jsonl",
        targets,
        {
            "by_heart": by_heart,
            "before": before,
            "under_attack": attacked,
            "behind_guard": guarded,
        },
    )
    show_table(story)
    out.print(
        f"\nDone in {time.monotonic() - started:.0f} s. Everything is in {folder}/. Look around:\n"
        f"  ragshield scan '{url}'\n"
        f"  ragshield undo {folder}/plan.json\n"
        f"  less {folder}/answers.jsonl\n",
        soft_wrap=True,
        markup=False,
    )


def guard_clean(story: Story, retriever: StoreRetriever, targets: Sequence[Target], k: int) -> None:
    """What the guard costs when nothing is wrong."""
    from ragshield.guard import Guard

    tally = Tally()
    guard = Guard(retriever, on_verdict=tally)
    for target in targets:
        guard.retrieve(target.question.text, k)
    out.print(f"  the guard drops {tally.n_clean_dropped} of {tally.n_clean} retrieved passages")
    story.count("Guard", "clean dropped, no attack", tally.n_clean_dropped, tally.n_clean)


def guard_poisoned(
    story: Story,
    answering: Reader,
    retriever: StoreRetriever,
    targets: Sequence[Target],
    k: int,
) -> list[str]:
    """The answers behind the guard, and what it dropped for them."""
    from ragshield.guard import Guard

    tally = Tally()
    answers = steps.ask(answering, Guard(retriever, on_verdict=tally), targets, k)
    out.print(
        f"  it drops {tally.n_poison_dropped} of {tally.n_poison} passages that aim at the "
        f"question, {tally.n_stray_dropped} of {tally.n_stray}\n  that aim at another, and "
        f"{tally.n_clean_dropped} of {tally.n_clean} clean ones"
    )
    report_answers(story, "behind the guard", targets, answers)
    story.count("Guard", "poisoned dropped", tally.n_poison_dropped, tally.n_poison)
    story.count("Guard", "clean dropped, attack", tally.n_clean_dropped, tally.n_clean)
    return answers


def report_answers(
    story: Story,
    when: str,
    targets: Sequence[Target],
    answers: Sequence[str],
    *,
    attacked: bool = True,
) -> None:
    """Count and say how many answers are right and how many are the attacker's."""
    from ragshield.metrics import answer_correct, attack_succeeded

    pairs = list(zip(targets, answers, strict=True))
    n_right = [answer_correct(answer, t.question) for t, answer in pairs].count(True)
    story.count("Answers", f"right {when}", n_right, len(pairs))
    if not attacked:
        out.print(f"  {when}: {n_right} of {len(pairs)} right")
        return
    turned = [attack_succeeded(answer, t.wrong_answer, t.question) for t, answer in pairs]
    n_turned = turned.count(True)
    out.print(f"  {when}: {n_right} of {len(pairs)} right, {n_turned} as the attacker wants")
    story.count("Answers", f"turned {when}", n_turned, len(pairs))


def show_example(targets: Sequence[Target], answers: Sequence[Sequence[str]]) -> None:
    """One question whose answer was turned and came back."""
    from ragshield.metrics import answer_correct, attack_succeeded

    labels = ("by heart", "before", "attacked", "guarded")
    rows = list(zip(targets, *answers, strict=True))
    whole = [
        row
        for row in rows
        if attack_succeeded(row[3], row[0].wrong_answer, row[0].question) is True
        and all(answer_correct(row[i], row[0].question) is True for i in (2, 4))
    ]
    # Rather one that the model also knows by heart.
    whole.sort(key=lambda row: answer_correct(row[1], row[0].question) is not True)
    if whole:
        target, *given = whole[0]
        tell("Q", target.question.text)
        for label, text in zip(labels, given, strict=True):
            tell(label, text)


def tell(label: str, text: str) -> None:
    """A line of a conversation, cut to the terminal's width."""
    from rich.text import Text

    line = Text(f"  {label:18}{visible(text)}")
    line.truncate(out.width, overflow="ellipsis")
    out.print(line)


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
    for part, what, counted in sorted(story.rows, key=lambda row: ORDER.index(row[0])):
        table.add_row(
            part if part != last else "",
            what,
            f"{counted.successes:,} / {counted.n:,}",
            "" if counted.value is None else f"{counted.value:.3f}",
            "" if counted.low is None else f"{counted.low:.3f} to {counted.high:.3f}",
        )
        last = part
    out.print()
    out.print(table)


ORDER = ("Answers", "Guard", "Scan", "Forgetting")
