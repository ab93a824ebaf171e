"""The words of the probes: one data file for each family."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from ragshield.chat import fill


@cache
def templates(name: str) -> dict[str, Any]:
    """The templates of a family, or another list of words, from its data file."""
    folder = files("ragshield.audit").joinpath("words")
    return tomllib.loads(folder.joinpath(f"{name}.toml").read_text("utf-8"))


def filled(template: str, **values: str) -> str:
    """A template with its {places} filled; braces inside a value stay as they are."""
    return fill(template, values)
