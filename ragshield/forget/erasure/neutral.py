"""Names of files and software as a certificate may state them: technical words alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"[^\W_]+")
_RANDOM = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,64}", re.IGNORECASE
)
_SHORT_NUMBER = re.compile(r"\d{1,4}")
_TECHNICAL = frozenset(
    """a ahead and archived arrow backup bin blob block blocks bytes cache catalog chroma
    chroma-wal collection column columns compressed config conf contents copy core data
    database db dead decoded deleted deletion deletions dict directory docstore document documents
    embedding embeddings faiss file files folder format fragment fragments free freelist fsm full
    full-text fts fts5 given global gz header heap hnsw id ids in index inverted ivf journal json
    jsonl key keys lance lancedb language langchain latest length level0 levels link lists local
    lock log manifest map meta metadata metadatas of old as on page pages parent pages
    part parts passages payload pg pgvector pickle pickled pkl point points postgresql queue
    read record relation replication rows schema segment segments shadow shm slot slots
    sqlite sqlite3 sqlite-shm sqlite-wal sqlite-journal state statistics storage store table
    tables temp temporary text texts
    toast transaction transactions txn undo unlogged vector vectors version versions visibility vm
    wal write write-ahead xact yaml zip zst""".split()
)


def neutral(name: str) -> str:
    """A surface's name without whatever its owner may have called it.

    Words of file formats stay, random identifiers and short numbers too; any other
    word becomes `#`, since a collection or a file may be named after a person.
    """
    kept: list[str] = []
    at = 0
    for found in _RANDOM.finditer(name):
        kept += [_words(name[at : found.start()]), found.group()]
        at = found.end()
    return "".join([*kept, _words(name[at:])])


def without(text: str, private: Iterable[str]) -> str:
    """A sentence with every private string in it replaced by `#`, longest first."""
    for word in sorted({p for p in private if len(p) >= 3}, key=len, reverse=True):
        text = re.sub(re.escape(word), "#", text, flags=re.IGNORECASE)
    return text


def private_parts(url: str) -> list[str]:
    """What of a store's URL may name somebody: the whole, its path, host and collection."""
    place = url.partition(":")[2]
    pieces = [piece for piece in re.split(r"[/#?&=:@\\]+", place) if piece]
    return [url, place, place.partition("#")[0], *pieces]


def _words(text: str) -> str:
    return _PART.sub(
        lambda m: (
            m.group()
            if m.group().lower() in _TECHNICAL or _SHORT_NUMBER.fullmatch(m.group())
            else "#"
        ),
        text,
    )
