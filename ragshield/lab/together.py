"""Several processes that train one model: each makes its share of every step."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from ragshield.errors import IncompleteError

if TYPE_CHECKING:
    import torch

_PATIENCE = timedelta(minutes=30)  # a machine may be put to sleep


class Together:
    """One of the processes, joined to the others.

    On a CPU one process of three threads spends most of its time waiting between the small
    steps of a small model; three processes of one thread do nearly three times the work of one.

    Args:
        rank: [0, n), which of them this is; 0 keeps the checkpoints.
        n: how many.
        meeting: a file that all of them can reach, through which they find each other.
    """

    def __init__(self, rank: int, n: int, meeting: Path) -> None:
        import torch.distributed as dist

        self.rank = rank
        self.n = n
        _sign(meeting, rank).touch()
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=n, timeout=_PATIENCE
        )

    def agree(self, parameters: Sequence[torch.Tensor]) -> None:
        """Everybody's parameters become those of the first."""
        import torch.distributed as dist

        for parameter in parameters:
            dist.broadcast(parameter.data, 0)

    def average(self, parameters: Sequence[torch.Tensor], said: Sequence[float]) -> list[float]:
        """Everybody's gradients, and some numbers, become their means, in one exchange.

        Args:
            parameters: all with gradients, in the same order in each process.
            said: numbers of this process.

        Returns:
            The means of the numbers over all processes.
        """
        import torch
        import torch.distributed as dist

        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor(said)])
        dist.all_reduce(flat)
        flat /= self.n
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()
        return [float(number) for number in flat[at:]]

    def leave(self) -> None:
        """Undo the joining."""
        import torch.distributed as dist

        dist.destroy_process_group()


def _sign(meeting: Path, rank: int) -> Path:
    return meeting.with_name(f"{meeting.name}-{rank}")


def _await(others: Sequence[BaseProcess], meeting: Path) -> None:
    """Until all are about to join; the joining itself would wait for one that died for long."""
    for rank, other in enumerate(others, start=1):
        while not _sign(meeting, rank).exists():
            other.join(0.05)
            if other.exitcode is not None and not _sign(meeting, rank).exists():
                raise _ended(other)


def _ended(process: BaseProcess) -> IncompleteError:
    return IncompleteError(
        f"a training process ended (exit code {process.exitcode}), perhaps for want of memory; "
        "the same command goes on from the last checkpoint, with --threads 1 in the least memory"
    )


def _gone(process: BaseProcess) -> bool:
    process.join(1.0)  # its end may be seen a moment after its silence
    return process.exitcode is not None


@contextmanager
def joined(n: int, part: Callable[[int, int, Path], None]) -> Iterator[Together]:
    """Start `n - 1` processes that each run `part(rank, n, meeting)`, and join them as the first.

    The others end with this one: what they wait for fails as soon as it is gone.

    Args:
        n: processes in all, at least 2.
        part: what the others do; must join with the same `n` and meeting.

    Raises:
        IncompleteError: one of them ended before its time.
    """
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        context = multiprocessing.get_context("spawn")
        others: list[BaseProcess] = [
            context.Process(target=part, args=(rank, n, meeting), daemon=True)
            for rank in range(1, n)
        ]
        together: Together | None = None
        try:
            for other in others:
                other.start()
            _await(others, meeting)
            together = Together(0, n, meeting)
            yield together
            for other in others:
                other.join()
        except RuntimeError as error:
            # What the first sees of another's end is a broken connection.
            ended = next((o for o in others if o.exitcode or _gone(o)), None)
            if ended is None:
                raise
            raise _ended(ended) from error
        finally:
            for other in others:
                if other.pid is not None:
                    other.kill()
            if together is not None:
                together.leave()
