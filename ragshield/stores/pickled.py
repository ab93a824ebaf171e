"""Pickles read and written without running anything that they name.

A pickle names classes and functions and says what to call them with; unpickling obeys.
Here every name becomes a stand-in that only remembers what it was given, so a hostile
file does nothing, and writing the stand-ins gives back what was read: the program that
owns the file cannot tell the difference.
"""

from __future__ import annotations

import copyreg
import datetime
import decimal
import gc
import pickle
import uuid
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from ragshield.errors import InputError

_PROTOCOL: Final = 4


def _latin_1(text: str, encoding: str) -> bytes:
    """How protocols before 3 write bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes encoded as {encoding}")
    return text.encode("latin-1")


_REAL: Mapping[tuple[str, str], Any] = {
    ("_codecs", "encode"): _latin_1,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytearray"): bytearray,
    ("builtins", "complex"): complex,
    ("datetime", "date"): datetime.date,
    ("datetime", "time"): datetime.time,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("decimal", "Decimal"): decimal.Decimal,
    ("uuid", "UUID"): uuid.UUID,
}
"""Values that metadata may hold and that are safe to make."""

_NOTHING: Final = object()


class _StandInType(type):
    """A stand-in for something that a pickle names; calling it only takes notes."""

    place: tuple[str, str]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made: Any = cls.__new__(cls, *args, **kwargs)  # type: ignore[arg-type]
        made.how = "call"
        return made


class StandIn(metaclass=_StandInType):
    """A stand-in for an object of a pickle.

    Attributes:
        place: module and name of its class or of the function that made it.
        how: whether that was called, or an object of it made.
        args: what it was made with.
        kwargs: the same, by name.
        state: what its attributes were set from.
        items: what was appended.
        pairs: what was set by key.
    """

    place: tuple[str, str] = ("", "")
    how: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: Any
    items: list[Any]
    pairs: list[tuple[Any, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        """Take notes of what it is made with."""
        made = object.__new__(cls)
        made.how, made.args, made.kwargs = "new", args, kwargs
        made.state, made.items, made.pairs = _NOTHING, [], []
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """What is given is kept by `__new__`."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))

    def append(self, item: Any) -> None:
        """Note an item of a list."""
        self.items.append(item)

    def extend(self, items: Iterable[Any]) -> None:
        """Note items of a list."""
        self.items.extend(items)

    add = append

    def attributes(self) -> dict[str, Any]:
        """Its attributes, as an object without `__setstate__` or pydantic would get them."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2:
            state = {**(state[0] or {}), **(state[1] or {})}
        if isinstance(state, dict) and isinstance(state.get("__dict__"), dict):
            state = state["__dict__"]
        return state if isinstance(state, dict) else {}


def stand_in_for(module: str, name: str) -> Any:
    """A class of stand-ins for what `module` calls `name`."""
    return _StandInType(name.rpartition(".")[2], (StandIn,), {"place": (module, name)})


def load(data: BinaryIO, what: str) -> Any:
    """Read a pickle; whatever it names becomes a stand-in.

    Raises:
        InputError: damaged, or no pickle.
    """
    try:
        with _without_collector():
            return _Unpickler(data).load()
    except RecursionError as error:
        raise InputError(f"{what} is nested too deep to be read") from error
    # A damaged pickle can raise almost anything from the C code that reads it.
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{what} is no pickle, or damaged ({cause:.100})") from error


def dump(value: Any, file: BinaryIO) -> None:
    """Write a pickle that means what was read."""
    with _without_collector():
        _Pickler(file, protocol=_PROTOCOL).dump(value)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Many small objects come into being and none is garbage: five times as fast."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: BinaryIO) -> None:
        super().__init__(data)
        self._known: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        # Old protocols name things as Python 2 did.
        module, name = NAME_MAPPING.get((module, name), (module, name))
        place = (IMPORT_MAPPING.get(module, module), name)
        if place in _REAL:
            return _REAL[place]
        if place not in self._known:
            self._known[place] = stand_in_for(*place)
        return self._known[place]


# The pickler in C insists on importing what it writes a name of; the one in Python can
# be told what to write.
class _Pickler(pickle._Pickler):
    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, StandIn):
            return NotImplemented
        kind = type(value)
        made: tuple[Any, Any]
        if value.how == "call":
            made = (kind, value.args)
        elif value.kwargs:
            made = (copyreg.__newobj_ex__, (kind, value.args, value.kwargs))  # type: ignore[attr-defined]
        else:
            made = (copyreg.__newobj__, (kind, *value.args))  # type: ignore[attr-defined]
        state = None if value.state is _NOTHING else value.state
        return (*made, state, iter(value.items) if value.items else None, _pairs(value))

    def save_global(self, value: Any, name: str | None = None) -> None:
        python: Any = super()
        if not isinstance(value, _StandInType):
            python.save_global(value, name)
            return
        python = self
        module, own = value.place
        python.save(module)
        python.save(own)
        python.write(pickle.STACK_GLOBAL)
        python.memoize(value)


def _pairs(value: StandIn) -> Any:
    return iter(value.pairs) if value.pairs else None
