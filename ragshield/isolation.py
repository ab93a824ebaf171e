"""Taking stored passages into quarantine, and putting them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragshield.errors import InputError
from ragshield.protocols import MutableStore
from ragshield.quarantine import Held, Quarantine
from ragshield.records import Batch, Finding

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Isolated:
    """What `isolate` did.

    Attributes:
        n_isolated: passages taken out of the store.
        missing: ids that the store does not hold, in the order asked.
    """

    n_isolated: int
    missing: tuple[str, ...]


def isolate(
    store: MutableStore,
    quarantine: Quarantine,
    findings: Mapping[str, Sequence[Finding]],
    *,
    advance: Callable[[int], None] | None = None,
) -> Isolated:
    """Move stored passages into quarantine, with their vectors.

    A passage is deleted from the store only when its text, metadata and vector are on
    disk in the quarantine. Killed between the two it is in both; the same call again
    finishes it, and `restore` gives it back.

    Args:
        store: what they are taken out of.
        quarantine: where they wait for a person.
        findings: id to the reasons; at least one each.
        advance: called with the number of ids just done.

    Raises:
        IncompleteError: the disk or the store failed; what was done is kept.
    """
    ids = list(findings)
    done = 0
    missing: list[str] = []
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        found = store.get(part)
        held = [passage.id for passage in found.passages]
        missing += [name for name in part if name not in set(held)]
        quarantine.hold(
            found.passages,
            {name: findings[name] for name in held},
            found.vectors,
            store=store.url,
        )
        done += store.delete(held)
        if advance is not None:
            advance(len(part))
    return Isolated(done, tuple(missing))


def restore(store: MutableStore, quarantine: Quarantine, ids: Sequence[str]) -> int:
    """Put held passages back as they were and strike them off the list.

    Added first, struck off after: killed between the two, the same call again finishes
    it. What the store already holds with the same text counts as back.

    Args:
        store: where they go; the store that they came from.
        quarantine: where they are held.
        ids: held passages; of several texts under one id the newest.

    Returns:
        How many were added.

    Raises:
        UsageError: an id is not held; nothing is put back then.
        InputError: the store holds another text under the id, or a passage was held
            without the vector that the store needs; nothing is put back then.
    """
    held = quarantine.find(ids)
    present = {p.id: p.text for part in _parts(held) for p in store.get(part).passages}
    for item in held:
        text = present.get(item.passage.id)
        if text is not None and text != item.passage.text:
            raise InputError(
                f"{store.url} holds another text under id '{item.passage.id}' by now; nothing was "
                "put back. Remove or rename that passage first"
            )
    rest = [item for item in held if item.passage.id not in present]
    without = [item.passage.id for item in rest if item.vector is None]
    if without and store.dim is not None:
        raise InputError(
            f"passage '{without[0]}' was held without a vector; nothing was put back. Embed its "
            "text and add it yourself (ragshield quarantine show prints it)"
        )
    for start in range(0, len(rest), _BATCH):
        part = rest[start : start + _BATCH]
        rows = [item.vector for item in part if item.vector is not None]
        vectors = np.stack(rows) if rows else None
        store.add(Batch(tuple(item.passage for item in part), vectors))
    quarantine.release([item.passage.id for item in held])
    return len(rest)


def _parts(held: Sequence[Held]) -> list[list[str]]:
    ids = [item.passage.id for item in held]
    return [ids[i : i + _BATCH] for i in range(0, len(ids), _BATCH)]
