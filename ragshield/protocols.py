"""What each kind of plugin must offer. Structural: no base class to inherit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

from ragshield.records import (
    Batch,
    Finding,
    Hit,
    Passage,
    Retrieval,
    Target,
    Vector,
    Vectors,
    Verdict,
)


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """What identifies the encoder in caches and logs."""
        ...

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: (len(texts), dim) float32, unit rows; (0, dim) for no texts."""
        ...


@runtime_checkable
class Retriever(Protocol):
    """Finds passages for a question. A guard is one too."""

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        """The k nearest passages (fewer if the store is smaller), best first.

        Raises:
            UsageError: the question is empty or k < 1.
        """
        ...


@runtime_checkable
class Reader(Protocol):
    """Answers a question from passages."""

    name: ClassVar[str]

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The answer as text; "I don't know" when the passages do not give one."""
        ...


@runtime_checkable
class Defender(Protocol):
    """Judges what was retrieved for one question."""

    name: ClassVar[str]

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        The verdict keeps the retriever's order, invents no passage, and has one
        finding per hit. An empty retrieval gives an empty `clean` verdict. Must be
        safe to call from many threads.
        """
        ...


@runtime_checkable
class Screen(Protocol):
    """Judges stored or arriving passages with no question at hand."""

    name: ClassVar[str]

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings for suspicious passages only; most passages get none."""
        ...


@runtime_checkable
class Attack(Protocol):
    """Makes poisoned passages for a target."""

    name: ClassVar[str]

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """Poisoned passages; the same seed gives the same passages and ids."""
        ...


class Neighbours(NamedTuple):
    """Result of a vector search: hits, best first, and their stored vectors (k, dim)."""

    hits: tuple[Hit, ...]
    vectors: Vectors


@runtime_checkable
class Store(Protocol):
    """A knowledge base that can be read. Has no method that changes anything."""

    @property
    def url(self) -> str:
        """What `open_store` was given."""
        ...

    @property
    def dim(self) -> int | None:
        """Width of the stored vectors; None if the store is empty or has no vectors."""
        ...

    def count(self) -> int:
        """Number of passages."""
        ...

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages in a stable order, at most `size` at a time."""
        ...

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        ...

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k stored passages nearest to `vector`, fewer if the store is smaller.

        Raises:
            InputError: `vector` has another width than the store.
            UsageError: k < 1.
        """
        ...

    def configuration_findings(self) -> list[Finding]:
        """Suspicious settings of the store itself (passage_id is the store's url)."""
        ...

    def close(self) -> None:
        """Release files and connections; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class MutableStore(Store, Protocol):
    """A knowledge base that can be changed: a type of its own, never a run-time surprise."""

    def add(self, batch: Batch) -> None:
        """Insert passages with their vectors.

        Raises:
            InputError: an id exists already or occurs twice in the batch (nothing is
                inserted then), vectors are missing, of the wrong width, NaN or
                infinite.
        """
        ...

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; ids that do not exist are ignored.

        Returns:
            How many existed and are gone.
        """
        ...
