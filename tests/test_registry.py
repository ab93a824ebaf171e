from __future__ import annotations

import pytest

from ragshield import registry
from ragshield.errors import UsageError
from ragshield.records import Spec


def test_plural_of_corpus_is_corpora() -> None:
    assert registry.plural("corpus") == "corpora"
    assert registry.plural("attack") == "attacks"


def test_unknown_name_suggests_the_nearest_and_says_where_to_look() -> None:
    with pytest.raises(UsageError) as caught:
        registry.load("attack", "poisonrag")
    assert str(caught.value) == (
        "unknown attack 'poisonrag'; did you mean 'poisonedrag'? See: ragshield list attacks"
    )


def test_unknown_parameter_is_named_with_those_allowed() -> None:
    with pytest.raises(UsageError, match=r"takes no parameter 'model'.*it takes: .*hop.*mode"):
        registry.build(Spec("defender", "ragdefender", {"model": "x"}))


def test_parameter_value_that_is_not_allowed_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="ragdefender"):
        registry.build(Spec("defender", "ragdefender", {"mode": "fast"}))


def test_context_reaches_only_plugins_that_ask_for_it() -> None:
    built = registry.build(Spec("defender", "none"), encoder=object(), reader=object())
    assert built.name == "none"


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_plugin_has_a_one_line_summary_read_without_import(kind: str) -> None:
    for name in registry.names(kind):  # type: ignore[arg-type]
        summary = registry.summary(kind, name)  # type: ignore[arg-type]
        assert summary.endswith("."), f"{kind} {name}: {summary!r}"
        assert len(summary) <= 110
