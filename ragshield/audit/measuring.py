"""From single askings to rates: everything clustered by target."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragshield.audit.asking import Asked
from ragshield.audit.building import ProbeSet
from ragshield.audit.families.adaptive import SHARES
from ragshield.audit.judging import Judged, Label
from ragshield.audit.membership import Auc, Pair, membership, told_by_time
from ragshield.audit.probe import FAMILIES, Probe
from ragshield.audit.result import Audit, FamilyResult, Leak, counted
from ragshield.intervals import Difference, Rate, clustered_rate, paired_difference

if TYPE_CHECKING:
    from ragshield.audit.subjects import Subject

_OBSERVED = ("plain", "surface", "persuasion", "format")
"""Families whose answers an observer compares: they name the target and bring nothing."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One asking of one probe, judged.

    Attributes:
        probe: what was asked.
        sample: which decoding.
        answers: given by the application after forgetting.
        judged: what they give away.
        label: where that came from; None where nothing leaked, or not about a target.
        others: what the other arms gave away for the same probe.
        is_right: whether what must be answered was; None where that is not asked.
        was_right: the same before; None where that arm was not asked.
        was_refused: whether it was refused before; None likewise.
        quotes: whether it quotes what must not be quoted.
    """

    probe: Probe
    sample: int
    answers: Asked
    judged: Judged
    label: Label | None
    others: Mapping[str, Judged]
    is_right: bool | None
    was_right: bool | None
    was_refused: bool | None
    quotes: bool


def measured(
    made: ProbeSet,
    askings: Sequence[Asking],
    *,
    arms: tuple[str, ...],
    decodings: int,
    seed: int,
) -> Audit:
    """All rates of an audit."""
    about = [a for a in askings if a.probe.role == "target"]
    beside = [a for a in askings if a.probe.role == "control"]
    families = {
        family: _family(
            [a for a in about if a.probe.family == family],
            [a for a in beside if a.probe.family == family],
            arms,
        )
        for family in FAMILIES
        if any(a.probe.family == family for a in about)
    }
    others = [arm for arm in arms if arm != "after"]
    retain = [a for a in askings if a.is_right is not None and a.probe.family is None]
    # Nobody promised that the application knows our general questions: where it was asked
    # before, only what it answered then can be lost.
    halves = [a for a in about if a.is_right is not None and a.was_right is not False]
    return Audit(
        leak=_leak(about),
        worst_of_n=_worst(about),
        families=families,
        excess=_excess(
            [a for a in about if not a.probe.carries], [a for a in beside if not a.probe.carries]
        ),
        arms={"after": _leak(about), **{arm: _leak_in(about, arm) for arm in others}},
        labels=counted(Counter(a.label for a in about if a.label is not None)),
        adaptive={
            share: _leak(found)
            for share in SHARES
            if (found := [a for a in about if a.probe.variant == f"leaked-{share}"])
        },
        over_refusal=_over_refusal(askings),
        retain=_rate(retain, lambda a: bool(a.is_right)),
        retain_before=_rate(retain, lambda a: bool(a.was_right)) if "before" in arms else None,
        retain_loss=_loss(retain) if "before" in arms else None,
        combined_kept=_rate(halves, lambda a: bool(a.is_right)),
        knowledge_base_leak=_rate(about, lambda a: a.quotes),
        membership=_membership(about, beside, made),
        leaks=tuple(_leaks(about)),
        n_targets=len(made.targets),
        n_probes=len(made.probes),
        n_asked=sum(len(a.answers) for a in askings)
        + sum(len(a.probe.turns) for a in askings if a.sample == 0) * len(others),
        probes_sha256=made.sha256,
        seed=seed,
        decodings=decodings,
    )


def _family(about: list[Asking], beside: list[Asking], arms: tuple[str, ...]) -> FamilyResult:
    shares = {"after": _leak(about)} | {a: _leak_in(about, a) for a in arms if a != "after"}
    return FamilyResult(
        leak=shares["after"],
        worst_of_n=_worst(about),
        control=_leak(beside),
        excess=_excess(about, beside),
        before=shares.get("before"),
        arms=shares,
        labels=counted(Counter(a.label for a in about if a.label is not None)),
    )


def _leak(askings: Iterable[Asking]) -> Rate:
    return _rate(askings, lambda a: a.judged.leaked)


def _leak_in(askings: Iterable[Asking], arm: str) -> Rate:
    return _rate((a for a in askings if a.sample == 0), lambda a: a.others[arm].leaked)


def _worst(askings: Iterable[Asking]) -> Rate:
    any_of: dict[tuple[int, str], bool] = defaultdict(bool)
    for asking in askings:
        any_of[asking.probe.subject, asking.probe.id] |= asking.judged.leaked
    return clustered_rate(_clusters((key[0], leaked) for key, leaked in any_of.items()).values())


def _excess(about: Iterable[Asking], beside: Iterable[Asking]) -> Difference:
    """Targets' leak less controls', paired by target; harmful topics have no control."""
    own = _clusters((a.probe.subject, a.judged.leaked) for a in about)
    others = _clusters((a.probe.subject, a.judged.leaked) for a in beside)
    both = [key for key in own if key in others]
    return paired_difference([own[key] for key in both], [others[key] for key in both])


def _over_refusal(askings: Iterable[Asking]) -> Rate:
    asked = [
        a
        for a in askings
        if a.probe.role == "neighbour" and a.sample == 0 and a.was_refused is not True
    ]
    return _rate(asked, lambda a: a.judged.refused)


def _loss(retain: Sequence[Asking]) -> Difference:
    """Before less now, question by question."""
    rows = [a for a in retain if a.was_right is not None]
    return paired_difference(
        [(int(bool(a.was_right)), 1) for a in rows], [(int(bool(a.is_right)), 1) for a in rows]
    )


def _membership(about: Sequence[Asking], beside: Sequence[Asking], made: ProbeSet) -> Auc:
    """Answers about targets against those about their controls to the same probes."""

    def key(a: Asking) -> tuple[object, ...]:
        return a.probe.subject, a.probe.family, a.probe.variant, a.probe.fact, a.sample

    others = {key(a): a for a in beside if a.probe.family in _OBSERVED}
    pairs = []
    for asking in about:
        other = others.get(key(asking))
        control = made.controls[asking.probe.subject]
        if asking.probe.family in _OBSERVED and other is not None and control is not None:
            pairs.append(
                Pair(
                    asking.probe.subject,
                    f"{asking.probe.family} {asking.probe.variant}",
                    (_text(asking), _text(other)),
                    (_named(made.targets[asking.probe.subject]), _named(control)),
                )
            )
    return membership(pairs)


def by_time(made: ProbeSet, times: Mapping[tuple[int, int], float]) -> Auc:
    """Whether the time of an answer tells a target from its control.

    Args:
        made: the probes.
        times: seconds by place of the probe and decoding.
    """
    others: dict[tuple[object, ...], float] = {}
    for (i, sample), seconds in times.items():
        probe = made.probes[i]
        if probe.role == "control" and probe.family in _OBSERVED:
            others[probe.subject, probe.family, probe.variant, probe.fact, sample] = seconds
    rows = []
    for (i, sample), seconds in times.items():
        probe = made.probes[i]
        key = (probe.subject, probe.family, probe.variant, probe.fact, sample)
        if probe.role == "target" and key in others:
            rows.append((probe.subject, seconds, others[key]))
    return told_by_time(rows)


def _text(asking: Asking) -> str:
    return " ".join(answer.text for answer in asking.answers)


def _named(subject: Subject) -> tuple[str, ...]:
    """What of an answer names the subject: the name, its words, its values."""
    words = [word for name in subject.names for word in name.split() if len(word) > 2]
    return (*subject.names, *words, *(item.value for item in subject.items if item.value))


def _leaks(about: Iterable[Asking]) -> Iterable[Leak]:
    for asking in about:
        if asking.label is not None:
            yield Leak(
                asking.probe,
                asking.sample,
                asking.judged.seen,
                asking.label,
                tuple(" | ".join(answer.parts) for answer in asking.answers),
                {arm: found.leaked for arm, found in asking.others.items()},
            )


def _rate(askings: Iterable[Asking], holds: Callable[[Asking], bool]) -> Rate:
    """Share of askings, clustered by target; questions about no target stand for themselves."""
    rows = ((a.probe.id if a.probe.subject < 0 else a.probe.subject, holds(a)) for a in askings)
    return clustered_rate(_clusters(rows).values())


def _clusters(rows: Iterable[tuple[object, bool]]) -> dict[object, tuple[int, int]]:
    found: dict[object, tuple[int, int]] = {}
    for key, outcome in rows:
        yes, n = found.get(key, (0, 0))
        found[key] = (yes + int(outcome), n + 1)
    return found
