from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.forget.plans.request import asked


def test_what_was_not_said_is_filled_in_and_noted() -> None:
    request = asked(ids=["a", "a", "b"])
    assert (request.scope, request.shared, request.ids) == ("document", "keep", ("a", "b"))
    assert request.assumed == ("scope document", "shared facts: keep")
    assert asked(subject="Ada").assumed == ("scope subject",)
    assert asked(subject="Ada", scope="subject").assumed == ()
    fact = asked(texts=["Ada sang."], scope="fact", shared="report")
    assert (fact.shared, fact.assumed) == ("report", ())


def test_a_sentence_says_it_all() -> None:
    request = asked(sentence="forget everything about Ada except that she sang", aliases=["A."])
    assert (request.subject, request.aliases) == ("Ada", ("A.",))
    assert request.exceptions == ("she sang",)
    assert request.record()["sentence"].startswith("forget everything")
    assert asked(sentence="forget that Ada sang").texts == ("Ada sang",)
    assert asked(sentence="forget the document a.pdf").document == "a.pdf"


def test_other_collections_are_not_asked_by_ids_or_keys() -> None:
    other = asked(ids=["a"], where={"k": 1}, texts=["t"]).for_others()
    assert (other.ids, other.where, other.texts) == ((), None, ("t",))


def test_the_summary_names_everything() -> None:
    assert asked(ids=["a"], texts=["t", "u"]).summary() == "1 id and 2 texts"
    assert asked(subject="Ada", aliases=["A."]).summary() == "the subject Ada (also A.)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "say what to forget"),
        ({"subject": "A", "texts": ["t"]}, "make two requests"),
        ({"subject": "A", "scope": "document"}, "in scope subject, not document"),
        ({"ids": ["a"], "scope": "subject"}, "scope subject needs a name"),
        ({"ids": ["a"], "scope": "fact"}, "needs the statement"),
        ({"texts": ["w " * 500], "scope": "fact"}, "500 words is no fact"),
        ({"ids": ["a"], "exceptions": ["x"]}, "exceptions belong to a subject"),
        ({"sentence": "forget that A sang", "ids": ["a"]}, "a sentence says it all"),
        ({"sentence": "forget that A sang", "scope": "subject"}, "asks for scope fact"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, said) -> None:
    with pytest.raises(UsageError, match=said):
        asked(**arguments)
