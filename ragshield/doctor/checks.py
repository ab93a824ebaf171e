"""Where a store and what frameworks note about it disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragshield.doctor.ledgers import (
    Docstore,
    Ledger,
    Node,
    Record,
    read_docstore,
    read_parents,
    read_records,
    text_sha256,
)
from ragshield.errors import InputError
from ragshield.protocols import Store

DriftKind: TypeAlias = Literal[
    "lost", "kept", "unrecorded", "stale", "text-kept", "changed", "dangling"
]
"""How they disagree; `MEANINGS` says it in words."""

MEANINGS: Mapping[DriftKind, str] = {
    "lost": "recorded as present, and not in the store: it is never found, and indexing again "
    "skips it",
    "kept": "in the store, recorded as deleted: its source is known and the row is not, so a "
    "failed deletion was recorded as done",
    "unrecorded": "in the store, never recorded: no clean-up will ever remove it",
    "stale": "in the store and recorded, but not there any more when its source was last indexed",
    "text-kept": "out of the store, and its text is still kept beside it",
    "changed": "in both, with different texts",
    "dangling": "refers to an entry that is not there",
}

ADVICE: Mapping[DriftKind, str] = {
    "lost": "index again with force_update=True, or delete these keys from the record manager "
    "first; rows that were meant to go: delete the keys",
    "kept": "delete these ids from the store, then look with ragshield residue",
    "unrecorded": "index their sources through the record manager, or delete them",
    "stale": "delete these ids from the store and the record manager; index with "
    "cleanup='incremental' or 'full'",
    "text-kept": "if it was meant to go, delete it there too (LlamaIndex: "
    "delete_ref_doc(..., delete_from_docstore=True)); ragshield forget plan --also does both",
    "changed": "index the document again",
    "dangling": "index the document again, or delete what refers to it",
}

STALE_AFTER_S = 60.0
"""So much older than the newest row of its source, and a row was not seen with it."""

PARENT_KEY = "doc_id"
"""Where children keep the key of their parent, unless the application chose another name."""

_DOCUMENT_KEYS = ("ref_doc_id", "document_id", "doc_id")


@dataclass(frozen=True, slots=True)
class Drift:
    """One disagreement.

    Attributes:
        kind: what is wrong.
        ledger: where it was noted, as `KIND:PATH`.
        key: id of the row, node or parent.
        group: its source or document, where one is noted.
    """

    kind: DriftKind
    ledger: str
    key: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
        store: url.
        n_rows: rows of the store.
        n_noted: entries per ledger that belong to this store.
        drifts: every disagreement, ledger by ledger.
        notes: what a person should know, such as ledgers of other stores.
    """

    store: str
    n_rows: int
    n_noted: Mapping[str, int]
    drifts: tuple[Drift, ...]
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[DriftKind, int]:
        """How many of each kind, in the order of `MEANINGS`."""
        kinds = [drift.kind for drift in self.drifts]
        return {kind: kinds.count(kind) for kind in MEANINGS if kind in kinds}


@dataclass(frozen=True, slots=True)
class _Row:
    text_sha256: str
    values: frozenset[str]
    document: str | None
    parent: str | None


def diagnose(
    store: Store,
    ledgers: Sequence[Ledger],
    *,
    stale_after_s: float = STALE_AFTER_S,
    parent_key: str = PARENT_KEY,
    on_progress: Callable[[int], None] | None = None,
) -> Diagnosis:
    """Compare a store with what frameworks note about it; changes nothing.

    Finds what was reported as langchain #39937 (recorded, and lost), #40226 (failed
    deletions recorded as done), #28447 (a removed chunk that stays) and llama_index #20990
    (a deleted document whose text stays in the docstore).

    Args:
        store: read once; ids and hashes of its rows are held in memory.
        ledgers: what to compare it with.
        stale_after_s: a row that its source's newest is so much younger than is stale.
        parent_key: metadata in which a child keeps the key of its parent.
        on_progress: called with the number of rows just read.

    Raises:
        InputError: a ledger cannot be read, or has nothing in common with the store.
    """
    rows = _rows(store, parent_key, on_progress)
    drifts: list[Drift] = []
    noted: dict[str, int] = {}
    notes: list[str] = []
    for one in ledgers:
        if one.kind == "record-manager":
            records, left_out = _of_store(read_records(one.path), rows, one)
            notes += left_out
            noted[str(one)] = len(records)
            drifts += _records(one, records, rows, stale_after_s)
        elif one.kind == "docstore":
            docstore = read_docstore(one.path)
            noted[str(one)] = len(docstore.nodes)
            if not docstore.nodes:
                notes.append(f"{one} holds no nodes: the store keeps the texts, nothing to compare")
                continue
            _check_common(one, set(docstore.nodes), rows)
            drifts += _docstore(one, docstore, rows)
        else:
            parents = read_parents(one.path)
            noted[str(one)] = len(parents)
            children = {row.parent for row in rows.values() if row.parent is not None}
            _check_common(one, set(parents), dict.fromkeys(children))
            drifts += _parents(one, set(parents), rows)
    return Diagnosis(store.url, len(rows), noted, tuple(drifts), tuple(notes))


