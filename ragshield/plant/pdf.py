"""One text as a PDF from which the same text can be extracted."""

from __future__ import annotations

import io
from pathlib import Path

from ragshield.errors import InputError, MissingExtraError

_SIZE, _LEADING, _MARGIN = 11, 14, 72
_OWN = "Helvetica"
"""Every PDF reader has it, for the letters of Windows-1252."""

_INSTALLED = (
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    Path("/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf"),
    Path("/usr/share/fonts/TTF/DejaVuSans.ttf"),
    Path("/Library/Fonts/DejaVuSans.ttf"),
)


class PdfWriter:
    """Writes texts as PDF; the same text gives the same bytes.

    Args:
        font: a TrueType file; None for Helvetica, and for texts it has no letters for a
            DejaVu Sans that is installed.

    Raises:
        MissingExtraError: reportlab is not installed.
        InputError: the font cannot be read.
    """

    def __init__(self, font: Path | None = None) -> None:
        try:
            import reportlab  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "PDF needs reportlab: pip install 'ragshield[documents]'"
            ) from error
        self._given = font
        self._known: dict[Path, tuple[str, frozenset[int]]] = {}
        if font is not None:
            self._loaded(font)

    def pages(self, text: str) -> bytes:
        """The whole file; lines are wrapped, so white space comes back otherwise.

        Raises:
            InputError: a character that the font lacks, which would come back as another.
        """
        from reportlab.lib.pagesizes import A4
        from reportlab.pdfgen.canvas import Canvas

        font = self._font(text)
        width, height = A4
        buffer = io.BytesIO()
        canvas = Canvas(buffer, pagesize=A4, invariant=1)
        per_page = int((height - 2 * _MARGIN) // _LEADING)
        lines = _wrapped(text, font, width - 2 * _MARGIN)
        for start in range(0, max(1, len(lines)), per_page):
            written = canvas.beginText(_MARGIN, height - _MARGIN)
            written.setFont(font, _SIZE, _LEADING)
            for line in lines[start : start + per_page]:
                written.textLine(line)
            canvas.drawText(written)
            canvas.showPage()
        canvas.save()
        return buffer.getvalue()

    def _font(self, text: str) -> str:
        """The name of a font that has all of the text's characters."""
        if self._given is None and _is_western(text):
            return _OWN
        path = self._given or next((p for p in _INSTALLED if p.is_file()), None)
        if path is None:
            raise InputError(
                f"'{_first_foreign(text)}' is not in the fonts that every PDF reader has; "
                "give a TrueType file with --font FILE"
            )
        name, characters = self._loaded(path)
        if lacking := [c for c in text if ord(c) not in characters and not c.isspace()]:
            raise InputError(
                f"{path} has no U+{ord(lacking[0]):04X}; give another with --font FILE"
            )
        return name

    def _loaded(self, path: Path) -> tuple[str, frozenset[int]]:
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.ttfonts import TTFError, TTFont

        if path not in self._known:
            name = f"ragshield-{path.resolve()}"
            try:
                font = TTFont(name, str(path))
            except (TTFError, OSError) as error:
                raise InputError(f"cannot read the font {path}: {error}") from error
            pdfmetrics.registerFont(font)
            self._known[path] = name, frozenset(font.face.charToGlyph)
        return self._known[path]


def _is_western(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    # Helvetica in a PDF does not draw it, and no reader gives it back.
    return "\u00ad" not in text


def _first_foreign(text: str) -> str:
    return next((c for c in text if not _is_western(c)), "")


def _wrapped(text: str, font: str, width: float) -> list[str]:
    """Lines that fit, broken at blanks; what has none for a whole line is broken anywhere."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if stringWidth(longer, font, _SIZE) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            while stringWidth(word, font, _SIZE) > width:
                fits = _fitting(word, font, width)
                lines.append(word[:fits])
                word = word[fits:]
            line = word
        lines.append(line)
    return lines


def _fitting(word: str, font: str, width: float) -> int:
    """How many characters of a word fit on one line; at least one."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        if stringWidth(word[:middle], font, _SIZE) <= width:
            low = middle
        else:
            high = middle - 1
    return low
