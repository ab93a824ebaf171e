"""Plugins of another package, small enough that every number can be worked out by hand.

Put this folder on the path and they are registered, as any installed package's are.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ragshield.records import (
    Action,
    Corpus,
    Finding,
    Passage,
    Question,
    Retrieval,
    Target,
    Vectors,
    Verdict,
)
from ragshield.text import content_words


class ToyEncoder:
    """A bag of words: each word adds its own fixed random direction."""

    name = "toy"
    dim = 48

    def encode(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in content_words(text):
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
                row += np.random.default_rng(seed).standard_normal(self.dim)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def load(*, towns: int = 8, targets: bool = True) -> Corpus:
    """Towns with a mayor each: a passage on the mayor and one on the river."""
    names = [f"Town{number}" for number in range(towns)]
    passages, found = [], []
    for name in names:
        passages.append(
            Passage(
                f"{name}-mayor",
                f"The mayor of {name} is right{name}.",
            )
        )
        passages.append(Passage(f"{name}-river", f"{name} lies on the river water{name}."))
        question = Question(f"q-{name}", f"Who is the mayor of {name}?", (f"right{name}",))
        found.append(Target(question, f"wrong{name}"))
    return Corpus(
        "toy",
        tuple(passages),
        tuple(target.question for target in found),
        tuple(found) if targets else (),
    )


class ToyAttack:
    """Say the wrong answer after the question."""

    name: ClassVar[str] = "toy"

    def __init__(self, *, n: int = 2) -> None:
        self.n = n

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        said = target.question.text.removeprefix("Who is ").replace("?", " is").capitalize()
        words = [f"noise{rng.integers(1000)}" for _ in range(self.n)]
        return [
            Passage(
                f"poison-{target.question.id}-{i}",
                f"{target.question.text} {said} {target.wrong_answer}, {word}.",
            )
            for i, word in enumerate(words)
        ]


class DropEcho:
    """Drop what repeats the question."""

    name: ClassVar[str] = "toy-echo"

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s

    def inspect(self, retrieval: Retrieval) -> Verdict:
        time.sleep(self.delay_s)
        echoes = [hit.text.startswith(retrieval.question) for hit in retrieval]
        return Verdict(
            kept=tuple(hit for hit, echo in zip(retrieval, echoes, strict=True) if not echo),
            findings=tuple(
                Finding(
                    hit.id,
                    float(echo),
                    self.name,
                    Action.DROP if echo else Action.KEEP,
                    "repeats the question" if echo else "does not repeat the question",
                )
                for hit, echo in zip(retrieval, echoes, strict=True)
            ),
            status="filtered" if any(echoes) else "clean",
            detector=self.name,
        )


class ToyReader:
    """Read the first passage aloud."""

    name: ClassVar[str] = "toy"

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        return passages[0].text if passages else "I don't know"
