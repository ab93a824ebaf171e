"""Poison as documents: Markdown, HTML or PDF, for those who ingest files."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ragshield.errors import InputError, UsageError
from ragshield.plant.pdf import PdfWriter
from ragshield.records import Passage

DocumentFormat: TypeAlias = Literal["md", "html", "pdf"]
FORMATS: tuple[DocumentFormat, ...] = get_args(DocumentFormat)

_TITLE_CHARS = 60
_TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.S)
_PAGE = """<!doctype html>
<html>
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
{body}
</body>
</html>
"""


def write_documents(
    passages: Sequence[Passage],
    folder: Path,
    format: DocumentFormat,
    *,
    font: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> tuple[Path, ...]:
    """Write each passage as one document; its text is all there is to read in it.

    Names are plain numbers, so that neither a file's name nor its place tells a reader or
    a defence what it is. Markdown holds the text as it is. HTML shows the text, so markup
    in it is escaped, except in passages that were disguised as markup (`html-hidden`,
    `html-comment`). PDF holds it as text that can be extracted, in lines.

    Args:
        passages: what to write.
        folder: where to; made if missing, and must be empty.
        format: of the documents.
        font: TrueType font of the PDFs; None for one that every PDF reader has, or for other
            scripts a DejaVu that is installed.
        advance: called with 1 after each document.

    Returns:
        The files, in the order of the passages.

    Raises:
        UsageError: the folder is not empty or cannot be made or written to.
        InputError: a text cannot be written in this format; nothing is written then.
        MissingExtraError: PDF without the extra `documents`.
    """
    check_folder(folder)
    contents: list[bytes] = []
    pdf = PdfWriter(font) if format == "pdf" else None
    for passage in passages:
        try:
            if pdf is not None:
                contents.append(pdf.pages(passage.text))
            else:
                text = passage.text if format == "md" else _html(passage)
                contents.append(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise InputError(
                f"passage '{passage.id}' has a lone surrogate, which no document can hold; "
                "write it as jsonl"
            ) from error
        except InputError as error:
            raise InputError(f"passage '{passage.id}': {error}") from error
        if advance is not None:
            advance(1)
    width = max(4, len(str(len(passages))))
    paths = [folder / f"document-{i:0{width}d}.{format}" for i in range(1, len(contents) + 1)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return tuple(paths)


def check_folder(folder: Path) -> None:
    """Refuse a folder that documents must not go into.

    Raises:
        UsageError: it is a file, or holds something already.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"cannot write documents to {folder}: it is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder for the documents")


def _html(passage: Passage) -> str:
    words = html.unescape(_TAG.sub(" ", passage.text)).split()
    title = " ".join(words)[:_TITLE_CHARS].strip()
    if "html" in str(passage.meta.get("disguise", "")):
        body = passage.text
    else:
        lines = [line for line in passage.text.splitlines() if line.strip()]
        body = "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return _PAGE.format(title=html.escape(title), body=body)
