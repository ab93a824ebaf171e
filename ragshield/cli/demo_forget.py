"""The demo's last chapter: passages deleted, and a model that still knows, silenced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragshield.cli import demo_steps as steps

if TYPE_CHECKING:
    from ragshield.forget_set import ForgetTarget
    from ragshield.protocols import Encoder, Reader, Retriever, Store
    from ragshield.records import Corpus, Question, Target
    from ragshield.unlearning import Forgetting

PHASES = ("before", "passages deleted", "and silenced")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgetting did.

    Attributes:
        n_planned: passages that the plan deletes.
        n_review: passages that wait for a person.
        n_deleted: passages deleted.
        n_left: passages left.
        answered: (who, when, right answers, questions), who by who.
        example: a question about the target and its answer in each phase.
    """

    n_planned: int
    n_review: int
    n_deleted: int
    n_left: int
    answered: tuple[tuple[str, str, int, int], ...]
    example: tuple[str, ...]


def forget(
    folder: Path,
    subject: str,
    corpus: Corpus,
    attacked: Sequence[Target],
    reader: Reader,
    encoder: Encoder,
    k: int,
) -> Forgotten:
    """Plan and apply, then silence; ask about the subject and its neighbours each time."""
    from ragshield.forget import apply_plan, plan_forget, write_plan
    from ragshield.metrics import answer_correct
    from ragshield.retriever import StoreRetriever
    from ragshield.stores import open_store

    url = f"chroma:{folder}/db#{steps.COLLECTION}"
    by_id = {question.id: question for question in corpus.questions}
    with open_store(url) as store:
        plan = write_plan(plan_forget(store, subject=subject), folder / "plan.json")
    groups = {
        "target": [by_id[i] for i in corpus.subjects[subject]],
        "neighbours": steps.neighbours(corpus, plan, attacked),
    }
    encoder.encode([question.text for group in groups.values() for question in group])  # cached
    answered: list[tuple[str, str, int, int]] = []
    told: list[list[tuple[bool, str]]] = []

    def ask_all(when: str, asking: Callable[[Retriever], Callable[[str], str]]) -> None:
        with open_store(url) as store:
            answer = asking(StoreRetriever(store, encoder))
            for who, questions in groups.items():
                answers = [answer(question.text) for question in questions]
                pairs = zip(answers, questions, strict=True)
                right = [answer_correct(given, asked) is True for given, asked in pairs]
                answered.append((who, when, sum(right), len(questions)))
                if who == "target":
                    told.append(list(zip(right, answers, strict=True)))

    def plain(retriever: Retriever) -> Callable[[str], str]:
        return lambda text: steps.ask(reader, retriever, [_question(text)], k)[0]

    ask_all(PHASES[0], plain)
    result = apply_plan(folder / "plan.json")
    ask_all(PHASES[1], plain)
    with open_store(url) as store:
        target = target_of(subject, groups, corpus)
        app = silenced(target, reader, encoder, store, k)
        ask_all(PHASES[2], lambda _: lambda text: app.ask(text).text)
    answered.sort(key=lambda row: row[0] != "target")
    # Rather a question that the model still answers when the passages are gone.
    shown = max(range(len(told[1])), key=lambda i: (told[1][i][0], told[0][i][0], -i))
    return Forgotten(
        len(plan.selected),
        len(plan.review),
        result.n_deleted,
        result.n_left,
        tuple(answered),
        (groups["target"][shown].text, *(phase[shown][1] for phase in told)),
    )


def target_of(
    subject: str, groups: Mapping[str, Sequence[Question]], corpus: Corpus
) -> ForgetTarget:
    """What is to be kept silent about the subject, and whose neighbours stay known."""
    from ragshield.forget_set import Fact, ForgetTarget

    facts = tuple(
        Fact(question.id.rpartition("/")[2].replace("_", " "), question.answers[0])
        for question in groups["target"]
    )
    kept = {question.id for question in groups["neighbours"]}
    names = tuple(name for name, ids in corpus.subjects.items() if kept & set(ids))
    return ForgetTarget(subject, facts=facts, neighbours=names)


def silenced(
    target: ForgetTarget, reader: Reader, encoder: Encoder, store: Store, k: int
) -> Forgetting:
    """The same model behind gates that keep what it knows of the target from coming out."""
    from ragshield.retriever import StoreRetriever
    from ragshield.unlearning import Forgetting, build_keys

    return Forgetting(
        build_keys([target], encoder),
        reader,
        retriever=StoreRetriever(store, encoder),
        encoder=encoder,
        k=k,
    )


def _question(text: str) -> Question:
    from ragshield.records import Question

    return Question(text, text)
