"""What the commands share: consoles, progress, the options that mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ragshield.protocols import Encoder

out = Console(soft_wrap=False, highlight=False)
"""Results: standard output."""

err = Console(stderr=True, highlight=False)
"""Progress and notes: standard error."""

EncoderName = Annotated[
    str,
    typer.Option(
        "--encoder",
        help="Encoder that filled the store: minilm, or sentence-transformers:FOLDER.",
        show_default=True,
    ),
]
VectorCache = Annotated[
    Path | None,
    typer.Option("--cache", help="File that keeps vectors between runs.", show_default=False),
]


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, only where a person watches.

    Args:
        what: shown before the bar.
        total: how many steps there are; None if unknown.

    Yields:
        A function to call with the number of steps just done.
    """
    if not err.is_terminal:
        yield lambda steps: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def embed(encoder: Encoder, texts: list[str], what: str = "Embedding"):  # type: ignore[no-untyped-def]
    """Embed with a progress bar, in steps small enough to show one."""
    import numpy as np

    rows = []
    with progress(what, len(texts)) as advance:
        for start in range(0, len(texts), 256):
            part = texts[start : start + 256]
            rows.append(encoder.encode(part))
            advance(len(part))
    return np.vstack(rows) if rows else encoder.encode([])
