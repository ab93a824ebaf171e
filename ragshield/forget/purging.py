"""Purging without a plan: what was deleted by other means loses its bytes."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ragshield import registry
from ragshield.errors import IncompleteError, StoreError, UsageError
from ragshield.forget.closure.siblings import siblings
from ragshield.forget.erasure.looking import is_declared, recipe_of
from ragshield.forget.saved.rounds import now, place_key, told_of_disk
from ragshield.journal import Journal, OpenJournal
from ragshield.protocols import Cost, Recipe, Surface
from ragshield.records import Batch
from ragshield.stores.chroma_purge_server import server_of
from ragshield.stores.passwords import masked, without_password
from ragshield.stores.url import open_store

SCHEMA = "ragshield-purge-journal/1"
BLOCK = 4096
"""Bytes of a file that are compared together."""

_MODULUS = 2**256

Change = Literal["overwritten", "emptied", "removed", "written", "unchanged", "unread"]


@dataclass(frozen=True, slots=True)
class SurfacePurged:
    """What a purge did to one place where a store keeps bytes.

    Attributes:
        name: the surface's, see `ragshield.protocols.Surface`.
        kind: `file`, or `decoded` where a format had to be read.
        change: `overwritten`: some of its bytes are others now; `emptied`; `removed`: it
            is gone; `written`: it was not there before; `unchanged`; or `unread`.
        n_bytes_before: its size; None where it was not there or could not be read.
        n_bytes: its size now; the same.
        n_bytes_changed: bytes in blocks of 4,096 that are not what they were, and those
            by which it got shorter.
    """

    name: str
    kind: Literal["file", "decoded"]
    change: Change
    n_bytes_before: int | None
    n_bytes: int | None
    n_bytes_changed: int


@dataclass(frozen=True, slots=True)
class StorePurged:
    """What `purge_store` did.

    Attributes:
        store_url: the store, without a password.
        how: `in place`, `copy`, or `nothing` where no byte had to change.
        n_live: rows that the store holds, the same ones before and after.
        n_bytes_written: roughly what the purge wrote.
        surfaces: what became of each place, see `SurfacePurged`.
        searchable: places that no search could tell anything about before, and one can now.
        untested: places that no search reaches still, in words.
        exceptions: those of them that the caller declared out of scope.
        notes: what a person should know.
        resumed: an earlier purge had broken off; the figures are of this one alone.
    """

    store_url: str
    how: Literal["in place", "copy", "nothing"]
    n_live: int
    n_bytes_written: int
    surfaces: tuple[SurfacePurged, ...]
    searchable: tuple[str, ...]
    untested: tuple[str, ...]
    exceptions: tuple[str, ...]
    notes: tuple[str, ...]
    resumed: bool


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a purge would meet.

    Attributes:
        store_url: the store, without a password.
        n_files: files that belong to it and can be reached.
        n_bytes: their size.
        cost: see `ragshield.protocols.Cost`.
        untested: places that no search reaches as the store is now.
    """

    store_url: str
    n_files: int
    n_bytes: int
    cost: Cost
    untested: tuple[str, ...]


def purge_prospect(url: str) -> Prospect:
    """Look at what a purge would have to do; changes nothing.

    Raises:
        UsageError: no store that can be purged.
        StoreError: the store cannot be read.
    """
    recipe = _recipe(url)
    cost = recipe.cost(url, 0)
    files = recipe.files(url)
    with told_of_disk():
        n_bytes = sum(path.stat().st_size for path in files)
    return Prospect(without_password(url), len(files), n_bytes, cost, recipe.untested(url))


