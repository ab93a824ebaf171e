"""What the commands share: consoles, progress, the options that mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ragshield.protocols import Encoder
from ragshield.records import Vectors

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


def embed(encoder: Encoder, texts: Sequence[str], what: str = "Embedding") -> Vectors:
    """Embed with a progress bar: (n, dim) float32."""
    import numpy as np

    rows = [encoder.encode([])]
    with progress(what, len(texts)) as advance:
        # Steps small enough for the bar to move, large enough for full batches.
        for start in range(0, len(texts), 256):
            rows.append(encoder.encode(texts[start : start + 256]))
            advance(len(rows[-1]))
    return np.vstack(rows)
