"""What one job reads from a file again and again, kept while the job lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_held: ContextVar[dict[Path, Any] | None] = ContextVar("held", default=None)


@contextmanager
def keeping_reads() -> Iterator[None]:
    """Let stores that are opened several times within it keep what they read.

    Each store sees to it that what it kept is still true. All is let go at the end.
    """
    token = _held.set({})
    try:
        yield
    finally:
        _held.reset(token)


def is_keeping() -> bool:
    """Whether what is read now may be wanted again soon."""
    return _held.get() is not None


def keep(path: Path, value: Any) -> None:
    """Keep what was read from a file, if that is wanted."""
    held = _held.get()
    if held is not None:
        held[path] = value


def kept(path: Path) -> Any | None:
    """What was kept of a file; None for nothing."""
    return (_held.get() or {}).get(path)
