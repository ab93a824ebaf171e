"""The rows of the attack benchmark: every registered attack, as it is measured."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from ragshield import registry
from ragshield.errors import RagshieldError

DISGUISES = ("homoglyph", "zero-width", "html-hidden")


class Variant(NamedTuple):
    """One attack with the parameters that its row says."""

    label: str
    name: str
    params: dict[str, Any]


def variants(only: list[str] | None) -> Iterator[Variant]:
    """Every registered attack as it is meant to be, then without the question."""
    for name in registry.names("attack"):
        if only and name not in only:
            continue
        try:
            known = inspect.signature(registry.load("attack", name)).parameters
        except (RagshieldError, ImportError):
            known = {}
        if name == "composed":
            for disguise in DISGUISES:
                yield Variant(f"{name}, {disguise}", name, {"disguise": disguise})
            continue
        yield Variant(name, name, {})
        if "prefix" in known and known["prefix"].default is True:
            yield Variant(f"{name}, no question", name, {"prefix": False})
