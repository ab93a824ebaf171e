from __future__ import annotations

import pytest

from ragshield.forget.matching.documents import (
    Key,
    Reference,
    is_document,
    keys_of,
    names_in_meta,
    number_of,
    references_of,
)
from ragshield.records import Passage


def passage(source: str | None = None, **meta) -> Passage:
    return Passage("p", "text", source, meta)


def test_parents_and_files_are_keys_of_a_document() -> None:
    found = keys_of(passage("https://x.org/a", ref_doc_id="d1", doc_id="d1", file_path="/a/b.txt"))
    assert found == (Key("parent", "d1"), Key("file", "/a/b.txt"), Key("file", "https://x.org/a"))


@pytest.mark.parametrize("source", ["Harrow Courier", "web", None, "none"])
def test_a_source_that_is_no_file_joins_nothing(source) -> None:
    assert keys_of(passage(source, doc_id="None", parent=True)) == ()


def test_chunk_numbers() -> None:
    assert number_of(passage(page="7", x=1)) == ("page", 7.0)
    assert number_of(passage(chunk=3)) == ("chunk", 3.0)
    assert number_of(passage(chunk="three")) is None


def test_references_in_values_lists_and_lists_in_texts() -> None:
    found = references_of(passage(sources='["a1", "b2"]', note="xyz, uvw", page=3))
    assert found == (
        Reference("sources", ("a1", "b2"), True),
        Reference("note", ("xyz, uvw", "xyz", "uvw"), False),
    )


def test_ids_of_three_letters_are_references() -> None:
    assert references_of(passage(derived_from="abc")) == (
        Reference("derived_from", ("abc",), True),
    )
    assert references_of(passage(doc_id="abc")) == (Reference("doc_id", ("abc",), False),)
    assert references_of(passage(_node="abc")) == ()


def test_a_document_is_named_by_path_last_part_title_or_id() -> None:
    p = Passage("p7", "t", "files/Report A.pdf", {"title": "Annual Report"})
    assert all(
        is_document(p, x) for x in ("report a.pdf", "files/Report A.pdf", "annual report", "p7")
    )
    assert not is_document(p, "Report")


def test_names_are_looked_for_in_short_public_texts() -> None:
    found = names_in_meta(passage("web", author="Ada", _node_content="Ada", big="x" * 900, n=1))
    assert found == {"author": "Ada", "source": "web"}
