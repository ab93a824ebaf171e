"""What a reader was asked before, and what asking cost."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from ragshield.errors import InputError


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote to one prompt.

    Attributes:
        text: its answer.
        n_tokens_in: tokens of the prompt; None = not told.
        n_tokens_out: tokens of the answer; None = not told.
    """

    text: str
    n_tokens_in: int | None = None
    n_tokens_out: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What asking cost so far.

    Attributes:
        n_asked: prompts that the model answered.
        n_kept: answers given again without asking.
        n_retries: further attempts after one that failed.
        n_tokens_in: tokens of the prompts, as far as told.
        n_tokens_out: tokens of the answers, as far as told.
        n_untold: answers that came without a number of tokens.
    """

    n_asked: int = 0
    n_kept: int = 0
    n_retries: int = 0
    n_tokens_in: int = 0
    n_tokens_out: int = 0
    n_untold: int = 0


class Ledger:
    """Answers by prompt, in memory and on disk, and a count of tokens; safe among threads.

    Args:
        model: what tells one model and its settings from another in a file.
        cache: an SQLite file that keeps answers between runs, made if missing; it holds
            answers as plain text and prompts as SHA-256. None = memory only.
        n_kept: how many answers stay in memory; 0 = none.

    Raises:
        InputError: the file exists and is no such cache.
        ValueError: n_kept is negative.
    """

    def __init__(self, model: str, *, cache: Path | str | None = None, n_kept: int = 4096) -> None:
        if n_kept < 0:
            raise ValueError(f"n_kept is {n_kept}; it must be at least 0")
        self._model = model
        self._n_kept = n_kept
        self._recent: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()
        self._usage = Usage()
        self._db = None if cache is None else _opened(Path(cache))

    @property
    def usage(self) -> Usage:
        """What asking cost so far."""
        return self._usage

    def known(self, prompts: Iterable[str]) -> dict[str, str]:
        """The answers to those of the prompts that were asked before."""
        found: dict[str, str] = {}
        with self._lock:
            for prompt in dict.fromkeys(prompts):
                if prompt in self._recent:
                    self._recent.move_to_end(prompt)
                    found[prompt] = self._recent[prompt]
                elif (kept := self._on_disk(prompt)) is not None:
                    found[prompt] = kept
            self._usage = replace(self._usage, n_kept=self._usage.n_kept + len(found))
        return found

    def keep(self, prompt: str, written: Written) -> None:
        """Remember an answer and count its tokens."""
        tokens = (written.n_tokens_in, written.n_tokens_out)
        with self._lock:
            now = self._usage
            self._usage = replace(
                now,
                n_asked=now.n_asked + 1,
                n_tokens_in=now.n_tokens_in + (tokens[0] or 0),
                n_tokens_out=now.n_tokens_out + (tokens[1] or 0),
                n_untold=now.n_untold + (None in tokens),
            )
            if self._n_kept:
                self._recent[prompt] = written.text
                while len(self._recent) > self._n_kept:
                    self._recent.popitem(last=False)
            if self._db is not None:
                with self._db:
                    self._db.execute(
                        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
                        (self._model, _digest(prompt), written.text),
                    )

    def count_retry(self) -> None:
        """Count one further attempt."""
        with self._lock:
            self._usage = replace(self._usage, n_retries=self._usage.n_retries + 1)

    def _on_disk(self, prompt: str) -> str | None:
        if self._db is None:
            return None
        row = self._db.execute(
            "SELECT answer FROM answers WHERE model = ? AND prompt_sha256 = ?",
            (self._model, _digest(prompt)),
        ).fetchone()
        return None if row is None else str(row[0])


def parts(
    prompts: Sequence[str | None], known: Mapping[str, str], size: int
) -> Iterator[list[str]]:
    """The prompts still to be asked, each once, at most `size` at a time.

    Shorter ones come first: prompts of like length need little padding.
    """
    new = sorted(
        {p for p in prompts if p is not None and p not in known}, key=lambda p: (len(p), p)
    )
    for start in range(0, len(new), size):
        yield new[start : start + size]


def _digest(prompt: str) -> bytes:
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(
            "CREATE TABLE IF NOT EXISTS answers"
            " (model TEXT, prompt_sha256 BLOB, answer TEXT, PRIMARY KEY (model, prompt_sha256))"
        )
        db.execute("SELECT model, prompt_sha256, answer FROM answers LIMIT 1")
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path} is no cache of answers ({error}); name another file") from error
    return db
