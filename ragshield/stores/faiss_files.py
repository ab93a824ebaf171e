"""The two files of a FAISS store, and how both are replaced as one.

A rename replaces one file at a time, so the pair is written beside, a marker says that
it is complete, and whoever finds the marker finishes the renames. Until then readers
here take each file from where its newer form lies, so they never see one of each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from ragshield.errors import IncompleteError, StoreError, UsageError
from ragshield.files import writing
from ragshield.stores.leftovers import sync_folder

_KINDS = ("pkl", "jsonl")

Stamp: TypeAlias = tuple[int, int, int]
"""Time, size and number of a file: another one once it was written to or replaced."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Where the parts of a store lie.

    Attributes:
        folder: that holds them.
        name: of both, without ending; LangChain says `index`.
        ending: `pkl` for what LangChain writes, `jsonl` for lines.
    """

    folder: Path
    name: str
    ending: str

    @property
    def index(self) -> Path:
        """The index."""
        return self.folder / f"{self.name}.faiss"

    @property
    def passages(self) -> Path:
        """The passages that go with it."""
        return self.folder / f"{self.name}.{self.ending}"

    @property
    def marker(self) -> Path:
        """There while both new files are complete and not both in place."""
        return self.folder / f".{self.name}.ragshield-ready"

    def new(self, path: Path) -> Path:
        """Where the next form of one of the two is written."""
        return path.with_name(f".{path.name}.ragshield-new")

    def current(self, path: Path) -> Path:
        """Where one of the two is to be read from now."""
        return self.new(path) if self.is_due(path) else path

    def is_due(self, path: Path) -> bool:
        """Whether the new form of one of the two waits for its rename.

        It does not where a program has saved the store since, without knowing of us.
        """
        try:
            replaced = json.loads(self.marker.read_bytes())
            return self.new(path).exists() and list(stamp(path)) == replaced[path.name]
        except (OSError, ValueError, KeyError):
            return False

    def stamps(self) -> tuple[Stamp, Stamp]:
        """Changes whenever anyone replaces or writes one of the two.

        Raises:
            StoreError: one is not there.
        """
        return stamp(self.current(self.index)), stamp(self.current(self.passages))


def stamp(path: Path) -> Stamp:
    """The stamp of a file.

    Raises:
        StoreError: it is not there.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def pair_of(url: str) -> Pair:
    """The files that `faiss:FOLDER` or `faiss:FOLDER#NAME` names.

    Raises:
        UsageError: it names no folder.
        StoreError: the folder or one of the files is not there.
    """
    place, hash_sign, name = url.removeprefix("faiss:").rpartition("#")
    if not hash_sign:
        place, name = name, ""
    if not place:
        raise UsageError(
            f"store URL '{url}' names no folder; write faiss:FOLDER or faiss:FOLDER#NAME"
        )
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise StoreError(f"{url}: there is no folder {folder}; name one that holds index.faiss")
    if not name:
        there = sorted(path.stem for path in folder.glob("*.faiss") if path.name[0] != ".")
        name = "index" if "index" in there or len(there) != 1 else there[0]
        if name not in there:
            listing = ", ".join(there) or "none"
            raise StoreError(
                f"{url}: {folder} holds no index.faiss (there are: {listing}); add #NAME"
            )
    for ending in _KINDS:
        pair = Pair(folder, name, ending)
        if pair.current(pair.index).is_file() and pair.current(pair.passages).is_file():
            return pair
    what = "no index" if not (folder / f"{name}.faiss").is_file() else "no passages"
    raise StoreError(
        f"{url}: {what} '{name}' in {folder}; it needs {name}.faiss with {name}.pkl (as LangChain "
        f"saves it) or {name}.jsonl (line i is the passage of vector i)"
    )


def is_writable(pair: Pair) -> bool:
    """Whether both files can be replaced."""
    return all(os.access(p, os.W_OK) for p in (pair.folder, pair.index, pair.passages))


def replace_pair(
    pair: Pair,
    write_index: Callable[[Path], None],
    write_passages: Callable[[BinaryIO], None],
    *,
    unless_changed: tuple[Stamp, Stamp],
) -> int:
    """Put new forms of both files in the place of the old; both or none.

    Args:
        pair: which.
        write_index: writes the index to a path.
        write_passages: writes the passages to an open file.
        unless_changed: stamps of what the new forms were made from.

    Returns:
        Bytes written.

    Raises:
        StoreError: someone else has changed the store meanwhile.
        IncompleteError: the disk is full or refuses; the store is as it was.
    """
    news = [pair.new(pair.index), pair.new(pair.passages)]
    try:
        write_index(news[0])
        with news[1].open("wb") as file:
            write_passages(file)
        for path, old in zip(news, (pair.index, pair.passages), strict=True):
            path.chmod(old.stat().st_mode & 0o7777)
            _sync(path)
        if pair.stamps() != unless_changed:
            raise StoreError(f"{pair.index} was changed by another program just now; try again")
        sync_folder(pair.folder)
        replaced = {path.name: stamp(path) for path in (pair.index, pair.passages)}
        with writing(pair.marker) as marker:
            json.dump(replaced, marker)
        sync_folder(pair.folder)
    except BaseException as error:
        for path in (pair.marker, *news):
            with suppress(OSError):
                path.unlink()
        if isinstance(error, OSError):
            raise IncompleteError(
                f"cannot write {pair.folder}: {error.strerror or error}; the store is as it was"
            ) from error
        raise
    n_bytes = sum(path.stat().st_size for path in news)
    finish(pair)
    return n_bytes


def finish(pair: Pair) -> bool:
    """Finish or undo what a killed replacement left; whether there was anything.

    Raises:
        IncompleteError: the folder cannot be changed.
    """
    try:
        found = pair.marker.exists()
        for path in (pair.index, pair.passages):
            new = pair.new(path)
            if not new.exists():
                continue
            found = True
            if pair.is_due(path):
                new.replace(path)
            else:
                new.unlink()
        if found:
            sync_folder(pair.folder)
            pair.marker.unlink(missing_ok=True)
            sync_folder(pair.folder)
        return found
    except OSError as error:
        raise IncompleteError(
            f"cannot change {pair.folder}: {error.strerror or error}; run it again"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