def purge_store(
    url: str,
    *,
    out_of_scope: Sequence[str] = (),
    trust_collection_config: bool = False,
    on_step: Callable[[str], None] | None = None,
) -> StorePurged:
    """Make a store lose the bytes of all that was deleted from it, by whatever program.

    What remains of deleted rows (vectors in an index, words in a text index, logs, old
    versions, index files of deleted collections, free bytes) goes by the store's recipe.
    All live rows are read before and after and compared: ids, texts, metadata and the
    very bits of the vectors. Whether what was deleted can still be seen is for
    `ragshield.residue` to say, which is told what to look for.

    It may be killed at any point: the recipes see to it that the store opens and holds
    all live rows at every moment. A journal beside the store notes what was live before,
    so that the next call, which finishes the work, can say whether all of it still is.

    Args:
        url: the store; for Chroma a folder without a collection stands for all of them,
            and for what deleted ones have left.
        out_of_scope: words; a place that cannot be searched and is described with one of
            them is an exception that the caller declares.
        trust_collection_config: see `open_store`.
        on_step: called with a line on what is being done.

    Raises:
        UsageError: no store that can be purged, or no journal can be written.
        StoreError: the store is missing, damaged, read-only or in use.
        IncompleteError: the disk is full, the purge broke off, or rows changed meanwhile;
            call again.
    """
    say = on_step or (lambda line: None)
    recipe = _recipe(url)
    recipe.cost(url, 0)  # refuses what is no store, before anything is made beside it
    stores = _stores(url)
    with told_of_disk():
        say("reading live rows")
        live = _live(stores, trust_collection_config)
        journal = Journal(journal_path(url), SCHEMA)
        with journal.changing() as steps:
            broken = _broken(steps)
            steps.append([{"step": "begun", "time": now(), "live": live}])
            try:
                done = _purged(recipe, url, stores, say)
            except StoreError:
                if broken is None:  # refused: nothing was begun
                    journal.path.unlink(missing_ok=True)
                raise
            say("comparing live rows")
            after = _live(stores, trust_collection_config)
            if after != live:
                raise IncompleteError(
                    f"{masked(url)}: live rows are not what they were: {_total(live)} before, "
                    f"{_total(after)} now; if another program wrote to it meanwhile, stop it and "
                    "do this again, else restore the store from a backup"
                )
            journal.path.unlink(missing_ok=True)
    notes = list(done.notes)
    if broken is not None and broken["live"] != live:
        notes.insert(
            0,
            f"the purge of {broken['time']} broke off, and the store holds other rows now: "
            f"{_total(broken['live'])} then, {_total(live)} now; others may have written since",
        )
    left, exceptions = done.untested, [w for w in done.untested if is_declared(w, out_of_scope)]
    return StorePurged(
        store_url=without_password(url),
        how=done.how,
        n_live=_total(live),
        n_bytes_written=done.n_bytes_written,
        surfaces=done.surfaces,
        searchable=done.searchable,
        untested=tuple(words for words in left if words not in exceptions),
        exceptions=tuple(exceptions),
        notes=tuple(dict.fromkeys(notes)),
        resumed=broken is not None,
    )


def journal_path(url: str) -> Path:
    """Where a purge notes what it does: in the store's folder; here for a server's."""
    place = url.partition(":")[2].partition("#")[0]
    if url.startswith("chroma+"):
        place = str(server_of(url).folder or "")
    elif "://" in place:
        return Path(f".ragshield-purge-{place_key(without_password(url))}.journal")
    path = Path(place.partition("?")[0]).expanduser()
    if path.is_dir():
        return path / ".ragshield-purge.journal"
    return path.with_name(f".{path.name}.ragshield-purge.journal")


@dataclass(frozen=True, slots=True)
class _Done:
    how: Literal["in place", "copy", "nothing"]
    n_bytes_written: int
    surfaces: tuple[SurfacePurged, ...]
    searchable: tuple[str, ...]
    untested: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Print:
    """What tells whether a surface is as it was: its size and a checksum per block."""

    kind: Literal["file", "decoded"]
    n_bytes: int | None
    blocks: tuple[int, ...]


def _recipe(url: str) -> Recipe:
    recipe = recipe_of(url)
    if recipe is None:
        known = ", ".join(registry.names("recipe"))
        raise UsageError(
            f"'{masked(url)}' is no store that can be purged; its URL begins with one of: {known}"
        )
    if url.startswith("chroma+") and server_of(url).folder is None:
        raise UsageError(
            f"{masked(url)}: a running server keeps its files, whatever is copied within it; stop "
            "it and name their folder: chroma:FOLDER"
        )
    return recipe


def _stores(url: str) -> tuple[str, ...]:
    """The collections that a URL stands for, to be read from files."""
    if url.startswith("chroma+"):
        server = server_of(url)
        return (f"chroma:{server.folder}#{server.collection}",)
    if url.startswith("chroma:") and "#" not in url:
        return siblings(f"{url}#")
    return (url,)


