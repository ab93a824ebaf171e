"""What `verify` shows of a certificate in a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from ragshield.proof import Checked, check, issue, new_key
from ragshield.proof.page import as_html, as_markdown, as_text

KEY = new_key()


def checked(n_hidden: int, *, seen: int) -> Checked:
    """A certificate on one store with `n_hidden` files that never showed anything."""
    nothing = {"texts": 0, "vectors": 0}
    surfaces: list[Mapping[str, Any]] = [
        {
            "name": "table.sqlite3",
            "verdict": "ERASED",
            "n": 0,
            "before": {"texts": 3, "vectors": 3},
            "after": nothing,
        }
    ]
    surfaces += [
        {"name": f"index/part-{i}.bin", "verdict": "NO_BASELINE", "n": 0, "before": nothing}
        for i in range(n_hidden)
    ]
    place = {
        "name": "store 1",
        "kind": "store",
        "surfaces": surfaces,
        "n_texts": 3,
        "n_vectors": 3,
        "seen_before": {"texts": seen, "vectors": 3},
    }
    content = {
        "tool": {"name": "ragshield", "version": "0"},
        "issued": "2026-11-21T08:00:00Z",
        "requests": [{"commitment": "ab" * 32, "scope": "subject"}],
        "closure": {"n_passages": 3, "merkle_root": "00" * 32},
        "places": [place],
        "comparison": None,
        "undo": {"possible": False},
        "exceptions": [],
        "limits": [],
        "times": {},
    }
    return check(issue(content, KEY), KEY.public)


def about(lines: list[str]) -> str:
    """The entry on places without a baseline, on one line."""
    found = re.search(r"NO_BASELINE \d+ place.*", " ".join(" ".join(lines).split()))
    return "" if found is None else found[0]


def test_files_that_never_showed_anything_are_one_entry_with_their_number() -> None:
    lines = as_text(checked(40, seen=3), 80)
    assert sum("NO_BASELINE" in line for line in lines) == 1
    assert about(lines).startswith(
        "NO_BASELINE 40 places showed none of it, before or after: all that was to be erased was "
        "visible in the others, so nothing need be done (--all: list)"
    )
    assert not any("part-7.bin" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_where_some_of_it_was_visible_nowhere_the_entry_says_what_to_do() -> None:
    assert about(as_text(checked(1, seen=2), 80)).startswith(
        "NO_BASELINE 1 place showed none of it, before or after: some of it was visible nowhere, "
        "so this proves nothing. Where the store keeps it, ragshield residue can show while it is "
        "there: after an undo, or on a copy"
    )


def test_without_such_files_nothing_is_said_of_them() -> None:
    assert not any("NO_BASELINE" in line for line in as_text(checked(0, seen=3), 80))


@pytest.mark.parametrize("shown", ["text", "markdown", "html"])
def test_all_are_named_where_they_are_asked_for_and_on_pages(shown) -> None:
    made = checked(3, seen=3)
    page = {
        "text": "\n".join(as_text(made, 80, every=True)),
        "markdown": as_markdown(made),
        "html": as_html(made),
    }[shown]
    assert [f"index/part-{i}.bin" in page for i in range(3)] == [True] * 3
    assert "--all" not in page
