from __future__ import annotations

import json
from pathlib import Path

from ragshield.intervals import rate
from ragshield.lab.card import as_markdown, composed, write
from ragshield.lab.evaluating import Measured
from ragshield.lab.running import sha256_of

FOUND = {
    "read": Measured(rate(560, 600), {"1 passages": rate(118, 120)}),
    "over_refusal": Measured(rate(6, 600), {}),
}


def test_a_card_holds_hashes_recipe_and_what_was_measured(tiny_run: Path) -> None:
    data = composed(tiny_run, FOUND, n=600, seed=1, seconds_each=0.0412)
    assert data["models"]["twin"]["sha256"] == sha256_of(tiny_run / "twin")
    assert data["recipe"]["size"]["width"] == 32
    assert data["measured"]["read"]["right"] == 560
    assert data["targets"] == {
        "read": {"limit": ">= 0.95", "reached": False},
        "over_refusal": {"limit": "<= 0.03", "reached": True},
    }
    json.dumps(data)


def test_the_card_for_people_says_the_same(tiny_run: Path) -> None:
    text = as_markdown(composed(tiny_run, FOUND, n=600, seed=1, seconds_each=0.0412))
    assert "| read | 0.933 |" in text
    assert "| · 1 passages | 0.983 |" in text
    assert "- read >= 0.95: missed" in text
    assert "- over_refusal <= 0.03: reached" in text
    assert "41 ms" in text
    assert sha256_of(tiny_run / "obedient") in text


def test_notes_beside_a_run_go_into_its_card(tiny_run: Path) -> None:
    assert composed(tiny_run, FOUND, n=600, seed=1)["notes"] is None
    (tiny_run / "notes.txt").write_text("Stopped twice.\n", encoding="utf-8")
    try:
        data = composed(tiny_run, FOUND, n=600, seed=1)
        assert data["notes"] == "Stopped twice."
        assert "\nStopped twice.\n" in as_markdown(data)
    finally:
        (tiny_run / "notes.txt").unlink()


def test_both_cards_are_written(tiny_run: Path, tmp_path: Path) -> None:
    data = composed(tiny_run, FOUND, n=600, seed=1)
    write(tmp_path, data)
    assert json.loads((tmp_path / "card.json").read_text("utf-8")) == data
    assert (tmp_path / "card.md").read_text("utf-8") == as_markdown(data)
