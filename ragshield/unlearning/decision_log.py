"""A log of what was withheld, and why, that quotes nothing: keyed hashes only."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from ragshield.errors import UsageError
from ragshield.files import check_writable
from ragshield.unlearning.hashing import KeyedHashes

Action: TypeAlias = Literal["answered", "repaired", "partly", "refused"]
"""What became of a question: `repaired` = sentences were taken out of the answer;
`partly` = a part of the question was answered."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was done with one question; for who runs the service, never for who asks.

    Attributes:
        action: what became of it.
        gates: the gates that found something, in order.
        targets: keyed hashes of the targets concerned.
        why: in words that quote nothing.
    """

    action: Action
    gates: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


class DecisionLog:
    """Appends decisions to a JSON Lines file, readable by its owner alone.

    Args:
        path: the file; made by the first decision.
        secret: the keys' secret, under which questions and audiences are hashed.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path | str, secret: bytes) -> None:
        self.path = Path(path)
        check_writable(self.path)
        self._hashes = KeyedHashes(secret)
        self._lock = threading.Lock()

    def write(self, question: str, audience: str | None, decision: Decision) -> None:
        """Append one decision.

        Raises:
            UsageError: the file cannot be written.
        """
        row = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "question": self._hashes.mark("question", question),
            "audience": self._hashes.mark("audience", audience or ""),
            "action": decision.action,
            "gates": decision.gates,
            "targets": decision.targets,
            "why": decision.why,
        }
        line = (json.dumps(row) + "\n").encode()
        try:
            with self._lock:
                file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    os.write(file, line)
                finally:
                    os.close(file)
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror or error}") from error
