from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield.cli.main import run
from ragshield.corpora.world import load
from ragshield.defenders.calibrated_shield import read_shield
from ragshield.encoders import open as opening
from ragshield.records import Batch
from ragshield.stores import memory
from ragshield.stores.url import open_store


@pytest.fixture
def store_of(monkeypatch, word_encoder):
    """Fills `memory:docs` and makes the command line use the bag-of-words encoder."""
    monkeypatch.setattr(memory, "_NAMED", {})
    monkeypatch.setattr(opening, "open_encoder", lambda name, cache=None: word_encoder)

    def fill(n: int | None) -> str:
        store = open_store("memory:docs", writable=True)
        passages = load(seed=0, people=90, firms=30, places=30).passages[:n]
        store.add(Batch(passages, word_encoder.encode([p.text for p in passages])))
        return "memory:docs"

    return fill


def test_the_page_fits_80_columns_and_the_file_can_be_read(store_of, tmp_path, capsys) -> None:
    path = tmp_path / "shield.toml"
    url = store_of(None)
    done = ["calibrate", url, "-o", str(path), "--n-questions", "120", "--n-attacked", "10"]
    assert run(done) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 80
    shield = read_shield(path)
    assert f"threshold      suspicion {shield.threshold:.3f}" in lines
    assert "budget         0.01 of the honest passages" in lines
    assert any(line.startswith("poisonedrag, no prefix    5") for line in lines)
    assert f"written to {path}" in shown.err.replace("\n", "")
    assert "120 questions are few for budget 0.01" in " ".join(shown.err.split())


def test_a_small_store_is_warned_of_and_calibrated_for_what_it_allows(
    store_of, tmp_path, capsys
) -> None:
    path = tmp_path / "shield.toml"
    assert run(["calibrate", store_of(40), "-o", str(path), "--n-attacked", "0"]) == 0
    shown = capsys.readouterr()
    assert "too few for budget 0.01, which needs 99" in " ".join(shown.err.split())
    assert "(0.01 asked for)" in shown.out
    assert read_shield(path).budget > 0.01


def test_given_questions_are_used(store_of, tmp_path: Path, capsys) -> None:
    questions = tmp_path / "q.txt"
    asked = [q.text for q in load(seed=0, people=90, firms=30, places=30).questions[:30]]
    questions.write_text("\n".join(asked), encoding="utf-8")
    path = tmp_path / "shield.toml"
    done = ["calibrate", store_of(None), "-o", str(path), "--questions", str(questions)]
    assert run([*done, "--budget", "0.05", "--n-attacked", "5"]) == 0
    shield = read_shield(path)
    assert (shield.questions, shield.n_questions) == ("given", 30)
    assert "30 honest questions given" in " ".join(capsys.readouterr().out.split())


def test_confirmed_findings_are_left_out(store_of, tmp_path: Path) -> None:
    url = store_of(300)
    findings = tmp_path / "findings.jsonl"
    ids = [p.id for p in next(open_store(url).batches(100)).passages]
    findings.write_text("".join(json.dumps({"passage_id": i}) + "\n" for i in ids))
    counts = []
    for extra in ([], ["--without", str(findings)]):
        path = tmp_path / "shield.toml"
        done = ["calibrate", url, "-o", str(path), "--n-questions", "50", "--n-attacked", "0"]
        assert run([*done, *extra]) == 0
        counts.append(read_shield(path).expected.n)
    assert counts[0] == 1000
    assert counts[1] < 950


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "0"], "--budget is 0; it must be above 0 and at most 0.5"),
        (["--budget", "0.6"], "--budget is 0.6"),
        (["--questions", "none.txt"], "none.txt does not exist"),
        (["-o", "none/shield.toml"], "cannot write none/shield.toml"),
        (["--k", "0"], "k is 0"),
        (["--without", "none.jsonl"], "cannot read none.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments, message, store_of, tmp_path, monkeypatch, capsys
) -> None:
    url = store_of(30)
    monkeypatch.chdir(tmp_path)
    assert run(["calibrate", url, *arguments]) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert not (tmp_path / "shield.toml").exists()


def test_an_empty_store_is_one_line_and_exit_code_2(
    store_of, tmp_path, monkeypatch, capsys
) -> None:
    open_store("memory:docs", writable=True)
    monkeypatch.chdir(tmp_path)
    assert run(["calibrate", "memory:docs"]) == 2
    assert "memory:docs is empty: nothing to calibrate on" in capsys.readouterr().err
