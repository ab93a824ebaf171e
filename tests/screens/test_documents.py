from __future__ import annotations

import pytest

from ragshield.records import Passage
from ragshield.screens.documents import key_of, place


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Passage("guide-4", ""), Passage("guide-5", "")),
        (Passage("a", "", "guide.pdf", {"chunk": 4}), Passage("b", "", "guide.pdf", {"chunk": 5})),
        (
            Passage("x", "", None, {"Doc-ID": "g", "chunk_index": "4"}),
            Passage("y", "", None, {"doc_id": "g", "chunk_index": 5.0}),
        ),
        (Passage("7", "", "guide.pdf"), Passage("8", "", "guide.pdf")),
    ],
)
def test_neighbouring_chunks_have_one_document_and_following_numbers(one, other) -> None:
    first, second = place(one), place(other)
    assert first.document == second.document is not None
    assert (first.number, second.number) in {(4, 5), (7, 8)}


@pytest.mark.parametrize(
    "passage",
    [
        Passage("abc", ""),
        Passage("abc", "", None, {"chunk": True}),
        Passage("abc", "", "guide", {"chunk": -1}),
        Passage("abc", "", "guide", {"chunk": 1.5}),
        Passage("abc", "", "guide", {"chunk": "one"}),
    ],
)
def test_what_gives_no_number_has_none(passage) -> None:
    assert place(passage).number is None


def test_other_documents_are_told_apart() -> None:
    found = {
        place(Passage("g-1", "")).document,
        place(Passage("h-1", "")).document,
        place(Passage("g-1", "", "web")).document,
        place(Passage("x", "", "web")).document,
    }
    assert len(found) == 4


def test_keys_do_not_change_and_nothing_has_none() -> None:
    assert key_of(None) == 0
    assert key_of("guide") == key_of("guide") != key_of("guid")
    assert key_of("\ud800") > 0
