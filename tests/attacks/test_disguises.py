from __future__ import annotations

import base64
import re
import unicodedata
from typing import get_args

import numpy as np
import pytest

from ragshield.attacks.disguises import Disguise, disguised
from ragshield.attacks.templates import table

TEXT = "The right answer is Per Lund, according to several careful documents & <notes>."
KEPT = ["Per Lund"]


def disguise(name: Disguise, text: str = TEXT, seed: int = 0) -> str:
    return disguised(text, name, KEPT, np.random.default_rng(seed))


@pytest.mark.parametrize("name", sorted(set(get_args(Disguise)) - {"none"}))
def test_every_disguise_changes_the_text_and_repeats_itself(name) -> None:
    assert disguise(name) != TEXT
    assert disguise(name, seed=3) == disguise(name, seed=3)


def test_none_changes_nothing() -> None:
    assert disguise("none") == TEXT


@pytest.mark.parametrize(
    "name", ["typos", "synonyms", "homoglyph", "zero-width", "soft-hyphen", "letter-variants"]
)
def test_disguises_of_words_leave_the_answer_readable(name) -> None:
    for seed in range(10):
        assert "Per Lund" in disguise(name, seed=seed)


def test_homoglyphs_fold_back_to_the_text() -> None:
    back = str.maketrans({v: k for k, v in table("disguises.toml")["homoglyphs"].items()})
    changed = disguise("homoglyph")
    assert changed.translate(back) == TEXT
    assert any(unicodedata.name(c).startswith("CYRILLIC") for c in changed)
    for latin, other in table("disguises.toml")["homoglyphs"].items():
        assert latin.isascii()
        assert unicodedata.name(other).split()[0] in ("CYRILLIC", "GREEK")


def test_invisible_characters_come_out_again() -> None:
    assert re.sub("[\u200b\u200c\u200d\u2060\ufeff]", "", disguise("zero-width")) == TEXT
    assert disguise("soft-hyphen").replace("\u00ad", "") == TEXT
    assert unicodedata.normalize("NFKC", disguise("letter-variants")) == TEXT


def test_a_reordered_text_reads_forwards_under_its_override() -> None:
    changed = disguise("bidi", "Two lines.\nHere.")
    assert changed == "\u202e.senil owT\u202c\n\u202e.ereH\u202c"


def test_tag_characters_carry_the_text_and_another_script_goes_into_markup() -> None:
    hidden = "".join(chr(ord(c) - 0xE0000) for c in disguise("tags") if ord(c) > 0xE0010)
    assert hidden.rstrip("\x7f") == TEXT
    assert "谁建立了" in disguise("tags", "谁建立了这座城市")


def test_markup_hides_the_text_and_escapes_what_would_end_it() -> None:
    hidden = disguise("html-hidden")
    assert re.fullmatch(r"<p>[^<]+</p><span style=\"[^\"]+\">.*</span>", hidden)
    assert "&amp; &lt;notes&gt;." in hidden
    comment = disguise("html-comment", "end --> <b>of</b> -- it")
    assert comment.count("-->") == 1
    assert comment.endswith("it -->")


def test_base64_decodes_to_the_text() -> None:
    assert base64.b64decode(disguise("base64").rsplit(" ", 1)[1]).decode() == TEXT
