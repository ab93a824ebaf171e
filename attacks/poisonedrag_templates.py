"""Texts for PoisonedRAG that need no language model: question patterns and statements."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from ragshield.chat import fill
from ragshield.records import Target

_SLOT = re.compile(r"\{(\w+)\}")
_END = r"[\s?.!]*"


class _Pattern(NamedTuple):
    question: re.Pattern[str]
    statements: tuple[str, ...]


def statements(target: Target, rng: np.random.Generator) -> list[str]:
    """Texts that state the target's wrong answer, in random order, all different.

    Those of the first pattern that the whole question matches come first, the general
    ones after them.
    """
    patterns, generic = _templates()
    question = target.question.text.strip()
    values = {"question": question, "answer": target.wrong_answer}
    found: tuple[str, ...] = ()
    for pattern in patterns:
        if match := pattern.question.fullmatch(question):
            values = {**match.groupdict(), **values}
            found = pattern.statements
            break
    shuffled = [
        group[i] for group in (found, generic) for i in rng.permutation(len(group)).tolist()
    ]
    return list(dict.fromkeys(fill(text, values) for text in shuffled))


@cache
def _templates() -> tuple[tuple[_Pattern, ...], tuple[str, ...]]:
    source = files("ragshield.attacks").joinpath("poisonedrag_templates.toml").read_text("utf-8")
    data = tomllib.loads(source)
    patterns = tuple(
        _Pattern(_as_regex(entry["question"]), tuple(entry["statements"]))
        for entry in data.get("pattern", [])
    )
    return patterns, tuple(data["generic"]["statements"])


def _as_regex(question: str) -> re.Pattern[str]:
    """A question with {slots} as a pattern: blanks and case are free, slots match little."""
    pieces = _SLOT.split(question.strip().rstrip("?.! "))
    parts = [
        f"(?P<{piece}>.+?)" if i % 2 else r"\s+".join(map(re.escape, re.split(r"\s+", piece)))
        for i, piece in enumerate(pieces)
    ]
    return re.compile("".join(parts) + _END, re.IGNORECASE | re.DOTALL)
