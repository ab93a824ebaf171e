"""What was erased is not let in again: keyed hashes, no copy of what they are of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable
from ragshield.minhash import jaccard, signature
from ragshield.records import Action, Finding, Passage
from ragshield.text import sentences, words

SCHEMA = "ragshield-reingest/1"
DETECTOR = "reingest"

MatchKind: TypeAlias = Literal["exact", "near", "part"]
"""How an arriving passage is like an erased one.

`exact`: the same words, whatever their case and punctuation. `near`: most of the same
shingles, as after small changes. `part`: most of it is sentences of erased passages, as
where a page is cut into other chunks.
"""

THRESHOLD = 0.65
"""Estimated Jaccard similarity from which a passage is near an erased one."""

LOWEST = 0.5
"""How far the threshold may be lowered where retained passages allow it."""

_MARGIN = 0.05
_N_PERM = 256
_NEAR_WORDS = 8
_SENTENCE_WORDS = 6
_PART_SENTENCES = 2
_PART_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ReingestMatch:
    """Why a passage is not let in.

    Attributes:
        kind: how it is like something erased.
        similarity: `exact`: 1. `near`: the estimated Jaccard similarity. `part`: the share
            of its words that stand in erased sentences. (0, 1].
    """

    kind: MatchKind
    similarity: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """What `ReingestGuard.add` did.

    Attributes:
        n_added: passages that were not remembered before.
        threshold: similarity from which a passage is near, from now on.
        n_retained: passages that stay and were compared.
        excepted: ids of those that are nearly the same as an erased one. They are let in
            as they are; changed ones are not.
    """

    n_added: int
    threshold: float
    n_retained: int
    excepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Memory:
    key: bytes
    threshold: float
    texts: tuple[str, ...]
    near: NDArray[np.uint32]
    sentences: tuple[tuple[str, ...], ...]
    holders: tuple[frozenset[str], ...] = ()
    excepted: frozenset[str] = frozenset()

    @property
    def rows(self) -> dict[str, Any]:
        kept = zip(self.texts, self.near, self.sentences, self.holders, strict=True)
        return {text: row for text, *row in kept}

    @property
    def marks(self) -> frozenset[str]:
        return frozenset((*self.texts, *(mark for marks in self.sentences for mark in marks)))


class ReingestGuard:
    """Recognise erased passages, also lightly changed, without keeping them.

    What is retained, and must be told to whoever asks: for each erased passage a keyed
    hash (HMAC-SHA256) of its words, a keyed MinHash of 256 numbers, and keyed hashes of
    its sentences of six words or more; keyed hashes of passages that stay though they are
    nearly the same as one; a random name for each plan that keeps it out; and the key, 32
    random bytes. Neither text nor id can be computed from them. Whoever has the file can
    test a guess: that a passage that he knows or invents was erased, or nearly. So it is
    readable by its owner alone, and it should be kept from backups that others can read.

    Many threads may use one; a change made by another process is seen at the next call.

    Args:
        path: the file; made by the first `add`. One that is not there remembers nothing;
            one that vanishes while this object lives goes on being obeyed.

    Raises:
        InputError: the file exists and is not one of these.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._stamp: tuple[int, int, int] | None = None
        self._memory = _Memory(b"", THRESHOLD, (), np.empty((0, _N_PERM), np.uint32), ())
        self._known = frozenset[str]()
        self._fresh()

    def __len__(self) -> int:
        """How many erased passages it remembers."""
        return len(self._fresh().texts)

    def check(self, passage: Passage | str) -> ReingestMatch | None:
        """How a passage is like an erased one; None if it may come in."""
        text = passage if isinstance(passage, str) else passage.text
        memory = self._fresh()
        if not memory.texts:
            return None
        mark = _text_mark(memory.key, text)
        if mark in self._known:
            return ReingestMatch("exact", 1.0)
        if mark in memory.excepted:
            return None
        if len(words(text)) >= _NEAR_WORDS:
            row = signature(text, key=memory.key, n_perm=_N_PERM)
            similarity = float(jaccard(memory.near, row).max())
            if similarity >= memory.threshold:
                return ReingestMatch("near", similarity)
        return _in_parts(memory, self._known, text)

    def findings(self, passages: Iterable[Passage]) -> list[Finding]:
        """One finding, with the action DROP, for each passage that may not come in."""
        found = []
        for passage in passages:
            match = self.check(passage)
            if match is not None:
                found.append(
                    Finding(
                        passage.id,
                        1.0,
                        DETECTOR,
                        Action.DROP,
                        _REASONS[match.kind].format(match.similarity),
                        evidence={"kind": match.kind, "similarity": round(match.similarity, 3)},
                    )
                )
        return found

    def add(
        self,
        passages: Iterable[Passage],
        *,
        retained: Iterable[Passage] = (),
        held_by: str = "",
    ) -> Remembered:
        """Remember erased passages; on disk when this returns.

        Args:
            passages: what was erased.
            retained: passages that stay, at best all that are near. The threshold is set
                by them: a little above the most similar of them, between 0.5 and 0.65.
                Sentences that they hold as well are not remembered.
            held_by: who wants them kept out, in no telling words. What several hold is
                remembered until the last one lets it in.

        Raises:
            UsageError: the file may not be written.
            IncompleteError: the disk refused; the file is as it was.
        """
        with self._changing() as memory:
            kept = tuple(retained)
            rows = memory.rows
            n_before = len(rows)
            excepted: tuple[str, ...] = ()
            theirs = {mark for p in kept for mark in _sentence_marks(memory.key, p.text)}
            for passage in passages:
                marks = _sentence_marks(memory.key, passage.text)
                text = _text_mark(memory.key, passage.text)
                rows[text] = (
                    signature(passage.text, key=memory.key, n_perm=_N_PERM),
                    tuple(dict.fromkeys(mark for mark in marks if mark not in theirs)),
                    (rows[text][2] if text in rows else frozenset()) | {held_by},
                )
            after = _memory_of(memory.key, memory.threshold, rows, memory.excepted)
            nearest = _nearest(after, kept)
            if kept:
                # Never below what an earlier request's neighbours called for.
                least = memory.threshold if n_before else LOWEST
                threshold = float(np.clip(nearest.max() + _MARGIN, least, THRESHOLD))
                close = [p for p, near in zip(kept, nearest, strict=True) if near >= threshold]
                stay = {_text_mark(memory.key, p.text) for p in close} - set(rows)
                excepted = tuple(p.id for p in close)
                after = _memory_of(memory.key, threshold, rows, memory.excepted | stay)
            self._write(after)
        return Remembered(len(rows) - n_before, after.threshold, len(kept), excepted)

    def remove(self, passages: Iterable[Passage], *, held_by: str | None = None) -> int:
        """Let passages in again; gives how many were remembered, and are not any more.

        Args:
            passages: what was erased.
            held_by: who does not want them kept out any more, as `add` was told; what
                others hold is remembered on. None: whoever holds them.
        """
        with self._changing() as memory:
            gone = {_text_mark(memory.key, passage.text) for passage in passages}
            rows: dict[str, Any] = {}
            for text, (*row, holders) in memory.rows.items():
                ours = {held_by} if held_by is not None else holders
                if left := holders - ours if text in gone else holders:
                    rows[text] = [*row, left]
            after = _memory_of(memory.key, memory.threshold, rows, memory.excepted)
            if after.holders != memory.holders:
                self._write(after)
        return len(memory.texts) - len(rows)

    @contextmanager
    def _changing(self) -> Iterator[_Memory]:
        with self._lock, _locked(self.path):
            memory = self._fresh()
            if not memory.key:
                memory = _memory_of(secrets.token_bytes(32), THRESHOLD, {})
            yield memory

    def _fresh(self) -> _Memory:
        with self._lock:
            try:
                found = self.path.stat()
            except FileNotFoundError:
                return self._memory
            except OSError as error:
                raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            if stamp != self._stamp:
                self._memory, self._stamp = _read(self.path), stamp
                self._known = self._memory.marks
            return self._memory

    def _write(self, memory: _Memory) -> None:
        check_writable(self.path)
        record = {
            "schema": SCHEMA,
            "key": memory.key.hex(),
            "threshold": memory.threshold,
            "excepted": sorted(memory.excepted),
            "passages": [
                {
                    "text": text,
                    "near": base64.b64encode(row.astype("<u4").tobytes()).decode("ascii"),
                    "sentences": list(marks),
                    "holders": sorted(holders),
                }
                for text, (row, marks, holders) in memory.rows.items()
            ],
        }
        for left in self.path.parent.glob(f".{self.path.name}.*"):
            left.unlink(missing_ok=True)  # by a process that was killed: this one has the lock
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    json.dump(record, file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise IncompleteError(
                f"cannot write {self.path}: {error.strerror or error}; it is as it was"
            ) from error
        self._fresh()


def opened(given: ReingestGuard | Path | str | None) -> ReingestGuard | None:
    """The guard itself, opened if its file was given."""
    return ReingestGuard(given) if isinstance(given, Path | str) else given


_REASONS = {
    "exact": "has the words of a passage that was erased on purpose",
    "near": "is nearly a passage that was erased on purpose (similarity {:.2f})",
    "part": "consists of sentences that were erased on purpose ({:.0%} of its words)",
}


def _in_parts(memory: _Memory, known: frozenset[str], text: str) -> ReingestMatch | None:
    """Whether most of a text is erased sentences, at least two of them."""
    n_words = n_known = n_sentences = 0
    for sentence in sentences(text):
        spelled = words(sentence)
        n_words += len(spelled)
        if len(spelled) >= _SENTENCE_WORDS and _mark(memory.key, "sentence", spelled) in known:
            n_known += len(spelled)
            n_sentences += 1
    if n_sentences >= _PART_SENTENCES and n_known >= _PART_SHARE * n_words:
        return ReingestMatch("part", n_known / n_words)
    return None


def _nearest(memory: _Memory, retained: Iterable[Passage]) -> NDArray[np.float64]:
    """How similar each retained passage is to the erased one that is most like it."""
    found = [
        float(jaccard(memory.near, signature(p.text, key=memory.key, n_perm=_N_PERM)).max())
        if len(memory.near) and len(words(p.text)) >= _NEAR_WORDS
        else 0.0
        for p in retained
    ]
    return np.array(found, dtype=np.float64)


def _text_mark(key: bytes, text: str) -> str:
    spelled = words(text)
    # What holds no word is told apart by its characters.
    return _mark(key, "text", spelled or [text])[:40]


def _sentence_marks(key: bytes, text: str) -> list[str]:
    spelled = [words(sentence) for sentence in sentences(text)]
    return [_mark(key, "sentence", s) for s in spelled if len(s) >= _SENTENCE_WORDS]


def _mark(key: bytes, what: str, spelled: list[str]) -> str:
    content = f"{what}\0{' '.join(spelled)}".encode("utf-8", "surrogatepass")
    return hmac.new(key, content, hashlib.sha256).hexdigest()[: 40 if what == "text" else 24]


def _memory_of(
    key: bytes, threshold: float, rows: dict[str, Any], excepted: frozenset[str] = frozenset()
) -> _Memory:
    near = np.array([row[0] for row in rows.values()], dtype=np.uint32).reshape(-1, _N_PERM)
    marks, holders = (tuple(row[i] for row in rows.values()) for i in (1, 2))
    return _Memory(key, threshold, tuple(rows), near, marks, holders, excepted)


def _read(path: Path) -> _Memory:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise ValueError(f"its schema is {record['schema']!r:.40}, expected {SCHEMA}")
        rows = {
            row["text"]: (
                np.frombuffer(base64.b64decode(row["near"]), dtype="<u4"),
                tuple(row["sentences"]),
                frozenset(row.get("holders", ("",))),  # older versions did not ask who
            )
            for row in record["passages"]
        }
        excepted = frozenset(record["excepted"])
        return _memory_of(bytes.fromhex(record["key"]), float(record["threshold"]), rows, excepted)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no file of a re-ingest guard ({error!s:.80})") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file meanwhile, where the system can."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
