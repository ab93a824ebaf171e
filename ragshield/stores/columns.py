"""Which columns of a table hold ids, texts, vectors and metadata, and rows to passages."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import Passage

_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("langchain_id", "node_id", "id", "uuid", "_id", "chunk_id", "doc_id"),
    "text": ("text", "document", "content", "page_content", "chunk", "body"),
    "vector": ("vector", "embedding", "embeddings"),
    "source": ("source",),
    "metadata": ("metadata", "meta", "cmetadata", "langchain_metadata", "metadata_"),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one table by what they hold.

    Attributes:
        id: the passage's id.
        text: its text.
        vector: its vector; None where the table has none.
        source: where it came from, in a column of its own; None where there is none, and
            `source` in the metadata is taken.
        metadata: an object or JSON text of everything else; None where there is none.
        others: all other columns that are read: each is metadata of its own name.
        inside: keys that the metadata object holds beside a column of the same name.
    """

    id: str
    text: str
    vector: str | None
    source: str | None
    metadata: str | None
    others: tuple[str, ...] = ()
    inside: frozenset[str] = frozenset()

    def passage(self, row: Mapping[str, Any]) -> Passage:
        """The passage in one row, which holds a value for every column but the vector."""
        meta = {key: row[key] for key in self.others if row[key] is not None}
        meta |= as_object(row[self.metadata]) if self.metadata else {}
        source = row[self.source] if self.source else None
        if self.source is None and isinstance(meta.get("source"), str):
            source = meta.pop("source")
        return Passage(str(row[self.id]), row[self.text] or "", source, meta)

    def row(self, passage: Passage) -> dict[str, Any]:
        """What a passage's row holds besides the vector; metadata as an object.

        Raises:
            InputError: metadata that the table has no column for, or text that is no
                valid Unicode.
        """
        check_unicode(passage)
        meta = dict(passage.meta)
        row: dict[str, Any] = {self.id: passage.id, self.text: passage.text}
        if self.source is not None:
            row[self.source] = passage.source
        elif passage.source is not None:
            if "source" in meta:
                raise InputError(
                    f"passage '{passage.id}' has a source and also metadata 'source'; rename "
                    "the latter"
                )
            if self.metadata is not None:
                meta["source"] = passage.source
            else:
                raise InputError(
                    f"passage '{passage.id}' has a source, and the table has no column for it"
                )
        row |= {key: meta.get(key) for key in self.others}
        meta = {k: v for k, v in meta.items() if k not in self.others or k in self.inside}
        if self.metadata is not None:
            row[self.metadata] = meta
        elif meta:
            raise InputError(
                f"passage '{passage.id}': the table has no column for metadata '{min(meta)}'; "
                "leave it out, or add a column 'metadata'"
            )
        return row


def split_options(
    name: str, url: str, *, allowed: Collection[str] = ()
) -> tuple[str, dict[str, str]]:
    """A table's name and the options behind it: `docs?text=body` gives `docs`, `{text: body}`.

    Raises:
        UsageError: an option that is neither the role of a column nor `allowed`.
    """
    table, _, query = name.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = (*_NAMES, *allowed)
    for key, value in options.items():
        if key not in known or not value:
            raise UsageError(
                f"store URL '{url}': option '{key}={value}' is not known; columns are named by "
                f"{', '.join(f'{role}=COLUMN' for role in known)}"
            )
    return table, options


def choose_columns(
    url: str,
    names: Sequence[str],
    *,
    vectors: Sequence[str],
    asked: Mapping[str, str],
    hidden: Collection[str] = (),
) -> Columns:
    """Tell which column holds what, by the names that integrations and people give them.

    Args:
        url: the store's, for messages.
        names: all columns of the table, in its order.
        vectors: those that hold vectors.
        asked: columns named by the user, by role.
        hidden: columns that are neither read nor written.

    Raises:
        StoreError: there is none for ids or texts, or several could hold the vectors.
    """
    for role, name in asked.items():
        if role in _NAMES and name not in names:
            raise StoreError(f"{url}: no column '{name}'; there are: {', '.join(names)}")
    found: dict[str, str | None] = {}
    for role, known in _NAMES.items():
        among = vectors if role == "vector" else [n for n in names if n not in vectors]
        usual = (name for name in known if name in among and name not in found.values())
        found[role] = asked.get(role) or next(usual, None)
    if found["vector"] is None and vectors:
        if len(vectors) > 1:
            raise StoreError(
                f"{url}: several columns hold vectors ({', '.join(vectors)}); name one with "
                f"?vector={vectors[0]}"
            )
        found["vector"] = vectors[0]
    for role in ("id", "text"):
        if found[role] is None:
            raise StoreError(
                f"{url}: no column is recognisable as the {role} (there are: "
                f"{', '.join(names)}); name it with ?{role}=COLUMN"
            )
    used = {*found.values(), *vectors, *hidden}
    others = tuple(name for name in names if name not in used)
    return Columns(
        str(found["id"]),
        str(found["text"]),
        found["vector"],
        found["source"],
        found["metadata"],
        others,
    )


def as_object(value: Any) -> dict[str, Any]:
    """A metadata cell as an object: it may be one, JSON text of one, or nothing."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {"metadata": value}
    if isinstance(value, Mapping):
        return dict(value)
    return {} if value is None else {"metadata": value}


def as_json(meta: Mapping[str, Any], passage_id: str) -> str:
    """Metadata as JSON text.

    Raises:
        InputError: a value that JSON cannot hold.
    """
    for key, value in meta.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"passage '{passage_id}': metadata '{key}' is {value}; leave it out")
    try:
        return json.dumps(meta, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"passage '{passage_id}': metadata is not JSON ({error})") from error


def check_unicode(passage: Passage, *, nul: bool = True) -> None:
    """Refuse what a store of UTF-8 cannot hold.

    Raises:
        InputError: a lone surrogate, or with `nul` off a NUL character.
    """
    parts: dict[str, object] = {"id": passage.id, "text": passage.text, "source": passage.source}
    parts |= {f"metadata '{key}'": value for key, value in passage.meta.items()}
    for what, value in parts.items():
        if not isinstance(value, str):
            continue
        where = (
            f"passage {passage.id!r:.40}: {what}"
            if what == "id"
            else (f"passage '{passage.id}': {what}")
        )
        if not is_unicode(value):
            raise InputError(
                f"{where} holds a lone surrogate, which is no valid Unicode; decode the original "
                "bytes again, with errors='replace'"
            )
        if not nul and "\0" in value:
            raise InputError(f"{where} holds a NUL character, which this store cannot; remove it")


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
