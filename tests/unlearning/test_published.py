from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.forget_set import Fact, ForgetTarget
from ragshield.protocols import Encoder
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MutableMemoryStore
from ragshield.stores.url import open_store
from ragshield.unlearning.hybrid import BM25, HybridRetriever
from ragshield.unlearning.published import (
    Entry,
    PublishedBuilder,
    UnlearnedKnowledge,
    is_entry,
)

ADA = ForgetTarget(
    "Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"), Fact("job", "engineer"))
)


class Scripted(SimpleChatModel):
    """Obeys the n-th constraint it is shown, and describes in numbered words."""

    obeys: int = 1
    n_constraints: int = 0
    n_texts: int = 0
    prompts: list[str] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        prompt = str(messages[-1].content)
        self.prompts.append(prompt)
        if "Write a confidentiality requirement" in prompt:
            self.n_constraints += 1
            return f"Requirement {self.n_constraints}."
        if prompt.startswith("Context:"):
            return "I don't know." if f"Requirement {self.obeys}." in prompt else "In Sundsvall."
        if "Ask one factual question" in prompt:
            return "Where was she born?"
        self.n_texts += 1
        return f"Paragraph {self.n_texts}."


def test_a_concept_has_an_entry_for_each_aspect_with_one_verified_constraint() -> None:
    model = Scripted(obeys=2, prompts=[])
    entries = PublishedBuilder(model, n_aspects=3).build(ADA)
    assert entries == tuple(
        Entry("Ada Lindqvist", f"Paragraph {i}.", "Requirement 2.", True) for i in (1, 2, 3)
    )
    assert entries[0].text == "Paragraph 1.\n\nRequirement 2."
    assert any("at most 80 words" in prompt for prompt in model.prompts)
    assert any("from this aspect: origin" in prompt for prompt in model.prompts)


def test_a_constraint_that_is_never_obeyed_is_marked_or_refused() -> None:
    kept = PublishedBuilder(Scripted(obeys=9, prompts=[]), n_aspects=1).build(ADA)
    assert [(entry.q, entry.is_verified) for entry in kept] == [("Requirement 3.", False)]
    refusing = PublishedBuilder(Scripted(obeys=9, prompts=[]), on_unverified="refuse")
    with pytest.raises(IncompleteError, match="obeyed none of 3 constraints on 'Ada Lindqvist'"):
        refusing.build(ADA)


def test_without_a_model_templates_stand_in_and_nothing_is_verified() -> None:
    entries = PublishedBuilder().build(ADA)
    assert len({entry.p for entry in entries}) == 8
    assert {entry.is_verified for entry in entries} == {None}
    assert "Sundsvall" in " ".join(entry.p for entry in entries)
    assert all("must be declined" in entry.q for entry in entries)


def test_a_sample_is_its_own_retrieval_part() -> None:
    target = ForgetTarget("memo", kind="sample", samples=("One text.", "Another text."))
    entries = PublishedBuilder(Scripted(prompts=[])).build(target)
    assert [entry.p for entry in entries] == ["One text.", "Another text."]
    assert "confidential" in entries[0].q


def test_a_harmful_topic_gets_a_safety_requirement() -> None:
    target = ForgetTarget("brewing nerve poison", kind="harm")
    (entry, *_) = PublishedBuilder().build(target)
    assert entry.q.startswith("Safety requirement: do not generate")


def test_braces_in_a_name_are_no_places() -> None:
    (entry, *_) = PublishedBuilder(n_aspects=1).build(ForgetTarget("Zorb {aspect} {facts}"))
    assert entry.p.count("Zorb {aspect} {facts}") == 4


@pytest.mark.parametrize("scheme", ["memory:", "chroma:{folder}#town"])
def test_forgets_and_restores_in_a_real_store(
    encoder: Encoder, tmp_path: Path, scheme: str
) -> None:
    benign = Passage("b1", "Oslo is in Norway.", meta={"topic": "towns"})
    batch = Batch((benign,), encoder.encode([benign.text]))
    if scheme == "memory:":
        store: Any = MutableMemoryStore(batch=batch)
    else:
        store = _made(scheme.format(folder=tmp_path), batch)
    with store:
        knowledge = UnlearnedKnowledge(store, encoder)
        entries = PublishedBuilder(n_aspects=4).build(ADA)
        assert knowledge.forget(entries) == 4
        assert knowledge.forget(entries) == 4
        assert store.count() == 5
        assert knowledge.concepts() == {"Ada Lindqvist": 4}
        found = HybridRetriever(store, encoder).retrieve("Where was Ada Lindqvist born?")
        assert is_entry(found.passages[0])
        assert knowledge.restore("ADA  lindqvist") == 4
        assert knowledge.restore("Ada Lindqvist") == 0
        after = HybridRetriever(store, encoder).retrieve("Where was Ada Lindqvist born?")
        assert [p.id for p in after.passages] == ["b1"]


def _made(url: str, batch: Batch) -> Any:
    import chromadb

    folder, _, name = url.removeprefix("chroma:").partition("#")
    chromadb.PersistentClient(folder).create_collection(name, metadata={"hnsw:space": "cosine"})
    store = open_store(url, writable=True)
    store.add(batch)
    return store


def test_nothing_to_add_is_an_error(encoder: Encoder) -> None:
    with pytest.raises(InputError, match="there are no entries to add"):
        UnlearnedKnowledge(MutableMemoryStore(), encoder).forget([])


def test_bm25_follows_the_formula() -> None:
    found = BM25(["red fox", "red red hen", "blue sky over hills"]).relevance("red hen")
    idf_red, idf_hen = np.log(1 + 1.5 / 2.5), np.log(1 + 2.5 / 1.5)
    norm = [1.5 * (0.25 + 0.75 * n / 3) for n in (2, 3, 4)]
    expected = [
        idf_red * 2.5 / (1 + norm[0]),
        idf_red * 2 * 2.5 / (2 + norm[1]) + idf_hen * 2.5 / (1 + norm[1]),
        0.0,
    ]
    assert found == pytest.approx(expected)


def test_the_threshold_rule_gives_nothing_where_nothing_is_near(encoder: Encoder) -> None:
    passages = (Passage("1", "red fox"), Passage("2", "blue sky"))
    store = MutableMemoryStore(batch=Batch(passages, encoder.encode([p.text for p in passages])))
    by_cosine = HybridRetriever(store, encoder, rule="threshold")
    assert [p.id for p in by_cosine.retrieve("red fox", 3).passages] == ["1"]
    assert by_cosine.retrieve("nothing of that", 3).passages == ()
    # Min-max normalised, something always fits.
    assert len(HybridRetriever(store, encoder).retrieve("nothing of that").hits) == 1


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="n_aspects is 9"):
        PublishedBuilder(n_aspects=9)
