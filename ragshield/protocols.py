"""What each kind of plugin must offer. Structural: no base class to inherit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

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


class StoreFacts(NamedTuple):
    """What can be told cheaply of a live store; a defender may be made for one store.

    A defender with a method `check_store(facts: StoreFacts) -> None` is shown them when a
    guard is built around it: it raises `InputError` where it cannot judge this store.

    Attributes:
        n_passages: how many it holds; None = not known.
        dim: width of its vectors; None = not known, or it is empty.
        encoder: name of the encoder that questions are embedded with; None = not known.
        vectors: (n, dim) float32, all that it holds, where it is small; else None.
    """

    n_passages: int | None = None
    dim: int | None = None
    encoder: str | None = None
    vectors: Vectors | None = None


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


class Nearest(NamedTuple):
    """The nearest other rows of some rows of a snapshot, best first.

    Attributes:
        rows: (m, depth) int32; -1 where a row has fewer neighbours or no usable vector.
        similarity: (m, depth) float32 cosines; -2 where `rows` is -1.
    """

    rows: NDArray[np.int32]
    similarity: NDArray[np.float32]


@runtime_checkable
class Snapshot(Protocol):
    """A store as it was read once: rows 0 to n - 1, in the order of reading.

    Reading from it costs disk, not the store. It pickles by its place, so that a
    process of a pool opens the same one.
    """

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None if the store holds none."""
        ...

    @property
    def depth(self) -> int:
        """How many neighbours `nearest` gives for a row."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def passages(self, rows: Sequence[int]) -> tuple[Passage, ...]:
        """The passages at these rows, in the order asked."""
        ...

    def unit(self, rows: Sequence[int]) -> Vectors:
        """Their vectors at length 1, (m, dim) float32; all zeros where none is usable.

        (m, 0) for a store without vectors.
        """
        ...

    def nearest(self, rows: Sequence[int]) -> Nearest:
        """The nearest other rows of these rows, without themselves."""
        ...

    def parts(self) -> tuple[range, ...]:
        """The rows cut into consecutive parts that together cover all, for `read`."""
        ...


@runtime_checkable
class StoreScreen(Screen, Protocol):
    """A screen that needs the whole store: it reads it in parts and judges once.

    `screen` judges a batch as if it were the whole store.
    """

    def read(self, snapshot: Snapshot, part: range) -> Any:
        """What the rows of one part show: small and picklable.

        Parts are read in any order, by any process; a part may look up neighbours and
        passages outside itself.
        """
        ...

    def judge(self, snapshot: Snapshot, readings: Sequence[Any]) -> list[Finding]:
        """Findings from what all parts showed, `readings` in the order of the parts.

        The same store gives the same findings, however it was cut.
        """
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


class Surface(NamedTuple):
    """One place where a store keeps bytes: a file as it lies there, or what one hides.

    Attributes:
        name: the same at every look at the same store, free of stored contents: a path
            relative to the store, or what it is ("write-ahead log", "column text").
        kind: `file` = bytes as they lie on disk; `decoded` = contents of a format that
            hides them (compressed, pickled, pages of a server).
        n_bytes: its size now; None = not known before it is read.
        blocks: gives its bytes from start to end in consecutive pieces of at most 8 MiB;
            each call starts anew. Raises `StoreError` where it cannot be read.
    """

    name: str
    kind: Literal["file", "decoded"]
    n_bytes: int | None
    blocks: Callable[[], Iterator[bytes]]


class Cost(NamedTuple):
    """What a purge will take, guessed before it is done.

    Attributes:
        seconds: time on a machine like this one.
        disk_bytes: free space that it needs while it runs.
        how: `in place`, or `copy` where all live rows are written anew, and why.
    """

    seconds: float
    disk_bytes: int
    how: str


class Purged(NamedTuple):
    """What a purge did.

    Attributes:
        how: `in place`, `copy`, or `nothing` where no byte had to change.
        n_bytes_written: roughly what it wrote.
        notes: what a person should know, such as a place that it cannot reach.
    """

    how: Literal["in place", "copy", "nothing"]
    n_bytes_written: int
    notes: tuple[str, ...] = ()


@runtime_checkable
class Recipe(Protocol):
    """How one kind of store is made to lose the bytes of what was deleted from it.

    Built with no arguments; takes the same URLs as the store of its name.
    """

    name: ClassVar[str]
    """The scheme of the URLs."""

    version: ClassVar[int]
    """Raised whenever the recipe changes what it does; stands in certificates."""

    def describe(self, url: str) -> Mapping[str, str]:
        """Software and versions, for a certificate: no path, no stored contents."""
        ...

    def files(self, url: str) -> tuple[Path, ...]:
        """Every file that belongs to the store, sorted; empty if none can be reached."""
        ...

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """Every place that can be searched from here; files of the store first."""
        ...

    def untested(self, url: str) -> tuple[str, ...]:
        """Places that exist, or may, and cannot be searched from here, in words."""
        ...

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """Every way in which the store may keep these vectors.

        Args:
            vectors: (n, dim) float32, as they were given to the store or came from it.

        Returns:
            Arrays (n, width) of bytes, one per form: as given, at length 1, halved, ...
        """
        ...

    def cost(self, url: str, n: int) -> Cost:
        """What a purge after deleting `n` passages takes."""
        ...

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Make sure that no byte of deleted passages is left in any file of the store.

        Called after `MutableStore.delete(ids)`, with no store object open on the URL. It
        deletes ids that are still there. Killed at any point, the same call finishes the
        work: at every moment the store opens and holds all live rows, unchanged, or the
        next call makes it so before anything else. Afterwards ids, texts, metadata,
        vectors and retrieval order of live rows are as they were, bit for bit.

        Raises:
            StoreError: in use by another process, not there, corrupt, read-only.
            IncompleteError: the disk is full or something could not be done; no live row
                is lost, and nothing counts as purged.
        """
        ...
