"""Vectors kept on disk between runs, so that nothing is embedded twice."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ragshield.errors import InputError
from ragshield.protocols import Encoder
from ragshield.records import Vectors


class CachedEncoder:
    """An encoder that remembers what it embedded, by SHA-256 of the text.

    Args:
        encoder: what embeds a text that is not in the cache.
        path: an SQLite file; made if missing. One file may serve many encoders and
            many threads.

    Raises:
        InputError: the file exists and is no such cache.
    """

    def __init__(self, encoder: Encoder, path: Path) -> None:
        self.encoder = encoder
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS vectors"
                " (encoder TEXT, text_sha256 BLOB, vector BLOB, PRIMARY KEY (encoder, text_sha256))"
            )
        except sqlite3.Error as error:
            raise InputError(f"{path} is no vector cache ({error}); name another file") from error

    @property
    def name(self) -> str:
        """The wrapped encoder's name."""
        return self.encoder.name

    @property
    def dim(self) -> int:
        """The wrapped encoder's width."""
        return self.encoder.dim

    def encode(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Embed texts, reading from the cache what is there: (n, dim) float32.

        Args:
            texts: any number of texts.
            progress: called with the number of texts just done; cached ones at once.
        """
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        rows = np.empty((len(texts), self.dim), dtype=np.float32)
        missing: dict[bytes, list[int]] = {}
        with self._lock:
            for i, key in enumerate(keys):
                found = self._db.execute(
                    "SELECT vector FROM vectors WHERE encoder = ? AND text_sha256 = ?",
                    (self.name, key),
                ).fetchone()
                if found is None:
                    missing.setdefault(key, []).append(i)
                else:
                    rows[i] = np.frombuffer(found[0], dtype=np.float32)
        if progress is not None:
            progress(len(texts) - len(missing))
        pending = list(missing.items())
        # Saved in steps: an interrupted run keeps what it has paid for.
        for start in range(0, len(pending), 256):
            part = pending[start : start + 256]
            vectors = self.encoder.encode([texts[positions[0]] for _, positions in part])
            with self._lock, self._db:
                self._db.executemany(
                    "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                    [
                        (self.name, key, row.tobytes())
                        for (key, _), row in zip(part, vectors, strict=True)
                    ],
                )
            for (_, positions), row in zip(part, vectors, strict=True):
                rows[positions] = row
            if progress is not None:
                progress(len(part))
        return rows
