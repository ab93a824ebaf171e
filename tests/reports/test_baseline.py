from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ragshield.errors import InputError
from ragshield.reports.baseline import read_baseline
from ragshield.reports.lines import as_json, as_jsonl
from ragshield.reports.sarif import as_sarif


def jsonl(report) -> str:
    return "".join(f"{line}\n" for line in as_jsonl(report, quote=False))


@pytest.mark.parametrize(
    "write",
    [jsonl, lambda r: as_json(r, quote=False), lambda r: as_sarif(r, quote=False)],
    ids=["jsonl", "json", "sarif"],
)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_what_a_report_holds_is_known(hostile, tmp_path: Path, write, n: int) -> None:
    path = tmp_path / "report"
    path.write_text(write(replace(hostile, listed=hostile.listed[:n])), encoding="utf-8")
    assert read_baseline(path) == {x.fingerprint for x in hostile.listed[:n]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "line 1 is not JSON"),
        ('{"passage_id": "a"}\n{"passage_id": "b"}\n', "findings without a fingerprint"),
        ('{"question": "a"}\n', "something else than findings"),
        ("[1, 2]", "something else than findings"),
        ('{"runs": [{"results": [{"message": {}}]}]}', "findings without a fingerprint"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "baseline"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        read_baseline(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_baseline(tmp_path / "none.jsonl")
