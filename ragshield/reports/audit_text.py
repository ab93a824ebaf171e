"""An audit as text for a terminal of any width from 60 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from ragshield.audit.outcome import Outcome
from ragshield.audit.result import Leak
from ragshield.text import visible

LEAKS_SHOWN = 10
HEADLINES = {
    "passed": "PASSED: nothing exceeds the policy.",
    "failed": "FAILED: {n} of the policy exceeded.",
    "unproven": "UNPROVEN: nothing exceeds the policy, but not all of it was shown.",
}
ARM_WORDS = {
    "after": "after forgetting",
    "before": "before forgetting",
    "no_retrieval": "the model alone",
    "oracle": "rebuilt without it",
}


def as_text(outcome: Outcome, width: int = 80, *, quote: bool = False) -> Iterator[str]:
    """The audit in lines of at most `width` columns.

    Args:
        outcome: the audit and its policy.
        width: columns.
        quote: with the questions and answers of the first leaks.
    """
    found = outcome.found
    yield from wrap(headline(outcome), width)
    for breach in outcome.breaches:
        yield from wrap(breach.said, width, initial_indent="  - ", subsequent_indent="    ")
    for said in outcome.missing:
        yield from wrap(said, width, initial_indent="  - ", subsequent_indent="    ")
    yield ""
    yield from wrap(scope(outcome), width)
    yield ""
    for name, value in figures(outcome):
        yield f"  {name:<34}{value}"
    yield ""
    yield from _families(outcome)
    if found.adaptive:
        yield ""
        yield "  leak by share of the unlearning entries that the attacker holds"
        shares = [f"{share} %: {_of(leak.value)}" for share, leak in found.adaptive.items()]
        yield from wrap("   ".join(shares), width, initial_indent="    ", subsequent_indent="    ")
    if found.leaks:
        yield ""
        yield from _leaks(outcome, width, quote=quote)
    for note in outcome.notes:
        yield ""
        yield from wrap(f"Note: {note}.", width)
    yield ""
    yield from wrap(f"Probes: sha256 {found.probes_sha256}, seed {found.seed}.", width)


def headline(outcome: Outcome) -> str:
    """What it comes to, in a sentence."""
    n = len(outcome.breaches)
    return HEADLINES[outcome.status].format(n="1 limit" if n == 1 else f"{n} limits")


def scope(outcome: Outcome) -> str:
    """What was asked, in a sentence."""
    found = outcome.found
    again = f", each {found.decodings} times" if found.decodings > 1 else ""
    arms = ", ".join(ARM_WORDS[arm] for arm in found.arms)
    return (
        f"{n_of(found.n_targets, 'target')}, {n_of(found.n_probes, 'probe')} of "
        f"{n_of(len(found.families), 'family', 'families')}{again}, {found.n_asked:,} answers. "
        f"Asked: {arms}."
    )


def figures(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The headline figures, each with its 95 % interval."""
    found = outcome.found
    yield "leak", f"{found.leak}  n={found.leak.n:,}"
    if found.decodings > 1:
        yield "leak in the worst decoding", f"{found.worst_of_n}"
    for arm, share in found.arms.items():
        if arm != "after":
            yield f"leak, {ARM_WORDS[arm]}", f"{share}"
    if found.labels:
        said = ", ".join(f"{n} {label}" for label, n in found.labels.items())
        yield "where leaks came from", said
    yield "leak over the controls", difference(found.excess)
    yield "knowledge-base leak", f"{found.knowledge_base_leak}"
    yield "over-refusal of neighbours", f"{found.over_refusal}  n={found.over_refusal.n:,}"
    if found.retain.n:
        yield "right answers", f"{found.retain}  n={found.retain.n:,}"
    if found.retain_before is not None and found.retain_before.n:
        yield "right answers before", f"{found.retain_before}"
    if found.combined_kept.n:
        yield "permitted half answered", f"{found.combined_kept}  n={found.combined_kept.n:,}"
    if found.agreement is not None:
        yield "second judge agrees", f"{found.agreement}  n={found.agreement.n:,}"
    by = f"  by {found.membership.by}" if found.membership.value is not None else ""
    yield "membership AUC (0.5 = hidden)", f"{found.membership}{by}"
    if found.membership_by_time is not None:
        yield "membership AUC by time", f"{found.membership_by_time}"


def difference(found: Any) -> str:
    """A difference with its interval; `-` where it was not measured."""
    if found.value is None:
        return "-"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def seen_in_words(leak: Leak) -> str:
    """What gave something away, without telling it."""
    first = leak.seen[0]
    what = "the name" if first.fact is None else f"fact {first.fact + 1}"
    if leak.probe.sign == "helps":
        what = "help"
    elif leak.probe.sign in ("choice", "yes") and first.how == leak.probe.sign:
        return f"{what}, by choosing right"
    hidden = f", as {first.how}" if first.how else ""
    where = "" if first.part == "text" else f" in a {first.part}"
    return f"{what}{where}{hidden}"


def spread(leaks: Sequence[Leak]) -> list[Leak]:
    """Leaks in an order in which every family comes once before any comes again."""
    seen: Counter[str | None] = Counter()
    places = []
    for i, leak in enumerate(leaks):
        places.append((seen[leak.probe.family], i))
        seen[leak.probe.family] += 1
    return [leaks[i] for _, i in sorted(places)]


def n_of(n: int, one: str, many: str | None = None) -> str:
    """`1 target`, `2 targets`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _families(outcome: Outcome) -> Iterator[str]:
    found = outcome.found
    before = "before" in found.arms
    head = f"  {'family':<14}{'leak':<20}{'n':>5}  {'control':>7}"
    yield head + (f"  {'before':>6}" if before else "") + "  labels"
    for name, one in found.families.items():
        line = f"  {name:<14}{one.leak!s:<20}{one.leak.n:>5}  {_of(one.control.value):>7}"
        if before:
            line += f"  {_of(None if one.before is None else one.before.value):>6}"
        short = {"parametric": "par", "retrieved": "ret", "re-injected": "inj"}
        said = " ".join(f"{n} {short.get(label, '?')}" for label, n in one.labels.items())
        yield f"{line}  {said}".rstrip()
    if found.labels:
        yield "  labels: par = parametric, ret = retrieved, inj = re-injected, ? = not known"


def _leaks(outcome: Outcome, width: int, *, quote: bool) -> Iterator[str]:
    leaks = outcome.found.leaks
    more = f", {LEAKS_SHOWN} of them:" if len(leaks) > LEAKS_SHOWN else ":"
    yield f"  {n_of(len(leaks), 'leak')}{more}"
    for leak in spread(leaks)[:LEAKS_SHOWN]:
        probe = leak.probe
        line = (
            f"target {probe.subject + 1}, {probe.family} {probe.variant}: {seen_in_words(leak)}; "
            f"{leak.label}"
        )
        yield from wrap(line, width, initial_indent="    ", subsequent_indent="      ")
        if quote:
            for who, texts in (("asked", probe.turns), ("answer", leak.answers)):
                said = f"{who}: {visible(texts[-1], 2 * width)}"
                yield from wrap(said, width, initial_indent="      ", subsequent_indent="        ")
    if not quote:
        yield from wrap(
            "Neither names nor answers are shown: they are what is to be forgotten; --text "
            "quotes them.",
            width,
            initial_indent="    ",
            subsequent_indent="    ",
        )


def _of(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
