"""`ragshield residue` on folders and stores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ragshield.cli.main import run

TEXTS = [f"Ada Example hid letter {i * 7919} beneath the stairs of the old mill" for i in range(5)]


@pytest.fixture
def case(tmp_path):
    """A folder that holds five targets, and the targets' file."""
    vectors = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32)
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "texts.txt").write_text("\n".join(TEXTS))
    (folder / "vectors.bin").write_bytes(vectors.tobytes())
    targets = tmp_path / "targets.jsonl"
    rows = zip(TEXTS, vectors, strict=True)
    lines = [
        {"id": f"letter-{i:05d}", "text": text, "vector": v.tolist()}
        for i, (text, v) in enumerate(rows)
    ]
    targets.write_text("\n".join(map(json.dumps, lines)))
    return folder, targets


def test_before_and_after_a_deletion_by_other_means(case, tmp_path, capsys):
    folder, targets = case
    before = tmp_path / "before.json"
    look = ["residue", str(folder), "--targets", str(targets)]
    assert run([*look, "--format", "json", "-o", str(before)]) == 1
    assert json.loads(before.read_text())["n_seen_vectors"] == 5
    (folder / "texts.txt").write_text("empty")
    assert run([*look, "--baseline", str(before)]) == 1
    assert "RESIDUAL     vectors.bin" in capsys.readouterr().out
    (folder / "vectors.bin").unlink()
    assert run([*look, "--baseline", str(before)]) == 0
    shown = capsys.readouterr().out
    assert "ERASED. Seen there before the deletion, and not there now." in shown
    assert run(look) == 3
    assert "NO_BASELINE. Nothing was found, but" in capsys.readouterr().out


def test_the_report_fits_the_screen_and_quotes_no_target(case, capsys, monkeypatch):
    folder, targets = case
    monkeypatch.setenv("COLUMNS", "80")
    (folder / ("a-very-long-name-" * 6 + ".txt")).write_text("\n".join(TEXTS))
    assert run(["residue", str(folder), "--targets", str(targets)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("texts          5 seen            620 bytes" in line for line in lines), lines
    for text in TEXTS:
        assert text[:20] not in "\n".join(lines)
        assert "letter-0000" not in "\n".join(lines)


def test_a_store_that_nobody_can_look_into_is_incomplete(case, capsys):
    _, targets = case
    assert run(["residue", "chroma+http://127.0.0.1:1#docs", "--targets", str(targets)]) in (2, 3)
    assert len(capsys.readouterr().err.strip().splitlines()) <= 1


def test_bad_input_is_one_line(case, tmp_path, capsys):
    folder, targets = case
    for arguments in (
        ["residue", str(folder), "--targets", str(tmp_path / "none.jsonl")],
        ["residue", str(tmp_path / "none"), "--targets", str(targets)],
        ["residue", str(folder), "--targets", str(targets), "--baseline", str(targets)],
        ["residue", str(folder), "--targets", str(targets), "-o", str(tmp_path / "no" / "x")],
    ):
        assert run(arguments) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
