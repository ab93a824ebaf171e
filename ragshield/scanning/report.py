"""What a scan reports, while it runs and in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self, TypeAlias

from ragshield.records import Finding, Passage
from ragshield.snapshot.disk import DiskSnapshot

Stage: TypeAlias = Literal["read", "embed", "neighbours", "screens", "judge"]
"""Steps of a scan, in this order; "embed" and "neighbours" are left out where not needed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is.

    Attributes:
        stage: what it is doing.
        done: how much of it is done; begins above 0 where an earlier scan is resumed, and
            stays below `total` where reading breaks off.
        total: passages; screens in the stage "judge". It may grow while a store is read
            that somebody adds to.
    """

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found. Close it, or use it in a `with`, to delete a temporary workspace.

    Attributes:
        url: the store's.
        findings: the store's own configuration; then one per passage that passes the
            limits, most suspicious first; then what is exposed (secrets), what could not be
            judged (suspicion None) last. With `known`, only about new or changed passages.
        passages: the passages that findings speak of, by id.
        n_passages: passages read.
        n_unreadable: of those, without text or with a vector that is NaN, infinite or zero.
        complete: whether all was read and every screen finished.
        problem: why not, in one sentence; None if complete.
        notes: what a reader should know, such as vectors that were missing.
        seconds: time it took.
        screens: names of the screens that ran to the end.
        threshold: suspicion from which findings are listed; None if all are.
        alert_budget: largest share of the passages that is listed; None for no such limit.
        false_positive_rate: largest share of honest passages listed; None for none.
        neighbour_recall: share of the truly nearest passages that were found, measured on
            a sample; 1.0 where all pairs were compared; None without vectors, or if no
            screen compares passages.
        n_new: passages that are new or changed against `known`; all of them without it.
        seconds_by_step: "store" (time the store took to give its passages), "read" (the
            same and keeping them), "embed", "neighbours", "screens", "judge".
        seconds_by_screen: work of each screen, summed over processes.
        snapshot: the store as it was read, for looking up neighbours; usable until closed.
    """

    url: str
    findings: tuple[Finding, ...]
    passages: Mapping[str, Passage] = field(repr=False)
    n_passages: int
    n_unreadable: int
    complete: bool
    problem: str | None
    notes: tuple[str, ...]
    seconds: float
    screens: tuple[str, ...]
    threshold: float | None
    alert_budget: float | None = None
    false_positive_rate: float | None = None
    neighbour_recall: float | None = None
    n_new: int = 0
    seconds_by_step: Mapping[str, float] = field(default_factory=dict)
    seconds_by_screen: Mapping[str, float] = field(default_factory=dict)
    snapshot: DiskSnapshot | None = field(default=None, repr=False, compare=False)

    def close(self) -> None:
        """Let go of the snapshot, and of its folder if it is temporary; safe to call twice."""
        if self.snapshot is not None:
            self.snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
