"""The list that takes planted passages out again, and proves that they are out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ragshield.errors import InputError
from ragshield.files import read_text, writing
from ragshield.plant.state import StoreState

_FORMAT = "ragshield-planted/2"


@dataclass(frozen=True, slots=True)
class Planted:
    """One planted passage.

    Attributes:
        id: its id in the store.
        made_as: the id that the attack gave it.
        sha256: of its text.
    """

    id: str
    made_as: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was planted where.

    Attributes:
        url: the store, named so that it is found from any folder.
        before: what it held before planting.
        passages: what is planted; the list is on disk before the first of them is.
        after: what it held after the clean-up; None until then.
    """

    url: str
    before: StoreState
    passages: tuple[Planted, ...]
    after: StoreState | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the store was proved to be back as it was."""
        return self.after == self.before

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            UsageError: it cannot be written.
        """
        with writing(path) as file:
            json.dump({"format": _FORMAT, **asdict(self)}, file, indent=1)
            file.write("\n")


def read_manifest(path: Path) -> Manifest:
    """A manifest that `plant` wrote.

    Raises:
        InputError: unreadable, or not a manifest.
    """
    try:
        data: Any = json.loads(read_text(path))
        if data["format"] != _FORMAT:
            raise InputError(f"{path} has format '{data['format']}'; this reads '{_FORMAT}'")
        return Manifest(
            str(data["url"]),
            StoreState(**data["before"]),
            tuple(Planted(**entry) for entry in data["passages"]),
            None if data["after"] is None else StoreState(**data["after"]),
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no list of planted passages ({error})") from error


def text_digest(text: str) -> str:
    """SHA-256 of a text, by which a planted passage is told from one edited since."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
