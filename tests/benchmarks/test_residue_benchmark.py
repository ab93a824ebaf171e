"""The residue matrix as a script: one small cell for real, and its page."""

from __future__ import annotations

import pytest
import residue
from residue_report import markdown
from residue_stores import KINDS

from ragshield import registry


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sqlite")
    return {"store": "sqlite", **residue.cell(KINDS["sqlite"], folder, residue.made_up(60), 0.1)}


def page(*cells):
    vendors = {name: kind.vendor for name, kind in KINDS.items()}
    known = {"machine": "a machine", "dim": 384, "left_out": [], "vendors": vendors}
    return {**known, "not_run": residue.not_run(list(cells), [2000]), "cells": cells}


def test_every_recipe_takes_part():
    left_out = set(registry.names("recipe")) - {kind.scheme for kind in KINDS.values()}
    assert left_out <= {"chroma+https"}


def test_a_cell_shows_what_every_step_leaves(found):
    assert found["n_deleted"] == 6
    assert (found["before"]["texts"], found["before"]["vectors"]) == (6, 6)
    assert found["delete"]["vector_bytes"] > 0
    assert found["vacuum"]["vector_bytes"] == 0
    assert found["ragshield"]["text_bytes"] == found["ragshield"]["vector_bytes"] == 0
    assert found["live_identical"]
    assert found["orders_identical"] == found["n_questions"]
    assert residue.is_clean(found)


def test_the_page_names_what_failed_and_what_is_not_clean(found):
    left = {**found, "ragshield": {**found["ragshield"], "vector_bytes": 1536}}
    failed = {"store": "sqlite", "rows": 2000, "share": 0.0, "failed": "OSError: full"}
    shown = markdown(page(found, left, failed))
    assert "**1 of 3 cells:" in shown
    assert "| 0 / 1,536 |" in shown
    assert "Cells not measured (sqlite: 4)" in shown
    assert "| 2,000 | 1 | **failed:** OSError: full |" in shown
    assert not residue.is_clean(left)
    assert not residue.is_clean(failed)
