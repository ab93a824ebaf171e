"""The report as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Literal, NamedTuple

from ragshield.reports.report import Card, Report, summary
from ragshield.reports.visible import visible
from ragshield.taxonomy import all_ids_of, entry, guidance

CARDS_SHOWN = 20
MEMBERS_SHOWN = 6
BESIDE_SHOWN = 2

_INDENT = " " * 5
_ID_CHARS = 22

Style = Literal["plain", "critical", "high", "medium", "low", "unjudged", "dim"]


class Line(NamedTuple):
    """One line, and how a terminal may show it."""

    text: str
    style: Style = "plain"


def as_text(report: Report, *, quote: bool, width: int = 80) -> Iterator[Line]:
    """Groups with their evidence, the worst first, at most `width` columns wide.

    Findings that the baseline holds are counted, not shown.

    Args:
        report: what to write.
        quote: False leaves out what is quoted from passages.
        width: columns, at least 40.
    """
    width = max(width, 40)
    cards = report.cards()
    fresh = [card for card in cards if not card.known]
    for card in fresh[:CARDS_SHOWN]:
        yield from _card(card, report, quote=quote, width=width)
        yield Line("")
    n_more = len(fresh) - CARDS_SHOWN
    if n_more > 0:
        more = f"{n_more:,} more group{'s' if n_more > 1 else ''}: --format jsonl or html lists all"
        yield from (Line(text, "dim") for text in wrap(more, width))
        yield Line("")
    if len(cards) > len(fresh):
        n = len(cards) - len(fresh)
        which = "1 group is" if n == 1 else f"{n:,} groups are"
        known = f"{which} known from the baseline and not shown"
        yield from (Line(text, "dim") for text in wrap(known, width))
        yield Line("")
    if fresh:
        yield from _advice(fresh[:CARDS_SHOWN], width)
    yield from (Line(text) for text in wrap(summary(report), width))


def _card(card: Card, report: Report, *, quote: bool, width: int) -> Iterator[Line]:
    n = len(card.passage_ids)
    what = "the store itself" if card.about_store else f"{n} passage{'s' if n > 1 else ''}"
    level = "not judged   " if card.suspicion is None else f"{card.level:<8} {card.suspicion:.2f}"
    head = f"{card.number:>3}. {level}  {what}: {', '.join(card.detectors)}"
    yield Line(_cut(head, width), card.level)
    for listed in card.leading():
        for reason in listed.reasons(quote=quote):
            yield from _wrapped(reason, width)
    if not card.about_store:
        for passage_id in card.passage_ids[:MEMBERS_SHOWN]:
            listed = card.worst_of(passage_id)
            text = listed.passage.text if quote and listed.passage is not None else ""
            yield Line(_row(listed.finding.suspicion, passage_id, text, width))
        if n > MEMBERS_SHOWN:
            yield Line(f"{_INDENT}  … and {n - MEMBERS_SHOWN} more", "dim")
    near = _near(card, report)
    if near:
        yield from _wrapped("nearest in the store, by similarity", width, "dim")
        for similarity, passage_id, text in near:
            yield Line(_row(similarity, passage_id, text if quote else "", width), "dim")
    ids = all_ids_of([listed.finding for listed in card.listed])
    if ids:
        yield from _wrapped(", ".join(ids), width, "dim")


def _near(card: Card, report: Report) -> list[tuple[float | None, str, str]]:
    """Neighbours that are not in the card themselves, the nearest first."""
    inside = set(card.passage_ids)
    best: dict[str, tuple[float | None, str, str]] = {}
    for passage_id in card.passage_ids[:MEMBERS_SHOWN]:
        for beside in report.beside.get(passage_id, ()):
            own = beside.passage
            if own.id in inside:
                continue
            known = best.get(own.id)
            if known is None or (known[0] or -2) < (beside.similarity or -2):
                best[own.id] = (beside.similarity, own.id, own.text)
    # What nobody accuses comes first: it is what the accused can be compared with.
    accused = {listed.finding.passage_id for listed in report.listed}
    order = sorted(best.values(), key=lambda row: (row[1] in accused, -(row[0] or -2), row[1]))
    return order[:BESIDE_SHOWN]


def _advice(cards: list[Card], width: int) -> Iterator[Line]:
    detectors = dict.fromkeys(name for card in cards for name in card.detectors)
    yield Line("What to do")
    told = set()
    for name in detectors:
        about = guidance(name)
        if about.title in told:
            continue
        told.add(about.title)
        yield from _wrapped(f"{about.title} ({name}). {about.advice}", width)
    ids = all_ids_of([listed.finding for card in cards for listed in card.listed])
    named = [str(entry(identifier)) for identifier in ids if entry(identifier).name]
    if named:
        yield Line("")
        yield from (Line(text, "dim") for text in wrap(f"Ids: {'; '.join(named)}.", width))
    yield Line("")


def _row(level: float | None, passage_id: str, text: str, width: int) -> str:
    shown = "  ? " if level is None else f"{level:.2f}"
    name = _middle_cut(visible(passage_id, 200))
    return _cut(f"{_INDENT}  {shown}  {name:<8}  {visible(text, width)}".rstrip(), width)


def _wrapped(text: str, width: int, style: Style = "plain") -> Iterator[Line]:
    for line in wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT):
        yield Line(line, style)


def _middle_cut(name: str) -> str:
    half = (_ID_CHARS - 1) // 2
    return name if len(name) <= _ID_CHARS else f"{name[:half]}…{name[-half:]}"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"
