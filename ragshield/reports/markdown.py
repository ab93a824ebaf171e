"""Markdown that fits into the comment of a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from ragshield.reports.report import Card, Report, summary
from ragshield.reports.visible import visible
from ragshield.taxonomy import all_ids_of, entry, guidance

CARDS_SHOWN = 25
MAX_CHARS = 60_000
"""GitHub refuses comments of more than 65,536 characters."""

_IDS_SHOWN = 5
# Harmless wherever they stand inside a sentence; entities for them would only be hard to read.
_SPECIAL = re.compile(r"[^\w\s.,;()%…⟨⟩-]|_")


def as_markdown(report: Report, *, quote: bool) -> str:
    """A verdict, a table of the worst groups, what to do; cut with counts where long.

    Stored text can neither break the table nor form links, images, mentions or HTML.

    Args:
        report: what to write.
        quote: False leaves out what is quoted from passages.
    """
    fresh = [card for card in report.cards() if not card.known]
    for n_shown in (CARDS_SHOWN, 10, 5, 2, 1, 0):
        text = "\n".join(_lines(report, fresh, n_shown, quote=quote)) + "\n"
        if len(text) <= MAX_CHARS:
            break
    return text


def _lines(report: Report, fresh: list[Card], n_shown: int, *, quote: bool) -> Iterator[str]:
    yield f"### {_verdict(report, fresh)}"
    yield ""
    yield f"Store {code(report.url)}. {plain(summary(report))}."
    if report.problem is not None:
        yield ""
        yield f"**Incomplete:** {plain(visible(report.problem))}"
    for note in report.notes:
        yield ""
        yield f"Note: {plain(visible(note))}"
    shown = fresh[:n_shown]
    if shown:
        yield ""
        yield "| # | suspicion | passages | why | ids |"
        yield "|--:|---|---|---|---|"
        yield from (_row(card, quote=quote) for card in shown)
    left = _left_out(report, fresh, len(shown))
    if left:
        yield ""
        yield left
    if shown:
        yield ""
        yield "<details><summary>What to do</summary>"
        yield ""
        yield from _advice(shown)
        yield ""
        yield "</details>"


def _verdict(report: Report, fresh: list[Card]) -> str:
    n = len({x.finding.passage_id for card in fresh for x in card.listed if x.passage is not None})
    new = "new " if report.has_baseline else ""
    if not fresh:
        found = f"no {new}suspicious passages" if report.complete else f"no {new}findings so far"
    elif n:
        groups = f" in {len(fresh):,} groups" if len(fresh) != n else ""
        found = f"{n:,} {new}suspicious passage{'s' if n != 1 else ''}{groups}"
    else:
        found = "a suspicious setting of the store"
    return f"ragshield scan: {found}{'' if report.complete else ' (incomplete)'}"


def _row(card: Card, *, quote: bool) -> str:
    level = "not judged" if card.suspicion is None else f"{card.suspicion:.2f} {card.level}"
    ids = card.passage_ids
    names = "<br>".join(code(visible(name, 60)) for name in ids[:_IDS_SHOWN])
    if len(ids) > _IDS_SHOWN:
        names += f"<br>… and {len(ids) - _IDS_SHOWN:,} more"
    why = []
    for listed in card.leading():
        said = "<br>".join(plain(visible(r, 400)) for r in listed.reasons(quote=quote))
        why.append(f"**{plain(listed.finding.detector)}**: {said}")
    if quote and card.listed[0].passage is not None:
        why.append(code(visible(card.listed[0].passage.text, 200)))
    found = all_ids_of([listed.finding for listed in card.listed])
    tags = "<br>".join(_linked(identifier) for identifier in found)
    return f"| {card.number} | {level} | {names} | {'<br>'.join(why)} | {tags} |"


def _left_out(report: Report, fresh: list[Card], n_shown: int) -> str:
    said = []
    if len(fresh) > n_shown:
        said.append(f"{len(fresh) - n_shown:,} more groups are not shown here")
    if report.n_findings > len(report.listed):
        said.append(f"{report.n_findings - len(report.listed):,} more findings are not listed")
    n_known = len({x.finding.passage_id for x in report.listed if x.known})
    if n_known:
        said.append(f"{n_known:,} passages are known from the baseline")
    return f"_{'; '.join(said)}._" if said else ""


def _advice(cards: list[Card]) -> Iterator[str]:
    told = set()
    for name in dict.fromkeys(name for card in cards for name in card.detectors):
        about = guidance(name)
        if about.title not in told:
            told.add(about.title)
            yield f"- **{about.title}** ({plain(name)}). {about.meaning} {about.advice}"


def _linked(identifier: str) -> str:
    found = entry(identifier)
    label = plain(identifier)
    if found.url is None:
        return label
    return f'<a href="{html.escape(found.url)}" title="{html.escape(found.name)}">{label}</a>'


def plain(text: str) -> str:
    """Text whose marks mean nothing: every one but spaces and letters is an entity.

    Mentions, issue numbers and addresses are looked for after entities are read: a
    zero-width space after what begins them keeps them text.
    """
    broken = re.sub(r"([@#])(?=\w)|(:)(?=//)|(www)(?=\.)", "\\g<0>\u200b", text, flags=re.I)
    return _SPECIAL.sub(_entity, broken)


def code(text: str) -> str:
    """Text in a code span that it cannot leave; nothing is looked for inside one."""
    return f"<code>{_SPECIAL.sub(_entity, text)}</code>"


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
