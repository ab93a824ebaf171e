"""Reading the data files beside the attacks: templates and word lists."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np

from ragshield.chat import fill
from ragshield.records import Target

_T = TypeVar("_T")


@cache
def table(file: str) -> Mapping[str, Any]:
    """A TOML file of this folder."""
    return tomllib.loads(files("ragshield.attacks").joinpath(file).read_text("utf-8"))


def filled(text: str, target: Target, *, more: Mapping[str, str] | None = None) -> str:
    """A template with {question}, {answer}, {right} and more put in; braces in them are text."""
    right = target.question.answers[0] if target.question.answers else ""
    values = {"question": target.question.text, "answer": target.wrong_answer, "right": right}
    return fill(text, {**values, **(more or {})})


def shuffled(items: Sequence[_T], rng: np.random.Generator) -> list[_T]:
    """The same items in random order."""
    return [items[i] for i in rng.permutation(len(items)).tolist()]
