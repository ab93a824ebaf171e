from __future__ import annotations

from ragshield.forget.matching.facts import Facts, Statement, about, facts_of
from ragshield.forget.matching.features import Features, Rarity

ADA = (
    "Ada Lindqvist was born in Tannow in 1820. Lindqvist wrote to ada@rope.example. "
    "Her colleague Bror Holm was older."
)


def rarity(*texts: str) -> Rarity:
    found = Rarity()
    for text in [*texts, *(f"filler{i} born works text" for i in range(400))]:
        found.note(Features(text).vocabulary)
    return found


def test_a_document_is_about_the_name_it_uses_most() -> None:
    assert about([Features(ADA)]) == "Ada Lindqvist"
    assert about([Features("Dr. Low came. Dr. Low's dog left.")]) == "Low"
    assert about([Features("It rained.")]) == ""


def test_facts_are_values_that_sentences_give() -> None:
    found = facts_of(Features(ADA), "p", "Ada Lindqvist")
    assert [fact.value for fact in found] == ["Tannow", "1820", "ada@rope.example", "Bror Holm"]
    assert found[1].text == "Ada Lindqvist was born in Tannow in 1820."
    assert {fact.about for fact in found} == {"Ada Lindqvist"}


def test_a_passage_states_a_fact_if_it_names_both() -> None:
    facts = Facts(facts_of(Features(ADA), "p", "Ada Lindqvist"), rarity(ADA))
    assert facts.stated(Features("In 1820 Ada Lindqvist came into the world.")) == ([1], [])
    assert facts.stated(Features("Dr. Lindqvist, of Tannow, is dead.")) == ([0], [])
    assert facts.stated(Features("She was born in 1820.")) == ([], [1])
    assert facts.stated(Features("Bror Lindqvist was born in Tannow.")) == ([], [0])
    assert facts.mentioned(Features("Ada Lindqvist again")) == {"Ada Lindqvist"}


def test_a_fact_about_nobody_needs_three_words() -> None:
    weak = facts_of(Features("It opened in Rome in 1820."), "p", "")
    assert Facts(weak, rarity()).facts == []
    strong = facts_of(Features("We saw the Tannow Great Rope Works."), "p", "")
    assert [fact.value for fact in Facts(strong, rarity()).facts] == ["Tannow Great Rope Works"]


def test_a_statement_is_certain_where_its_rare_value_stands() -> None:
    statement = Statement("Dr. Ada Lindqvist was born in Tannow.", rarity(ADA))
    certain = statement.stated(Features("Tannow is where Ada Lindqvist first saw light."))
    assert certain is not None
    assert certain[0] >= 0.9
    later = statement.stated(Features("Dr. Lindqvist grew up. She was born in Tannow."))
    assert later is not None
    assert later[0] >= 0.9
    unnamed = statement.stated(Features("She was born in Tannow."))
    assert unnamed is not None
    assert unnamed[0] == 0.6
    assert statement.stated(Features("Ada Lindqvist was born in Harrowgate.")) is None
    assert statement.stated(Features("Bror Lindqvist was born in Harrowgate.")) is None


def test_a_common_value_needs_the_other_words_too() -> None:
    common = rarity(*("Written in Rome." for _ in range(60)))
    statement = Statement("Ada Lindqvist was born in Rome.", common)
    born = statement.stated(Features("Ada Lindqvist, born in Rome, sang."))
    assert born is not None
    assert born[0] >= 0.9
    other = statement.stated(Features("Ada Lindqvist never saw Rome."))
    assert other is not None
    assert other[0] < 0.8


def test_a_statement_without_names_goes_by_its_words() -> None:
    statement = Statement("the mill was sold after the flood", rarity("mill sold flood"))
    assert statement.stated(Features("After the flood they sold the mill.")) is not None
    assert statement.stated(Features("The mill stood empty.")) is None


def test_the_subject_of_an_exception_does_not_count() -> None:
    kept = Statement("Ada Lindqvist worked here", rarity(), without=["Ada Lindqvist"])
    assert kept.stated(Features("She worked in the yard.")) is not None
    assert kept.stated(Features("Ada Lindqvist slept.")) is None


def test_a_title_with_its_full_stop_ends_no_sentence_of_a_statement() -> None:
    common = rarity(*("A hall of botany." for _ in range(60)))
    statement = Statement("In which department does Dr. Ada Lindqvist work: Botany", common)
    asked = "Q: In which department does Dr. Ada Lindqvist work? A: Botany. She sings."
    stated = statement.stated(Features(asked))
    assert stated is not None
    assert stated[0] >= 0.9
    assert stated[1].endswith("A: Botany.")


def test_saying_that_somebody_is_the_value_states_it() -> None:
    common = rarity(*("A Danish ship." for _ in range(60)))
    statement = Statement("What is Dr. Ada Lindqvist's nationality: Danish", common)
    for text in ("Dr. Lindqvist is Danish and sings.", "Ada Lindqvist was a Danish singer."):
        said = statement.stated(Features(text))
        assert said is not None
        assert said[0] >= 0.9
    for text in ("Ada Lindqvist sailed on Danish ships.", "Lindqvist is here. A Danish ship came."):
        beside = statement.stated(Features(text))
        assert beside is None or beside[0] < 0.8


def test_a_question_that_asks_where_somebody_belongs_needs_no_such_word() -> None:
    common = rarity(*("The botany department." for _ in range(60)))
    statement = Statement("Which department does Ada Lindqvist belong to: Botany", common)
    works = statement.stated(Features("Ada Lindqvist leads the department of Botany."))
    assert works is not None
    assert works[0] >= 0.9
    likes = statement.stated(Features("Ada Lindqvist likes Botany."))
    assert likes is None or likes[0] < 0.8
