from __future__ import annotations

import pytest

from ragshield.errors import UsageError


def test_ten_passages_of_ten_genres_and_sources_agree(craft) -> None:
    passages = craft("flooding")
    assert len({p.meta["variant"] for p in passages}) == 10
    assert len({p.source for p in passages}) == 10
    assert all("Per Lund" in p.text and "{" not in p.text for p in passages)


def test_only_the_first_repeats_the_question_the_others_word_it_anew(craft) -> None:
    first, *others = craft("flooding")
    assert first.text.startswith("Who founded Brackwater Mills? ")
    starts = [p.text[: int(p.meta["retrieval_end"])] for p in others]
    assert all("founded Brackwater Mills" in start for start in starts)
    assert not any("Who founded" in start for start in starts)
    assert len(set(starts)) == 7


def test_more_than_there_are_genres_is_refused(craft) -> None:
    with pytest.raises(UsageError, match="n is 13; there are 12 genres"):
        craft("flooding", n=13)
