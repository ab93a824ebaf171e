"""Looking at a store, or at a folder of any kind of store, for what should be gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ragshield import registry
from ragshield.errors import InputError, RagshieldError, UsageError
from ragshield.protocols import Recipe, Surface
from ragshield.records import Batch, Spec, Vectors
from ragshield.residue.folder import Folder
from ragshield.residue.needles import Needles
from ragshield.residue.report import Residue, target_of
from ragshield.residue.searching import search
from ragshield.stores.passwords import masked, without_password
from ragshield.stores.url import open_store


class Place(Protocol):
    """What a look needs to know of a store: the reading half of a `Recipe`."""

    def describe(self, url: str) -> Mapping[str, str]:
        """Software and versions."""
        ...

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """Every place that can be searched."""
        ...

    def untested(self, url: str) -> tuple[str, ...]:
        """Places that cannot."""
        ...

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """How the store may keep these vectors."""
        ...


def residue(
    place: str,
    batch: Batch,
    *,
    baseline: Residue | None = None,
    live: Iterable[Batch] | None = None,
    extra: Iterable[Surface] = (),
    by_text: bool = False,
    out_of_scope: Sequence[str] = (),
    needles: Needles | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Residue:
    """Look at the bytes of a store for passages that should be gone from it.

    Before a deletion this gives the baseline, after it the proof. Changes nothing.

    Args:
        place: URL of a store, `dir:FOLDER`, or the path of a file or folder; where the
            store has no recipe its files are looked at as those of any folder are.
        batch: the passages, with ids, texts and the vectors that the store held.
        baseline: the look before the deletion, at the same place for the same passages.
        live: rows that stay, whose bytes are no residue; None for those that the store
            gives now, () for none.
        extra: further surfaces, such as a cache beside the store.
        by_text: the ids of the passages are not the store's; they are told by their texts.
        out_of_scope: words; a place that cannot be searched and is described with one of
            them is an exception that the caller declares, and does not count as untested.
        needles: from `needles_for`, where several looks are taken for the same passages
            among the same live rows: making them takes longer than looking where
            there are thousands. `live` and `by_text` are then not asked.
        on_bytes: called with the number of bytes just looked at.

    Raises:
        UsageError: the place is no URL and does not exist, there are no passages, or the
            needles are of other passages.
        InputError: the baseline is one of other passages, or of another place.
    """
    if not batch.passages:
        raise UsageError("no targets given: there is nothing to look for")
    if baseline is not None:
        baseline.check_baseline(batch)
        if _spelled_out(baseline.place) != _spelled_out(without_password(place)):
            raise InputError(
                f"the baseline is a look at {baseline.place}, not at {masked(place)}; what was "
                "seen there proves nothing here"
            )
    notes: list[str] = []
    where, url = _place(place)
    shown = masked(place)
    if needles is None:
        rows = _live(place, notes) if live is None else live
        needles = Needles.of(batch, _forms_of(where), live=rows, by_text=by_text)
    elif needles.batch is not batch:
        raise UsageError("these needles are of other passages; make them of those to look for")
    surfaces = (*(() if where is None else where.surfaces(url)), *extra)
    found = search(needles, surfaces, on_bytes=on_bytes)
    texts = frozenset[int]().union(*(one.texts for one in found))
    vectors = frozenset[int]().union(*(one.vectors for one in found))
    _explain_missing(needles, batch, notes)
    unsearched = () if where is None else where.untested(url)
    declared = tuple(
        words
        for words in unsearched
        if any(x.strip() and x.lower() in words.lower() for x in out_of_scope)
    )
    return Residue(
        place=without_password(place),
        software={} if where is None else where.describe(url),
        n_passages=len(batch),
        n_texts=len(needles.searchable("text")),
        n_vectors=len(needles.searchable("vector")),
        n_seen_texts=len(texts),
        n_seen_vectors=len(vectors),
        found=found,
        untested=tuple(words for words in unsearched if words not in declared),
        exceptions=declared,
        target=target_of(batch),
        unsupported=None if where is not None else f"no way is known to the files of {shown}",
        notes=tuple(notes),
        before=baseline,
    )


def needles_for(
    place: str, batch: Batch, *, live: Iterable[Batch] = (), by_text: bool = False
) -> Needles:
    """What `residue` looks for at a place, made once for several looks.

    Args:
        place: as `residue` takes it; the kind of store decides about the forms of vectors.
        batch: the passages.
        live: rows that stay, the same at every look.
        by_text: as `residue` takes it.

    Raises:
        UsageError: the place is no URL and does not exist.
    """
    return Needles.of(batch, _forms_of(_place(place)[0]), live=live, by_text=by_text)


def _forms_of(where: Place | None) -> Place:
    return Folder(Path()) if where is None else where


def _place(place: str) -> tuple[Place | None, str]:
    """What can be looked at there; None for a store that nothing is known about."""
    scheme, colon, rest = place.partition(":")
    if colon and scheme in registry.names("recipe"):
        return cast("Recipe", registry.build(Spec("recipe", scheme))), place
    if colon and scheme == "dir":
        return Folder.at(rest), place
    if colon and scheme in registry.names("store"):
        path = Path(rest.partition("#")[0]).expanduser()
        return (Folder(path) if rest and path.exists() else None), place
    if not Path(place).expanduser().exists():
        raise UsageError(
            f"'{place}' is neither the URL of a store nor a file or folder that exists"
        )
    return Folder.at(place), place


def _spelled_out(place: str) -> str:
    """The same for every way to write the path of a place."""
    scheme, colon, rest = place.partition(":")
    if not colon or scheme not in {"dir", *registry.names("store")}:
        return str(Path(place).expanduser().resolve())
    if rest.startswith("//") or "://" in rest:
        return place
    path, mark, name = rest.partition("#")
    spelled = str(Path(path).expanduser().resolve())
    return spelled if scheme == "dir" else f"{scheme}:{spelled}{mark}{name}"


def _live(place: str, notes: list[str]) -> Iterator[Batch]:
    """The rows that the store gives now; none for a folder, or a store that does not open."""
    scheme, colon, _ = place.partition(":")
    if not colon or scheme not in registry.names("store"):
        return
    try:
        store = open_store(place)
    except RagshieldError as error:
        notes.append(f"looked at without the live rows, which may share words: {error}")
        return
    with store:
        yield from store.batches()


def _explain_missing(needles: Needles, batch: Batch, notes: list[str]) -> None:
    n = len(batch) - len(needles.searchable("text"))
    if n:
        notes.append(
            f"{n} of {len(batch)} texts cannot be looked for: they are shorter than 8 bytes, "
            "repeat one sign, or live rows hold every word of them"
        )
    if batch.vectors is None:
        notes.append("the targets have no vectors: nothing is said about vectors")
        return
    n = len(batch) - len(needles.searchable("vector"))
    if n:
        notes.append(
            f"{n} of {len(batch)} vectors cannot be looked for: they are missing, hold hardly "
            "any number but zero, or live rows hold them, too"
        )
