"""What frameworks note about a store: record managers, docstores, parent documents."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from ragshield.errors import InputError, UsageError
from ragshield.files import read_text

LedgerKind: TypeAlias = Literal["record-manager", "docstore", "parent-store"]
"""`record-manager`: LangChain's SQLRecordManager in SQLite. `docstore`: LlamaIndex's
docstore.json, or its folder. `parent-store`: LangChain's LocalFileStore, as
ParentDocumentRetriever and MultiVectorRetriever use it."""

_DOCSTORE = "docstore.json"


@dataclass(frozen=True, slots=True)
class Ledger:
    """A file or folder in which a framework notes what a store holds."""

    kind: LedgerKind
    path: Path

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a record manager.

    Attributes:
        key: id of a row of the store.
        group: the source that the row was made from; None where none is noted.
        updated_s: when the row was last seen in its source, seconds since 1970.
    """

    key: str
    group: str | None
    updated_s: float


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a docstore.

    Attributes:
        id: its id, which is the row's in the store.
        document: id of the document that it was cut from; None where none is noted.
        text_sha256: of its text, so that no text has to be kept.
    """

    id: str
    document: str | None
    text_sha256: str


@dataclass(frozen=True, slots=True)
class Docstore:
    """A docstore: its nodes, and for each document the nodes that it lists."""

    nodes: Mapping[str, Node]
    listed: Mapping[str, tuple[str, ...]]


def ledger(given: str) -> Ledger:
    """Read `KIND:PATH`.

    Raises:
        UsageError: no such kind.
        InputError: nothing there.
    """
    kind, colon, name = given.partition(":")
    if not colon or kind not in get_args(LedgerKind):
        kinds = ", ".join(get_args(LedgerKind))
        raise UsageError(f"'{given}' is not KIND:PATH with one of these kinds: {kinds}")
    path = Path(name).expanduser()
    if not name or not path.exists():
        raise InputError(f"{kind}: there is no file or folder '{name}'")
    return Ledger(cast("LedgerKind", kind), path)


def read_records(path: Path) -> dict[str, list[Record]]:
    """Every record of an SQLRecordManager, by namespace.

    Raises:
        InputError: not an SQLite file of one.
    """
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            found = database.execute(
                "SELECT namespace, key, group_id, updated_at FROM upsertion_record ORDER BY key"
            )
            records: dict[str, list[Record]] = {}
            for namespace, key, group, updated in found:
                record = Record(str(key), None if group is None else str(group), updated or 0.0)
                records.setdefault(str(namespace), []).append(record)
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: no SQLRecordManager of LangChain can be read from it ({error})"
        ) from error
    return records


def read_docstore(path: Path) -> Docstore:
    """The nodes of a SimpleDocumentStore.

    Raises:
        InputError: not one.
    """
    file = path / _DOCSTORE if path.is_dir() else path
    try:
        value = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise InputError(f"{file}: not JSON ({error.msg})") from error
    # One that never held anything is an empty object.
    if not isinstance(value, dict) or (value and not any(k.startswith("docstore/") for k in value)):
        raise InputError(f"{file}: no docstore of LlamaIndex")
    listed = {
        name: tuple(_dict(info).get("node_ids", ()))
        for name, info in _dict(value.get("docstore/ref_doc_info")).items()
    }
    notes = _dict(value.get("docstore/metadata"))
    nodes = {}
    for node_id, stored in _dict(value.get("docstore/data")).items():
        text = _dict(_dict(stored).get("__data__")).get("text")
        if text is None:  # newer versions keep media in a part of its own
            text = _dict(_dict(_dict(stored).get("__data__")).get("text_resource")).get("text", "")
        document = _dict(notes.get(node_id)).get("ref_doc_id")
        nodes[node_id] = Node(node_id, document, text_sha256(str(text)))
    return Docstore(nodes, listed)


def read_parents(path: Path) -> dict[str, int]:
    """The keys of a LocalFileStore and the size of each file.

    Raises:
        InputError: not a folder.
    """
    if not path.is_dir():
        raise InputError(f"{path} is no folder; a LocalFileStore is one, with a file per key")
    return {
        file.relative_to(path).as_posix(): file.stat().st_size
        for file in sorted(_files(path))
        if not file.name.startswith(".")
    }


def text_sha256(text: str) -> str:
    """What two texts are compared by."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _files(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file())


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
