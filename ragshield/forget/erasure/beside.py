"""What a plan selects beside the store: kept for undo, removed, looked for, put back."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError
from ragshield.forget.artefacts.places import Place, remove, surfaces
from ragshield.forget.erasure.looking import seen_on, surface_verdicts
from ragshield.forget.plans.records import Artefact, ArtefactKind
from ragshield.forget.saved.rounds import Round
from ragshield.forget.saved.sealing import sync_folder, unfinished
from ragshield.records import Batch, Passage, Vectors

_SQLITE: tuple[ArtefactKind, ...] = ("record-manager", "langchain-cache")
_BESIDE_SQLITE = ("-wal", "-shm", "-journal")


class _NoForms:
    """Nothing beside the store keeps vectors in a form of its own."""

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        return ()


def files_of(artefacts: Sequence[Artefact]) -> dict[str, str]:
    """The files that removing these entries changes, as they are now: path to base64."""
    found: dict[str, str] = {}
    for artefact in artefacts:
        for path in _touched(artefact):
            if str(path) not in found and path.is_file():
                found[str(path)] = base64.b64encode(path.read_bytes()).decode("ascii")
    return found


def look_beside(one: Round) -> dict[str, Any]:
    """What is visible of the selected entries in each place: place to counts and surfaces."""
    noted = {}
    for name, (kind, path, chosen) in _places(one).items():
        batch = Batch(tuple(Passage(a.key, a.text) for a in chosen), None)
        look = seen_on(surfaces(Place(kind, path)), batch, _NoForms(), ())
        by_id = not any(artefact.text for artefact in chosen)
        n_seen = max((s.n_ids for s in look.surfaces), default=0) if by_id else len(look.texts)
        noted[name] = {
            **look.record(range(len(batch))),
            "kind": kind,
            "n_passages": len(batch),
            "n_texts": len(batch) if by_id else len(look.wanted_texts),
            "texts": n_seen,
            "by_id": by_id,
        }
    return noted


def remove_beside(one: Round) -> list[str]:
    """Remove the selected entries, and note how the files are afterwards; repeatable."""
    chosen = [artefact for artefact in one.plan.artefacts if artefact.selected]
    return list(remove(chosen)) if chosen else []


def state_of_files(files: Mapping[str, str]) -> list[str | None]:
    """SHA-256 of files of the snapshot as they are now, in its order; None for one gone."""
    return [_sha256(Path(path)) for path in files]


def verdicts_beside(one: Round) -> dict[str, Any]:
    """The verdict on each place beside the store, from looking again."""
    before = one.state.evidence.get("baseline", {}).get("beside", {})
    found = {}
    for name, (kind, path, chosen) in _places(one).items():
        batch = Batch(tuple(Passage(a.key, a.text) for a in chosen), None)
        after = seen_on(surfaces(Place(kind, path)), batch, _NoForms(), ())
        known = before.get(name)
        by_id = not any(artefact.text for artefact in chosen)
        rows, _ = surface_verdicts(known["surfaces"] if known else (), after, by_id=by_id)
        found[name] = {
            "name": name,
            "kind": kind,
            "n_passages": len(chosen),
            "surfaces": rows,
            "n_texts": known["n_texts"] if known else len(chosen),
            "n_vectors": 0,
            "seen_before": {"texts": known["texts"], "vectors": 0} if known else None,
        }
    return found


def restore_files(files: Mapping[str, str], left: Sequence[str | None] | None) -> list[str]:
    """Put files back as they were before the removal; gives what could not be.

    Args:
        files: path to base64, from `files_of`.
        left: how the removal left them; None where a crash kept that from being noted.
            A file that somebody changed since is left alone.
    """
    notes = []
    for i, (name, content) in enumerate(files.items()):
        path, before = Path(name), base64.b64decode(content)
        there = _sha256(path)
        if there == sha256(before).hexdigest():
            continue
        if left is not None and there != left[i]:
            notes.append(f"{path} was changed since and was left alone")
            continue
        _write(path, before)
        for suffix in _BESIDE_SQLITE:  # of the file that was just replaced
            beside = path.with_name(path.name + suffix)
            if str(beside) not in files and path.suffix != ".json":
                with suppress(FileNotFoundError):
                    beside.unlink()
    return notes


def _places(one: Round) -> dict[str, tuple[ArtefactKind, Path, list[Artefact]]]:
    found: dict[tuple[ArtefactKind, str], list[Artefact]] = {}
    for artefact in one.plan.artefacts:
        if artefact.selected:
            found.setdefault((artefact.kind, artefact.place), []).append(artefact)
    return {
        f"{kind} {i}": (kind, Path(place), chosen)
        for i, ((kind, place), chosen) in enumerate(sorted(found.items()), start=1)
    }


def _touched(artefact: Artefact) -> list[Path]:
    path = Path(artefact.place)
    if artefact.kind in _SQLITE:
        return [path, *(path.with_name(path.name + suffix) for suffix in _BESIDE_SQLITE)]
    if artefact.kind == "parent-store":
        return [path / artefact.key]
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _sha256(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    beside = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise IncompleteError(
            f"{path} cannot be put back: {error.strerror or error}; undo again"
        ) from error
