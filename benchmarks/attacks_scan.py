"""What the scan finds of an attack, with no question known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attacks_store import PlantedStore
from guard_answers import as_dict

from ragshield.intervals import clustered_rate, rate
from ragshield.records import Batch, Passage, Vectors
from ragshield.scanning import scan
from ragshield.stores.memory import MemoryStore


def scanned(
    store: PlantedStore,
    n_real: int,
    groups: Sequence[Sequence[Passage]],
    embed: Callable[[list[str]], Vectors],
) -> dict[str, Any]:
    """Poison and honest passages listed at the command's own threshold.

    Args:
        store: the honest passages.
        n_real: only the first so many of them are scanned.
        groups: the poison, by target.
        embed: its encoder.
    """
    poison = [p for group in groups for p in group]
    passages = (*store.passages[:n_real], *poison)
    rows = [store.vectors[:n_real]] + ([embed([p.text for p in poison])] if poison else [])
    with scan(MemoryStore(batch=Batch(passages, np.vstack(rows)))) as report:
        # Secrets and personal data are exposed, not poisoned: no accusation.
        listed = {f.passage_id for f in report.findings if f.evidence.get("class") != "exposure"}
    honest = listed & {p.id for p in store.passages[:n_real]}
    found = [(sum(p.id in listed for p in group), len(group)) for group in groups]
    return {
        "scan_recall": as_dict(clustered_rate(found)),
        "scan_accused": as_dict(rate(len(honest), n_real)),
    }
