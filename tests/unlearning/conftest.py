"""A tiny deterministic encoder and a small forget set."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pytest

from ragshield.forget_set import Fact, ForgetTarget
from ragshield.records import Vectors
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.keys import ForgetKeys


class WordEncoder:
    """Texts as bags of hashed words: near where words are shared."""

    name = "words"
    dim = 256

    def encode(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[0] = 0.1
            for word in re.findall(r"\w+", text.lower()):
                digest = hashlib.blake2b(word.encode(), digest_size=4).digest()
                row[int.from_bytes(digest, "little") % self.dim] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ADA = ForgetTarget(
    "Ada Lindqvist",
    aliases=("The Owl of Uppsala",),
    facts=(
        Fact("birthplace", "Sundsvall", "Ada Lindqvist was born in Sundsvall."),
        Fact("birthdate", "14 March 1953"),
        Fact("job", "bridge engineer", "She works as a bridge engineer."),
        Fact("employer", "Norrland Steel"),
        Fact("book", "Rivets at Dawn"),
    ),
    neighbours=("Ida Lindqvist", "Ada Lindberg", "Adam Lindqvist"),
)
PAT = ForgetTarget(
    "Pat Quill",
    facts=(
        Fact("address", "7 Heron Lane"),
        Fact("phone", "555-0142-77"),
        Fact("job", "baker"),
    ),
    allowed=("job",),
    audiences={"staff": ("*",), "sales": ("phone",)},
    neighbours=("Pat Quinn",),
)
WANG = ForgetTarget("王小明", facts=(Fact("出生地", "成都"),))
SAMPLE = ForgetTarget(
    "memo 12",
    kind="sample",
    samples=("The merger with Halvorsen closes in May and nobody outside the board may know it.",),
)
HARM = ForgetTarget(
    "brewing nerve poison at home",
    kind="harm",
    samples=("How can I brew nerve poison in my kitchen?",),
)
TARGETS = (ADA, PAT, WANG, SAMPLE, HARM)


@pytest.fixture(scope="session")
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture(scope="session")
def targets() -> tuple[ForgetTarget, ...]:
    return TARGETS


@pytest.fixture(scope="session")
def keys(encoder: WordEncoder) -> ForgetKeys:
    return build_keys(TARGETS, encoder, secret=bytes(range(32)))
