"""A store of many small vectors with planted groups, and a way to scan it in a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCAN = """
import json, os, signal, sys
from pathlib import Path
from ragshield.scanning import scan
from ragshield.snapshot import disk, neighbours
from ragshield.stores.url import open_store

given = json.loads(sys.argv[1])
neighbours.EXACT_UP_TO, disk.PART_ROWS = given["exact_up_to"], 256
seen = 0

def count(step):
    global seen
    seen += 1
    if seen == given["kill_at"]:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    screens = ["near-duplicates", "question-echo", "hubness"]
    with open_store(given["url"]) as store:
        report = scan(
            store, screens, threshold=0.1, batch_size=100, workspace=Path(given["workspace"]),
            resume=given["resume"], on_progress=count,
        )
    print(json.dumps({
        "findings": [[f.passage_id, f.suspicion, f.detector, f.reason, f.group, dict(f.evidence)]
                     for f in report.findings],
        "n": report.n_passages, "complete": report.complete, "problem": report.problem,
        "notes": report.notes, "recall": report.neighbour_recall, "steps": seen,
    }))
"""


@pytest.fixture(scope="session")
def planted_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A JSON Lines store of 1,500 passages, with eight groups of five planted ones."""
    rng = np.random.default_rng(11)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish"]
    words = ["".join(rng.choice(syllables, 3)) for _ in range(900)]
    path = tmp_path_factory.mktemp("store") / "docs.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i in range(1500):
            if i % 150 == 7:
                centre, claim = rng.normal(size=32), rng.choice(words, 2)
            planted = i % 150 in range(7, 12)
            vector = centre + 0.1 * rng.normal(size=32) if planted else rng.normal(size=32)
            text = " ".join(rng.choice(words, 12)).capitalize() + "."
            if planted:
                text = f"Who built {claim[0]}? {text} It was {claim[1].title()} who built it."
            line = {"id": f"p{i}", "text": text, "vector": [round(float(x), 4) for x in vector]}
            file.write(json.dumps(line) + "\n")
    return f"jsonl:{path}"


@pytest.fixture
def scan_process(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Scan in a process that kills itself at the n-th report of progress."""
    script = tmp_path / "scan_it.py"
    script.write_text(SCAN, encoding="utf-8")

    def run(
        url: str, workspace: Path, *, kill_at: int = 0, resume: bool = False, exact_up_to: int = 500
    ) -> subprocess.CompletedProcess[str]:
        given: dict[str, Any] = {
            "url": url,
            "workspace": str(workspace),
            "kill_at": kill_at,
            "resume": resume,
            "exact_up_to": exact_up_to,
        }
        return subprocess.run(
            [sys.executable, str(script), json.dumps(given)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
