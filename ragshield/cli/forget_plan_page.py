"""A plan as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.forget.plans.records import ForgetPlan

_SHOWN = 12
_FACTS_SHOWN = 6


def plan_page(made: ForgetPlan, width: int) -> list[str]:
    """The plan as lines of at most `width` columns."""
    from ragshield.forget.plans.file import LIMITS
    from ragshield.forget.plans.words import heading, means, purge

    lines = wrap(visible(heading(made)), width)
    lines += [line for said in means(made) for line in wrap(visible(said), width)]
    lines.append("")
    for title, rows in _sections(made):
        if rows:
            lines += [*wrap(title, width), *_rows(rows, width), ""]
    if made.shared_facts:
        lines += [*_facts(made, width), ""]
    if made.cost is not None:
        lines += [*wrap(purge(made.cost), width), ""]
    for note in made.notes:
        lines += wrap(visible(f"note: {note}"), width, subsequent_indent="  ")
    if made.notes:
        lines.append("")
    return [line.rstrip() for line in (*lines, *wrap(LIMITS, width))]


def _sections(made: ForgetPlan) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    yield (
        f"{len(made.selected)} selected: apply deletes them",
        [(i.passage_id, f"{i.confidence:.2f}  {i.reason}", i.text) for i in made.selected],
    )
    yield (
        f"{len(made.review)} to review: they stay unless you select them",
        [(i.passage_id, f"{i.confidence:.2f}  {i.reason}", i.text) for i in made.review],
    )
    yield (
        f"{len(made.kept)} kept: about the subject, and stating only what is to be kept",
        [(k.passage_id, f"keeps '{k.exception}'", k.text) for k in made.kept],
    )
    for other in made.elsewhere:
        n = len(other.selected)
        yield (
            f"{other.store_url}: {n} selected, {len(other.items) - n} to review",
            [
                (i.passage_id, f"{_mark(i.selected)} {i.confidence:.2f}  {i.reason}", i.text)
                for i in other.items
            ],
        )
    places = dict.fromkeys((a.kind, a.place) for a in made.artefacts)
    for kind, place in places:
        found = [a for a in made.artefacts if (a.kind, a.place) == (kind, place)]
        n = sum(a.selected for a in found)
        yield (
            f"{kind} {place}: {n} selected, {len(found) - n} to review",
            [(a.key, f"{_mark(a.selected)} {a.confidence:.2f}  {a.reason}", a.text) for a in found],
        )
    yield (
        f"{len(made.at_risk)} nearest neighbours: they stay",
        [(n.passage_id, f"{n.similarity:.2f}  similar to {n.near}", n.text) for n in made.at_risk],
    )


def _mark(selected: bool) -> str:
    return "goes  " if selected else "review"


def _facts(made: ForgetPlan, width: int) -> list[str]:
    what = {
        "keep": "the others stay",
        "report": "the others are on the review list",
        "forget": "the others are selected",
    }[made.shared]
    lines = [f"{len(made.shared_facts)} facts that other passages state also: {what}"]
    for fact in made.shared_facts[:_FACTS_SHOWN]:
        about = f"{fact.about}: " if fact.about else ""
        lines.append(cut(f"  {visible(about + fact.value)}", width))
        ids = ", ".join(fact.also_in[:5])
        more = f" and {fact.n_also - 5} more" if fact.n_also > 5 else ""
        lines.append(cut(f"      also in {visible(ids)}{more}", width))
    if len(made.shared_facts) > _FACTS_SHOWN:
        lines.append(f"  … and {len(made.shared_facts) - _FACTS_SHOWN} more")
    return lines


def _rows(rows: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    lines = []
    for passage_id, why, text in rows[:_SHOWN]:
        lines.append(cut(f"  {cut(visible(passage_id), 24)}  {visible(why)}", width))
        if text:
            lines.append(cut(f"      {visible(text)}", width))
    if len(rows) > _SHOWN:
        lines.append(f"  … and {len(rows) - _SHOWN} more")
    return lines
