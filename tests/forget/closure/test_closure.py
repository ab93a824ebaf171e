"""What a plan finds beside what it is told: copies, pieces, chunks, derived records, facts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ragshield.errors import UsageError
from ragshield.forget import ForgetPlan, plan_forget
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore

REPORT = (
    "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay. The works "
    "burnt down twice and were rebuilt each time with money from the harbour board. In her "
    "later years she wrote a manual of knots that sailors carried as far as Valparaiso. The "
    "manual went through nine editions and was printed by Holm and Daughters of Harrowgate."
)


TALE = (
    "The mills up the valley were another matter, since their weir was swept away every spring "
    "and nobody would lend the owners a penny. It was said that a goat kept the books, and that "
    "it kept them better than the bailiff who came after it and left with the silver spoons."
)


@pytest.fixture
def made(town, word_encoder):
    """A store of the town and some more passages."""

    def make(more: Mapping[str, str | Passage]) -> MemoryStore:
        extra = [
            p if isinstance(p, Passage) else Passage(key, p, None, {}) for key, p in more.items()
        ]
        passages = (*town.passages, *extra)
        vectors = word_encoder.encode([p.text for p in passages])
        return MemoryStore("memory:closure", Batch(passages, vectors))

    return make


def state(plan: ForgetPlan) -> dict[str, bool]:
    return {item.passage_id: item.selected for item in plan.items}


def reason(plan: ForgetPlan, passage_id: str) -> str:
    return next(item.reason for item in plan.items if item.passage_id == passage_id)


def test_near_copies_are_selected_and_forms_about_others_are_not(made) -> None:
    store = made(
        {
            "report": REPORT,
            "typos": REPORT.replace("founded", "foundde").replace("later", "last"),
            "form": REPORT.replace("Ada Lindqvist", "Petra Quarrie").replace("1820", "1911"),
        }
    )
    plan = plan_forget(store, ids=["report"])
    assert state(plan)["typos"]
    assert "nearly a selected text" in reason(plan, "typos")
    assert not state(plan).get("form", False)


def test_pieces_cut_otherwise_and_wholes_are_selected(made) -> None:
    store = made(
        {
            "report": REPORT,
            "piece": REPORT[60:240],
            "ends in a name": REPORT[150 : REPORT.index("Daughters") + 3],
            "whole": f"Collected papers. {REPORT} So much for the quay. {TALE}",
            "overlap": REPORT[250:] + " " + "The weather of that year was mild and dry. " * 3,
        }
    )
    plan = plan_forget(store, ids=["report"])
    found = state(plan)
    assert (found["piece"], found["whole"], found["overlap"]) == (True, True, False)
    assert found["ends in a name"]
    assert "cut from selected passages" in reason(plan, "piece")
    assert "holds the whole" in reason(plan, "whole")


def test_boilerplate_that_all_passages_share_joins_nothing(made) -> None:
    footer = "All rights reserved by the harbour board of Tannow and its heirs and assigns."
    store = made({f"n{i}": f"Note {i} on topic{i} word{i}. {footer}" for i in range(40)})
    plan = plan_forget(store, ids=["n0"])
    assert [x for x, selected in state(plan).items() if selected] == ["n0"]


def test_a_given_text_needs_no_id(made) -> None:
    store = made({"a": REPORT[:170], "b": REPORT[171:]})
    plan = plan_forget(store, texts=[REPORT])
    # The town's own first sentence about her is a piece of the report.
    assert {x for x, go in state(plan).items() if go} == {"a", "b", "ada-1", "ada-copy"}
    assert plan.scope == "document"
    with pytest.raises(UsageError, match="carries 1 text; nothing planned"):
        plan_forget(store, texts=["Quite another story, which nobody here has ever told before."])


def test_an_encoder_finds_a_given_text_in_other_words(made, word_encoder) -> None:
    text = "It was in 1820 that Ada Lindqvist founded rope works in Tannow, northern quay."
    without = plan_forget(made({}), texts=[text])
    with_encoder = plan_forget(made({}), texts=[text], encoder=word_encoder)
    assert "para" in state(with_encoder)
    assert set(state(without)) <= set(state(with_encoder))


def chunks(meta) -> dict[str, Passage]:
    parts = [REPORT[:80], REPORT[80:160], "An appendix on the price of hemp in those days."]
    return {
        f"c{i}": Passage(f"c{i}", part, meta.get("source"), {**meta.get("meta", {}), **own})
        for i, (part, own) in enumerate(
            zip(parts, ({"chunk": 0}, {"chunk": 1}, {"chunk": 2}), strict=True)
        )
    }


@pytest.mark.parametrize(
    ("meta", "selected"),
    [
        ({"meta": {"ref_doc_id": "d1"}}, True),
        ({"source": "reports/rope.pdf"}, True),
        ({"source": "Harrow Courier"}, None),
    ],
)
def test_chunks_of_the_document_go_with_it(made, meta, selected) -> None:
    plan = plan_forget(made(chunks(meta)), ids=["c0"])
    assert state(plan).get("c2") == selected


def test_a_subject_does_not_take_the_rest_of_a_document_along(made) -> None:
    store = made(chunks({"meta": {"ref_doc_id": "d1"}}))
    assert "c2" not in state(plan_forget(store, subject="Ada Lindqvist"))


def test_a_last_name_is_certain_in_a_document_with_the_whole_name(made) -> None:
    meta = {"ref_doc_id": "d1"}
    store = made(
        {
            "c0": Passage("c0", "Ada Lindqvist came early.", None, meta),
            "c1": Passage("c1", "Later Dr. Lindqvist left by boat.", None, meta),
        }
    )
    plan = plan_forget(store, subject="Ada Lindqvist")
    assert state(plan)["c1"]
    assert "in a document that has the whole name" in reason(plan, "c1")
    assert not state(plan)["ada-last"]


def test_records_made_from_a_passage_are_found_by_the_ledger(made) -> None:
    store = made(
        {
            "sum": Passage("sum", "A founder is described.", None, {"summary_of": "ada-1"}),
            "both": Passage("both", "Two.", None, {"derived_from": '["ada-1", "filler-1"]'}),
            "see": Passage("see", "See there.", None, {"compare": "ada-1"}),
        }
    )
    plan = plan_forget(store, ids=["ada-1"])
    found = state(plan)
    assert (found["sum"], found["both"], found["see"]) == (True, True, False)
    found = state(plan_forget(store, subject="Ada Lindqvist"))
    assert (found["sum"], found["both"]) == (True, False)


def test_a_name_in_the_metadata_is_for_a_person_to_judge(made) -> None:
    store = made({"m": Passage("m", "On hemp.", None, {"author": "Ada Lindqvist"})})
    plan = plan_forget(store, subject="Ada Lindqvist")
    assert state(plan)["m"] is False
    assert "in its metadata 'author'" in reason(plan, "m")


def test_a_filter_and_a_document_name_select(made) -> None:
    store = made(chunks({"source": "reports/rope.pdf"}))
    by_filter = plan_forget(store, where={"chunk": {"$gte": 1}})
    assert {x for x, s in state(by_filter).items() if s} == {"c1", "c2"}
    # The filter said which: the first chunk of the file is for a person.
    assert state(by_filter)["c0"] is False
    named = plan_forget(store, sentence="forget the document rope.pdf")
    assert {"c0", "c1", "c2"} <= {x for x, s in state(named).items() if s}


def test_exceptions_keep_passages_that_say_nothing_else(made) -> None:
    store = made(
        {
            "kept": "Ada Lindqvist worked here as a rope maker.",
            "mixed": "Ada Lindqvist worked here as a rope maker. She owed the bank 300 crowns.",
        }
    )
    plan = plan_forget(
        store,
        sentence="forget everything about Ada Lindqvist except that she worked as a rope maker",
    )
    assert [kept.passage_id for kept in plan.kept] == ["kept"]
    assert plan.kept[0].exception == "she worked as a rope maker"
    assert "kept" not in state(plan)
    assert state(plan)["mixed"] is False
    assert "and more: rewrite it" in reason(plan, "mixed")
    assert state(plan)["ada-1"]
    assert plan.request["exceptions"] == ["she worked as a rope maker"]


def test_an_exception_of_one_word_is_for_a_person(made) -> None:
    store = made({"kept": "Ada Lindqvist worked here."})
    plan = plan_forget(store, subject="Ada Lindqvist", exceptions=["she worked here"])
    assert plan.kept == ()
    assert state(plan)["kept"] is False
    assert "may only state what is to be kept" in reason(plan, "kept")


OTHERS = {
    "d0": "Ada Lindqvist was born in Tannow in 1791. Her dog was called Brutus Maximus.",
    "e0": "The founder, Ada Lindqvist, saw the light of day in 1791, as the registers say.",
}


@pytest.mark.parametrize(
    ("shared", "expected"), [("keep", None), ("report", False), ("forget", True)]
)
def test_a_fact_that_others_state_is_kept_reported_or_forgotten(made, shared, expected) -> None:
    plan = plan_forget(made(OTHERS), ids=["d0"], shared=shared)
    facts = {fact.value: fact for fact in plan.shared_facts}
    assert (facts["1791"].about, facts["1791"].also_in) == ("Ada Lindqvist", ("e0",))
    assert "Brutus Maximus" not in facts
    assert state(plan).get("e0") == expected
    assert plan.shared == shared


def test_other_chunks_say_whom_a_shared_fact_is_about(made) -> None:
    store = made(
        {
            **OTHERS,
            "f0": Passage("f0", "A life of Ada Lindqvist.", "life.txt", {"chunk": 0}),
            "f1": Passage("f1", "She was born in 1791.", "life.txt", {"chunk": 1}),
        }
    )
    facts = {fact.value: fact.also_in for fact in plan_forget(store, ids=["d0"]).shared_facts}
    assert facts["1791"] == ("e0", "f1")


@pytest.mark.parametrize(
    ("shared", "selected"), [("forget", {"d0", "e0"}), ("keep", set()), ("report", set())]
)
def test_a_statement_is_forgotten_wherever_it_stands(made, shared, selected) -> None:
    plan = plan_forget(
        made(OTHERS), texts=["Ada Lindqvist was born in 1791"], scope="fact", shared=shared
    )
    assert {x for x, s in state(plan).items() if s} == selected
    assert {"d0", "e0"} <= set(state(plan))
    assert "ada-2" not in state(plan)


def test_paraphrases_are_never_selected(made) -> None:
    plan = plan_forget(made({}), ids=["ada-1"])
    assert state(plan)["para"] is False


def test_passages_without_usable_vectors_are_noted(town) -> None:
    vectors = np.array(town.vectors)
    vectors[3] = np.nan

    class Damaged(MemoryStore):
        def batches(self, size: int = 1024):
            yield Batch(town.passages, vectors)

    plan = plan_forget(Damaged("memory:", town), ids=["ada-1"])
    assert any(note.startswith("1 passages have no usable vector") for note in plan.notes)


def test_copies_of_copies_are_followed(made) -> None:
    first = REPORT.split()
    second = [w if i % 9 else "zinc" for i, w in enumerate(first)]
    third = [w if (i + 4) % 9 else "lead" for i, w in enumerate(second)]
    store = made({"a": REPORT, "b": " ".join(second), "c": " ".join(third)})
    alone = plan_forget(made({"a": REPORT, "c": " ".join(third)}), ids=["a"])
    found = state(plan_forget(store, ids=["a"]))
    assert found["c"] >= state(alone).get("c", False)
    assert found["b"] or "b" in found


def test_what_was_assumed_stands_in_the_plan(made) -> None:
    plan = plan_forget(made({}), ids=["ada-1"])
    assert plan.notes[:2] == (
        "assumed, because it was not said: scope document",
        "assumed, because it was not said: shared facts: keep",
    )
    assert plan.request == {"ids": ["ada-1"], "assumed": ["scope document", "shared facts: keep"]}
