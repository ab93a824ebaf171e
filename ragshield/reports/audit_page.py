"""An audit as one HTML file: opens offline, asks for nothing, runs nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template

from ragshield import __version__
from ragshield.audit.outcome import Outcome
from ragshield.audit.result import FamilyResult, Leak
from ragshield.audit.templates import templates
from ragshield.reports.audit_text import difference, figures, headline, scope, seen_in_words, spread
from ragshield.reports.visible import visible

LEAKS_SHOWN = 200
"""Rows of leaks; a person reads no more, and the JSON holds them all."""

_WIDE = 300


def as_html(outcome: Outcome, *, quote: bool) -> str:
    """A page with the verdict, the figures, the families and the leaks.

    Its content security policy allows the style by its hash and nothing else; what an
    application said is escaped, and its invisible characters are named.

    Args:
        outcome: the audit and its policy.
        quote: with questions and answers, which tell what is to be forgotten.
    """
    style = _part("plan_page.css") + _part("audit_page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    found = outcome.found
    text = Template(_part("audit_page.html")).substitute(
        policy=escape(
            "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
            f"style-src 'sha256-{digest}'"
        ),
        style=style,
        title=_safe(f"Audit: {headline(outcome)}"),
        tone=outcome.status,
        headline=_safe(headline(outcome)),
        scope=_safe(scope(outcome)),
        tiles="".join(_tiles(outcome)),
        notes="".join(_notes(outcome)),
        figures="".join(
            f'<tr><td class="name">{_safe(name)}</td><td class="said">{_safe(value)}</td></tr>'
            for name, value in figures(outcome)
        ),
        families="".join(_family(name, one) for name, one in found.families.items()),
        leaks=_leaks(outcome, quote=quote),
        probes=_safe(f"Probes: sha256 {found.probes_sha256}, seed {found.seed}."),
        version=_safe(__version__),
    )
    return text.encode("utf-8", "replace").decode("utf-8")


def _tiles(outcome: Outcome) -> Iterator[str]:
    found = outcome.found
    worst = found.worst_family_leak
    broken = {breach.metric for breach in outcome.breaches}
    tiles = [
        ("max_leak", "leak", _of(found.leak.value)),
        (
            "max_family_leak",
            f"worst: {found.worst_family or 'none'}",
            _of(None if worst is None else worst.value),
        ),
        ("max_excess", "over controls", difference(found.excess).split(" ")[0]),
        ("max_over_refusal", "over-refusal", _of(found.over_refusal.value)),
        ("min_retain", "right answers", _of(found.retain.value)),
        ("max_membership", "membership AUC", _of(found.membership.value)),
    ]
    for metric, name, value in tiles:
        tone = "goes" if metric in broken else "stays" if value != "-" else ""
        yield f'<div class="{tone}"><dt>{_safe(name)}</dt><dd>{_safe(value)}</dd></div>'


def _notes(outcome: Outcome) -> Iterator[str]:
    for breach in outcome.breaches:
        yield f'<p class="note failed">{_safe(breach.said)}</p>'
    for said in outcome.missing:
        yield f'<p class="note unproven">{_safe(said)}</p>'
    for said in outcome.notes:
        yield f'<p class="note">{_safe(said)}</p>'


def _family(name: str, one: FamilyResult) -> str:
    means = templates("families")[name]["means"]
    labels = ", ".join(f"{n} {label}" for label, n in one.labels.items()) or "-"
    before = "-" if one.before is None else _of(one.before.value)
    tone = "leaks" if one.leak.successes else "none"
    return (
        f'<tr class="{tone}"><td class="id"><p class="reason">{_safe(name)}</p>'
        f'<p class="means">{_safe(means)}</p></td>'
        f'<td class="bar">{_bar(one)}<span class="said">{_safe(str(one.leak))}</span></td>'
        f'<td class="number"><span class="what">n </span>{one.leak.n}</td>'
        f'<td class="number"><span class="what">before </span>{_safe(before)}</td>'
        f"<td>{_safe(labels)}</td></tr>"
    )


def _bar(one: FamilyResult) -> str:
    """Attributes of SVG need no style, which the page's policy would refuse."""
    value, low, high = (
        round(_WIDE * (v or 0.0), 1) for v in (one.leak.value, one.leak.low, one.leak.high)
    )
    control = round(_WIDE * (one.control.value or 0.0), 1)
    return (
        f'<svg viewBox="0 0 {_WIDE} 16" preserveAspectRatio="none" role="img" '
        f'aria-label="leak {_of(one.leak.value)}">'
        f'<rect class="ground" width="{_WIDE}" height="16" rx="3"/>'
        f'<rect class="limits" x="{low}" y="2" width="{round(high - low, 1)}" height="12"/>'
        f'<rect class="value" y="4" width="{value}" height="8"/>'
        f'<rect class="control" x="{max(0.0, control - 1)}" y="1" width="2" height="14"/></svg>'
    )


def _leaks(outcome: Outcome, *, quote: bool) -> str:
    leaks = spread(outcome.found.leaks)
    if not leaks:
        return ""
    rows = "".join(_leak(leak, quote=quote) for leak in leaks[:LEAKS_SHOWN])
    left = len(leaks) - LEAKS_SHOWN
    more = f'<p class="more">and {left:,} more; the JSON holds them all</p>' if left > 0 else ""
    why = (
        "Every family once before any comes again."
        if quote
        else "Neither names nor answers are shown: they are what is to be forgotten (--text)."
    )
    return (
        f'<section class="goes" aria-label="Leaks"><h2>{len(leaks):,} leaks</h2>'
        f'<p class="why">{why}</p><div class="rows"><table>'
        '<thead><tr><th scope="col" class="id">probe</th><th scope="col">what was told</th>'
        '<th scope="col" class="number">where from</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{more}</div></section>"
    )


def _leak(leak: Leak, *, quote: bool) -> str:
    probe = leak.probe
    quoted = ""
    if quote:
        quoted = (
            f"<blockquote>{_safe(visible(probe.turns[-1], 400))}</blockquote>"
            f"<blockquote>{_safe(visible(leak.answers[-1], 400))}</blockquote>"
        )
    return (
        f'<tr><td class="id">target {probe.subject + 1}<p class="related">'
        f"{_safe(str(probe.family))}, {_safe(probe.variant)}</p></td>"
        f'<td><p class="reason">{_safe(seen_in_words(leak))}</p>{quoted}</td>'
        f'<td class="label">{leak.label}</td></tr>'
    )


def _of(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _safe(text: str) -> str:
    return escape(visible(text))


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
