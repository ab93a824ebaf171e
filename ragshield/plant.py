"""Planting poisoned passages in a store, with a manifest that takes them out again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable, read_text, writing
from ragshield.protocols import MutableStore, Store
from ragshield.records import Batch, Passage, Vectors

_FORMAT = "ragshield-planted/1"
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Removed:
    """What a clean-up did.

    Attributes:
        n_removed: planted passages taken out.
        n_missing: planted passages that were gone already.
        changed: ids whose text is no longer the planted one; they were left alone.
    """

    n_removed: int
    n_missing: int
    changed: tuple[str, ...]


def check_free(store: Store, passages: Sequence[Passage]) -> None:
    """Refuse to plant over anything.

    Raises:
        InputError: an id occurs twice, or the store holds it already.
    """
    ids = [passage.id for passage in passages]
    twice = [i for i, n in Counter(ids).items() if n > 1]
    if twice:
        raise InputError(f"id '{twice[0]}' occurs twice among the passages; nothing was planted")
    taken = store.get(ids).passages
    if taken:
        raise InputError(
            f"{store.url} holds id '{taken[0].id}' already ({len(taken)} of {len(ids)} ids are "
            "taken); nothing was planted. Clean up an earlier planting first"
        )


def plant(
    store: MutableStore,
    passages: Sequence[Passage],
    vectors: Vectors,
    manifest: Path,
    *,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Add passages to a store; the manifest is on disk before the first of them.

    Args:
        store: what to poison.
        passages: what to add; ids the store does not hold.
        vectors: (n, dim) float32 from the encoder that filled the store.
        manifest: where the list for `clean_up` goes; must not exist yet.
        advance: called with the number of passages just added.

    Raises:
        InputError: an id is taken, or the vectors have another width than the store.
        UsageError: the manifest exists already or cannot be written.
        IncompleteError: the store failed part of the way.
    """
    if manifest.exists():
        raise UsageError(
            f"{manifest} exists and may be needed to clean up an earlier planting; "
            "clean up first, or name another output"
        )
    check_writable(manifest)
    check_free(store, passages)
    if store.dim is not None and vectors.shape[1] != store.dim:
        raise InputError(
            f"the encoder gives {vectors.shape[1]} dimensions, {store.url} has {store.dim}; "
            "use the encoder that filled the store"
        )
    entries = [{"id": p.id, "sha256": _digest(p.text)} for p in passages]
    with writing(manifest) as file:
        json.dump({"format": _FORMAT, "url": store.url, "passages": entries}, file, indent=1)
        file.write("\n")
    for start in range(0, len(passages), _BATCH):
        part = tuple(passages[start : start + _BATCH])
        try:
            store.add(Batch(part, vectors[start : start + _BATCH]))
        except (Exception, KeyboardInterrupt) as error:
            raise IncompleteError(
                f"planting stopped after {start} of {len(passages)} passages "
                f"({type(error).__name__}: {error}); take them out with: "
                f"ragshield attack --clean-up {manifest}"
            ) from error
        if advance is not None:
            advance(len(part))


def read_manifest(manifest: Path) -> tuple[str, dict[str, str]]:
    """The store's URL, and the planted ids with the SHA-256 of their texts.

    Raises:
        InputError: unreadable, or not a manifest.
    """
    try:
        data: Any = json.loads(read_text(manifest))
        if data["format"] != _FORMAT:
            raise InputError(f"{manifest} has format '{data['format']}'; this reads '{_FORMAT}'")
        return str(data["url"]), {str(e["id"]): str(e["sha256"]) for e in data["passages"]}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{manifest} is no list of planted passages ({error})") from error


def clean_up(store: MutableStore, planted: dict[str, str]) -> Removed:
    """Take planted passages out; anything whose text has changed since is left alone.

    Args:
        store: the store that was planted in.
        planted: ids and digests, from `read_manifest`.
    """
    ids = list(planted)
    removed, n_missing, changed = 0, 0, []
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        found = store.get(part).passages
        n_missing += len(part) - len(found)
        changed += [p.id for p in found if _digest(p.text) != planted[p.id]]
        removed += store.delete([p.id for p in found if _digest(p.text) == planted[p.id]])
    return Removed(removed, n_missing, tuple(changed))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
