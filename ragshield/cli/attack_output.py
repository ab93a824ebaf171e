"""The part of `ragshield attack` that writes passages: JSON Lines, or documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ragshield.cli.console import err, progress
from ragshield.errors import RagshieldError
from ragshield.files import check_writable, writing
from ragshield.records import Passage

if TYPE_CHECKING:
    from ragshield.plant.documents import DocumentFormat


class Format(StrEnum):
    """What poisoned passages are written as."""

    JSONL = "jsonl"
    MD = "md"
    HTML = "html"
    PDF = "pdf"


def check(output: Path, format: Format) -> None:
    """Fail before the work, not after it, where the output cannot be written.

    Raises:
        UsageError: it cannot, or the folder for documents is not empty.
        MissingExtraError: PDF without reportlab.
    """
    if format is Format.JSONL:
        check_writable(output)
        return
    from ragshield.plant.documents import check_folder
    from ragshield.plant.pdf import PdfWriter

    check_folder(output)
    check_writable(_list_of(output))
    if format is Format.PDF:
        PdfWriter()


def write(
    passages: Sequence[Passage], output: Path | None, format: Format, *, font: Path | None = None
) -> str:
    """Write the passages; where to, in words, "" for nowhere.

    Beside a folder of documents, FOLDER.jsonl lists them with their files, so that they
    can be found and removed again.
    """
    if output is None:
        return ""
    if format is Format.JSONL:
        _write_lines(passages, output)
        return str(output)
    from ragshield.plant.documents import write_documents

    with progress("Writing", len(passages)) as advance:
        kind = cast("DocumentFormat", format.value)
        files = write_documents(passages, output, kind, font=font, advance=advance)
    _write_lines(passages, _list_of(output), files)
    return f"{output}, listed in {_list_of(output)}"


def keep(passages: Sequence[Passage], output: Path | None, format: Format) -> str:
    """Write what an interrupted attack had made, as JSON Lines whatever the format."""
    if output is None:
        return ""
    where = output if format is Format.JSONL else _list_of(output)
    try:
        _write_lines(passages, where)
    except RagshieldError:
        return ""
    return str(where)


def summarise(name: str, passages: Sequence[Passage], n_targets: int, where: str) -> None:
    """One line on standard error: how many passages, and what they state."""
    counts = {key: sum(p.meta.get(key) is True for p in passages) for key in _COUNTED}
    told = ", ".join(f"{count} {_COUNTED[key]}" for key, count in counts.items())
    n_calls = sum(int(p.meta.get("n_llm_calls") or 0) for p in passages)
    calls = f", {n_calls} calls of the language model" if n_calls else ""
    place = f" in {where}" if where else ""
    note(f"{name}: {len(passages)} passages for {n_targets} targets{place} ({told}{calls}).")


def note(message: str) -> None:
    """A line on standard error, as long as it is."""
    err.print(message, markup=False, soft_wrap=True)


_COUNTED = {
    "states_target": "state the wrong answer",
    "states_correct": "state a right one too",
    "weak": "weak",
}


def _list_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.jsonl")


def _write_lines(
    passages: Sequence[Passage], output: Path, files: Sequence[Path] | None = None
) -> None:
    with writing(output) as file:
        for i, p in enumerate(passages):
            row = {"id": p.id, "text": p.text, "source": p.source, "meta": dict(p.meta)}
            if files is not None:
                row["file"] = str(files[i])
            line = json.dumps(row, ensure_ascii=False)
            try:
                line.encode("utf-8")
            except UnicodeEncodeError:  # a lone surrogate: only its escape can be written
                line = json.dumps(row)
            file.write(f"{line}\n")
