"""Documents as passages that know their lines, for `ragshield check`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragshield.errors import InputError
from ragshield.files import read_jsonl
from ragshield.records import Passage

SUFFIXES = frozenset((".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".jsonl"))
"""What is read in a folder; a file named by itself may have any ending."""

WINDOW_CHARS = 2000
"""Paragraphs are gathered up to this length; a longer one is cut at line ends."""

_MARKUP = frozenset((".html", ".htm"))
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_UNSHOWN = re.compile(r"<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->", re.S | re.I)
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document.

    Attributes:
        path: the file.
        line: its first line, from 1.
        passage: as written; its id is `path:line`.
        shown: the text a reader sees, where the file is markup; else the text as written.
    """

    path: Path
    line: int
    passage: Passage
    shown: str

    def line_of(self, quote: str) -> int:
        """The line where a quoted text stands; the first line if it cannot be found."""
        at = self.passage.text.lower().find(quote.rstrip("…").lower()) if quote else -1
        return self.line + (self.passage.text.count("\n", 0, at) if at > 0 else 0)


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files named, and for folders the documents in them, sorted.

    Raises:
        InputError: a path that does not exist.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; name files or folders")
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        documents = (p for p in inside if p == path or _suffix(p) in SUFFIXES)
        found.update(dict.fromkeys(documents))
    return list(found)


def pieces_of(path: Path) -> Iterator[Piece]:
    """A document cut into windows of whole paragraphs; JSON Lines by their lines.

    Raises:
        InputError: unreadable, binary, or a line of JSON Lines without a text.
    """
    if _suffix(path) == ".jsonl":
        yield from _records(path)
        return
    text = _decoded(path)
    for start, end in _windows(text):
        part = text[start:end]
        line = text.count("\n", 0, start) + 1
        shown = _seen(part) if _suffix(path) in _MARKUP else part
        yield Piece(path, line, Passage(f"{path}:{line}", part, str(path)), shown)


def _records(path: Path) -> Iterator[Piece]:
    for line, record in read_jsonl(path):
        text = record.get("text", record.get("page_content"))
        if not isinstance(text, str):
            raise InputError(f"{path}, line {line}: needs a string 'text' (or 'page_content')")
        meta = record.get("meta", record.get("metadata"))
        given = meta if isinstance(meta, dict) else {}
        plain = {k: v for k, v in given.items() if isinstance(v, str | int | float | bool)}
        source = record.get("source")
        source = source if isinstance(source, str) else None
        yield Piece(path, line, Passage(f"{path}:{line}", text, source, plain), text)


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Offsets of consecutive windows that together hold every character but blank ends."""
    start = 0
    while start < len(text):
        limit = start + WINDOW_CHARS
        if limit >= len(text):
            end = len(text)
        else:
            breaks = [match.end() for match in _PARAGRAPH.finditer(text, start, limit)]
            line_end = text.rfind("\n", start, limit) + 1
            # A word is only cut where a line is longer than a window.
            end = (breaks[-1] if breaks else 0) or line_end or _blank(text, start, limit)
        if text[start:end].strip():
            first = start + len(text[start:end]) - len(text[start:end].lstrip("\n\r"))
            yield first, end
        start = end


def _blank(text: str, start: int, limit: int) -> int:
    return text.rfind(" ", start + 1, limit) + 1 or limit


def _seen(markup: str) -> str:
    """The text of HTML with tags, scripts, styles and comments taken out."""
    return html.unescape(_TAG.sub("", _UNSHOWN.sub(" ", markup)))


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:65536]:
        raise InputError(f"{path} is binary; extract its text first, or leave it out")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # every byte is a character: nothing goes unread
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _suffix(path: Path) -> str:
    """The ending in lower case; `.jsonl` for `.jsonl.gz`, which is read as well."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if path.name.lower().endswith(".jsonl.gz") else suffix
