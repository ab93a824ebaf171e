"""LangChain's LocalFileStore: one file per key, as parent-document retrievers fill it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ragshield.errors import IncompleteError, InputError
from ragshield.forget.artefacts.files import (
    file_surface,
    json_surface,
    overwrite_and_unlink,
    strings_in,
)
from ragshield.forget.artefacts.target import Target
from ragshield.forget.plans.records import EXCERPT_CHARS, Artefact
from ragshield.protocols import Surface

_LEAVING = ".forgotten"


class FileStore:
    """Files whose names are document ids and whose contents are documents."""

    def find(self, path: Path, target: Target) -> list[Artefact]:
        """Files that are the parents of selected passages, or carry the target."""
        _check(path)
        found = []
        for file in _files(path):
            key = file.relative_to(path).as_posix()
            data = _bytes(file)
            text = _text(data)
            why = target.by_id(key) or target.by_id(file.stem)
            by_text = target.by_text(text)
            if by_text is not None and (
                why is None
                or (by_text.selected, by_text.confidence) > (why.selected, why.confidence)
            ):
                why = by_text
            if why is not None:
                found.append(
                    Artefact(
                        kind="parent-store",
                        place=str(path),
                        key=key,
                        reason=why.reason,
                        confidence=round(why.confidence, 2),
                        selected=why.selected,
                        sha256=hashlib.sha256(data).hexdigest(),
                        text=text[:EXCERPT_CHARS],
                    )
                )
        return found

    def remove(self, path: Path, artefacts: Sequence[Artefact]) -> tuple[str, ...]:
        """Overwrite and remove the files, each first renamed so that a crash can be told."""
        _check(path)
        for left in path.rglob(f".*{_LEAVING}"):
            overwrite_and_unlink(left)
        changed = []
        for artefact in artefacts:
            file = _inside(path, artefact.key)
            if not file.is_file():
                continue
            if hashlib.sha256(_bytes(file)).hexdigest() != artefact.sha256:
                changed.append(artefact.key)
                continue
            leaving = file.with_name(
                f".{hashlib.sha256(file.name.encode()).hexdigest()[:16]}{_LEAVING}"
            )
            try:
                file.replace(leaving)
            except OSError as error:
                raise IncompleteError(
                    f"{file} cannot be removed: {error.strerror or error}"
                ) from error
            overwrite_and_unlink(leaving)
        if not changed:
            return ()
        return (f"{len(changed)} entries of {path} have changed since and were left alone",)

    def surfaces(self, path: Path) -> tuple[Surface, ...]:
        """Each file as it lies there, and its texts where it is JSON."""
        _check(path)
        found = []
        for file in [*_files(path), *sorted(path.rglob(f".*{_LEAVING}"))]:
            name = f"parent-store/{file.relative_to(path).as_posix()}"
            found.append(file_surface(file, name))
            with suppress(OSError, ValueError):
                json.loads(file.read_bytes())
                found.append(json_surface(file, name))
        return tuple(found)


def _check(path: Path) -> None:
    if not path.is_dir():
        raise InputError(f"parent-store: {path} is no folder; name the root of the LocalFileStore")


def _files(path: Path) -> Iterator[Path]:
    # A link leads out of the store, and what it leads to is not the store's to remove.
    return (
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.is_symlink() and not file.name.endswith(_LEAVING)
    )


def _inside(path: Path, key: str) -> Path:
    file = path / key
    if not file.resolve().is_relative_to(path.resolve()):
        raise InputError(f"parent-store: the key '{key}' leads out of {path}; plan again")
    return file


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error


def _text(data: bytes) -> str:
    """The document's text: LangChain's serialisation, else every string of JSON, else as is."""
    plain = data.decode("utf-8", "replace")
    try:
        value = json.loads(plain)
    except ValueError:
        return plain
    inner = value.get("kwargs", value) if isinstance(value, dict) else value
    if isinstance(inner, dict) and isinstance(inner.get("page_content"), str):
        return str(inner["page_content"])
    return "\n".join(strings_in(value))
