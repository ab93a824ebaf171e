"""Whatever the engine, the findings are the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ragshield.errors import IncompleteError, UsageError
from ragshield.protocols import StoreScreen
from ragshield.records import Action, Batch, Finding
from ragshield.scanning import Dask, Processes, ScanReport, Serial, scan
from ragshield.scanning.engines import Engine, open_engine
from ragshield.screens.hubness import Hubness
from ragshield.snapshot import disk, neighbours
from ragshield.stores.url import open_store

SCREENS = ["near-duplicates", "question-echo", "hubness"]


class Mute:
    """A screen that cannot be sent to another process."""

    name = "mute"

    def __init__(self) -> None:
        self.pid = lambda: os.getpid()

    def screen(self, batch: Batch) -> list[Finding]:
        return [
            Finding(p.id, 0.9, self.name, Action.KEEP, f"seen by {self.pid() - os.getpid()}")
            for p in batch.passages[:1]
        ]


@pytest.fixture(scope="module")
def processes() -> Iterator[Engine]:
    engine = Processes(2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def dask() -> Iterator[Engine]:
    pytest.importorskip("distributed", reason="needs the dask extra")
    engine = Dask(2)
    yield engine
    engine.close()


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 500)
    monkeypatch.setattr(disk, "PART_ROWS", 256)


def scanned(url: str, engine: Engine, screens: list[object] | None = None) -> ScanReport:
    with (
        open_store(url) as store,
        scan(store, screens or SCREENS, threshold=0.1, engine=engine) as r,
    ):
        return r


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("name", ["processes", "dask"])
def test_the_findings_are_those_of_one_process(
    planted_store: str, name: str, request: pytest.FixtureRequest
) -> None:
    alone = scanned(planted_store, Serial())
    engine: Engine = request.getfixturevalue(name)
    assert engine.n_workers == 2
    shared = scanned(planted_store, engine)
    assert shared.complete
    assert shared.findings == alone.findings
    assert len(shared.findings) >= 40
    assert shared.neighbour_recall == alone.neighbour_recall
    assert shared.notes == alone.notes


def test_a_screen_that_does_not_pickle_runs_in_this_process(
    planted_store: str, processes: Engine
) -> None:
    report = scanned(planted_store, processes, [Mute(), "question-echo"])
    assert report.complete
    assert report.screens == ("mute", "question-echo")
    mute = [f for f in report.findings if f.detector == "mute"]
    assert [(f.passage_id, f.reason) for f in mute] == [("p0", "seen by 0")]


class Two(Serial):
    """Says that it has two workers, notes its tasks, and loses one where told to."""

    n_workers = 2

    def __init__(self, dies_at: str | None = None) -> None:
        self.judged: list[str] = []
        self._dies_at = dies_at

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        for task in tasks:
            if isinstance(task[0], StoreScreen):
                if task[0].name == self._dies_at:
                    raise IncompleteError("a worker process died")
                self.judged.append(task[0].name)
            yield function(task)


class Unsent(Hubness):
    """A screen of the whole store that cannot be sent to another process."""

    name = "unsent"

    def __init__(self) -> None:
        super().__init__()
        self.kept = lambda: None


def test_screens_of_the_whole_store_are_judged_by_the_workers(planted_store: str) -> None:
    alone = scanned(planted_store, Serial(), [*SCREENS, Unsent()])
    engine = Two()
    shared = scanned(planted_store, engine, [*SCREENS, Unsent()])
    assert engine.judged == SCREENS
    assert shared.screens == (*SCREENS, "unsent")
    assert shared.findings == alone.findings


def test_a_worker_that_dies_while_it_judges_leaves_what_others_found(planted_store: str) -> None:
    report = scanned(planted_store, Two("question-echo"), [*SCREENS, Unsent()])
    assert report.screens == ("near-duplicates", "unsent")
    assert not report.complete
    assert report.problem == (
        "screen 'question-echo' failed: a worker process died; "
        "screen 'hubness' failed: a worker process died"
    )
    assert {f.detector for f in report.findings} >= {"near-duplicates"}


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_results_come_in_the_order_of_the_tasks(name: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(name)
    assert list(engine.map(abs, [-5, 4, -3, 2, -1, 0, -7])) == [5, 4, 3, 2, 1, 0, 7]
    assert list(engine.map(abs, [])) == []


def test_an_error_in_a_worker_comes_back_as_it_is(processes: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        list(processes.map(partial(divmod, 1), [1, 0]))


def test_a_worker_that_dies_is_one_clear_error() -> None:
    engine = Processes(1)
    with pytest.raises(IncompleteError, match="a worker process died: out of memory"):
        list(engine.map(os._exit, [1]))
    assert list(engine.map(abs, [-1])) == [1]
    engine.close()
    engine.close()


KILLED = """
import os, time
from ragshield.scanning import Processes
if __name__ == "__main__":
    engine = Processes(2)
    results = engine.map(time.sleep, [0.05] * 2000)
    next(results)
    print(*(process.pid for process in engine._pool._processes.values()), flush=True)
    os.kill(os.getpid(), 9)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_do_not_outlive_a_killed_scan(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    workers = [int(pid) for pid in done.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in workers if is_alive(pid)] == []


def test_auto_takes_processes_where_there_is_much_to_do() -> None:
    assert open_engine("auto", None, 19_999).name == "serial"
    assert open_engine("auto", 3, 20_000).n_workers == 3
    assert open_engine("auto", 1, 20_000).name == "serial"
    with pytest.raises(UsageError, match="engine is 'spark'; it must be one of: auto, serial"):
        open_engine("spark", None, 1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="workers is 0; it must be at least 1"):
        open_engine("serial", 0, 1)


def test_findings_do_not_depend_on_how_the_store_is_cut(
    planted_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scanned(planted_store, Serial())
    monkeypatch.setattr(disk, "PART_ROWS", 97)
    cut = scanned(planted_store, Serial())
    assert cut.findings == whole.findings
