from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from ragshield.errors import InputError, UsageError
from ragshield.plant import write_documents
from ragshield.records import Passage

PLAIN = Passage(
    "a/1", "Who founded Ash Mill? Per founded it in 1871; see the “Gazette”, café edition."
)
LONG = Passage("a/2", " ".join(f"Sentence {i} says that Per founded Ash Mill." for i in range(300)))
UNBROKEN = Passage("a/3", "x" * 4000)
CYRILLIC = "\u041f\u0435\u0440 \u043e\u0441\u043d\u043e\u0432\u0430\u043b"
FOREIGN = Passage("a/4", f"{CYRILLIC} \u200b\u041c; Perh\u043emoglyph so\u00adft")
SCRIPT = Passage("a/5", "One <script>alert(1)</script> & two\nlines")


def extracted(path: Path) -> str:
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_markdown_holds_the_text_as_it_is(tmp_path: Path) -> None:
    files = write_documents([PLAIN, FOREIGN, SCRIPT], tmp_path / "new" / "md", "md")
    assert [path.name for path in files] == [f"document-000{i}.md" for i in (1, 2, 3)]
    assert [p.read_bytes().decode() for p in files] == [p.text for p in (PLAIN, FOREIGN, SCRIPT)]


def test_html_shows_the_text_and_runs_nothing(tmp_path: Path) -> None:
    [file] = write_documents([SCRIPT], tmp_path / "h", "html")
    page = file.read_text(encoding="utf-8")
    body = page.split("<body>")[1].split("</body>")[0]
    assert "<script" not in page
    assert html.unescape(re.sub("<[^>]+>", "", body)).strip() == SCRIPT.text
    assert "document" not in page
    assert "a/5" not in page


def test_html_disguises_stay_markup(tmp_path: Path) -> None:
    hidden = Passage("a", 'Open. <span hidden>Per & "co"</span>', meta={"disguise": "html-hidden"})
    [file] = write_documents([hidden], tmp_path / "h", "html")
    page = file.read_text(encoding="utf-8")
    assert '<span hidden>Per & "co"</span>' in page
    assert "<title>Open. Per &amp; &quot;co&quot;</title>" in page


@pytest.mark.parametrize("passage", [PLAIN, LONG, UNBROKEN, SCRIPT], ids=lambda p: p.id)
def test_the_text_can_be_extracted_from_the_pdf_again(passage: Passage, tmp_path: Path) -> None:
    [file] = write_documents([passage], tmp_path / "p", "pdf")
    assert file.read_bytes().startswith(b"%PDF-")
    found = extracted(file)
    assert squeezed(found) == squeezed(passage.text)
    if passage is not UNBROKEN:
        assert found.split() == passage.text.split()


def test_other_scripts_and_invisible_characters_survive_a_pdf_with_a_font_that_has_them(
    tmp_path: Path,
) -> None:
    font = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
    if not font.is_file():
        pytest.skip(f"needs {font}")
    for given in (None, font):
        [file] = write_documents([FOREIGN], tmp_path / f"p{given is None}", "pdf", font=given)
        assert extracted(file).split() == FOREIGN.text.split()
    with pytest.raises(
        InputError, match=r"passage 'x': .* has no U\+6771; give another with --font"
    ):
        write_documents([Passage("x", "東京")], tmp_path / "q", "pdf", font=font)
    assert not (tmp_path / "q").exists()


def test_without_any_font_for_a_script_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragshield.plant.pdf._INSTALLED", ())
    with pytest.raises(InputError, match=rf"passage 'a/4': '{CYRILLIC[0]}' is not .*--font FILE"):
        write_documents([PLAIN, FOREIGN], tmp_path / "p", "pdf")
    with pytest.raises(InputError, match="cannot read the font"):
        write_documents([PLAIN], tmp_path / "p", "pdf", font=tmp_path / "none.ttf")
    assert not (tmp_path / "p").exists()


def test_the_same_text_gives_the_same_pdf(tmp_path: Path) -> None:
    [one] = write_documents([PLAIN], tmp_path / "1", "pdf")
    [two] = write_documents([PLAIN], tmp_path / "2", "pdf")
    assert one.read_bytes() == two.read_bytes()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("precious")
    with pytest.raises(UsageError, match="is not empty"):
        write_documents([PLAIN], tmp_path, "md")
    with pytest.raises(UsageError, match="it is a file"):
        write_documents([PLAIN], tmp_path / "mine.md", "md")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.md"]


@pytest.mark.parametrize("format", ["md", "html"])
def test_a_lone_surrogate_is_refused(format, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'s' has a lone surrogate"):
        write_documents([Passage("s", "a\ud800b")], tmp_path / "d", format)
