"""Canonical JSON (RFC 8785): one value, one sequence of bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ragshield.errors import InputError, UsageError

_LARGEST = 2**53 - 1


def canonical(value: Any) -> bytes:
    """The bytes of a JSON value by RFC 8785 (JSON Canonicalization Scheme).

    Args:
        value: None, bool, int, float, str, and lists and string-keyed mappings of them.

    Raises:
        UsageError: something else: NaN, an infinite number, an integer beyond 2**53 - 1,
            a lone surrogate, a key that is no string.
    """
    try:
        return _text(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("a lone surrogate has no canonical form; escape it first") from error


def parse(data: bytes) -> Any:
    """Read canonical JSON; whatever is written in any other way is refused.

    Raises:
        InputError: not UTF-8, not JSON, a key given twice, or not in canonical form.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_constant=_refuse,
            parse_int=_integer,
        )
        same = canonical(value) == data
    except (ValueError, UsageError, RecursionError) as error:
        raise InputError(f"not canonical JSON ({error!s:.80})") from error
    if not same:
        raise InputError("not in canonical form (RFC 8785): spaces, order or escapes differ")
    return value


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        # Python escapes what RFC 8785 escapes, in the same spelling.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise UsageError(f"the integer {value} is beyond 2**53 - 1; write it as a string")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        keys = list(value)
        if not all(isinstance(key, str) for key in keys):
            raise UsageError(f"keys of canonical JSON are strings, got {keys!r:.40}")
        keys.sort(key=_utf16)
        return "{" + ",".join(f"{_text(key)}:{_text(value[key])}" for key in keys) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return "[" + ",".join(map(_text, value)) + "]"
    raise UsageError(f"{type(value).__name__} has no canonical JSON")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def _number(value: float) -> str:
    """As ECMAScript writes it: the shortest digits that read back as the same number."""
    if not math.isfinite(value):
        raise UsageError(f"{value} has no canonical JSON")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(exponent or 0) + len(whole)
    if whole == "0":
        point -= len(fraction) - len(fraction.lstrip("0")) + 1
    digits = digits.rstrip("0")
    n = len(digits)
    if n <= point <= 21:
        return sign + digits + "0" * (point - n)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + digits[0] + ("." + digits[1:] if n > 1 else "") + power


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _integer(digits: str) -> int | float:
    """JSON knows one kind of number: beyond 2**53 - 1 it was a float."""
    value = int(digits) if len(digits) < 400 else math.inf
    return value if abs(value) <= _LARGEST else float(value)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
