"""A scan's temporary folder, and those that killed scans left behind."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

PREFIX = "ragshield-scan-"

_ALIVE = "alive"


def temporary_folder() -> tuple[Path, IO[bytes]]:
    """A new folder, and the file whose lock says that it is in use.

    What killed scans of the same user left in the same place is deleted first.

    Returns:
        The folder, and an open file in it: while it is open, no other scan deletes the folder.
    """
    delete_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    file = (folder / f"{_ALIVE}.new").open("wb")
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX)
        # Under its name only once it is locked: nobody finds it there unlocked but in use.
        (folder / f"{_ALIVE}.new").rename(folder / _ALIVE)
    return folder, file


def delete_leftovers() -> None:
    """Delete the temporary folders of scans that are no longer running."""
    if sys.platform == "win32":  # has no lock that ends with its process and can be asked for
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            with (folder / _ALIVE).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, being made or deleted, or not ours to judge