def _purged(recipe: Recipe, url: str, stores: Sequence[str], say: Callable[[str], None]) -> _Done:
    say("looking at the files")
    before, unsearchable = _prints(recipe, url), recipe.untested(url)
    through = stores if url.startswith("chroma:") and stores else (url,)
    done = [recipe.purge(one, (), on_progress=say) for one in through]
    say("looking at the files again")
    after, untested = _prints(recipe, url), recipe.untested(url)
    kinds = {one.how for one in done}
    return _Done(
        how="copy" if "copy" in kinds else "in place" if "in place" in kinds else "nothing",
        n_bytes_written=sum(one.n_bytes_written for one in done),
        surfaces=tuple(_compared(before, after)),
        searchable=tuple(words for words in unsearchable if words not in untested),
        untested=untested,
        notes=tuple(note for one in done for note in one.notes),
    )


def _prints(recipe: Recipe, url: str) -> dict[str, _Print]:
    return {surface.name: _print(surface) for surface in recipe.surfaces(url)}


def _print(surface: Surface) -> _Print:
    n_bytes, sums, rest = 0, [], b""
    try:
        for piece in surface.blocks():
            n_bytes += len(piece)
            held = rest + piece if rest else piece
            end = len(held) - len(held) % BLOCK
            sums += [zlib.crc32(held[at : at + BLOCK]) for at in range(0, end, BLOCK)]
            rest = held[end:]
    except (StoreError, OSError):
        return _Print(surface.kind, None, ())
    if rest:
        sums.append(zlib.crc32(rest))
    return _Print(surface.kind, n_bytes, tuple(sums))


def _compared(before: Mapping[str, _Print], after: Mapping[str, _Print]) -> Iterator[SurfacePurged]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        kind = (new or old or _Print("file", None, ())).kind
        n_old = None if old is None else old.n_bytes
        n_new = None if new is None else new.n_bytes
        changed = 0
        change: Change
        if new is None:
            change, changed = "removed", n_old or 0
        elif n_new is None or (old is not None and n_old is None):
            change = "unread"
        elif not n_old:
            change, changed = "written" if n_new else "unchanged", n_new
        else:
            changed = _n_changed(old, new) if old is not None else 0
            change = "unchanged" if not changed else "overwritten" if n_new else "emptied"
        yield SurfacePurged(name, kind, change, n_old, n_new, changed)


def _n_changed(old: _Print, new: _Print) -> int:
    shared = min(len(old.blocks), len(new.blocks))
    longest = max(old.n_bytes or 0, new.n_bytes or 0)
    differ = [i for i in range(shared) if old.blocks[i] != new.blocks[i]]
    within = sum(min(BLOCK, longest - i * BLOCK) for i in differ)
    return within + max(0, longest - shared * BLOCK)


def _live(stores: Sequence[str], trust: bool) -> dict[str, list[Any]]:
    """Per store the number of its rows and a sum of their hashes, in whatever order."""
    found: dict[str, list[Any]] = {}
    for url in stores:
        n, total = 0, 0
        with open_store(url, trust_collection_config=trust) as store:
            for batch in store.batches():
                n += len(batch)
                total = (total + sum(_hashes(batch))) % _MODULUS
        found[place_key(without_password(url))] = [n, f"{total:064x}"]
    return found


def _hashes(batch: Batch) -> Iterator[int]:
    for i, passage in enumerate(batch.passages):
        said = [passage.id, passage.text, passage.source, dict(passage.meta)]
        row = json.dumps(said, sort_keys=True, default=str).encode("ascii")
        vector = b"" if batch.vectors is None else batch.vectors[i].tobytes()
        digest = hashlib.sha256(len(row).to_bytes(8, "big") + row + vector).digest()
        yield int.from_bytes(digest, "big")


def _total(live: Mapping[str, Sequence[Any]]) -> int:
    return sum(n for n, _ in live.values())


def _broken(steps: OpenJournal) -> Mapping[str, Any] | None:
    """What an earlier purge, which did not end, found alive; the first of several."""
    return next((record for _, record in steps.records() if record.get("step") == "begun"), None)
