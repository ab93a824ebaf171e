from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.records import Target
from ragshield.text import states


def test_a_true_passage_keeps_its_answer_and_loses_words_around_it(craft, retriever) -> None:
    [passage] = craft("garag", retriever=retriever, prefix=False)
    assert states(passage.text, "Ida Holm")
    assert passage.text not in [t.text for t in retriever.retrieve("Brackwater", 5).passages]
    assert passage.meta["variant"] == "true"
    assert passage.meta["weak"] is False


def test_supplied_poison_keeps_the_wrong_answer(craft, target) -> None:
    supplied = Target(target.question, "Per Lund", texts=("Founder Per Lund opened the mills.",))
    [passage] = craft("garag", at=supplied, rate=1.0, prefix=False)
    assert "Per Lund" in passage.text
    for word in ("Founder", "opened", "mills"):
        assert word not in passage.text
    assert passage.meta["variant"] == "supplied"


def test_auto_takes_true_passages_then_supplied_texts_then_templates(craft, retriever) -> None:
    assert craft("garag")[0].meta["variant"] == "template"
    assert craft("garag", texts="template", retriever=retriever)[0].meta["variant"] == "template"


def test_what_is_not_there_is_refused(craft) -> None:
    with pytest.raises(UsageError, match="pass a retriever over it"):
        craft("garag", texts="true")
    with pytest.raises(UsageError, match="has 0 texts, n is 1"):
        craft("garag", texts="supplied")
    with pytest.raises(UsageError, match=r"rate is 1\.5; it must be between 0 and 1"):
        craft("garag", rate=1.5)
