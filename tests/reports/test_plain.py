from __future__ import annotations

from dataclasses import replace

import pytest

from ragshield.reports.plain import as_text


def page(report, **options) -> list[str]:
    return [line.text for line in as_text(report, **{"quote": True, **options})]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("which", ["clean", "hostile", "many"])
def test_no_line_is_wider_than_the_terminal_or_drives_it(request, which: str, width: int) -> None:
    lines = page(request.getfixturevalue(which), width=width)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_a_group_shows_its_evidence_neighbours_ids_and_advice(hostile) -> None:
    lines = page(hostile)
    text = "\n".join(lines)
    assert lines[0] == "  1. critical 0.97  2 passages: question-echo, near-duplicates"
    assert "nearest in the store, by similarity" in text
    assert "AML.T0066" in text
    assert "What to do" in text
    assert "Question repeated to be found (question-echo)." in text
    assert "not judged" in text
    assert lines[-1].endswith("1.2 s)")


def test_known_groups_are_counted_and_not_shown(hostile) -> None:
    known = tuple(replace(listed, known=True) for listed in hostile.listed)
    lines = page(replace(hostile, listed=known, has_baseline=True))
    assert lines[0] == "2 groups are known from the baseline and not shown"
    assert "What to do" not in lines


def test_a_long_list_says_how_much_is_left_out(many) -> None:
    lines = page(many)
    assert "980 more groups: --format jsonl or html lists all" in lines


def test_without_quotes_nothing_stored_is_shown(hostile) -> None:
    text = "\n".join(page(hostile, quote=False))
    for stored in ("alert", "onerror", "evil", "obey"):
        assert stored not in text
