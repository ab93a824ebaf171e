"""Planting poisoned passages in a store, and taking exactly them out again."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragshield.attacks.crafted import CANARY
from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable
from ragshield.plant.manifest import Manifest, Planted, read_manifest, text_digest
from ragshield.plant.marks import absolute
from ragshield.plant.state import StoreState, state_of
from ragshield.protocols import MutableStore, Store
from ragshield.records import Batch, Passage, Vectors

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Removed:
    """What a clean-up did.

    Attributes:
        n_removed: planted passages taken out.
        n_missing: planted passages that were gone already.
        changed: ids whose text is no longer the planted one; they were left alone.
        before: what the store held before planting.
        after: what it holds now.
    """

    n_removed: int
    n_missing: int
    changed: tuple[str, ...]
    before: StoreState
    after: StoreState

    @property
    def is_as_before(self) -> bool:
        """Whether the store holds exactly what it held: ids, texts, metadata, vectors."""
        return self.after == self.before


def check_different(passages: Sequence[Passage]) -> None:
    """Refuse passages of which two have one id.

    Raises:
        InputError: an id occurs twice.
    """
    twice = [i for i, n in Counter(passage.id for passage in passages).items() if n > 1]
    if twice:
        raise InputError(f"id '{twice[0]}' occurs twice among the passages; nothing was planted")


def plant(
    store: MutableStore,
    passages: Sequence[Passage],
    vectors: Vectors,
    manifest: Path,
    *,
    reading: Callable[[int], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Manifest:
    """Add passages to a store; the manifest is on disk before the first of them.

    Each gets an id of its own, `ragshield-canary-` and a digest of what it is; where the
    store holds that id, the next one, the same each time. So nothing is ever overwritten.

    Args:
        store: what to poison.
        passages: what to add.
        vectors: (n, dim) float32 from the encoder that filled the store.
        manifest: where the list for `clean_up` goes; one that is there must be finished.
        reading: called with the number of passages just read, for the digest before.
        advance: called with the number of passages just added.

    Returns:
        What the manifest says.

    Raises:
        InputError: an id occurs twice, or the vectors have another width than the store.
        UsageError: the manifest may still be needed, or cannot be written.
        IncompleteError: the store failed part of the way.
    """
    check_manifest(manifest)
    check_different(passages)
    if store.dim is not None and vectors.shape[1] != store.dim:
        raise InputError(
            f"the encoder gives {vectors.shape[1]} dimensions, {store.url} has {store.dim}; "
            "use the encoder that filled the store"
        )
    before = state_of(store, advance=reading)
    ids = _free_ids(store, passages)
    entries = tuple(
        Planted(i, p.id, text_digest(p.text)) for i, p in zip(ids, passages, strict=True)
    )
    planned = Manifest(absolute(store.url), before, entries)
    planned.write(manifest)
    renamed = [dataclasses.replace(p, id=i) for i, p in zip(ids, passages, strict=True)]
    for start in range(0, len(renamed), _BATCH):
        part = tuple(renamed[start : start + _BATCH])
        try:
            store.add(Batch(part, vectors[start : start + _BATCH]))
        except (Exception, KeyboardInterrupt) as error:
            raise IncompleteError(
                f"planting stopped after {start} of {len(renamed)} passages "
                f"({type(error).__name__}: {error}); take them out with: "
                f"ragshield attack --clean-up {manifest}"
            ) from error
        if advance is not None:
            advance(len(part))
    return planned


def check_manifest(manifest: Path) -> None:
    """Refuse a manifest's place where one may still be needed, before any work is done.

    Raises:
        UsageError: a file is there that is no finished manifest, or none can be written.
    """
    if manifest.exists() and not _is_finished(manifest):
        raise UsageError(
            f"{manifest} exists and may be needed to clean up an earlier planting; "
            "clean up first, or name another with --manifest"
        )
    check_writable(manifest)


def clean_up(
    store: MutableStore, manifest: Path, *, reading: Callable[[int], None] | None = None
) -> Removed:
    """Take planted passages out, and read the whole store to prove that it is as it was.

    Works after a planting or a clean-up that was killed at any point, and may be
    repeated. A passage whose text has changed since is left alone. What the store
    holds afterwards is written to the manifest.

    Args:
        store: the store that was planted in.
        manifest: what `plant` wrote.
        reading: called with the number of passages just read, for the digest after.

    Raises:
        InputError: no manifest, or one of another store.
    """
    planned = read_manifest(manifest)
    if absolute(store.url) != planned.url:
        raise InputError(f"{manifest} lists what was planted in {planned.url}, not in {store.url}")
    planted = {entry.id: entry.sha256 for entry in planned.passages}
    ids = list(planted)
    removed, n_missing, changed = 0, 0, []
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        found = store.get(part).passages
        n_missing += len(part) - len(found)
        changed += [p.id for p in found if text_digest(p.text) != planted[p.id]]
        removed += store.delete([p.id for p in found if text_digest(p.text) == planted[p.id]])
    after = state_of(store, advance=reading)
    dataclasses.replace(planned, after=after).write(manifest)
    return Removed(removed, n_missing, tuple(changed), planned.before, after)


def _is_finished(manifest: Path) -> bool:
    try:
        return read_manifest(manifest).is_finished
    except InputError:
        return False


def _free_ids(store: Store, passages: Sequence[Passage]) -> list[str]:
    """For each passage the first of its ids that neither the store nor another one has."""
    attempts = [0] * len(passages)
    while True:
        ids = [_canary_id(p, n) for p, n in zip(passages, attempts, strict=True)]
        taken = set()
        for start in range(0, len(ids), _BATCH):
            taken |= {p.id for p in store.get(ids[start : start + _BATCH]).passages}
        if not taken:
            return ids
        attempts = [n + (i in taken) for i, n in zip(ids, attempts, strict=True)]


def _canary_id(passage: Passage, attempt: int) -> str:
    parts = "\0".join((passage.id, passage.text, str(attempt)))
    digest = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{CANARY}-{digest[:20]}"
