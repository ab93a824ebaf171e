"""Which stores are test copies, and may be poisoned.

A mark is a file beside the data: it goes when the folder goes, and names the place it was
made for, so that a test copy put in production's place is no test copy any more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ragshield.errors import InputError, UsageError
from ragshield.files import read_text, writing

_FORMAT = "ragshield-test-copies/1"
_MARK = "ragshield-test-copies.json"


def absolute(url: str) -> str:
    """The same store named from anywhere: relative paths made absolute."""
    scheme, _, place = url.partition(":")
    if scheme in ("chroma", "sqlite"):
        path, _, name = place.rpartition("#")
        return f"{scheme}:{_resolved(path)}#{name}" if path else url
    return f"jsonl:{_resolved(place)}" if scheme == "jsonl" and place else url


def is_marked(url: str) -> bool:
    """Whether a store is a test copy that `mark` marked, or lives in this process only.

    Raises:
        InputError: there is a file where the mark would be, and it is no mark.
    """
    if url.partition(":")[0] == "memory":
        return True
    file = _mark_file(url)
    return file is not None and file.is_file() and _place(url) in _marked(file)


def mark(url: str) -> None:
    """Mark a store as a test copy.

    Raises:
        UsageError: the store has no place for a mark (a server), or it cannot be written.
    """
    file = _mark_file(url)
    if file is None:
        raise UsageError(f"{url} cannot be marked as a test copy: only stores in files can")
    known = _marked(file) if file.is_file() else []
    with writing(file) as opened:
        stores = sorted({*known, _place(url)})
        json.dump({"format": _FORMAT, "stores": stores}, opened, indent=1)
        opened.write("\n")


def _mark_file(url: str) -> Path | None:
    scheme, _, place = absolute(url).partition(":")
    if scheme == "chroma" and "#" in place:
        return Path(place.rpartition("#")[0]) / _MARK
    if scheme == "sqlite" and "#" in place:
        return Path(f"{place.rpartition('#')[0]}.{_MARK}")
    return Path(f"{place}.{_MARK}") if scheme == "jsonl" and place else None


def _place(url: str) -> str:
    """What a mark names: the store, however its columns are told apart."""
    whole = absolute(url)
    return whole.partition("?")[0] if whole.startswith("sqlite:") else whole


def _marked(file: Path) -> list[str]:
    try:
        data: Any = json.loads(read_text(file))
        if data["format"] == _FORMAT:
            return [str(url) for url in data["stores"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no list of test copies ({error}); remove it") from error
    raise InputError(f"{file} is no list of test copies this version reads; remove it")


def _resolved(path: str) -> Path:
    return Path(path).expanduser().resolve()
