"""The examples in the tree run as they are, offline."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.model


def lines_of(name, capsys):
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_the_guard_example_drops_the_poisoned_passages_and_leaves_the_right_answer(capsys):
    pytest.importorskip("langchain_chroma")
    lines = lines_of("langchain_guard.py", capsys)
    # The default guard may cost an honest passage; the answer must survive it.
    assert lines[0].startswith("fused judged 11 passages and removed ")
    told = " ".join(line for line in lines if "removed" in line)
    assert "'upload-1'" in told
    assert "'upload-2'" in told
    assert "quotes the question" in told
    assert "Status: filtered. Kept:" in lines
    kept = [line for line in lines if line.startswith("- ")]
    assert not [line for line in kept if "Evelyn Crane" in line]
    assert "- The town chronicle of 1912 names Per Lund" in "\n".join(kept)


def test_the_ingest_example_holds_the_three_poisoned_passages_with_reasons(capsys):
    lines = lines_of("langchain_ingest.py", capsys)
    assert lines[0] == "5 added, 3 held"
    held = [line for line in lines if line.startswith("held: ")]
    assert len(held) == 3
    assert all("Evelyn Crane" in line for line in held)
    reasons = [line for line in lines if line.startswith("  question-echo (")]
    assert len(reasons) == 3
