"""A plan to forget as one HTML file: opens offline, asks for nothing, runs nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import NamedTuple

from ragshield.forget.plans.file import LIMITS
from ragshield.forget.plans.records import ForgetPlan, PlanItem
from ragshield.forget.plans.words import duration, means, purge, size, target
from ragshield.reports.visible import visible

ROWS_SHOWN = 500
"""Rows of a table; a person reads no more, and the plan file holds them all."""

_WORDS = {"goes": "goes", "review": "review", "stays": "stays", "near": "stays"}


class _Row(NamedTuple):
    name: str
    tone: str
    number: str
    reason: str
    related: str
    text: str


def plan_as_html(plan: ForgetPlan) -> str:
    """A page with what would go, what a person has to look at, and what stays, each with why.

    It quotes what is to be forgotten, as the plan file does. Everything is in the file;
    its content security policy allows the style by its hash and nothing else. Stored text is
    escaped, and its invisible characters are named.
    """
    style, page = _part("plan_page.css"), _part("plan_page.html")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    text = Template(page).substitute(
        policy=escape(
            "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
            f"style-src 'sha256-{digest}'"
        ),
        style=style,
        title=_safe(f"To forget {target(plan)}"),
        headline=_safe(f"To forget {target(plan)}"),
        store=_safe(plan.store_url),
        created=_safe(plan.created),
        made=_safe(plan.created.replace("T", " ").replace("+00:00", " UTC")),
        tiles="".join(_tiles(plan)),
        means="".join(f"<p>{_safe(said)}</p>" for said in means(plan)),
        notes="".join(_notes(plan)),
        sections="".join(_sections(plan)),
        limits=_safe(LIMITS),
        version=_safe(version("ragshield")),
    )
    # A lone surrogate is named above; should one be left, it must not cost the page.
    return text.encode("utf-8", "replace").decode("utf-8")


def _tiles(plan: ForgetPlan) -> Iterator[str]:
    others = sum(len(other.selected) for other in plan.elsewhere)
    beside = sum(artefact.selected for artefact in plan.artefacts)
    tiles = [
        ("", "passages read", f"{plan.n_passages:,}", True),
        ("goes", "selected", f"{len(plan.selected):,}", True),
        ("review", "to review", f"{len(plan.review):,}", True),
        ("goes", "in other collections", f"{others:,}", bool(plan.elsewhere)),
        ("goes", "beside the store", f"{beside:,}", bool(plan.artefacts)),
        ("near", "shared facts", f"{len(plan.shared_facts):,}", bool(plan.shared_facts)),
        ("stays", "kept", f"{len(plan.kept):,}", bool(plan.kept)),
    ]
    if plan.cost is not None:
        tiles.append(("", "time to purge", duration(plan.cost.seconds), True))
        tiles.append(("", "disk needed", size(plan.cost.disk_bytes), True))
    for tone, name, value, shown in tiles:
        if shown:
            yield f'<div class="{tone}"><dt>{name}</dt><dd>{value}</dd></div>'


def _notes(plan: ForgetPlan) -> Iterator[str]:
    notes = [*plan.notes, *([purge(plan.cost)] if plan.cost is not None else [])]
    if plan.unknown_ids:
        notes.append(f"{len(plan.unknown_ids)} ids asked for are not in the store")
    for note in notes:
        yield f'<p class="note">{_safe(note)}</p>'


def _sections(plan: ForgetPlan) -> Iterator[str]:
    yield _section(
        "goes",
        f"{len(plan.selected):,} selected",
        "The plan, when applied, deletes these.",
        [_item(item) for item in plan.selected],
        anchor="selected",
        empty="Nothing is selected.",
    )
    yield _section(
        "review",
        f"{len(plan.review):,} to review",
        'They stay unless you set "selected" to true in the plan file.',
        [_item(item) for item in plan.review],
    )
    yield _section(
        "stays",
        f"{len(plan.kept):,} kept",
        "They are about the subject, and only state what the request keeps.",
        [_Row(k.passage_id, "stays", "", f"keeps '{k.exception}'", "", k.text) for k in plan.kept],
    )
    for other in plan.elsewhere:
        yield _section(
            "goes",
            other.store_url,
            f"Another collection of the same store, {other.n_passages:,} passages: "
            f"{len(other.selected):,} selected, the rest to review.",
            [_item(item) for item in other.items],
        )
    for kind, place in dict.fromkeys((a.kind, a.place) for a in plan.artefacts):
        found = [a for a in plan.artefacts if (a.kind, a.place) == (kind, place)]
        yield _section(
            "goes",
            f"{kind} {place}",
            f"Beside the store: {sum(a.selected for a in found):,} selected, the rest to review.",
            [
                _Row(a.key, _tone(a.selected), f"{a.confidence:.2f}", a.reason, "", a.text)
                for a in found
            ],
        )
    yield _section(
        "near",
        f"{len(plan.shared_facts):,} shared facts",
        "Passages outside the target state them also. "
        + {
            "keep": "Those stay.",
            "report": "Those are on the review list.",
            "forget": "Those are selected, where it is certain whom they are about.",
        }[plan.shared],
        [
            _Row(
                f"{fact.about}: {fact.value}" if fact.about else fact.value,
                "near",
                f"{fact.n_also:,} other{'s' if fact.n_also > 1 else ''}",
                f"stated in {fact.stated_in}",
                f"also in {', '.join(fact.also_in)}" + " …" * (fact.n_also > len(fact.also_in)),
                fact.text,
            )
            for fact in plan.shared_facts
        ],
    )
    yield _section(
        "near",
        f"{len(plan.at_risk):,} nearest neighbours",
        "They stay. What is answered about them may change: ask after applying.",
        [
            _Row(n.passage_id, "near", f"{n.similarity:.2f}", f"similar to {n.near}", "", n.text)
            for n in plan.at_risk
        ],
    )


def _item(item: PlanItem) -> _Row:
    related = f"found through {', '.join(item.related_to)}" if item.related_to else ""
    return _Row(
        item.passage_id,
        _tone(item.selected),
        f"{item.confidence:.2f}",
        item.reason,
        related,
        item.text,
    )


def _tone(selected: bool) -> str:
    return "goes" if selected else "review"


def _section(
    tone: str,
    title: str,
    why: str,
    rows: Sequence[_Row],
    *,
    anchor: str | None = None,
    empty: str | None = None,
) -> str:
    if not rows and empty is None:
        return ""
    name = f' id="{anchor}" tabindex="-1"' if anchor else ""
    head = f'<section class="{tone}"{name}><h2>{_safe(title)}</h2>'
    if not rows:
        return f'{head}<p class="why">{_safe(empty or "")}</p></section>'
    body = "".join(_row(row) for row in rows[:ROWS_SHOWN])
    left = len(rows) - ROWS_SHOWN
    more = f'<p class="more">{left:,} more stand in the plan file.</p>' if left > 0 else ""
    return (
        f'{head}<p class="why">{_safe(why)}</p><div class="rows"><table>'
        f"<caption>{_safe(title)}</caption><thead><tr>"
        '<th scope="col" class="id">What</th><th scope="col" class="state">State</th>'
        '<th scope="col" class="number">Confidence</th><th scope="col">Why, and its text</th>'
        f"</tr></thead><tbody>{body}</tbody></table>{more}</div></section>"
    ).replace("Confidence</th>", f"{_numbers(tone, rows)}</th>", 1)


def _numbers(tone: str, rows: Sequence[_Row]) -> str:
    """The head of the column of numbers."""
    if tone != "near":
        return "Confidence"
    return "Stated by" if "other" in rows[0].number else "Similarity"


def _row(row: _Row) -> str:
    related = f'<p class="related">{_safe(row.related)}</p>' if row.related else ""
    text = f"<blockquote>{_safe(row.text)}</blockquote>" if row.text else ""
    return (
        f'<tr class="{row.tone}"><td class="id"><code>{_safe(row.name)}</code></td>'
        f'<td class="state">{_WORDS[row.tone]}</td><td class="number">{_safe(row.number)}</td>'
        f'<td><p class="reason">{_safe(row.reason)}</p>{related}{text}</td></tr>'
    )


def _safe(text: str) -> str:
    return escape(visible(text))


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
