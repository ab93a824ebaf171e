"""Where the parts of a scan are worked on: in this process, in several, or by Dask."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from functools import lru_cache
from importlib import import_module
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, cast, get_args, runtime_checkable

from ragshield.errors import IncompleteError, MissingExtraError, UsageError

EngineName: TypeAlias = Literal["auto", "serial", "processes", "dask"]
"""`auto`: processes from `MANY` passages on, below that serial, which starts at once."""

MANY = 20_000

_AHEAD = 2
"""Tasks given out per worker, so that results do not pile up."""


@runtime_checkable
class Engine(Protocol):
    """Applies a function to tasks. Whatever the engine, the results are the same.

    Every task runs with one thread of linear algebra: with several, the last bits of a
    sum depend on how many there are.
    """

    name: ClassVar[str]

    @property
    def n_workers(self) -> int:
        """How many tasks it works on at a time."""
        ...

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """Results in the order of the tasks; both must be picklable.

        Raises:
            IncompleteError: a worker died.
        """
        ...

    def close(self) -> None:
        """Stop the workers; safe to call twice."""
        ...


class Serial:
    """One task after another, in this process."""

    name: ClassVar[str] = "serial"
    n_workers = 1

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """Results, each worked out when it is asked for."""
        return map(function, tasks)

    def close(self) -> None:
        """Nothing to stop."""


class Processes:
    """A pool of processes on this machine, each started afresh.

    A script that scans so at its top level must do it under `if __name__ == "__main__":`.

    Args:
        n_workers: None for as many as this process may use cores.
    """

    name: ClassVar[str] = "processes"

    def __init__(self, n_workers: int | None = None) -> None:
        self.n_workers = n_workers or n_cores()
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """Results in order; at most a few tasks per worker are under way."""
        if not tasks:
            return
        if self._pool is None:
            # Never a fork: the threads of BLAS and of a store's client would be lost in it.
            self._pool = ProcessPoolExecutor(
                self.n_workers, mp_context=get_context("spawn"), initializer=_start_process
            )
        payload = pickle.dumps(function)
        try:
            yield from _in_order(self._pool.submit, payload, tasks, self.n_workers * _AHEAD)
        except BrokenProcessPool as error:
            self._pool = None
            raise IncompleteError(
                "a worker process died: out of memory (try fewer --workers), or started from a "
                'script without `if __name__ == "__main__":`'
            ) from error

    def close(self) -> None:
        """Stop the processes without waiting for tasks under way."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)


class Dask:
    """Dask: a cluster of its own on this machine, or one that is running already.

    Args:
        n_workers: processes of the cluster of its own; None for one per core.
        address: of a running scheduler. Its workers must have ragshield installed and see
            the workspace under the same path.

    Raises:
        MissingExtraError: `distributed` is not installed.
    """

    name: ClassVar[str] = "dask"

    def __init__(self, n_workers: int | None = None, *, address: str | None = None) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError as error:
            raise MissingExtraError(
                "engine 'dask' needs distributed: pip install 'ragshield[dask]'"
            ) from error
        self._gone = (distributed.KilledWorker, distributed.CancelledError, OSError)
        self._cluster: Any = None
        if address is None:
            self._cluster = distributed.LocalCluster(
                n_workers=n_workers or n_cores(),
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=50,
            )
        self._client: Any = distributed.Client(self._cluster or address)
        self._client.run(start_worker)
        self.n_workers = max(1, len(self._client.ncores()))

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """Results in order; at most a few tasks per worker are under way."""
        if not tasks:
            return
        payload = self._client.scatter(pickle.dumps(function), hash=False)

        def submit(*given: Any) -> Any:
            return self._client.submit(*given, pure=False)

        try:
            yield from _in_order(submit, payload, tasks, self.n_workers * _AHEAD)
        except self._gone as error:
            raise IncompleteError(f"Dask lost a worker ({error!s:.120}); scan again") from error

    def close(self) -> None:
        """Leave the cluster; stop it if it is its own."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        if self._cluster is not None:
            self._cluster.close()


def open_engine(engine: EngineName | Engine, workers: int | None, n_passages: int) -> Engine:
    """The engine asked for.

    Raises:
        UsageError: an unknown name, or fewer than 1 worker.
        MissingExtraError: Dask is not installed.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; it must be at least 1")
    if not isinstance(engine, str):
        return engine
    if engine not in get_args(EngineName):
        allowed = ", ".join(get_args(EngineName))
        raise UsageError(f"engine is '{engine}'; it must be one of: {allowed}")
    if engine == "dask":
        return Dask(workers)
    if engine == "processes" or (engine == "auto" and n_passages >= MANY and workers != 1):
        return Processes(workers)
    return Serial()


def n_cores() -> int:
    """CPU cores that this process may use, limits set from outside included."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_thread() -> AbstractContextManager[Any]:
    """Linear algebra with one thread, in this process, for as long as it is entered."""
    import numpy as np  # a library must be loaded before it can be limited

    del np
    limits: Any = import_module("threadpoolctl").threadpool_limits
    return cast("AbstractContextManager[Any]", limits(1, user_api="blas"))


def start_worker() -> None:
    """What a worker process does first."""
    one_thread()


def _start_process() -> None:
    start_worker()
    parent = parent_process()
    if parent is not None:
        # A pool does not notice that its owner was killed: its processes would wait for ever.
        Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def work(payload: bytes, task: Any) -> Any:
    """Run one task; the function is unpacked once per process."""
    return _unpacked(payload)(task)


@lru_cache(maxsize=4)
def _unpacked(payload: bytes) -> Callable[[Any], Any]:
    return cast("Callable[[Any], Any]", pickle.loads(payload))


def _in_order(
    submit: Callable[..., Any], payload: Any, tasks: Sequence[Any], ahead: int
) -> Iterator[Any]:
    waiting: deque[Future[Any]] = deque()
    try:
        for task in tasks:
            waiting.append(submit(work, payload, task))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
