"""What belongs together by the store's own book-keeping: chunks of a document, derived records.

Ingestion pipelines write down where a chunk comes from: LlamaIndex `doc_id`, `document_id` and
`ref_doc_id`, LangChain's parent-document retriever `doc_id`, loaders `source`, `file_path`,
`page` and `start_index`, and people whatever they like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from ragshield.records import MetaValue, Passage

_PARENTS = frozenset(
    "doc_id document_id ref_doc_id parent_id parent parent_doc_id parent_document_id docid doc "
    "document source_id file_id root_id article_id page_id record_id".split()
)
_FILES = frozenset("source file_path file_name filename file path url uri link location".split())
_NUMBERS = frozenset(
    "chunk chunk_index chunk_id chunk_no chunk_number index seq seq_num sequence start_index "
    "start_char_idx page page_number page_label part part_no position offset".split()
)
_DERIVED = re.compile(
    r"deriv|summar|origin|generat|from|child|children|based_on|source_(?:id|doc|node|chunk)s?$|"
    r"question|hyde|translat|parents$|nodes?$|sources$|refs?$|references$|evidence|members?$",
    re.I,
)
_LOOKS_LIKE_A_FILE = re.compile(r"^\w+://|[\\/]|\.\w{1,5}$")
_NOBODY = frozenset({"", "none", "null", "nan", "unknown", "n/a", "-"})
_SHORT = 3

Group: TypeAlias = Literal["parent", "file"]


class Key(NamedTuple):
    """What chunks of one document have in common.

    Attributes:
        group: `parent` = a document's id; `file` = a path or address.
        value: the id, path or address.
    """

    group: Group
    value: str


class Reference(NamedTuple):
    """A metadata entry that names passages or documents.

    Attributes:
        field: the metadata key.
        values: the ids that it names.
        derived: the key says that this passage was made from them.
    """

    field: str
    values: tuple[str, ...]
    derived: bool


def keys_of(passage: Passage) -> tuple[Key, ...]:
    """Which documents a passage says that it belongs to."""
    found = []
    for field, value in passage.meta.items():
        name, text = field.lower(), _text(value)
        if text is None:
            continue
        if name in _PARENTS:
            found.append(Key("parent", text))
        elif name in _FILES and _LOOKS_LIKE_A_FILE.search(text):
            found.append(Key("file", text))
    source = _text(passage.source)
    if source is not None and _LOOKS_LIKE_A_FILE.search(source):
        found.append(Key("file", source))
    return tuple(dict.fromkeys(found))


def number_of(passage: Passage) -> tuple[str, float] | None:
    """Which chunk of its document a passage is, by the first key that counts chunks."""
    for field in sorted(passage.meta):
        value = passage.meta[field]
        if field.lower() in _NUMBERS and not isinstance(value, bool):
            if isinstance(value, int | float):
                return field, float(value)
            if isinstance(value, str) and value.strip().isdigit():
                return field, float(value)
    return None


def references_of(passage: Passage) -> tuple[Reference, ...]:
    """Which ids a passage's metadata names: a value, a list, or a list in a text."""
    found = []
    for field, value in passage.meta.items():
        if field.startswith("_") or field.lower() in _NUMBERS | _FILES:
            continue
        values = tuple(dict.fromkeys(_listed(value)))
        if values:
            derived = field.lower() not in _PARENTS and bool(_DERIVED.search(field))
            found.append(Reference(field, values, derived))
    return tuple(found)


def names_in_meta(passage: Passage) -> Mapping[str, str]:
    """The short texts of a passage's metadata, and its source, by key: where names may stand."""
    found = {
        field: value
        for field, value in passage.meta.items()
        if isinstance(value, str) and not field.startswith("_") and len(value) <= 500
    }
    if passage.source is not None and "source" not in found:
        found["source"] = passage.source
    return found


def is_document(passage: Passage, name: str) -> bool:
    """Whether a passage belongs to the document of this name: an id, a path, or its last part."""
    wanted = name.strip().casefold()
    values = [key.value for key in keys_of(passage)]
    values += [passage.id, *([passage.source] if passage.source else [])]
    values += [v for k, v in names_in_meta(passage).items() if k.lower() in _FILES | {"title"}]
    for value in values:
        plain = value.casefold()
        if plain == wanted or re.split(r"[\\/]", plain.rstrip("/"))[-1] == wanted:
            return True
    return False


def _listed(value: Any) -> Iterable[str]:
    if isinstance(value, list | tuple):
        return [str(x) for x in value if _text(x)]
    text = _text(value)
    if text is None or len(text) > 20_000:
        return []
    if text[0] == "[":
        try:
            inner = json.loads(text)
        except ValueError:
            return []
        return [str(x) for x in inner if _text(x)] if isinstance(inner, list) else []
    if re.search(r"[,;|]", text):
        parts = [part.strip() for part in re.split(r"[,;|]", text)]
        return [text, *(part for part in parts if len(part) >= _SHORT)]
    return [text] if len(text) >= _SHORT else []


def _text(value: MetaValue | Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    return None if text.lower() in _NOBODY else text
