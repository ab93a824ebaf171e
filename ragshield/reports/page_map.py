"""The map of the HTML page: the store as dots, findings as links to their group."""

from __future__ import annotations

import math
from html import escape

from ragshield.reports.report import Card, Report
from ragshield.reports.visible import visible

WIDTH, HEIGHT = 1000, 560
_MARGIN = 24
_EXCERPT_CHARS = 90


def map_figure(report: Report, cards: tuple[Card, ...], *, quote: bool) -> str:
    """The map with its legend; a sentence instead where the store holds no vectors.

    Args:
        report: gives the map.
        cards: groups on the page; others are not drawn.
        quote: False shows ids only.
    """
    drawn = report.map
    if drawn is None:
        return '<p class="nomap">No map: the scan had no vectors to draw.</p>'
    dots = "".join(f"M{_at(x, y)}h0" for x, y in drawn.sample.tolist())
    place = dict(zip(report.placed, drawn.points.tolist(), strict=True))
    links, n_shown = [], 0
    for card in reversed(cards):  # the worst is drawn last, on top
        for passage_id in reversed(card.passage_ids):
            x, y = place.get(passage_id, (math.nan, math.nan))
            if not math.isfinite(x) or not math.isfinite(y):
                continue
            links.append(_link(card, passage_id, x, y, quote=quote))
            n_shown += 1
    share = f"{drawn.share:.0%}"
    n = len(drawn.sample)
    of = f"{n:,} of {drawn.n_rows:,} passages" if n < drawn.n_rows else f"All {n:,} passages"
    return (
        '<figure class="map"><div class="canvas">'
        f'<svg id="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="Map of the store with {n_shown} findings; arrow keys move between them, '
        'Enter opens one">'
        f'<path class="rows" d="{dots}" aria-hidden="true"/>{"".join(links)}</svg>'
        '<div class="zoom" role="group" aria-label="Zoom"><button type="button" data-zoom="in" '
        'aria-label="Zoom in">+</button><button type="button" data-zoom="out" '
        'aria-label="Zoom out">&minus;</button><button type="button" data-zoom="all" '
        'aria-label="Show all">&#x2922;</button></div></div>'
        '<p class="readout" id="readout" aria-live="polite">Point at a finding, or move to one '
        "with the arrow keys.</p>"
        f"<figcaption>{of} along the two directions in which they differ most. These hold "
        f"{share} of the spread: what lies together here can be far apart in the store."
        "</figcaption></figure>"
    )


def _link(card: Card, passage_id: str, x: float, y: float, *, quote: bool) -> str:
    listed = card.worst_of(passage_id)
    suspicion = listed.finding.suspicion
    level = "not judged" if suspicion is None else f"{suspicion:.2f}"
    said = f"Group {card.number}, {level}: {visible(passage_id, 60)}"
    if quote and listed.passage is not None:
        said += f" “{visible(listed.passage.text, _EXCERPT_CHARS)}”"
    at = _at(x, y)
    return (
        f'<a class="{card.level}" href="#g{card.number}" data-n="{card.number}" tabindex="-1" '
        f'aria-label="{escape(said)}"><path class="halo" d="M{at}h0"/>'
        f'<path class="point" d="M{at}h0"/></a>'
    )


def _at(x: float, y: float) -> str:
    across = _MARGIN + x * (WIDTH - 2 * _MARGIN)
    down = HEIGHT - _MARGIN - y * (HEIGHT - 2 * _MARGIN)
    return f"{across:.1f} {down:.1f}"
