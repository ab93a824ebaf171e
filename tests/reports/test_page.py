from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ragshield.reports.page import as_html, verdict
from ragshield.reports.page_cards import marked, terms
from ragshield.reports.report import Report

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.misnested: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


PAGES: dict[int, str] = {}


def written(report: Report) -> str:
    """The page of a report that lives as long as the session, written once."""
    if id(report) not in PAGES:
        PAGES[id(report)] = as_html(report, quote=True)
    return PAGES[id(report)]


def test_stored_markup_stays_text(hostile) -> None:
    page = Page(as_html(hostile, quote=True))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.misnested == []
    assert page.open == []
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    shown = " ".join("".join(texts) for texts in page.texts.values())
    assert "</script><script>alert(1)</script>" in shown
    assert "<img src=x onerror=alert(2)>" in shown
    assert "alert(1)" not in "".join(page.texts["script"])


def test_what_does_not_show_is_named(hostile) -> None:
    text = as_html(hostile, quote=True)
    hidden = re.findall(r'<span class="hidden">(.*?)</span>', text)
    assert {"U+202E", "U+202C", "U+200B", "hidden: obey", "U+001B", "U+0000", "U+D800"} <= set(
        hidden
    )
    assert not set(text) & set("\u202e\u202c\u200b\x1b\x00\ud800")
    assert text.encode("utf-8")


@pytest.mark.parametrize("which", ["clean", "hostile", "many"])
def test_the_page_allows_itself_nothing_from_outside(request, which: str) -> None:
    text = written(request.getfixturevalue(which))
    page = Page(text)
    (policy,) = [
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    for tag, attributes in page.elements:
        assert "src" not in attributes
        if tag != "a":
            assert attributes.get("href") in (None, "data:,")
        elif not attributes["href"].startswith("#"):
            assert attributes["href"].startswith("https://")
            assert attributes["rel"] == "noreferrer noopener"
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.parametrize("which", ["clean", "hostile", "many"])
def test_ids_are_unique_and_every_link_and_label_leads_somewhere(request, which: str) -> None:
    page = Page(written(request.getfixturevalue(which)))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids
        if "aria-controls" in attributes:
            assert attributes["aria-controls"] in ids


def test_every_group_is_a_table_body_with_its_evidence_and_neighbours(hostile) -> None:
    text = as_html(hostile, quote=True)
    page = Page(text)
    groups = [a for a in page.all("tbody") if "group" in (a["class"] or "")]
    assert [(g["data-n"], g["data-level"], g["data-size"]) for g in groups] == [
        ("1", "critical", "2"),
        ("2", "unjudged", "1"),
    ]
    assert "Nearest in the store" in text
    assert "similarity 0." in text
    # The unusable vector has no place; the other two findings have.
    assert len([a for a in page.all("a") if a.get("data-n")]) == 2


def test_without_quotes_no_stored_text_is_on_the_page(hostile) -> None:
    text = as_html(hostile, quote=False)
    for stored in ("alert", "evil.example", "onerror", "obey", "near clean"):
        assert stored not in text
    assert "texts are left out" in text


def test_two_thousand_findings_fit_on_a_page(many) -> None:
    text = written(many)
    page = Page(text)
    assert len([a for a in page.all("tbody") if "group" in (a["class"] or "")]) == 1000
    assert len([a for a in page.all("a") if a.get("data-n")]) == 2000
    assert len(text) < 8_000_000
    (rows,) = [a["d"] for a in page.all("path") if a.get("class") == "rows"]
    assert rows.count("M") == 5000


def test_a_clean_store_and_one_finding_have_a_page_too(clean, hostile) -> None:
    text = as_html(clean, quote=True)
    assert verdict(clean) == "Nothing suspicious found"
    assert "not that every passage is true" in text
    assert "No map" in text
    one = replace(hostile, listed=hostile.listed[:1])
    assert verdict(one) == "1 suspicious passage"
    assert as_html(one, quote=True).count('<tbody class="group') == 1


def test_an_incomplete_scan_is_said_first(report_of) -> None:
    broken = report_of([], {}, complete=False, problem="reading broke off after 40 <of> 63")
    text = as_html(broken, quote=True)
    assert "Nothing suspicious found so far (incomplete)" in text
    assert "reading broke off after 40 &lt;of&gt; 63" in text
    assert text.index("reading broke off") < text.index("<main>")


def test_marks_are_put_around_the_evidence_wherever_it_is() -> None:
    assert marked("a <b> Word here", ["word"], 100) == (
        '<span dir="auto">a &lt;b&gt; <mark>Word</mark> here</span>'
    )
    late = marked("x" * 5000 + " needle", ["needle"], 100)
    assert "<mark>needle</mark>" in late
    assert "(5,007 characters)" not in late
    assert late.startswith('<span dir="auto">… ')


def test_terms_are_what_findings_quote(hostile) -> None:
    assert "alert" in terms(hostile.listed[:1])


@pytest.mark.slow
def test_a_browser_opens_it_without_a_request_or_an_error(hostile, tmp_path: Path) -> None:
    browser = next(
        (b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None
    )
    if browser is None:
        pytest.skip("no Chromium on this machine")
    path = tmp_path / "report.html"
    path.write_text(as_html(hostile, quote=True), encoding="utf-8")
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=2000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '<html lang="en" class="js">' in done.stdout
    assert '<span id="count" aria-live="polite">2 groups</span>' in done.stdout
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
