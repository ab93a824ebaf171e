"""Metadata filters: Chroma's language of `$eq`, `$in`, `$and` and so on, over any store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt
from typing import Any

from ragshield.errors import InputError
from ragshield.records import MetaValue, Passage

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": eq,
    "$gt": gt,
    "$gte": ge,
    "$lt": lt,
    "$lte": le,
}
_WORDS = (*_COMPARE, "$ne", "$in", "$nin", "$contains", "$and", "$or", "$not")


class Where:
    """A filter such as `{"author": "Ada"}` or `{"$and": [{"year": {"$gte": 2020}}, ...]}`.

    Fields are metadata keys; `source` is also what the passage came from, and `id` its id,
    where no metadata has these names. A passage without the field matches only `$ne` and
    `$nin`, as in Chroma. Text and numbers are never equal; 1 and 1.0 are, 1 and true not.

    Differs: several fields side by side all have to match, where Chroma asks for `$and`;
    `$contains` is a part of a text value, without regard to case; there is `$not`.

    Args:
        record: the filter as read from JSON.

    Raises:
        InputError: it is empty, or an operator or value is not allowed.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self._matches = _read(record, "where")

    def matches(self, passage: Passage) -> bool:
        """Whether a passage matches."""
        return self._matches(passage)


def _read(record: Any, at: str) -> Callable[[Passage], bool]:
    if not isinstance(record, Mapping):
        raise InputError(f"{at}: expected an object like {{'author': 'Ada'}}, got {record!r:.60}")
    if not record:
        raise InputError(f"{at}: the filter is empty and would match everything; name a field")
    return _all([_one(str(key), value, at) for key, value in record.items()])


def _one(key: str, value: Any, at: str) -> Callable[[Passage], bool]:
    if key == "$not":
        inner = _read(value, f"{at}.$not")
        return lambda passage: not inner(passage)
    if key in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise InputError(f"{at}: {key} takes a list of filters, got {value!r:.60}")
        parts = [_read(part, f"{at}.{key}[{i}]") for i, part in enumerate(value)]
        return _all(parts) if key == "$and" else _any(parts)
    if key.startswith("$"):
        raise InputError(f"{at}: unknown operator '{key}'; allowed: {', '.join(_WORDS)}")
    if not isinstance(value, Mapping):
        return _test(key, "$eq", value, at)
    if not value:
        raise InputError(f"{at}.{key}: no operator; write a value, or one of {', '.join(_WORDS)}")
    return _all([_test(key, str(word), wanted, at) for word, wanted in value.items()])


def _test(field: str, word: str, wanted: Any, at: str) -> Callable[[Passage], bool]:
    if word in ("$in", "$nin"):
        if not isinstance(wanted, list):
            raise InputError(f"{at}.{field}: {word} takes a list, got {wanted!r:.60}")
        values = [_plain(value, f"{at}.{field}") for value in wanted]
        inside = _any([_comparing(field, eq, value) for value in values])
        return inside if word == "$in" else lambda passage: not inside(passage)
    if word == "$contains":
        if not isinstance(wanted, str) or not wanted:
            raise InputError(f"{at}.{field}: $contains takes a text, got {wanted!r:.60}")
        part = wanted.casefold()
        return lambda passage: part in str(_value(passage, field) or "").casefold()
    value = _plain(wanted, f"{at}.{field}")
    if word == "$ne":
        same = _comparing(field, eq, value)
        return lambda passage: not same(passage)
    if word not in _COMPARE:
        raise InputError(
            f"{at}.{field}: unknown operator '{word}'; allowed: {', '.join(_WORDS[:-3])}"
        )
    if word != "$eq" and (isinstance(value, bool) or value is None):
        raise InputError(f"{at}.{field}: {word} takes a number or a text, got {value!r}")
    return _comparing(field, _COMPARE[word], value)


def _comparing(
    field: str, compare: Callable[[Any, Any], bool], wanted: MetaValue
) -> Callable[[Passage], bool]:
    def matches(passage: Passage) -> bool:
        found = _value(passage, field)
        return found is not None and _kind(found) is _kind(wanted) and compare(found, wanted)

    return matches


def _value(passage: Passage, field: str) -> MetaValue:
    if field in passage.meta:
        return passage.meta[field]
    return {"source": passage.source, "id": passage.id}.get(field)


def _kind(value: MetaValue) -> type:
    # 1 and 1.0 are one number; True is none.
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _plain(value: Any, at: str) -> MetaValue:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise InputError(f"{at}: {value!r:.60} is no text, number or truth value")


def _all(parts: list[Callable[[Passage], bool]]) -> Callable[[Passage], bool]:
    return lambda passage: all(part(passage) for part in parts)


def _any(parts: list[Callable[[Passage], bool]]) -> Callable[[Passage], bool]:
    return lambda passage: any(part(passage) for part in parts)
