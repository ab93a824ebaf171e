"""Passages that retrieval holds back at once, while they are still being erased."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable
from ragshield.records import Passage, Retrieval

SCHEMA = "ragshield-blocklist/1"
_log = logging.getLogger("ragshield.blocklist")

BlocklistGiven: TypeAlias = "Blocklist | Path | str"
"""A blocklist or its file."""


class Blocklist:
    """A small file of keyed hashes: what a running service must not retrieve any more.

    Each entry is an HMAC-SHA256 of a passage's id and text. The file holds the key too, so
    whoever can read it can test a guess, and learns nothing without one. It is readable by
    its owner alone, written whole or not at all, and looked at again whenever it has
    changed, so a service that is running follows it from one question to the next.

    A file that is not there yet blocks nothing. One that vanishes later leaves blocked
    what was, and one that cannot be read is an error: a service with a blocklist never
    answers as if it had none. Safe to use from many threads.

    Args:
        path: the file; made by the first `add`.

    Raises:
        InputError: the file exists and is no blocklist.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._key = b""
        self._entries: frozenset[str] = frozenset()
        self._refresh()

    def __len__(self) -> int:
        """How many passages are blocked now."""
        return len(self._refresh()[1])

    def blocks(self, passage: Passage) -> bool:
        """Whether this passage is blocked now."""
        key, entries = self._refresh()
        return bool(entries) and _entry(key, passage) in entries

    def add(self, passages: Iterable[Passage]) -> int:
        """Block passages; on disk when this returns.

        Returns:
            How many were not blocked before.

        Raises:
            UsageError: the file cannot be written.
        """
        return self._change(passages, adding=True)

    def remove(self, passages: Iterable[Passage]) -> int:
        """Let passages through again; gives how many were blocked."""
        return self._change(passages, adding=False)

    def rest(self, found: Retrieval) -> Retrieval:
        """What is left of a retrieval: hits that are not blocked, in their order."""
        key, entries = self._refresh()
        if not entries:
            return found
        kept = [i for i, hit in enumerate(found.hits) if _entry(key, hit.passage) not in entries]
        return found if len(kept) == len(found.hits) else found.select(kept)

    def retrieve(self, ask: Callable[[int], Retrieval], k: int) -> Retrieval:
        """At most k hits that are not blocked; asks deeper for what is held back.

        Args:
            ask: gives the n best hits for one question.
            k: how many are wanted.
        """
        depth = k
        while True:
            found = ask(depth)
            rest = self.rest(found)
            deeper = _deeper(found, rest, k, depth)
            if deeper is None:
                return _first(rest, k)
            depth = deeper

    async def aretrieve(self, ask: Callable[[int], Awaitable[Retrieval]], k: int) -> Retrieval:
        """`retrieve` for a retriever that is awaited."""
        depth = k
        while True:
            found = await ask(depth)
            rest = self.rest(found)
            deeper = _deeper(found, rest, k, depth)
            if deeper is None:
                return _first(rest, k)
            depth = deeper

    def _refresh(self) -> tuple[bytes, frozenset[str]]:
        with self._lock:
            stamp = self._look()
            if stamp is not None and stamp != self._stamp:
                self._key, self._entries = _read(self.path)
                self._stamp = stamp
            return self._key, self._entries

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            if self._stamp is not None:
                _log.warning("%s is gone; what it blocked stays blocked", self.path)
                self._stamp = None
            return None
        except OSError as error:
            raise InputError(
                f"cannot read the blocklist {self.path}: {error.strerror or error}"
            ) from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _change(self, passages: Iterable[Passage], *, adding: bool) -> int:
        key, entries = self._refresh()
        key = key or secrets.token_bytes(32)
        wanted = {_entry(key, passage) for passage in passages}
        after = entries | wanted if adding else entries - wanted
        if after != entries or (adding and not self.path.exists()):
            _write(self.path, key, after)
            self._refresh()
        return len(after ^ entries)


def opened(given: BlocklistGiven | None) -> Blocklist | None:
    """The blocklist itself, opened if its file was given.

    Raises:
        InputError: the file is no blocklist.
    """
    return Blocklist(given) if isinstance(given, Path | str) else given


def _deeper(found: Retrieval, rest: Retrieval, k: int, depth: int) -> int | None:
    """How deep to look next; None where there are enough, or no more."""
    if len(rest) >= k or len(found) < depth:
        return None
    return depth + max(depth, 2 * (len(found) - len(rest)))


def _first(rest: Retrieval, k: int) -> Retrieval:
    return rest if len(rest) <= k else rest.select(range(k))


def _entry(key: bytes, passage: Passage) -> str:
    # The text too: in another store the same id may name something else.
    content = json.dumps([passage.id, passage.text]).encode("ascii")
    return hmac.new(key, content, hashlib.sha256).hexdigest()[:40]


def _read(path: Path) -> tuple[bytes, frozenset[str]]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise ValueError(f"its schema is {record['schema']!r:.40}, expected {SCHEMA}")
        return bytes.fromhex(record["key"]), frozenset(map(str, record["entries"]))
    except OSError as error:
        raise InputError(f"cannot read the blocklist {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no blocklist of ragshield ({error!s:.80})") from error


def _write(path: Path, key: bytes, entries: frozenset[str]) -> None:
    check_writable(path)
    record = {"schema": SCHEMA, "key": key.hex(), "entries": sorted(entries)}
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
