"""Reading typed fields out of untrusted rows, with errors that name file and line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ragshield.errors import InputError
from ragshield.records import MetaValue


class Row(NamedTuple):
    """One record of a file and where it stands there.

    Attributes:
        place: for messages, for example `docs.jsonl, line 3`.
        fields: the record itself.
    """

    place: str
    fields: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """The first of these fields that is present: a string that is not blank.

        A number is read as text, because published files hold some ids and answers
        as numbers.

        Raises:
            InputError: all are missing, or it is no string, or blank.
        """
        for name in names:
            if name in self.fields:
                return _as_text(self.fields[name], f"{self.place}: field '{name}'")
        raise InputError(f"{self.place}: field '{names[0]}' is missing; it has: {self._present()}")

    def texts(self, *names: str, required: bool = True) -> tuple[str, ...]:
        """The first of these fields that is present: a string or a list of strings.

        Args:
            names: names to try, in order.
            required: whether an absent field is an error; otherwise it gives ().

        Raises:
            InputError: missing though required, or holds something else than text.
        """
        for name in names:
            value = self.fields.get(name)
            if value is None:
                continue
            where = f"{self.place}: field '{name}'"
            if isinstance(value, list):
                return tuple(_as_text(item, where) for item in value)
            return (_as_text(value, where),)
        if required:
            raise InputError(
                f"{self.place}: field '{names[0]}' is missing; it has: {self._present()}"
            )
        return ()

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A field that is an object; an absent one is empty.

        Raises:
            InputError: it is something else.
        """
        value = self.fields.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InputError(f"{self.place}: field '{name}' must be an object, got {value!r:.60}")
        return value

    def _present(self) -> str:
        return ", ".join(sorted(self.fields)) or "no fields"


class Ids:
    """Refuses an id that was seen before."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}

    def __contains__(self, id_: str) -> bool:
        return id_ in self._places

    def claim(self, id_: str, place: str) -> str:
        """Return the id, once.

        Raises:
            InputError: it was claimed before; the message names both places.
        """
        if id_ in self._places:
            raise InputError(
                f"{place}: id '{id_}' was used before ({self._places[id_]}); ids must be unique"
            )
        self._places[id_] = place
        return id_


def at(path: Path, number: int, fields: Mapping[str, Any]) -> Row:
    """A row of a JSON Lines file."""
    return Row(f"{path}, line {number}", fields)


def plain_meta(values: Mapping[str, Any]) -> dict[str, MetaValue]:
    """Those entries that a store can hold as metadata: text, numbers, booleans, null."""
    return {
        str(key): value
        for key, value in values.items()
        if value is None or isinstance(value, str | int | float | bool)
    }


def _as_text(value: object, where: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, got {value!r:.60}")
    if not value.strip():
        raise InputError(f"{where} is empty")
    return value
