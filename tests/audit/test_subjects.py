"""What an audit asks about: items made of targets."""

from __future__ import annotations

import pytest

from ragshield.audit.subjects import subjects_of
from ragshield.forget_set import ForgetTarget


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        # Half of it, "Which river flows", would ask for any river.
        ("Which river flows through Mellstead? The Garle.", "Which river flows through Mellstead?"),
        ("In the year of 1874 it was founded by two brothers.", "In the year of 1874"),
        # Nothing in it stands for it alone.
        (
            "The quiet town of small houses has no name at all here.",
            "The quiet town of small houses",
        ),
    ],
)
def test_a_sample_is_asked_for_by_enough_of_it_to_know_which(text: str, opening: str) -> None:
    target = ForgetTarget("a sample", kind="sample", samples=(text,))
    (subject,), _ = subjects_of([target], None, 0)
    (item,) = subject.items
    assert item.value == text.removeprefix(opening).strip()
    assert any(opening in question for question in item.questions)
