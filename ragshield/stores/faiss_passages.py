"""The passages beside a FAISS index: LangChain's pickled docstore, or JSON lines."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, StoreError
from ragshield.records import MetaValue, Passage
from ragshield.stores.jsonl import JsonlStore
from ragshield.stores.pickled import StandIn, dump, load, stand_in_for

_SHOWN_AS_TEXT = (datetime.date, datetime.time, decimal.Decimal, uuid.UUID)


class Passages(Protocol):
    """What lies beside an index: a passage for each label, and perhaps some without one."""

    labels: dict[int, Passage]
    """What can be retrieved: a passage by its label."""

    unlabelled: tuple[str, ...]
    """Ids of passages that no label leads to."""

    def without(
        self, ids: frozenset[str], gone: frozenset[int], stay: Sequence[int], *, moved: bool
    ) -> Passages:
        """The same without these labels, and without unlabelled passages of these ids.

        Args:
            ids: of what goes.
            gone: labels of what goes.
            stay: labels of the vectors that stay, in their order.
            moved: whether those become 0, 1, 2, ...
        """
        ...

    def plus(self, passages: Mapping[int, Passage]) -> Passages:
        """The same with more, by their labels.

        Raises:
            InputError: something cannot be kept.
        """
        ...

    def write(self, file: BinaryIO) -> None:
        """Write it as it was read."""
        ...


class Docstore:
    """LangChain's `index.pkl`: `(InMemoryDocstore, {label: id})`, read without running it."""

    def __init__(self, store: StandIn, names: Mapping[int, Any], where: str) -> None:
        self._store, self._names, self._where = store, names, where
        documents = store.attributes()["_dict"]
        self.labels = {
            label: _passage(name, documents[name], where)
            for label, name in sorted(names.items())
            if name in documents
        }
        self.unlabelled = tuple(map(str, set(documents) - set(names.values())))

    @classmethod
    def read(cls, path: Path, url: str) -> Docstore:
        """Read the file.

        Raises:
            StoreError: it cannot be read, or is another kind of docstore.
            InputError: damaged.
        """
        where = f"{url}: {path.name}"
        try:
            with path.open("rb") as file:
                found = load(file, where)
        except OSError as error:
            raise StoreError(f"{where} cannot be read: {error.strerror or error}") from error
        store, names = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
        known = isinstance(store, StandIn) and isinstance(store.attributes().get("_dict"), dict)
        if not known or not isinstance(names, dict):
            raise StoreError(
                f"{where} is not what LangChain's FAISS saves: an InMemoryDocstore and a map from "
                "positions to ids"
            )
        if not isinstance(store, StandIn) or any(not isinstance(label, int) for label in names):
            raise StoreError(f"{where}: positions of vectors are not whole numbers")
        return cls(store, names, where)

    @classmethod
    def empty(cls, where: str) -> Docstore:
        """A new docstore, of the class that LangChain's present version has."""
        store = stand_in_for("langchain_community.docstore.in_memory", "InMemoryDocstore")
        made: StandIn = store.__new__(store)
        made.state = {"_dict": {}}
        return cls(made, {}, where)

    def without(
        self, ids: frozenset[str], gone: frozenset[int], stay: Sequence[int], *, moved: bool
    ) -> Docstore:
        """The same without these labels, and without unlabelled documents of these ids."""
        left = [(label, self._names[label]) for label in stay if label in self._names]
        names_gone = {self._names[label] for label in gone if label in self._names}
        names_gone -= {name for _, name in left}
        documents = {
            name: document
            for name, document in self._store.attributes()["_dict"].items()
            if name not in names_gone and str(name) not in ids
        }
        places = {label: i for i, label in enumerate(stay)}
        names = {places[label] if moved else label: name for label, name in left}
        return Docstore(self._with(documents), names, self._where)

    def plus(self, passages: Mapping[int, Passage]) -> Docstore:
        """The same with more documents, made like those there are."""
        documents = dict(self._store.attributes()["_dict"])
        like = next((d for d in documents.values() if isinstance(d, StandIn)), None)
        for passage in passages.values():
            if passage.id in documents:
                raise InputError(
                    f"id '{passage.id}' exists already in the docstore; delete it first"
                )
            documents[passage.id] = _document(passage, like)
        names = {label: passage.id for label, passage in passages.items()}
        return Docstore(self._with(documents), {**self._names, **names}, self._where)

    def write(self, file: BinaryIO) -> None:
        """Write it as LangChain reads it."""
        dump((self._store, dict(self._names)), file)

    def _with(self, documents: dict[Any, Any]) -> StandIn:
        kind = type(self._store)
        made: StandIn = kind.__new__(kind, *self._store.args, **self._store.kwargs)
        made.how = self._store.how
        made.state = {**self._store.attributes(), "_dict": documents}
        return made