def _rows(
    store: Store, parent_key: str, on_progress: Callable[[int], None] | None
) -> dict[str, _Row]:
    rows = {}
    for batch in store.batches():
        for passage in batch.passages:
            meta = passage.meta
            document = next((meta[key] for key in _DOCUMENT_KEYS if meta.get(key)), None)
            parent = meta.get(parent_key)
            values = {str(v) for v in (passage.source, *meta.values()) if v not in (None, "")}
            rows[passage.id] = _Row(
                text_sha256(passage.text),
                frozenset(values),
                None if document is None else str(document),
                None if parent is None else str(parent),
            )
        if on_progress is not None:
            on_progress(len(batch))
    return rows


def _of_store(
    namespaces: Mapping[str, list[Record]], rows: Mapping[str, _Row], one: Ledger
) -> tuple[list[Record], list[str]]:
    """The records of those namespaces that are this store's."""
    if len(namespaces) <= 1 or not rows:
        records = [record for found in namespaces.values() for record in found]
        if records:
            _check_common(one, {record.key for record in records}, rows)
        return records, []
    mine = {name: found for name, found in namespaces.items() if any(r.key in rows for r in found)}
    if not mine:
        _check_common(one, {r.key for found in namespaces.values() for r in found}, rows)
    notes = [
        f"{one}: namespace '{name}' shares no id with the store and was left out"
        for name in namespaces
        if name not in mine
    ]
    return [record for found in mine.values() for record in found], notes


def _check_common(one: Ledger, keys: set[str], rows: Mapping[str, object]) -> None:
    if keys and rows and not any(key in rows for key in keys):
        raise InputError(
            f"{one} and the store have none of their ids in common ({len(keys)} and {len(rows)}); "
            "are they of the same application?"
        )


def _records(
    one: Ledger, records: Sequence[Record], rows: Mapping[str, _Row], stale_after_s: float
) -> Iterator[Drift]:
    newest: dict[str, float] = {}
    for record in records:
        if record.group is not None:
            newest[record.group] = max(newest.get(record.group, 0.0), record.updated_s)
    keys = {record.key for record in records}
    for record in records:
        if record.key not in rows:
            yield Drift("lost", str(one), record.key, record.group)
        elif record.group and newest[record.group] - record.updated_s > stale_after_s:
            yield Drift("stale", str(one), record.key, record.group)
    for name, row in rows.items():
        if name not in keys:
            group = next((value for value in sorted(row.values) if value in newest), None)
            yield Drift("unrecorded" if group is None else "kept", str(one), name, group)


def _docstore(one: Ledger, docstore: Docstore, rows: Mapping[str, _Row]) -> Iterator[Drift]:
    for node in docstore.nodes.values():
        row = rows.get(node.id)
        if row is None:
            if not _is_document(node, docstore):
                kind = _why_without_vector(node, docstore, rows)
                yield Drift(kind, str(one), node.id, node.document)
        elif row.text_sha256 != node.text_sha256:
            yield Drift("changed", str(one), node.id, node.document)
    for document, listed in docstore.listed.items():
        for node_id in listed:
            if node_id not in docstore.nodes:
                yield Drift("dangling", str(one), node_id, document)
    for name, row in rows.items():
        if name not in docstore.nodes and row.document is not None:
            yield Drift("unrecorded", str(one), name, row.document)


def _is_document(node: Node, docstore: Docstore) -> bool:
    """Whether it is a whole document, which pipelines keep and never embed."""
    return node.document is None and node.id in docstore.listed


def _why_without_vector(node: Node, docstore: Docstore, rows: Mapping[str, _Row]) -> DriftKind:
    """A document with no vector at all was deleted; single vectors got lost."""
    siblings = docstore.listed.get(node.document or "", ())
    return "lost" if any(name in rows for name in siblings) else "text-kept"


def _parents(one: Ledger, parents: set[str], rows: Mapping[str, _Row]) -> Iterator[Drift]:
    children: dict[str, list[str]] = {}
    for name, row in rows.items():
        if row.parent is not None:
            children.setdefault(row.parent, []).append(name)
    for key in sorted(parents - set(children)):
        yield Drift("text-kept", str(one), key)
    for key in sorted(set(children) - parents):
        for name in children[key]:
            yield Drift("dangling", str(one), name, key)
