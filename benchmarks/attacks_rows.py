"""Rows of the attack benchmark kept on disk, so that a run that broke off goes on."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ragshield.files import writing

_ROOT = Path(__file__).resolve().parents[1]
_MEASURED = ("ragshield", "attacks", "defenders", "corpora")
_KEYS = ("n_real", "n_questions", "seconds_per_attack", "n_scanned", "quick", "threads")


class Rows:
    """Results of one state of the package and one setting, each row in a file of its own.

    After a change of the benchmark itself, delete what it touches.

    Args:
        folder: where they are kept.
        environment: what they are measured on; another one has other rows.
    """

    def __init__(self, folder: Path, environment: dict[str, Any]) -> None:
        setting = json.dumps([environment[key] for key in _KEYS]) + _state()
        self._folder = folder / hashlib.sha256(setting.encode()).hexdigest()[:12]
        self._folder.mkdir(parents=True, exist_ok=True)
        self.kept("environment", lambda: environment)

    def kept(self, label: str, measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row that was measured before, or now."""
        path = self._folder / f"{label}.json"
        if not path.is_file():
            row = measured()
            with writing(path) as file:
                json.dump(row, file)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


def gathered(folder: Path, keep: Path | None, labels: Iterable[str] = ()) -> dict[str, Any]:
    """The rows of a run that broke off, and earlier ones in the others' place.

    Args:
        folder: where `Rows` kept them.
        keep: results of the earlier run.
        labels: of all rows that there should be; what is in neither is said to be missing.
    """
    rows = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in folder.glob("*.json")}
    results = {name: rows.pop(name) for name in ("environment", "none", "llm")}
    if in_lab := rows.pop("none in lab", None):
        rows["none, reader: lab"] = in_lab
    found = (earlier(keep) if keep else {}) | rows
    late = {"not_run": "the run was broken off before it was its turn"}
    return {**results, "attacks": dict.fromkeys(labels, late) | found}


def earlier(path: Path) -> dict[str, Any]:
    """Rows of an earlier run, marked as such."""
    found = json.loads(path.read_text(encoding="utf-8"))
    commit = found["environment"].get("commit", "")
    return {
        label: row if "not_run" in row else {"earlier": commit, **row}
        for label, row in found["attacks"].items()
    }


def commit() -> str:
    """The last commit that changed what is measured, with a + where files differ from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *_MEASURED)
    last = _git("log", "-1", "--format=%h", "--abbrev=10", "--", *_MEASURED).strip()
    return last + ("+" if changed.strip() else "")


def _state() -> str:
    return commit() + _git("diff", "HEAD", "--", *_MEASURED)


def _git(*words: str) -> str:
    ran = subprocess.run(("git", *words), cwd=_ROOT, capture_output=True, text=True, check=True)
    return ran.stdout
