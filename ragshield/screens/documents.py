"""Which document a passage was cut from, and where in it."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import NamedTuple

from ragshield.records import Passage

_DOCUMENT = (
    "document_id",
    "doc_id",
    "documentid",
    "docid",
    "parent_id",
    "file_id",
    "file_path",
    "filepath",
    "file_name",
    "filename",
    "file",
    "path",
    "url",
)
_INDEX = (
    "chunk_index",
    "chunkindex",
    "chunk_id",
    "chunk_no",
    "chunk_number",
    "chunk",
    "split_id",
    "seq",
    "sequence",
    "position",
    "index",
    "part",
)
_NUMBER = re.compile(r"\d{1,9}\Z")


class Place(NamedTuple):
    """A passage's document, None where not known, and its number in it, None likewise."""

    document: str | None
    number: int | None


def place(passage: Passage) -> Place:
    """Read from metadata; else from an id that ends in a number (`guide-12`), and the source."""
    named, index = _in_metadata(passage) if passage.meta else (None, None)
    numbered = _NUMBER.search(passage.id) if index is None else None
    if numbered is not None:
        # An id's number counts within the document, or through all that share its beginning.
        begins = passage.id[: numbered.start()]
        document = "\0".join([passage.source or "", named or "", begins])
        return Place(document, int(numbered.group()))
    if named is None and passage.source is None:
        return Place(None, None)
    return Place("\0".join([passage.source or "", named or ""]), index)


def _in_metadata(passage: Passage) -> tuple[str | None, int | None]:
    meta = {key.lower().replace("-", "_"): value for key, value in passage.meta.items()}
    named = next((str(meta[k]) for k in _DOCUMENT if isinstance(meta.get(k), str | int)), None)
    index = next((found for k in _INDEX if (found := _whole(meta.get(k))) is not None), None)
    return named, index


@lru_cache(maxsize=4096)  # the passages of one document follow one another
def key_of(text: str | None) -> int:
    """64 bits that stand for a text; 0 for None."""
    if text is None:
        return 0
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 2**31 else None
    if isinstance(value, float) and value.is_integer():
        return _whole(int(value))
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None
