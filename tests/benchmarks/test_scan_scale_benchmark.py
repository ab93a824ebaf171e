"""The scale benchmark scans real text, and says what a scan takes beside reading the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scan_scale import Clock, FileStore, measure
from scan_scale_report import page, table
from scan_scale_texts import CLAIMS, DIM, _planted, _recombined, make_up

from ragshield.records import Passage
from ragshield.scanning import Progress, Serial


def row(**given: Any) -> dict[str, Any]:
    steps = dict.fromkeys(("read", "neighbours", "screens", "judge"), 2.0)
    found: dict[str, Any] = {
        "state": "now", "texts": "real", "store": "files", "n": 1000, "workers": 1,
        "bare_read_s": 2.0, "bare_read_cpu_s": 1.0, "steps": steps, "cpu_by_step": steps,
        "seconds": 8.0, "cpu_s": 6.0, "screens": {"hubness": 3.0, "secrets": 1.0},
        "peak_gb": 0.2, "peak_of_a_worker_gb": 0.1, "recall": 0.9, "planted_found": 99,
        "planted": 100, "others_found": 3, "load": 1.0,
    }  # fmt: skip
    return {**found, **given}


def test_a_scan_is_set_beside_the_bare_read_in_seconds_and_in_processor_time() -> None:
    line = table([row()])[-1]
    assert line == (
        "| files | 1,000 | 1 | 2.0 (1.0) | 2.0 (2.0) | 2.0 (2.0) | 2.0 (2.0) | 2.0 (2.0) "
        "| 8.0 (6.0) | 4.0 (6.0) | 0.20 (0.10) | 0.900 | 99/100 | 3 | 1.0 |"
    )


def test_the_page_tells_states_and_texts_apart() -> None:
    rows = [row(), row(workers=4, seconds=4.0), row(state="before"), row(texts="made up", n=10**6)]
    said = page(rows, 4)
    assert said.index("## Real text") < said.index("### Now") < said.index("### Before")
    assert said.index("### Before") < said.index("## Made-up words and vectors")
    assert "hubness 75%, secrets 25%" in said
    assert "the whole scan 2.0 times, for 1.0 times the processor time" in said


def test_what_was_measured_without_processor_time_is_kept_by_itself() -> None:
    earlier = row()
    del earlier["cpu_by_step"]
    said = page([earlier, row()], 4)
    assert "## Made-up words, earlier" in said


def test_passages_put_together_anew_hold_sentences_that_are_there() -> None:
    texts = [
        f"This is the sentence number {i} of them. And here stands one more {i}." for i in range(9)
    ]
    found = [Passage(f"p{i}", text, None) for i, text in enumerate(texts)]
    made = _recombined(found, 20)
    assert len({p.id for p in made}) == 20
    known = {s.strip() for text in texts for s in text.replace(". ", ".|").split("|")}
    for passage in made:
        parts = passage.text.replace(". ", ".|").split("|")
        assert 2 <= len(parts) <= 4
        assert set(parts) <= known


def test_groups_are_planted_at_different_rows() -> None:
    planted = _planted(500, np.random.default_rng(1))
    assert len(planted) == 100
    assert {place for _, place in planted.values()} == set(range(len(CLAIMS)))


def test_the_clock_notes_the_last_of_every_stage() -> None:
    clock = Clock(Serial())
    clock.note(Progress("read", 1, 2))
    first = clock.at["read"]
    sum(i * i for i in range(200_000))
    clock.note(Progress("read", 2, 2))
    assert clock.at["read"] > first


@pytest.mark.slow
def test_a_made_up_store_is_scanned_and_its_parts_add_up(tmp_path: Path) -> None:
    make_up(tmp_path, 600)
    assert len(json.loads((tmp_path / "planted.json").read_text())) == 100
    assert sum(len(b) for b in FileStore(tmp_path).batches()) == 600
    assert (tmp_path / "vectors.f32").stat().st_size == 600 * DIM * 4
    found = measure(tmp_path, 1, "files")
    assert found["complete"]
    assert isinstance(found["cpu_by_step"], dict)
    assert sum(found["cpu_by_step"].values()) <= float(str(found["cpu_s"])) + 0.1
