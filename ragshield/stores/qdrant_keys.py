"""Finding points of Qdrant's local mode by their keys, without reading the points."""

from __future__ import annotations

import base64
import io
import pickle
import sqlite3
from collections.abc import Collection
from typing import NoReturn
from uuid import UUID

from ragshield.stores.qdrant_points import OWN_ID, point_id, read_point


def key_of(own: int | str) -> str:
    """The key that Qdrant's client stores a point by."""
    return base64.b64encode(pickle.dumps(own, protocol=4)).decode("ascii")


def rows_by_key(
    database: sqlite3.Connection, url: str, ids: Collection[str]
) -> dict[str, list[int]] | None:
    """Row numbers of the passages with these ids that exist.

    Older clients wrote keys in other ways, and a point may be stored more than once, so
    all keys are looked at; the points are read only where a key fits.

    Returns:
        Row numbers by id of the passage; None where a key cannot be understood, and only
        the points themselves tell.
    """
    wanted = {str(point_id(passage_id)): passage_id for passage_id in ids}
    usual = {key_of(point_id(passage_id)): passage_id for passage_id in ids}
    fitting: dict[str, list[int]] = {}
    for row, key in database.execute("SELECT rowid, id FROM points"):
        passage_id = usual.get(key)
        if passage_id is None:
            own = _point_of(key)
            if own is None:
                return None
            passage_id = wanted.get(own)
        if passage_id is not None:
            fitting.setdefault(passage_id, []).append(row)
    return {i: rows for i, rows in fitting.items() if _is(database, url, rows[-1], i)}


class _Plain(pickle.Unpickler):
    """Reads numbers and texts, and refuses whatever names a class or function."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name}")


def _point_of(key: object) -> str | None:
    """The point's id in a key, as text; None if it is no key of Qdrant's."""
    try:
        found = _Plain(io.BytesIO(base64.b64decode(str(key), validate=True))).load()
    except Exception:  # a damaged pickle may raise anything
        return None
    if isinstance(found, int):
        return str(found)
    try:
        return str(UUID(found)) if isinstance(found, str) else None
    except ValueError:
        return None


def _is(database: sqlite3.Connection, url: str, row: int, passage_id: str) -> bool:
    query = "SELECT point FROM points WHERE rowid = ?"
    point = read_point(database.execute(query, [row]).fetchone()[0], url)
    return str(point.payload.get(OWN_ID, point.id)) == passage_id
