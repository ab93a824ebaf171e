"""Making a marked copy of a store: what attacks are meant to be planted in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast, get_args

from ragshield.errors import IncompleteError, StoreError, UsageError
from ragshield.plant.marks import mark
from ragshield.protocols import Store
from ragshield.records import Batch
from ragshield.stores.chroma import ChromaStore, Space, create_chroma
from ragshield.stores.sqlite import create_sqlite
from ragshield.stores.url import open_store

_BATCH = 1000


def copy_store(source: Store, url: str, *, advance: Callable[[int], None] | None = None) -> int:
    """Copy all passages with their vectors into a new store, and mark it as a test copy.

    Args:
        source: what is copied; it is only read.
        url: the new store, `chroma:PATH#COLLECTION`, `sqlite:FILE#TABLE` or `jsonl:FILE`; must
            not exist, nor may the file.
        advance: called with the number of passages just copied.

    Returns:
        How many passages were copied.

    Raises:
        UsageError: the new store is none of these, or has no name.
        StoreError: it exists, or cannot be made.
        IncompleteError: not all passages were copied; the new store is left unmarked.
    """

    def read() -> Iterator[Batch]:
        for batch in source.batches(_BATCH):
            yield batch
            if advance is not None:
                advance(len(batch))

    scheme, _, place = url.partition(":")
    path, _, collection = place.rpartition("#")
    if scheme == "chroma" and path and collection:
        with create_chroma(path, collection, read(), space=_space(source)) as store:
            n_copied = store.count()
    elif scheme == "sqlite" and path and collection and "?" not in collection:
        _new_file(url, Path(path).expanduser())
        with create_sqlite(path, collection, read()) as table:
            n_copied = table.count()
    elif scheme == "jsonl" and place:
        _new_file(url, Path(place).expanduser())
        with open_store(url, writable=True) as lines:
            for batch in read():
                lines.add(batch)
            n_copied = lines.count()
    else:
        raise UsageError(
            f"cannot copy to '{url}'; write chroma:PATH#COLLECTION, sqlite:FILE#TABLE or "
            "jsonl:FILE, none existing"
        )
    if n_copied != (n_stored := source.count()):
        raise IncompleteError(
            f"{n_copied} of {n_stored} passages were copied to {url}; the store changed meanwhile: "
            "remove the copy and make it anew"
        )
    mark(url)
    return n_copied


def _new_file(url: str, path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError as error:
        raise StoreError(f"{url} exists already; name another file") from error
    except OSError as error:
        raise StoreError(f"cannot make {path}: {error.strerror}") from error


def _space(source: Store) -> Space:
    """What the copy's index should compare by: the same as the source's."""
    space = source._space() if isinstance(source, ChromaStore) else "cosine"
    return cast("Space", space) if space in get_args(Space) else "cosine"
