"""Pickles are read and written without running anything that they name."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import io
import os
import pickle
import sys
import types
import uuid
from pathlib import Path
from typing import Any

import pytest

from ragshield.errors import InputError
from ragshield.stores.pickled import StandIn, dump, load


class Plain:
    """Pickled by name and attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]


class Slotted:
    __slots__ = ("left", "right")


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Listed(list):  # type: ignore[type-arg]
    """Pickled with items."""


def again(value: Any, protocol: int) -> Any:
    file = io.BytesIO()
    dump(load(io.BytesIO(pickle.dumps(value, protocol)), "it"), file)
    return pickle.loads(file.getvalue())


def values() -> list[Any]:
    shared = ["shared"]
    slotted = Slotted()
    slotted.left, slotted.right = 1, "two"
    return [
        {"a": [1, 2.5, None, True, "\ud800", b"x"], "b": (1, {2, 3}, frozenset({4}))},
        [Plain(n=1, inner=Plain(x=datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC)))],
        [decimal.Decimal("1.10"), uuid.UUID(int=7), datetime.timedelta(1), bytearray(b"y")],
        [shared, shared],
        collections.OrderedDict([("z", 1), ("a", Plain())]),
        collections.defaultdict(list, {"k": [Plain(q=2)]}),
        [Listed([1, Plain(x=3)]), Path("/no/where"), complex(1, 2), Plain, len],
    ]


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("case", range(len(values())))
def test_what_is_written_means_what_was_read(case, protocol, monkeypatch) -> None:
    # This file has no importable name under importlib mode; give it one.
    module = types.ModuleType("pickled_by_test")
    monkeypatch.setitem(sys.modules, "pickled_by_test", module)
    for kind in (Plain, Slotted, Listed):
        monkeypatch.setattr(kind, "__module__", "pickled_by_test")
        setattr(module, kind.__name__, kind)
    value = values()[case]
    assert again(value, protocol) == value


def test_shared_objects_stay_shared() -> None:
    one = ["shared"]
    first, second = again([one, one], 4)
    assert first is second


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_that_a_pickle_names_is_run(protocol, tmp_path) -> None:
    hostile = pickle.dumps([Runs(tmp_path / "made")], protocol)
    (read,) = load(io.BytesIO(hostile), "it")
    assert isinstance(read, StandIn)
    assert read.args == (str(tmp_path / "made"),)
    assert not (tmp_path / "made").exists()
    file = io.BytesIO()
    dump([read], file)
    assert not (tmp_path / "made").exists()
    pickle.loads(file.getvalue())  # still what it was
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nmkdir\n(S'%s'\ntR.",
        b"(S'%s'\nios\nmkdir\n.",
        b'cbuiltins\neval\n(S\'__import__("os").mkdir("%s")\'\ntR.',
        b"\x80\x02cbuiltins\ngetattr\ncos\nsystem\nU\x04name\x86R(S'mkdir %s'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c\x01x\x85\x81}\x8c\x01a\x8c\x01bsb.",
    ],
)
def test_hand_made_pickles_run_nothing_either(code, tmp_path) -> None:
    target = tmp_path / "made"
    filled = code.replace(b"%s", str(target).encode())
    with contextlib.suppress(InputError):
        load(io.BytesIO(filled), "it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"\x80\x04", b"\x80\x04K\x01", b"\x80\x09.", b"\x80\x04h\x05.", b"\x80\x04Q."],
)
def test_what_is_no_pickle_is_refused_in_one_line(data) -> None:
    with pytest.raises(InputError, match=r"^index\.pkl is no pickle, or damaged \(.*\)$"):
        load(io.BytesIO(data), "index.pkl")
