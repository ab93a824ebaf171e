"""When a passage came into the store, where its metadata says so."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ragshield.records import MetaValue, Passage

KEYS = (
    "ingested_at",
    "indexed_at",
    "created_at",
    "added_at",
    "inserted_at",
    "updated_at",
    "timestamp",
    "created",
    "date",
)
"""Metadata keys that are read, the first that is there and can be read; any case, `-` as `_`."""

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def arrival(passage: Passage) -> float | None:
    """Seconds since 1970 in UTC, or None where no metadata key gives a time.

    Read are ISO 8601 (without a zone taken as UTC), and seconds, milliseconds, microseconds
    or nanoseconds since 1970; years outside 1990 to 2099 are no time of arrival.
    """
    if not passage.meta:
        return None
    known = {key.lower().replace("-", "_"): value for key, value in passage.meta.items()}
    for key in KEYS:
        found = _seconds(known.get(key))
        if found is not None:
            return found
    return None


def _seconds(value: MetaValue) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return _in_range(_from_iso(text))
        # "2024" and "20240131" are dates, not seconds.
        value = float(text) if len(text.partition(".")[0]) >= 9 else _from_iso(text)
    if value is None or isinstance(value, bool | str):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    for unit in (1, 1e3, 1e6, 1e9):
        found = _in_range(number / unit)
        if found is not None:
            return found
    return None


def _from_iso(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _in_range(seconds: float | None) -> float | None:
    return seconds if seconds is not None and _EARLIEST <= seconds < _LATEST else None
