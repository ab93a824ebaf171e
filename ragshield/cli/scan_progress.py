"""How far a scan is: a bar with rate and time left, only where a person watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ragshield.cli.console import err

if TYPE_CHECKING:
    from ragshield.scanning import Progress

_WORDS = {
    "read": "Reading",
    "embed": "Embedding",
    "neighbours": "Finding neighbours",
    "screens": "Screening",
    "judge": "Judging",
}


@contextmanager
def scan_progress() -> Iterator[Callable[[Progress], None]]:
    """A bar for the stage a scan is in, on standard error.

    Yields:
        A function to call with every report of progress; does nothing off a terminal.
    """
    if not err.is_terminal:
        yield lambda step: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        """Passages a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s", style="dim")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate())
    with Bars(*columns, TimeRemainingColumn(), console=err, transient=True) as bars:
        stages: dict[str, TaskID] = {}

        def show(step: Progress) -> None:
            if step.stage not in stages:
                for known in stages.values():
                    bars.update(known, visible=False)
                word = _WORDS.get(step.stage, step.stage)
                # A resumed stage begins above 0; that share was not done at this speed.
                stages[step.stage] = bars.add_task(word, total=step.total, completed=step.done)
            bars.update(stages[step.stage], completed=step.done, total=step.total)

        yield show
