"""The part of `ragshield attack` that changes stores: planting, cleaning up, copying."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ragshield.cli.attack_making import Embedding
from ragshield.cli.attack_output import note
from ragshield.cli.console import embed, out, progress
from ragshield.errors import IncompleteError, UsageError
from ragshield.records import Passage
from ragshield.text import visible

_SHOWN = 3


def check(url: str, manifest: Path, *, may_poison: bool) -> None:
    """Refuse to plant before anything is made.

    Raises:
        UsageError: the store is no marked test copy and nobody said that it may be
            poisoned, or the manifest may still be needed.
        StoreError: there is no such store.
    """
    from ragshield.plant import is_marked
    from ragshield.plant.planting import check_manifest
    from ragshield.stores.url import open_store

    with open_store(url, writable=True):
        pass
    if not (may_poison or is_marked(url)):
        raise UsageError(_unmarked(url))
    check_manifest(manifest)


def show(url: str, passages: Sequence[Passage], *, may_poison: bool) -> None:
    """What planting would do, on standard output; nothing is changed."""
    from ragshield.plant import check_different, is_marked
    from ragshield.stores.url import open_store

    check_different(passages)
    with open_store(url) as store:
        n_stored = store.count()
    head = f"Would plant {len(passages)} passages among {n_stored} in {url}:"
    # A path broken in two could not be copied.
    out.print(head, markup=False, soft_wrap=True)
    for passage in passages[:_SHOWN]:
        line = visible(passage.text)
        out.print(f"  {passage.id}: {line}", markup=False, overflow="ellipsis", no_wrap=True)
    if len(passages) > _SHOWN:
        out.print(f"  and {len(passages) - _SHOWN} more", markup=False)
    out.print("Nothing was changed. Add --plant to plant.")
    if not (may_poison or is_marked(url)):
        note(f"It would be refused: {_unmarked(url)}.")


def put_in(url: str, passages: Sequence[Passage], manifest: Path, embedding: Embedding) -> None:
    """Plant the passages."""
    from ragshield.plant import plant
    from ragshield.stores.url import open_store

    with open_store(url, writable=True) as store:
        vectors = embed(embedding.encoder(), [p.text for p in passages])
        with progress("Reading the store and planting", store.count() + len(passages)) as step:
            done = plant(store, passages, vectors, manifest, reading=step, advance=step)
    note(f"Planted {len(passages)} passages in {url}.")
    note(f"Before, it held {done.before}.")
    note(f"Take them out again with: ragshield attack --clean-up {manifest}")


def take_out(manifest: Path) -> None:
    """Clean up, and say whether the store is as it was.

    Raises:
        IncompleteError: it is not.
    """
    from ragshield.plant import clean_up, read_manifest
    from ragshield.stores.url import open_store

    planned = read_manifest(manifest)
    url = planned.url
    with (
        open_store(url, writable=True) as store,
        progress("Reading the store", planned.before.n_passages) as reading,
    ):
        done = clean_up(store, manifest, reading=reading)
    missing = f"; {done.n_missing} were not there" if done.n_missing else ""
    note(
        f"Took {done.n_removed} of {len(planned.passages)} planted passages out of {url}{missing}."
    )
    note(f"Before: {done.before}.")
    note(f"Now:    {done.after}.")
    if done.is_as_before:
        note("The store is as it was: the same ids, texts, metadata and vectors.")
        return
    if done.changed:
        raise IncompleteError(
            f"{len(done.changed)} planted passages were changed since and left alone, "
            f"the first is '{done.changed[0]}': look at them yourself, then clean up again"
        )
    raise IncompleteError(
        f"nothing planted is left in {url}, but it does not hold what it held before planting: "
        "something else has changed it since"
    )


def copy(url: str, target: str) -> None:
    """Copy a store and mark the copy."""
    from ragshield.plant import copy_store
    from ragshield.stores.url import open_store

    with open_store(url) as store, progress("Copying", store.count()) as advance:
        n_copied = copy_store(store, target, advance=advance)
    note(f"Copied {n_copied} passages to {target}, which is marked as a test copy.")


def _unmarked(url: str) -> str:
    return (
        f"{url} is not marked as a test copy; make one with: ragshield attack --store {url} "
        "--copy-to URL, or add --i-may-poison-this-store"
    )
