"""Lengths in Chroma's index: numbers with cosine space, unused memory with any other.

Chroma's hnswlib keeps the length of each vector that it brought to length 1, as it does in
cosine space alone. In other spaces it never sets these numbers nor reads them, but writes
them to `length.bin` with each row: four bytes a row of whatever the process had in its
memory. Found there after deletions, of rows that were gone from everywhere else: ids, and
whole rows of the log with text, vector and metadata.
"""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import Final

import numpy as np

from ragshield.stores.chroma_purge_index import Header
from ragshield.stores.chroma_purge_place import LENGTHS

_SPACE: Final = re.compile(r'"space": *"(\w+)"')
_USUAL: Final = "l2"


def space_of(database: sqlite3.Connection, segment: str) -> str:
    """What an index compares by: cosine, l2 or ip.

    Chroma 1.5.9 asks the segment's metadata first, where old versions kept it, then the
    collection's settings. The collection's own metadata, which anyone may change, is
    not asked. Where cosine is named beside another, it is taken for cosine: its lengths
    are live data.

    Args:
        database: the SQLite file.
        segment: id of the index.
    """
    old = database.execute(
        "select str_value from segment_metadata where key = 'hnsw:space' and segment_id = ?",
        (segment,),
    ).fetchone()
    if old is not None and old[0]:
        return str(old[0])
    settings = database.execute(
        "select c.config_json_str, c.schema_str from segments s "
        "join collections c on c.id = s.collection where s.id = ?",
        (segment,),
    ).fetchone()
    named = _SPACE.findall(" ".join(text for text in settings or () if text))
    return "cosine" if "cosine" in named else (named or [_USUAL])[0]


def blank_lengths(folder: Path, header: Header) -> int:
    """Set every length to 1; gives bytes written.

    For an index that has none: in cosine space this would change live vectors.
    """
    with (folder / LENGTHS).open("r+b", buffering=0) as file:
        found = np.frombuffer(os.pread(file.fileno(), 4 * header.n, 0), dtype="<f4")
        ones = np.ones(header.n, dtype="<f4")
        if found.tobytes() == ones.tobytes():
            return 0
        done, content = 0, ones.tobytes()
        while done < len(content):
            done += os.pwrite(file.fileno(), content[done:], done)
        os.fsync(file.fileno())
    return len(content)
