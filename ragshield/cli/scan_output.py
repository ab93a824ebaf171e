"""Where `ragshield scan` writes: formats, files, and what happens when a disk is full."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import typer

from ragshield.cli.console import err, out
from ragshield.errors import RagshieldError, UsageError
from ragshield.files import check_writable, writing
from ragshield.reports.report import Report


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    SARIF = "sarif"
    HTML = "html"
    JUNIT = "junit"
    MARKDOWN = "markdown"


_FILES = {
    Format.TEXT: "report.txt",
    Format.JSON: "report.json",
    Format.JSONL: "findings.jsonl",
    Format.SARIF: "findings.sarif",
    Format.HTML: "report.html",
    Format.JUNIT: "junit.xml",
    Format.MARKDOWN: "report.md",
}
# These end in dashboards, on servers, in comments: read by more people than the store is.
_SHARED = frozenset({Format.SARIF, Format.JUNIT, Format.MARKDOWN})

_STYLES = {
    "critical": "bold red",
    "high": "bold yellow",
    "medium": "bold",
    "low": "bold",
    "unjudged": "bold",
    "dim": "dim",
}


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is written where.

    Attributes:
        files: format and its file; one format without a file goes to standard output.
        text: quote stored text everywhere (True), nowhere (False), or except in the
            formats made to be shared: SARIF, JUnit, Markdown (None).
    """

    files: tuple[tuple[Format, Path | None], ...]
    text: bool | None

    @property
    def illustrated(self) -> bool:
        """Whether any format shows neighbours or the map."""
        return any(f in (Format.HTML, Format.TEXT, Format.SARIF) for f, _ in self.files)

    def quotes(self, format_: Format) -> bool:
        """Whether stored text may be quoted in this format."""
        return self.text if self.text is not None else format_ not in _SHARED


def outputs(given: Sequence[str], output: str | None, *, text: bool | None) -> Outputs:
    """The formats asked for and their files, checked before the work begins.

    Args:
        given: format names, each possibly several with commas between; none is text.
        output: a file for one format; a folder, made if need be, for several or if it
            exists or is written with a slash at its end; None for standard output.
        text: as in `Outputs`.

    Raises:
        UsageError: an unknown format, several formats without a folder, or a place that
            cannot be written to.
    """
    formats = _formats(given)
    if output is None:
        if len(formats) > 1:
            names = ",".join(formats)
            raise UsageError(f"several formats ({names}) need a folder: -o report/")
        return Outputs(((formats[0], None),), text)
    place = Path(output)
    # pathlib forgets the slash that says "a folder".
    if len(formats) == 1 and not place.is_dir() and not output.endswith(("/", os.sep)):
        check_writable(place)
        return Outputs(((formats[0], place),), text)
    _make_folder(place)
    files = tuple((f, place / _FILES[f]) for f in formats)
    for _, path in files:
        check_writable(path)
    return Outputs(files, text)


def _formats(given: Sequence[str]) -> tuple[Format, ...]:
    names = [name.strip().lower() for value in given for name in value.split(",")]
    found: dict[Format, None] = {}
    for name in names:
        name = {"md": "markdown"}.get(name, name)
        if name not in set(Format):
            near = difflib.get_close_matches(name, list(Format), n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            allowed = ", ".join(Format)
            raise UsageError(f"--format is '{name}'; {hint}allowed: {allowed}")
        found[Format(name)] = None
    return tuple(found) or (Format.TEXT,)


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"several formats need a folder, and {folder} is a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error


def write(report: Report, where: Outputs, *, exit_code: int) -> list[str]:
    """Write every format; one that fails does not cost the others.

    Args:
        report: what to write.
        where: formats and files.
        exit_code: what the command is going to exit with, for formats that record it.

    Returns:
        For each file that is missing or stale now, which and why, in one sentence.
    """
    missing = []
    for format_, path in where.files:
        if path is None:
            _show(report, format_, quote=where.quotes(format_), exit_code=exit_code)
            continue
        lines = rendered(report, format_, quote=where.quotes(format_), exit_code=exit_code)
        try:
            with writing(path) as file:
                file.writelines(lines)
        except OSError as error:
            missing.append(f"{path} was not written: {error.strerror or error}")
        except RagshieldError as error:
            missing.append(str(error))
        else:
            err.print(f"{_said(report, format_)} written to {path}", markup=False, soft_wrap=True)
    return missing


def rendered(report: Report, format_: Format, *, quote: bool, exit_code: int) -> Iterable[str]:
    """A report in one format, in parts that together are the file."""
    # Each format is imported where it is written: none costs the others anything.
    if format_ is Format.TEXT:
        from ragshield.reports.plain import as_text

        return (f"{line.text}\n" for line in as_text(report, quote=quote))
    if format_ is Format.JSONL:
        from ragshield.reports.lines import as_jsonl

        return (f"{line}\n" for line in as_jsonl(report, quote=quote))
    if format_ is Format.JSON:
        from ragshield.reports.lines import as_json

        return [as_json(report, quote=quote)]
    if format_ is Format.SARIF:
        from ragshield.reports.sarif import as_sarif

        return [as_sarif(report, quote=quote, exit_code=exit_code)]
    if format_ is Format.HTML:
        from ragshield.reports.page import as_html

        return [as_html(report, quote=quote)]
    if format_ is Format.JUNIT:
        from ragshield.reports.junit import as_junit

        return [as_junit(report, quote=quote)]
    from ragshield.reports.markdown import as_markdown

    return [as_markdown(report, quote=quote)]


def _show(report: Report, format_: Format, *, quote: bool, exit_code: int) -> None:
    if format_ is not Format.TEXT or not out.is_terminal:
        for part in rendered(report, format_, quote=quote, exit_code=exit_code):
            typer.echo(part, nl=False)
        return
    from rich.text import Text

    from ragshield.reports.plain import as_text

    for line in as_text(report, quote=quote, width=out.width):
        out.print(Text(line.text, _STYLES.get(line.style, "")), soft_wrap=True)


def _said(report: Report, format_: Format) -> str:
    if format_ in (Format.JSONL, Format.JSON, Format.SARIF):
        return f"{len(report.listed)} findings"
    return f"{format_.value} report"
