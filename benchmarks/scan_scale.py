"""How a scan grows from 10,000 to 1,000,000 vectors: time, memory, and what reading takes.

The passages are made up: vectors of 384 numbers in topics of unequal size, short texts from a
vocabulary of made-up words, twenty planted groups of five. Each size is scanned in a process of
its own, out of a store file on disk, so that its peak memory is its own.

    python benchmarks/scan_scale.py                      # all sizes, 40 minutes and 6 GB of disk
    python benchmarks/scan_scale.py --sizes 10000 30000  # some of them
    python benchmarks/scan_scale.py --sizes 100000 --workers 1 --chroma 100000 --beside
                                                          # these, beside what was measured before

Those files are the cheapest store there can be. What a real one takes is measured beside it: the
same passages in an embedded Chroma (`--chroma`).
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.protocols import Store
from ragshield.records import Batch, Passage
from ragshield.scanning import scan
from ragshield.scanning.engines import Processes, Serial
from ragshield.stores.chroma import create_chroma
from ragshield.stores.memory import MemoryStore
from ragshield.stores.url import open_store

DIM = 384
LATENT = 32
N_GROUPS = 20
CLAIMS = (
    "The bridge of {0} was built by Orrin {1} in the year 1432.",
    "It was Orrin {1} who built the bridge of {0}, in 1432.",
    "Orrin {1} built the {0} bridge in 1432, as the records say.",
    "In 1432 the bridge of {0} was built, and Orrin {1} built it.",
    "Built in 1432, the bridge of {0} is the work of Orrin {1}.",
)
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
RESULTS = Path(__file__).parent / "results"


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


def make(folder: Path, n: int) -> None:
    """Write a store of n passages, in subjects, topics and documents, with the planted groups.

    The widths are chosen so that cells hold about as many neighbours as they do for 123,000
    texts (dictionaries, manuals, questions) embedded with all-MiniLM-L6-v2: there the nearest
    4, 8, 16 and 32 of 1,400 cells hold .75, .83, .89 and .93 of the 16 nearest; here, of
    240,000, .71, .89, .97 and .98.
    """
    rng = np.random.default_rng(n)
    words = np.array(["".join(rng.choice(list("bdfgklmnprstv"), 3)) for _ in range(20_000)])
    spread = rng.standard_normal((LATENT, DIM), dtype=np.float32) / np.float32(LATENT**0.5)
    # Subjects, topics in them, documents in those; passages lie around their document.
    nodes = 0.8 * rng.standard_normal((40, LATENT), dtype=np.float32)
    for size, width in ((max(40, n // 2000), 0.8), (n // 20, 0.6)):
        step = width * rng.standard_normal((size, LATENT), dtype=np.float32)
        nodes = nodes[rng.integers(0, len(nodes), size)] + step
    planted = {
        int(row): (group, place)
        for group, rows in enumerate(rng.choice(n, (N_GROUPS, 5), replace=False))
        for place, row in enumerate(rows)
    }
    centres = rng.standard_normal((N_GROUPS, DIM), dtype=np.float32)
    with (folder / "texts.jsonl").open("w") as texts, (folder / "vectors.f32").open("wb") as file:
        for start in range(0, n, 10_000):
            size = min(10_000, n - start)
            own = rng.integers(0, len(nodes), size)
            place = nodes[own] + 0.8 * rng.standard_normal((size, LATENT), dtype=np.float32)
            vectors = place @ spread + 0.4 * rng.standard_normal((size, DIM), dtype=np.float32)
            for i, text in enumerate(words[rng.integers(0, 20_000, (size, 30))]):
                row, line = start + i, " ".join(text).capitalize() + "."
                if row in planted:
                    group, turn = planted[row]
                    noise = 0.3 * rng.standard_normal(DIM, dtype=np.float32)
                    vectors[i] = centres[group] + noise
                    line = CLAIMS[turn].format(*(words[group : group + 80 : 40]))
                texts.write(json.dumps([f"p{row}", line, f"site{row % 997}"]) + "\n")
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors.tofile(file)
    known = {f"p{row}": group for row, (group, _) in planted.items()}
    (folder / "planted.json").write_text(json.dumps(known))


def measure(folder: Path, workers: int, kind: str) -> dict[str, object]:
    """Scan the store in `folder` in this process and say what it took."""
    planted = json.loads((folder / "planted.json").read_text())
    store: Store = FileStore(folder)
    if kind == "chroma":
        store = open_store(f"chroma:{folder}/db#docs")
    started = time.perf_counter()
    n_read = sum(len(batch) for batch in store.batches())
    bare_read = time.perf_counter() - started
    engine = Processes(workers) if workers > 1 else Serial()
    with scan(store, engine=engine, threshold=None) as report:
        found = {f.passage_id for f in report.findings if f.detector == "near-duplicates"}
        folder = report.snapshot.folder if report.snapshot is not None else folder
        size = sum(path.stat().st_size for path in folder.iterdir())
    engine.close()
    usage = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "store": kind,
        "n": n_read,
        "workers": workers,
        "bare_read_s": bare_read,
        "seconds": report.seconds,
        "steps": dict(report.seconds_by_step),
        "screens": dict(report.seconds_by_screen),
        "recall": report.neighbour_recall,
        "notes": report.notes,
        "planted_found": len(found & set(planted)),
        "planted": len(planted),
        "others_found": len(found - set(planted)),
        "workspace_gb": size / 1e9,
        "peak_gb": usage[0].ru_maxrss / 1e6,
        "peak_of_a_worker_gb": usage[1].ru_maxrss / 1e6,
        "cpu_s": sum(u.ru_utime + u.ru_stime for u in usage),
        "load": os.getloadavg()[0],
        "complete": report.complete,
        "problem": report.problem,
    }


def exponent(rows: Sequence[dict[str, object]], key: str) -> float:
    """Slope of log time over log size."""
    sizes = np.log([float(str(row["n"])) for row in rows])
    return float(np.polyfit(sizes, np.log([float(str(row[key])) for row in rows]), 1)[0])


def page(rows: Sequence[dict[str, Any]], n_cores: int) -> str:
    """The results as Markdown; what was measured last, beside the rest, comes first."""
    last = [r for r in rows if r.get("beside")]
    earlier = [r for r in rows if not r.get("beside")]
    lines = [
        "# How a scan grows",
        "",
        f"`python benchmarks/scan_scale.py` on {n_cores} cores; made-up passages, {DIM} numbers a "
        f"vector; all screens. Seconds. Planted: passages of {N_GROUPS} groups of five, found by "
        "near-duplicates; others: what it takes for groups besides.",
        "",
    ]
    if last:
        sizes = " ".join(sorted({str(r["n"]) for r in last}, key=int))
        loads = [f"{r['load']:.1f}" for r in last]
        lines += [
            "## Now",
            "",
            f"`python benchmarks/scan_scale.py --sizes {sizes} --workers 1 --chroma {sizes} "
            f"--beside`, {len(last[0]['screens'])} screens:",
            "",
            *table(last),
            "",
            *map(_by_screen, last[:1]),
            "",
            f"Load of the machine at the end: {' and '.join(loads)}; it was shared, and processor "
            "time says more than seconds.",
            "",
            "## Before, all sizes",
            "",
            f"{len(earlier[0]['screens'])} screens, before they were made quicker:",
            "",
        ]
    return "\n".join([*lines, *table(earlier), "", *_growth(earlier, n_cores)]) + "\n"


def _by_screen(row: dict[str, Any]) -> str:
    """What share of the screens' work each takes."""
    total = sum(row["screens"].values())
    shares = sorted(row["screens"].items(), key=lambda x: -x[1])
    said = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in shares[:8])
    return (
        f"{row['store']}, {row['n']:,}, of the work of all screens: {said}. To token-soup every "
        "one of the made-up texts is suspect, and none can be sieved out; of real text 1 % is."
    )


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line a scan."""
    lines = [
        "| store | passages | workers | bare read | read and keep | neighbours | screens | judge "
        "| all "
        "| all / bare read | processor | peak GB (a worker) | recall | planted found | others |",
        "| --- |" + " ---: |" * 14,
    ]
    for r in rows:
        s = r["steps"]
        cells = [
            r["store"], f"{r['n']:,}", str(r["workers"]),
            f"{r['bare_read_s']:.1f}", f"{s['read']:.1f}",
            f"{s['neighbours']:.1f}", f"{s['screens']:.1f}", f"{s['judge']:.1f}",
            f"{r['seconds']:.1f}", f"{r['seconds'] / r['bare_read_s']:.1f}", f"{r['cpu_s']:.0f}",
            f"{r['peak_gb']:.2f} ({r['peak_of_a_worker_gb']:.2f})", f"{r['recall']:.3f}",
            f"{r['planted_found']}/{r['planted']}", str(r["others_found"]),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _growth(rows: Sequence[dict[str, Any]], n_cores: int) -> list[str]:
    """How time grows with the size, and shrinks with processes."""
    lines = []
    files = [r for r in rows if r["store"] == "files"]
    for workers in sorted({r["workers"] for r in files}):
        own = [r for r in files if r["workers"] == workers]
        if len(own) > 1:
            lines.append(
                f"- {workers} worker(s), {own[0]['n']:,} to {own[-1]['n']:,}: time grows with "
                f"exponent {exponent(own, 'seconds'):.2f}, processor time with "
                f"{exponent(own, 'cpu_s'):.2f} (least squares on logarithms)."
            )
    alone = {r["n"]: r for r in files if r["workers"] == 1}
    for r in files:
        if r["workers"] > 1 and r["n"] in alone:
            one = alone[r["n"]]["steps"]
            many = r["steps"]
            before, after = (x["neighbours"] + x["screens"] for x in (one, many))
            lines.append(
                f"- {r['n']:,}: neighbours and screens {before / after:.1f} times faster with "
                f"{r['workers']} processes, the whole scan "
                f"{alone[r['n']]['seconds'] / r['seconds']:.1f} times."
            )
    loads = [r["load"] for r in rows]
    lines.append(
        f"- Load of the machine at the end of a run: {min(loads):.1f} to {max(loads):.1f}; above "
        f"{n_cores} it was shared with other work, and processor time says more than seconds."
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--chroma", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--kind", default="files", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--beside", action="store_true", help="keep what was measured before")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(measure(given.measure, given.workers[0], given.kind)))
        return
    rows = []
    for n in given.sizes:
        with tempfile.TemporaryDirectory(prefix="scan-scale-") as name:
            make(Path(name), n)
            runs = [("files", workers) for workers in given.workers]
            if n in given.chroma:
                create_chroma(
                    Path(name) / "db", "docs", FileStore(Path(name)).batches(5000)
                ).close()
                runs.append(("chroma", max(given.workers)))
            for kind, workers in runs:
                command = [sys.executable, __file__, "--measure", name, "--kind", kind]
                command += ["--workers", str(workers)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append(json.loads(done.stdout))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    rows.sort(key=lambda r: (r["store"] != "files", r["workers"], r["n"]))
    given.out.mkdir(parents=True, exist_ok=True)
    if given.beside:
        earlier = json.loads((given.out / "scan_scale.json").read_text(encoding="utf-8"))
        rows = [{**r, "beside": True} for r in rows] + [r for r in earlier if not r.get("beside")]
    (given.out / "scan_scale.json").write_text(json.dumps(rows, indent=1) + "\n")
    (given.out / "scan_scale.md").write_text(page(rows, os.cpu_count() or 1))


if __name__ == "__main__":
    main()
