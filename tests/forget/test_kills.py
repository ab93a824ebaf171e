"""Killed at random times, on a full disk, beside a reader: nothing lost, nothing half-done.

A small part of benchmarks/forget_kills.py, which kills every embedded store 200 times.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ragshield.errors import UsageError
from ragshield.forget import apply_plan, finish, plan_forget, undo, write_plan
from ragshield.proof import new_key, opened_key, read_certificate
from ragshield.stores.url import open_store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")

GONE = {"filler-3", "filler-9", "brackwater"}
SCRIPT = """
import resource, signal, sys
from pathlib import Path
from ragshield.errors import RagshieldError
from ragshield.forget import apply_plan, finish
from ragshield.forget.ending import is_final
from ragshield.proof import opened_key

folder, final, limit = Path(sys.argv[1]), sys.argv[2] == "final", int(sys.argv[3])
if limit >= 0:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print("ready", flush=True)
try:
    if not is_final(folder / "plan.json"):
        apply_plan(folder / "plan.json")
    key, _ = opened_key(folder / "key.pem")
    finish([folder / "plan.json"], final=final, certificate=folder / "c.json", signing_key=key)
except RagshieldError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def folder(jsonl_url, tmp_path) -> Path:
    """A store and a plan in a folder that is copied for each kill."""
    with open_store(jsonl_url) as store:
        write_plan(plan_forget(store, ids=sorted(GONE)), tmp_path / "plan.json")
    opened_key(tmp_path / "key.pem")
    return tmp_path


def started(folder: Path, how: str, limit: int = -1) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), how, str(limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.slow
def test_a_run_killed_at_random_times_is_finished_or_taken_back(
    folder, jsonl_url, contents
) -> None:
    before, rng = contents(jsonl_url), random.Random(5)
    spare = folder.parent / f"{folder.name}-spare"
    shutil.copytree(folder, spare)
    start = time.monotonic()
    assert started(folder, "final").wait() == 0
    whole_s = time.monotonic() - start
    live = {k: v for k, v in before.items() if k not in GONE}
    for i in range(9):
        for path in folder.iterdir():
            path.unlink()
        shutil.copytree(spare, folder, dirs_exist_ok=True)
        how = ("final", "kept", "undo")[i % 3]
        child = started(folder, how)
        time.sleep(rng.uniform(0, whole_s))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        after = contents(jsonl_url)
        assert {k: v for k, v in after.items() if k not in GONE} == live
        if how == "undo":
            try:
                undo(folder / "plan.json")
            except UsageError as error:
                assert "nothing of" in str(error) or "never applied" in str(error)  # noqa: PT017
            assert contents(jsonl_url) == before
            continue
        assert started(folder, how).wait() == 0
        assert contents(jsonl_url) == live
        expected = "ERASED" if how == "final" else "RESIDUAL"
        assert read_certificate(folder / "c.json").overall == expected
        assert (folder / "plan.json.key").exists() == (how == "kept")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1_500, 30_000, 90_000])
def test_a_full_disk_is_one_line_and_loses_nothing(folder, jsonl_url, contents, limit) -> None:
    before = contents(jsonl_url)
    child = started(folder, "kept", limit)
    _, said = child.communicate()
    if child.returncode:
        assert said.count("\n") == 1, said
        assert said.split(":")[0] in ("IncompleteError", "UsageError", "StoreError"), said
    there = contents(jsonl_url)
    assert {k: v for k, v in there.items() if k not in GONE}.items() <= before.items()
    assert len(there) in (len(before), len(before) - len(GONE))
    assert apply_plan(folder / "plan.json").verdict == "ERASED"
    ended = finish([folder / "plan.json"], certificate=folder / "c.json", signing_key=new_key())
    assert ended.stores == "ERASED"
    assert contents(jsonl_url) == {k: v for k, v in before.items() if k not in GONE}
