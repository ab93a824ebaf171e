from __future__ import annotations

import pytest

from ragshield.attacks.templates import table
from ragshield.errors import UsageError
from ragshield.text import states


def test_a_citation_ends_the_text_and_the_metadata_agree(craft) -> None:
    publishers = {p["url"]: p for p in table("forged_source.toml")["publishers"]}
    passages = craft("forged-source", n=8)
    assert {p.source for p in passages} == set(publishers)
    for passage in passages:
        publisher = publishers[str(passage.source)]
        assert passage.meta["author"] == publisher["author"]
        assert passage.meta["publisher"] in passage.text or str(passage.source) in passage.text
        assert str(passage.meta["date"]).startswith("2025-")
        assert "{" not in passage.text


def test_forged_metadata_leave_the_text_plain(craft) -> None:
    [plain] = craft("forged-source", place="metadata")
    assert str(plain.meta["publisher"]) not in plain.text
    assert states(plain.text, "Per Lund")


def test_a_forged_title_carries_the_answer_and_the_text_does_not(craft) -> None:
    passages = craft("forged-source", place="title", n=5)
    for passage in passages:
        assert passage.meta["title"] == "Who founded Brackwater Mills? Per Lund"
        assert passage.meta["tags"] == "Per Lund"
        assert not states(passage.text, "Per Lund")
        assert passage.meta["weak"] is False


def test_more_than_there_are_publishers_and_unknown_places_are_refused(craft) -> None:
    with pytest.raises(UsageError, match="n is 9; there are 8 publishers"):
        craft("forged-source", n=9)
    with pytest.raises(UsageError, match="place is 'back'"):
        craft("forged-source", place="back")
