"""How a scan grows, and what it takes beside merely reading the store: time, memory, findings.

Passages of real text with their vectors of 384 numbers, up to as many as are installed
(`scan_scale_texts`); a million is made up. Twenty groups of five are planted. Each size is
scanned in a process of its own, out of a store file on disk, so that its peak memory is its own.

    python benchmarks/scan_scale.py                      # 10,000 to 100,000 of real text
    python benchmarks/scan_scale.py --sizes 10000 30000  # some of them
    python benchmarks/scan_scale.py --sizes 1000000 --made-up --beside
                                                          # these, beside what was measured before

Those files are the cheapest store there can be. What a real one takes is measured beside it: the
same passages in an embedded Chroma (`--chroma`). Processor time is given beside the seconds of
every part: on a machine that others use, too, it is what can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scan_scale_report import page
from scan_scale_texts import DIM, make_real, make_up

from ragshield.protocols import Store
from ragshield.records import Batch, Passage
from ragshield.scanning import Progress, scan
from ragshield.scanning.engines import Engine, Processes, Serial
from ragshield.stores.chroma import create_chroma
from ragshield.stores.memory import MemoryStore
from ragshield.stores.url import open_store

SIZES = (10_000, 30_000, 100_000)
RESULTS = Path(__file__).parent / "results"
TICKS = os.sysconf("SC_CLK_TCK")


class FileStore(MemoryStore):
    """A store whose rows lie in two files: nothing is cheaper to read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"memory:{folder.name}")
        self.folder = folder
        self.n = (folder / "vectors.f32").stat().st_size // (4 * DIM)

    def count(self) -> int:
        """Number of passages."""
        return self.n

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All of them, in order."""
        with (self.folder / "texts.jsonl").open(encoding="utf-8") as lines:
            for start in range(0, self.n, size):
                n = min(size, self.n - start)
                vectors = np.fromfile(
                    self.folder / "vectors.f32", np.float32, n * DIM, offset=start * DIM * 4
                )
                rows = [json.loads(next(lines)) for _ in range(n)]
                passages = tuple(Passage(i, text, source) for i, text, source in rows)
                yield Batch(passages, vectors.reshape(n, DIM))


class Clock:
    """Processor time of this process and its workers, noted at the end of every stage."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.at: dict[str, float] = {}

    def now(self) -> float:
        """Seconds so far."""
        pool = getattr(self._engine, "_pool", None)
        workers = [] if pool is None else list(pool._processes)
        return time.process_time() + sum(map(_cpu_of, workers))

    def note(self, progress: Progress) -> None:
        """Told by the scan how far it is."""
        self.at[progress.stage] = self.now()


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(folder: Path, workers: int, kind: str) -> dict[str, object]:
    """Scan the store in `folder` in this process and say what it took."""
    planted = json.loads((folder / "planted.json").read_text())
    store: Store = FileStore(folder)
    if kind == "chroma":
        store = open_store(f"chroma:{folder}/db#docs")
    started, used = time.perf_counter(), time.process_time()
    n_read = sum(len(batch) for batch in store.batches())
    bare_read, bare_cpu = time.perf_counter() - started, time.process_time() - used
    engine = Processes(workers) if workers > 1 else Serial()
    clock = Clock(engine)
    began = last = clock.now()
    with scan(store, engine=engine, threshold=None, on_progress=clock.note) as report:
        ended = clock.now()
        found = {f.passage_id for f in report.findings if f.detector == "near-duplicates"}
        folder = report.snapshot.folder if report.snapshot is not None else folder
        size = sum(path.stat().st_size for path in folder.iterdir())
    cpu = {}
    for stage, at in clock.at.items():
        cpu[stage], last = at - last, at
    engine.close()
    usage = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "store": kind,
        "n": n_read,
        "workers": workers,
        "bare_read_s": bare_read,
        "bare_read_cpu_s": bare_cpu,
        "seconds": report.seconds,
        "steps": dict(report.seconds_by_step),
        "cpu_by_step": cpu,
        "cpu_s": ended - began,
        "screens": dict(report.seconds_by_screen),
        "recall": report.neighbour_recall,
        "notes": report.notes,
        "planted_found": len(found & set(planted)),
        "planted": len(planted),
        "others_found": len(found - set(planted)),
        "workspace_gb": size / 1e9,
        "peak_gb": usage[0].ru_maxrss / 1e6,
        "peak_of_a_worker_gb": usage[1].ru_maxrss / 1e6,
        "load": os.getloadavg()[0],
        "complete": report.complete,
        "problem": report.problem,
    }


@contextmanager
def _folder(kept: Path | None, name: str) -> Iterator[Path]:
    """Where a store is made: a folder to be kept, or one that is deleted."""
    if kept is not None:
        (kept / name).mkdir(parents=True, exist_ok=True)
        yield kept / name
        return
    with tempfile.TemporaryDirectory(prefix="scan-scale-") as made:
        yield Path(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--chroma", type=int, nargs="*", default=[100_000])
    parser.add_argument("--made-up", action="store_true", help="words and vectors of no language")
    parser.add_argument("--kind", default="files", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--beside", action="store_true", help="keep what was measured before")
    parser.add_argument("--state", default="now", help="name of what is measured, for the page")
    parser.add_argument("--keep", type=Path, help="keep the stores there, and use those kept")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(measure(given.measure, given.workers[0], given.kind)))
        return
    rows = []
    texts = "made up" if given.made_up else "real"
    for n in given.sizes:
        with _folder(given.keep, f"{texts.replace(' ', '-')}-{n}") as folder:
            if not (folder / "planted.json").is_file():
                (make_up if given.made_up else make_real)(folder, n)
            runs = [("files", workers) for workers in given.workers]
            if n in given.chroma:
                if not (folder / "db").is_dir():
                    create_chroma(folder / "db", "docs", FileStore(folder).batches(5000)).close()
                runs += [("chroma", workers) for workers in given.workers]
            for kind, workers in runs:
                command = [sys.executable, __file__, "--measure", str(folder), "--kind", kind]
                command += ["--workers", str(workers)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                said = {"state": given.state, "texts": texts}
                rows.append({**said, **json.loads(done.stdout.splitlines()[-1])})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "scan_scale.json"
    if given.beside and path.is_file():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        new = {tuple(row[key] for key in KEYS) for row in rows}
        rows += [row for row in earlier if tuple(row.get(key) for key in KEYS) not in new]
    path.write_text(json.dumps(rows, indent=1) + "\n")
    (given.out / "scan_scale.md").write_text(page(rows, os.cpu_count() or 1))


KEYS = ("state", "texts", "store", "n", "workers")
"""What tells one row of the results from another."""


if __name__ == "__main__":
    main()
