"""Kills purges of one kind of store at many points, and says what it found after each.

Run as a script: `kill_purge.py KIND FOLDER POINTS SEED`. It forks for each point, so it
imports everything once and starts no thread.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from light_stores import bytes_left, contents, delete_elsewhere, docs, make

from ragshield.records import Spec
from ragshield.registry import build


def purge(url: str, gone: list[str], at: int | None) -> int:
    """Purge, and kill this process at the `at`-th call into C; gives their number."""
    n_calls = 0
    recipe = build(Spec("recipe", url.partition(":")[0]))

    def watch(_frame: object, event: str, _argument: object) -> None:
        nonlocal n_calls
        n_calls += event == "c_call"
        if n_calls == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)
    recipe.purge(url, gone)
    sys.setprofile(None)
    return n_calls


def killed(url: str, gone: list[str], at: int) -> bool:
    """Purge in a process of its own that dies on the way; whether it did."""
    child = os.fork()
    if not child:
        try:
            purge(url, gone, at)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(kind: str, folder: Path, n_points: int, seed: int) -> None:
    batch = docs(120)
    gone = [p.id for p in batch.passages[::9]]
    original = folder / "original"
    original.mkdir()
    url = make(kind, original, batch)
    live = {i: row for i, row in contents(url).items() if i not in gone}
    delete_elsewhere(kind, url, gone)

    def fresh(name: str) -> tuple[Path, str]:
        target = folder / name
        shutil.copytree(original, target)
        return target, url.replace(str(original), str(target))

    purge(fresh("warm")[1], gone, None)  # imports what is imported late
    n_calls = purge(fresh("counted")[1], gone, None)
    # Most calls read: half of the points lie where the purge begins to write.
    rng = random.Random(seed)
    half = n_points // 2
    points = {*rng.sample(range(1, n_calls), half), *rng.sample(range(n_calls // 2, n_calls), half)}
    results = []
    for at in sorted(points):
        target, there = fresh(f"at-{at}")
        died = killed(there, gone, at)
        after = contents(there)
        lost = [i for i, row in live.items() if after.get(i) != row]
        strangers = sorted(set(after) - set(live) - set(gone))
        build(Spec("recipe", there.partition(":")[0])).purge(there, gone)
        results.append(
            {
                "at": at,
                "died": died,
                "lost": lost,
                "strangers": strangers,
                "left": bytes_left(target, batch, gone),
                "same": contents(there) == live,
                "files": sorted(p.name for p in target.iterdir()),
            }
        )
        shutil.rmtree(target)
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
