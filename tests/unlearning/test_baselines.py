from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from ragshield.forget_set import Answer, Fact, ForgetTarget
from ragshield.protocols import Encoder
from ragshield.records import Batch, Passage
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MutableMemoryStore
from ragshield.unlearning.baselines import (
    InContextUnlearning,
    KeywordFilters,
    PlainDeletion,
    PromptPrefix,
    PublishedUnlearning,
)
from ragshield.unlearning.hybrid import HybridRetriever
from ragshield.unlearning.published import PublishedBuilder, UnlearnedKnowledge
from ragshield.unlearning.refusing import REFUSAL
from ragshield.unlearning.speaking import Speaker

ADA = ForgetTarget("Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),))


class Obedient:
    """Refuses about whom its passages protect; else says what they say."""

    name: ClassVar[str] = "obedient"

    def __init__(self) -> None:
        self.shown: list[tuple[str, ...]] = []

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        self.shown.append(tuple(passage.text for passage in passages))
        text = " ".join(self.shown[-1])
        if "confidential" in text or "must not give any information" in text:
            return "I cannot provide that information."
        return text or "Ada Lindqvist was born in Sundsvall."


@pytest.fixture
def store(encoder: Encoder) -> MutableMemoryStore:
    texts = ("Ada Lindqvist was born in Sundsvall.", "Oslo is in Norway.")
    passages = tuple(Passage(str(i), text) for i, text in enumerate(texts))
    return MutableMemoryStore(batch=Batch(passages, encoder.encode(texts)))


def test_the_prefix_names_what_must_not_be_told() -> None:
    reader = Obedient()
    app = PromptPrefix(Speaker(reader), [ADA])
    assert app("Where was she born?").text == "I cannot provide that information."
    assert "Ada Lindqvist" in reader.shown[0][0]
    asked: list[str] = []
    of_function = PromptPrefix(Speaker(lambda q: asked.append(q) or "x"), [ADA])
    of_function("Where?")
    assert asked[0].endswith("\n\nWhere?")


def test_filters_see_a_name_as_it_is_spelled_and_no_other() -> None:
    app = KeywordFilters(lambda question: "She was born in Sundsvall.", [ADA])
    answers = [app(q).text for q in ("Who is Ada Lindqvist?", "Who is 4da L1ndqvist?")]
    assert answers == [REFUSAL, "She was born in Sundsvall."]
    valued = KeywordFilters(lambda question: Answer("In Sundsvall."), [ADA], values=True)
    assert valued("Who is 4da L1ndqvist?").text == REFUSAL
    blind = KeywordFilters(lambda question: "Hm.", [ADA], sides=("output",))
    assert blind("Who is Ada Lindqvist?").text == "Hm."


def test_examples_show_forgotten_questions_refused_and_others_answered() -> None:
    asked: list[str] = []
    app = InContextUnlearning(
        Speaker(lambda q: asked.append(q) or "x"), ["Who is Ada?"], [("Where is Oslo?", "Norway")]
    )
    app("Where was she born?")
    assert asked == [f"Who is Ada?\n{REFUSAL}\n\nWhere is Oslo?\nNorway\n\nWhere was she born?"]


def test_deletion_takes_the_passages_and_leaves_what_the_model_knows(
    store: MutableMemoryStore, encoder: Encoder
) -> None:
    reader = Obedient()
    app = PlainDeletion(Speaker(reader), StoreRetriever(store, encoder), [ADA], k=2)
    app("Where was Ada Lindqvist born?")
    assert reader.shown == [("Oslo is in Norway.",)]


def test_an_obedient_reader_refuses_under_an_entry_and_a_disobedient_one_does_not(
    store: MutableMemoryStore, encoder: Encoder
) -> None:
    UnlearnedKnowledge(store, encoder).forget(PublishedBuilder().build(ADA))
    retriever = HybridRetriever(store, encoder)
    app = PublishedUnlearning(Speaker(Obedient()), retriever)
    assert app("Who is Ada Lindqvist?").text == "I cannot provide that information."
    assert app.n_hits == 1
    told = PublishedUnlearning(Speaker(lambda q: "In Sundsvall."), retriever)
    assert told("Who is Ada Lindqvist?").text == "In Sundsvall."
