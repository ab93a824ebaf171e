"""What frameworks keep beside the store: docstores, record managers, parents, caches.

Named by `KIND:PATH`:

    record-manager:FILE.sqlite    LangChain's SQLRecordManager: which ids were written
    docstore:FILE.json|FOLDER     LlamaIndex's docstore.json, and in a folder the index and
                                  vector stores beside it
    parent-store:FOLDER           LangChain's LocalFileStore, as its parent-document and
                                  multi-vector retrievers use it
    langchain-cache:FILE.sqlite   LangChain's SQLiteCache: prompts and answers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast, get_args

from ragshield.errors import InputError, UsageError
from ragshield.forget.artefacts.llamaindex import Docstore
from ragshield.forget.artefacts.local_file_store import FileStore
from ragshield.forget.artefacts.sqlite import Cache, RecordManager
from ragshield.forget.artefacts.target import Target
from ragshield.forget.closure.closing import Closed
from ragshield.forget.plans.records import Artefact, ArtefactKind
from ragshield.forget.plans.request import Request
from ragshield.protocols import Surface


class Place(NamedTuple):
    """A file or folder that may hold the target beside the store."""

    kind: ArtefactKind
    path: Path


class _Keeper(Protocol):
    """How one kind of place is searched and changed."""

    def find(self, path: Path, target: Target) -> list[Artefact]: ...

    def remove(self, path: Path, artefacts: Sequence[Artefact]) -> tuple[str, ...]: ...

    def surfaces(self, path: Path) -> tuple[Surface, ...]: ...


_KEEPERS: Mapping[ArtefactKind, _Keeper] = {
    "record-manager": RecordManager(),
    "langchain-cache": Cache(),
    "docstore": Docstore(),
    "parent-store": FileStore(),
}


def place(given: str) -> Place:
    """Read `KIND:PATH`.

    Raises:
        UsageError: no such kind.
        InputError: nothing there.
    """
    kind, colon, path = given.partition(":")
    if not colon or kind not in get_args(ArtefactKind):
        kinds = ", ".join(get_args(ArtefactKind))
        raise UsageError(f"'{given}' is not KIND:PATH with one of these kinds: {kinds}")
    if not path or not Path(path).exists():
        raise InputError(f"{kind}: there is no file or folder '{path}'")
    return Place(cast("ArtefactKind", kind), Path(path))


def find(places: Iterable[Place], request: Request, closed: Closed) -> tuple[Artefact, ...]:
    """Entries that carry the target: by the ids of what goes, by names, by texts.

    Args:
        places: where to look.
        request: what is to be forgotten.
        closed: what goes from the store.

    Raises:
        InputError: a place is not what its kind says, or cannot be read.
    """
    target = Target(request, closed)
    found: list[Artefact] = []
    for kind, path in places:
        found += _KEEPERS[kind].find(path, target)
    return tuple(sorted(found, key=lambda a: (a.place, not a.selected, -a.confidence, a.key)))


def remove(artefacts: Sequence[Artefact]) -> tuple[str, ...]:
    """Remove entries and their bytes from their places; what is gone already is no error.

    All of one place go at once. Killed at any point, the same call finishes the work; a
    place is always either as it was or without them.

    Returns:
        What a reader should know, such as entries that have changed since they were found:
        those are left alone.

    Raises:
        IncompleteError: a place cannot be written, or something is still there.
        InputError: a place is not what its kind says.
    """
    by_place: dict[tuple[ArtefactKind, str], list[Artefact]] = {}
    for artefact in artefacts:
        by_place.setdefault((artefact.kind, artefact.place), []).append(artefact)
    notes: list[str] = []
    for (kind, where), found in by_place.items():
        notes += _KEEPERS[kind].remove(Path(where), found)
    return tuple(notes)


def surfaces(where: Place) -> tuple[Surface, ...]:
    """Every file of a place, and what hides in it, for the residue scan.

    Names are the kind and the path inside the place: they hold no stored contents, but keys
    of a parent store are file names.
    """
    return _KEEPERS[where.kind].surfaces(where.path)
