from __future__ import annotations

import pytest

from ragshield.reports.visible import pieces, visible


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("plain text, naïve café, 東京, مرحبا", "plain text, naïve café, 東京, مرحبا"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u200b\u200b\u200bb", "a⟨U+200B x3⟩b"),
        ("a\x1b[31mb", "a⟨U+001B⟩[31mb"),
        ("a\ud800b", "a⟨U+D800⟩b"),
        ("a\U000e0069\U000e0067b", "a⟨hidden: ig⟩b"),
        ("a\u3164b", "a⟨U+3164⟩b"),
        ("two\nlines\tand\u00a0space", "two lines and space"),
        ("", ""),
    ],
)
def test_what_does_not_show_is_spelled_out(stored: str, shown: str) -> None:
    assert visible(stored) == shown


def test_long_texts_are_cut_and_not_walked_through() -> None:
    assert visible("x" * 10_000_000, 10) == "x" * 9 + "…"
    assert visible("x" * 10, 10) == "x" * 10


def test_line_ends_stay_in_pieces() -> None:
    assert pieces("a\nb\u200bc") == [("a\nb", False), ("U+200B", True), ("c", False)]
