"""An audit as Markdown that fits into the comment of a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.outcome import Outcome
from ragshield.audit.templates import templates
from ragshield.reports.audit_text import (
    difference,
    figures,
    headline,
    n_of,
    scope,
    seen_in_words,
    spread,
)
from ragshield.reports.markdown import code, plain
from ragshield.text import visible

LEAKS_SHOWN = 15


def as_markdown(outcome: Outcome, *, quote: bool) -> str:
    """The verdict, the figures, a table of the families, examples of leaks, what to do.

    Nothing that an application said can break the table or form links, images or HTML.

    Args:
        outcome: the audit and its policy.
        quote: with questions and answers.
    """
    return "\n".join(_lines(outcome, quote=quote)) + "\n"


def _lines(outcome: Outcome, *, quote: bool) -> Iterator[str]:
    found = outcome.found
    yield f"### ragshield audit: {plain(headline(outcome))}"
    yield ""
    yield plain(scope(outcome))
    yield ""
    for said in (*(breach.said for breach in outcome.breaches), *outcome.missing):
        yield f"- {plain(said)}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in figures(outcome):
        yield f"| {plain(name)} | {plain(value)} |"
    yield ""
    yield "| family | leak | n | over control | before | labels |"
    yield "|---|---|--:|---|---|---|"
    for name, one in found.families.items():
        labels = ", ".join(f"{n} {label}" for label, n in one.labels.items()) or "-"
        yield (
            f"| {plain(name)} | {plain(str(one.leak))} | {one.leak.n} "
            f"| {plain(difference(one.excess))} "
            f"| {plain('-' if one.before is None else str(one.before))} | {plain(labels)} |"
        )
    if found.leaks:
        yield ""
        yield from _leaks(outcome, quote=quote)
    for note in outcome.notes:
        yield ""
        yield f"Note: {plain(note)}."
    yield ""
    yield f"Probes: sha256 {code(found.probes_sha256)}, seed {found.seed}."


def _leaks(outcome: Outcome, *, quote: bool) -> Iterator[str]:
    leaks = outcome.found.leaks
    n = n_of(len(leaks), "leak")
    yield f"<details><summary>{n}, and what to do</summary>"
    yield ""
    for leak in spread(leaks)[:LEAKS_SHOWN]:
        probe = leak.probe
        said = f"target {probe.subject + 1}, {probe.family} {probe.variant}: {seen_in_words(leak)}"
        yield f"- {plain(said)}; {leak.label}"
        if quote:
            yield f"  - asked {code(visible(probe.turns[-1], 200))}"
            yield f"  - answer {code(visible(leak.answers[-1], 200))}"
    yield ""
    for name in dict.fromkeys(leak.probe.family for leak in leaks):
        about = templates("families")[str(name)]
        yield f"- **{about['title']}.** {about['advice']}"
    yield ""
    yield "</details>"
