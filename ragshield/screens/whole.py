"""Running a screen that needs the whole store: over a snapshot, or over one batch."""

from __future__ import annotations

from ragshield.protocols import Snapshot, StoreScreen
from ragshield.records import Batch, Finding
from ragshield.snapshot.memory import MemorySnapshot


def judge_batch(screen: StoreScreen, batch: Batch) -> list[Finding]:
    """Findings of a screen that takes the batch for the whole store."""
    return judge_snapshot(screen, MemorySnapshot(batch))


def judge_snapshot(screen: StoreScreen, snapshot: Snapshot) -> list[Finding]:
    """Findings of a screen that reads the snapshot part by part, in this process."""
    return screen.judge(snapshot, [screen.read(snapshot, part) for part in snapshot.parts()])
