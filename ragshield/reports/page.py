"""The report as one HTML file: opens offline, asks for nothing, runs nothing that was stored."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template

from ragshield.reports.page_cards import card_body
from ragshield.reports.page_map import map_figure
from ragshield.reports.report import Card, Report, summary
from ragshield.reports.visible import visible

CARDS_SHOWN = 2_000
"""Groups on the page; a browser handles no more with ease."""


def as_html(report: Report, *, quote: bool) -> str:
    """A page with a map of the store and every group with its evidence and neighbours.

    Everything is in the file, and its content security policy allows nothing else: the
    style and the script by their hashes, no request at all. Without scripts everything
    can still be read; they sort, filter, fold and zoom. Stored text is escaped, and its
    invisible characters are named.

    Args:
        report: what to write.
        quote: False leaves out every stored text.
    """
    cards = report.cards()
    shown = cards[:CARDS_SHOWN]
    groups = {name: card.number for card in reversed(shown) for name in card.passage_ids}
    style, script, page = _part("page.css"), _part("page.js"), _part("page.html")
    columns = ["#", "Suspicion", "Passages", "What", "Found by"]
    keys = ["n", "suspicion", "size", "", ""]
    if report.has_baseline:
        columns.append("Baseline")
        keys.append("")
    text = Template(page).substitute(
        policy=escape(
            "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
            f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
        ),
        style=style,
        script=script,
        store=escape(visible(report.url)),
        verdict=escape(verdict(report)),
        tone=_tone(report, cards),
        made_at=escape(report.made_at),
        made=escape(report.made_at.replace("T", " ").replace("Z", " UTC")),
        version=escape(report.version),
        tiles="".join(_tiles(report)),
        notes="".join(_notes(report, len(cards), quote=quote)),
        map=map_figure(report, shown, quote=quote),
        heads="".join(_heads(columns, keys)),
        bodies="".join(card_body(card, report, groups, quote=quote) for card in shown),
        filters="".join(_filters(report)),
        empty=_empty(report) if not shown else "",
        controls="" if shown else "hidden",
        summary=escape(visible(summary(report))),
    )
    # A lone surrogate is named above; should one be left, it must not cost the report.
    return text.encode("utf-8", "replace").decode("utf-8")


def verdict(report: Report) -> str:
    """The outcome as a headline."""
    n = len({x.finding.passage_id for x in report.listed if x.passage is not None})
    if n:
        said = f"{n:,} suspicious passage{'s' if n > 1 else ''}"
    elif report.listed:
        said = "A suspicious setting of the store"
    else:
        said = "Nothing suspicious found" if report.complete else "Nothing suspicious found so far"
    return said if report.complete else f"{said} (incomplete)"


def _tone(report: Report, cards: tuple[Card, ...]) -> str:
    if cards:
        return cards[0].level
    return "clean" if report.complete else "medium"


def _tiles(report: Report) -> Iterator[str]:
    yield f"<div><dt>passages read</dt><dd>{report.n_passages:,}</dd></div>"
    for level, n in report.n_by_level().items():
        word = "not judged" if level == "unjudged" else level
        yield (f'<div class="{level}"><dt><span class="dot"></span>{word}</dt><dd>{n:,}</dd></div>')
    if report.has_baseline:
        n_new = sum(not card.known for card in report.cards())
        yield f"<div><dt>new groups</dt><dd>{n_new:,}</dd></div>"


def _notes(report: Report, n_cards: int, *, quote: bool) -> Iterator[str]:
    if report.problem is not None:
        problem = escape(visible(report.problem))
        yield f'<p class="note bad" role="alert"><b>Incomplete:</b> {problem}</p>'
    notes = list(report.notes)
    if n_cards > CARDS_SHOWN:
        notes.append(f"{n_cards - CARDS_SHOWN:,} more groups: the JSON Lines hold them all")
    if report.n_findings > len(report.listed):
        notes.append(f"{report.n_findings - len(report.listed):,} more findings are not listed")
    if not quote:
        notes.append("texts are left out of this report (--no-text)")
    for note in notes:
        yield f'<p class="note">{escape(visible(note))}</p>'


def _heads(columns: list[str], keys: list[str]) -> Iterator[str]:
    for column, key in zip(columns, keys, strict=True):
        if not key:
            yield f'<th scope="col">{column}</th>'
            continue
        order = "ascending" if key == "n" else "none"
        yield (
            f'<th scope="col" aria-sort="{order}"><button type="button" data-sort="{key}">'
            f"{column}</button></th>"
        )


def _filters(report: Report) -> Iterator[str]:
    for level in report.n_by_level():
        word = "not judged" if level == "unjudged" else level
        yield (
            f'<label class="{level}"><input type="checkbox" name="level" value="{level}" checked> '
            f'<span class="dot"></span>{word}</label>'
        )


def _empty(report: Report) -> str:
    if report.complete:
        return (
            '<p class="empty">No passage reached the threshold. That says what these screens '
            "found, not that every passage is true.</p>"
        )
    return '<p class="empty">Nothing was found in what was read; the rest was not judged.</p>'


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
