"""The findings of the HTML page: one table body for each group, its evidence inside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from ragshield.findings import redacted_evidence
from ragshield.reports.report import Beside, Card, Listed, Report
from ragshield.reports.visible import pieces, visible
from ragshield.taxonomy import all_ids_of, entry, guidance

MEMBERS_SHOWN = 8
TEXT_CHARS = 700
BESIDE_CHARS = 320

_BESIDE_SHOWN = 6
_QUOTED = re.compile(r'"([^"]{4,})"')
# Said in words already, or of no use to a person.
_NOT_FACTS = frozenset(
    {"taxonomy", "neighbours", "similarities", "shared_words", "question", "also"}
)


def card_body(card: Card, report: Report, groups: Mapping[str, int], *, quote: bool) -> str:
    """A group as a table body of two rows: what it is, and its evidence.

    Args:
        card: the group.
        report: it belongs to; gives the neighbours.
        groups: number of the group a passage is in, by its id.
        quote: False leaves out every stored text.
    """
    n = card.number
    title = guidance(card.detectors[0]).title
    first = card.listed[0]
    excerpt = _text(first, 160) if quote else ""
    ids = card.passage_ids
    name = visible(ids[0], 60)
    size = "store" if card.about_store else f"{len(ids):,}"
    state = ""
    if report.has_baseline:
        word = "known" if card.known else "new"
        state = f'<td class="state"><span class="tag {word}">{word}</span></td>'
    suspicion = card.suspicion
    shown = "not judged" if suspicion is None else f"{suspicion:.2f}"
    detectors = " ".join(f'<span class="tag">{escape(d)}</span>' for d in card.detectors)
    data = (
        f'data-n="{n}" data-suspicion="{-1 if suspicion is None else suspicion:.4f}" '
        f'data-size="{len(ids)}" data-level="{card.level}"'
    )
    columns = 6 if report.has_baseline else 5
    return (
        f'<tbody class="group {card.level}" id="g{n}" {data}>'
        '<tr class="head">'
        f'<td class="number">{n}</td>'
        f'<td class="level"><span class="dot"></span>{_bar(suspicion)}'
        f'<b>{shown}</b> <span class="word">{"" if suspicion is None else card.level}</span></td>'
        f'<td class="size">{size}</td>'
        f'<th scope="row" class="what"><button type="button" class="open" aria-expanded="true" '
        f'aria-controls="d{n}"><span class="title">{escape(title)}</span> '
        f"<code>{escape(name)}</code>{_more(len(ids))}</button>"
        f'<div class="excerpt" dir="auto">{escape(excerpt)}</div></th>'
        f'<td class="detectors">{detectors}</td>{state}</tr>'
        f'<tr class="detail" id="d{n}"><td colspan="{columns}">'
        f"{_detail(card, report, groups, quote=quote)}</td></tr></tbody>"
    )


def _detail(card: Card, report: Report, groups: Mapping[str, int], *, quote: bool) -> str:
    members = "".join(_members(card, quote=quote))
    near = "".join(_near(card, report, groups, quote=quote))
    return (
        f'<div class="why">{"".join(_reasons(card, quote=quote))}</div>'
        + (
            f'<div class="sides"><section aria-label="Found"><h4>Found</h4>{members}</section>'
            f'<section aria-label="Nearest in the store"><h4>Nearest in the store</h4>'
            f"{near}</section></div>"
            if not card.about_store
            else ""
        )
        + f'<div class="todo">{"".join(_advice(card))}{_taxonomy(card)}</div>'
    )


def _reasons(card: Card, *, quote: bool) -> Iterator[str]:
    for listed in card.leading():
        finding = listed.finding
        said = "".join(
            f"<p>{escape(reason)}</p>" if nth else f"{escape(reason)}</p>"
            for nth, reason in enumerate(listed.reasons(quote=quote))
        )
        evidence = finding.evidence if quote else redacted_evidence(finding.evidence)
        facts = "".join(
            f"<div><dt>{escape(visible(key.replace('_', ' ')))}</dt>"
            f"<dd>{escape(visible(_fact(value), 160))}</dd></div>"
            for key, value in evidence.items()
            if key not in _NOT_FACTS and value is not None
        )
        level = "not judged" if finding.suspicion is None else f"{finding.suspicion:.2f}"
        yield (
            f'<div class="reason"><p><span class="tag">{escape(finding.detector)}</span> '
            f"<b>{level}</b> {said}"
            + (f"<details><summary>Numbers</summary><dl>{facts}</dl></details>" if facts else "")
            + "</div>"
        )


def _members(card: Card, *, quote: bool) -> Iterator[str]:
    ids = card.passage_ids
    for passage_id in ids[:MEMBERS_SHOWN]:
        listed = card.worst_of(passage_id)
        own = [x for x in card.listed if x.finding.passage_id == passage_id]
        level = listed.finding.suspicion
        shown = "not judged" if level is None else f"{level:.2f}"
        source = listed.passage.source if listed.passage is not None else None
        text = ""
        if quote and listed.passage is not None:
            text = f"<blockquote>{marked(listed.passage.text, terms(own), TEXT_CHARS)}</blockquote>"
        yield (
            '<article class="passage found"><header>'
            f"<code>{escape(visible(passage_id, 120))}</code>"
            f"<b>{shown}</b>{_source(source)}</header>{text}</article>"
        )
    if len(ids) > MEMBERS_SHOWN:
        rest = ", ".join(f"<code>{escape(visible(i, 60))}</code>" for i in ids[MEMBERS_SHOWN:60])
        dots = " …" if len(ids) > 60 else ""
        yield f'<p class="rest">and {len(ids) - MEMBERS_SHOWN:,} more: {rest}{dots}</p>'


def _near(card: Card, report: Report, groups: Mapping[str, int], *, quote: bool) -> Iterator[str]:
    inside = set(card.passage_ids)
    best: dict[str, Beside] = {}
    for passage_id in card.passage_ids[:MEMBERS_SHOWN]:
        for beside in report.beside.get(passage_id, ()):
            known = best.get(beside.passage.id)
            if known is None or (known.similarity or -2) < (beside.similarity or -2):
                best[beside.passage.id] = beside
    # What is shown on the other side already says nothing new here.
    others = [b for b in best.values() if b.passage.id not in inside]
    # Passages that nobody accuses come before those of other groups: they are what the
    # accused one can be compared with.
    others.sort(
        key=lambda b: (not b.named, b.passage.id in groups, -(b.similarity or -2), b.passage.id)
    )
    for beside in others[:_BESIDE_SHOWN]:
        near = "" if beside.similarity is None else f"<b>similarity {beside.similarity:.2f}</b>"
        tag = '<span class="tag">evidence</span>' if beside.named else ""
        if beside.passage.id in groups:
            n = groups[beside.passage.id]
            tag += f'<a class="tag new" href="#g{n}">group {n}</a>'
        text = ""
        if quote:
            text = f"<blockquote>{marked(beside.passage.text, (), BESIDE_CHARS)}</blockquote>"
        yield (
            '<article class="passage"><header>'
            f"<code>{escape(visible(beside.passage.id, 120))}</code>"
            f"{near}{tag}{_source(beside.passage.source)}</header>{text}</article>"
        )
    if not others:
        n = len(best)
        yield (
            f'<p class="rest">The nearest {n} are in this group.</p>'
            if n
            else '<p class="rest">No neighbours are known.</p>'
        )


def _advice(card: Card) -> Iterator[str]:
    told = set()
    for name in card.detectors:
        about = guidance(name)
        if about.title not in told:
            told.add(about.title)
            yield (
                f"<p><b>{escape(about.title)}.</b> {escape(about.meaning)}<br>"
                f'<span class="do"><b>To do:</b> {escape(about.advice)}</span></p>'
            )


def _taxonomy(card: Card) -> str:
    chips = []
    for identifier in all_ids_of([listed.finding for listed in card.listed]):
        found = entry(identifier)
        label = escape(visible(str(found), 80))
        if found.url is None:
            chips.append(f'<span class="tag">{label}</span>')
        else:
            url = escape(found.url)
            chips.append(f'<a class="tag" href="{url}" rel="noreferrer noopener">{label}</a>')
    return f'<p class="ids">{" ".join(chips)}</p>' if chips else ""


def marked(text: str, wanted: Iterable[str], most: int) -> str:
    """Stored text as HTML: escaped, invisible characters named, evidence marked.

    Args:
        text: as stored.
        wanted: strings to mark where they occur.
        most: longer texts are cut, around the first mark.
    """
    longest = sorted({w for w in wanted if len(w) >= 3}, key=lambda w: (-len(w), w))[:24]
    pattern = "|".join(re.escape(w) for w in longest)
    finder = re.compile(pattern, re.IGNORECASE) if pattern else None
    first = finder.search(text[:100_000]) if finder else None
    start = first.start() - most // 4 if first and first.end() > most else 0
    part = text[start : start + most]
    shown, at = ["… " if start else ""], 0
    for found in finder.finditer(part) if finder else ():
        shown += [_plain(part[at : found.start()]), f"<mark>{_plain(found[0])}</mark>"]
        at = found.end()
    shown.append(_plain(part[at:]))
    if start + most < len(text):
        shown.append(f'… <span class="rest">({len(text):,} characters)</span>')
    return f'<span dir="auto">{"".join(shown)}</span>'


def terms(listed: Iterable[Listed]) -> tuple[str, ...]:
    """What findings quote from their passages: questions, shared words, quoted parts."""
    found: dict[str, None] = {}
    for one in listed:
        evidence = one.finding.evidence
        question = evidence.get("question")
        if isinstance(question, str):
            found[question] = None
        shared = evidence.get("shared_words")
        if isinstance(shared, list | tuple):
            found.update((word, None) for word in shared if isinstance(word, str))
        for quoted in _QUOTED.findall(one.finding.reason):
            found.update((part.strip(" …"), None) for part in [quoted, *quoted.split(", ")])
    return tuple(found)


def _plain(text: str) -> str:
    return "".join(
        f'<span class="hidden">{escape(p.text)}</span>' if p.hidden else escape(p.text)
        for p in pieces(text)
    )


def _fact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_fact(item) for item in value[:12]) + (" …" if len(value) > 12 else "")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(item)}" for key, item in list(value.items())[:12])
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text(listed: Listed, most: int) -> str:
    return "" if listed.passage is None else visible(listed.passage.text, most)


def _source(source: str | None) -> str:
    return f'<span class="source">{escape(visible(source, 80))}</span>' if source else ""


def _more(n: int) -> str:
    return f' <span class="rest">and {n - 1:,} more</span>' if n > 1 else ""


def _bar(suspicion: float | None) -> str:
    width = 0 if suspicion is None else round(54 * suspicion, 1)
    return (
        '<svg class="bar" width="54" height="6" aria-hidden="true"><rect class="track" width="54" '
        f'height="6" rx="3"/><rect class="fill" width="{width}" height="6" rx="3"/></svg>'
    )