class Lines:
    """`NAME.jsonl`: one passage a line, line i for vector i; lines stay as they are written."""

    def __init__(
        self, lines: Sequence[str], passages: Sequence[Passage], at: Sequence[int]
    ) -> None:
        self._lines, self._passages, self._at = lines, passages, at
        self.labels = dict(zip(at, passages, strict=False))
        self.unlabelled = tuple(passage.id for passage in passages[len(at) :])

    @classmethod
    def read(cls, path: Path, url: str, labels: NDArray[np.int64]) -> Lines:
        """Read the file; `labels` are those of the index, in its order.

        Raises:
            InputError: a line is no passage.
        """
        with JsonlStore(url, path) as store:
            passages = [passage for batch in store.batches() for passage in batch.passages]
        with path.open(encoding="utf-8") as file:
            lines = [line if line.endswith("\n") else f"{line}\n" for line in file if line.strip()]
        return cls(lines, passages, labels[: len(passages)].tolist())

    def without(
        self, ids: frozenset[str], gone: frozenset[int], stay: Sequence[int], *, moved: bool
    ) -> Lines:
        """The same without these labels, and without unlabelled lines of these ids."""
        wanted = set(stay)
        keep = [
            i
            for i, passage in enumerate(self._passages)
            if (self._at[i] in wanted if i < len(self._at) else passage.id not in ids)
        ]
        at = [self._at[i] for i in keep if i < len(self._at)]
        return Lines(
            [self._lines[i] for i in keep],
            [self._passages[i] for i in keep],
            list(range(len(at))) if moved else at,
        )

    def plus(self, passages: Mapping[int, Passage]) -> Lines:
        """The same with more lines at the end."""
        if self.unlabelled:
            raise StoreError(
                f"{len(self.unlabelled)} lines have no vector, so no line can be added behind them"
            )
        lines = [*self._lines, *(_line(passage) for passage in passages.values())]
        return Lines(lines, [*self._passages, *passages.values()], [*self._at, *passages])

    def write(self, file: BinaryIO) -> None:
        """Write the lines."""
        for line in self._lines:
            file.write(line.encode("utf-8"))


def _passage(name: Any, document: Any, where: str) -> Passage:
    attributes = document.attributes() if isinstance(document, StandIn) else {}
    text, metadata = attributes.get("page_content"), attributes.get("metadata")
    if not isinstance(text, str) or not isinstance(metadata, dict | None):
        raise InputError(f"{where}: document '{name!s:.60}' is none of LangChain's")
    meta: dict[str, MetaValue] = {}
    for key, value in (metadata or {}).items():
        if isinstance(value, _SHOWN_AS_TEXT):
            meta[str(key)] = str(value)
        elif isinstance(value, str | int | float | list | dict | None):
            meta[str(key)] = value  # type: ignore[assignment]
    source = meta.pop("source") if isinstance(meta.get("source"), str) else None
    return Passage(str(name), text, source, meta)  # type: ignore[arg-type]


def _document(passage: Passage, like: StandIn | None) -> StandIn:
    meta = dict(passage.meta)
    if passage.source is not None:
        if "source" in meta:
            raise InputError(
                f"passage '{passage.id}' has a source and also metadata 'source'; rename the latter"
            )
        meta["source"] = passage.source
    fields = {"id": passage.id, "metadata": meta, "page_content": passage.text, "type": "Document"}
    state: dict[str, Any] = {
        "__dict__": fields,
        "__pydantic_extra__": None,
        "__pydantic_fields_set__": {"id", "metadata", "page_content"},
        "__pydantic_private__": None,
    }
    kind: Any = stand_in_for("langchain_core.documents.base", "Document")
    if like is not None:
        kind = type(like)
        if isinstance(like.state, dict) and "__fields_set__" in like.state:  # pydantic 1
            own = {k: v for k, v in fields.items() if k in like.attributes()}
            state = {**like.state, "__dict__": own, "__fields_set__": set(own) - {"type"}}
    made: StandIn = kind.__new__(kind)
    made.state = state
    return made


def _line(passage: Passage) -> str:
    value: dict[str, Any] = {"id": passage.id, "text": passage.text}
    if passage.source is not None:
        value["source"] = passage.source
    if passage.meta:
        value["meta"] = dict(passage.meta)
    try:
        return json.dumps(value) + "\n"
    except TypeError as error:
        raise InputError(f"passage '{passage.id}': metadata is not JSON ({error})") from error
