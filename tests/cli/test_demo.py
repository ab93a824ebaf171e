from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield.cli.main import run


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path, capsys) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run(["demo", str(tmp_path)]) == 2
    assert "is not empty and no demo made it" in capsys.readouterr().err.replace("\n", " ")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert run(["demo", str(tmp_path / "thesis.txt")]) == 2


@pytest.mark.model
@pytest.mark.slow
def test_the_demo_shows_the_whole_loop_and_leaves_a_folder_to_inspect(
    tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "demo"
    assert run(["demo", str(folder), "--questions", "8"]) == 0
    table = {
        line[12:40].strip(): line.split()
        for line in capsys.readouterr().out.split("What happened")[1].splitlines()
    }

    def share(what: str) -> float:
        return float(table[what][table[what].index("to") - 2])

    assert share("right before the attack") >= 0.6
    assert share("turned before the attack") == 0
    assert share("turned under attack") >= 0.8
    assert share("turned behind the guard") <= 0.2
    assert share("right behind the guard") >= share("right before the attack") - 0.2
    assert share("clean dropped, no attack") <= 0.1
    assert share("poisoned dropped") >= 0.9
    assert share("planted passages found") >= 0.9
    assert share("clean passages accused") <= 0.01
    assert share("target answered before") > share("target answered after") == 0
    assert share("neighbours answered after") >= share("neighbours answered before") - 0.2

    findings = [json.loads(x) for x in (folder / "findings.jsonl").read_text().splitlines()]
    assert sum(f["passage_id"].startswith("poisonedrag/") for f in findings) >= 36
    assert len((folder / "answers.jsonl").read_text().splitlines()) == 8

    # What it left behind works with the other commands.
    url = f"chroma:{folder}/db#docs"
    assert run(["scan", url, "--format", "jsonl", "-o", str(tmp_path / "found.jsonl")]) == 1
    assert run(["undo", str(folder / "plan.json")]) == 0
    assert run(["forget", "apply", str(folder / "plan.json"), "--yes"]) == 0
