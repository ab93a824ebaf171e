"""The audit: ask every arm everything, judge, label, measure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

from ragshield.audit.asking import Askable, Asked, ask_all
from ragshield.audit.building import ProbeSet, build_probes
from ragshield.audit.judging import Judged, Opinion, judge, label_of, right
from ragshield.audit.measuring import Asking, by_time, measured
from ragshield.audit.probe import FAMILIES, Family, Probe, Retained
from ragshield.audit.refusing import refuses
from ragshield.audit.result import Audit
from ragshield.audit.second import Writer
from ragshield.audit.seeing import parts_of, quotes
from ragshield.audit.subjects import Subject
from ragshield.errors import UsageError
from ragshield.forget_set import ForgetTarget
from ragshield.intervals import Rate, rate

_AGREEMENT_ASKED = 50


@dataclass(frozen=True, slots=True)
class Arms:
    """The application in up to four states.

    Attributes:
        after: as it is now, after forgetting: what is audited.
        before: as it was. Shows that a probe would have found something.
        no_retrieval: the model alone. What it tells, it knows by heart.
        oracle: over a knowledge base rebuilt without the target, with nothing else done.
    """

    after: Askable
    before: Askable | None = None
    no_retrieval: Askable | None = None
    oracle: Askable | None = None

    def items(self) -> tuple[tuple[str, Askable], ...]:
        """The arms that there are, by name."""
        every = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple((name, app) for name, app in every if app is not None)


def audit(
    app: Askable,
    targets: Sequence[ForgetTarget],
    *,
    before: Askable | None = None,
    no_retrieval: Askable | None = None,
    oracle: Askable | None = None,
    controls: Sequence[ForgetTarget] | None = None,
    retained: Sequence[Retained] = (),
    entries: Mapping[str, Sequence[str]] | None = None,
    deleted: Sequence[str] = (),
    families: Collection[Family] = FAMILIES,
    per_family: int | None = 6,
    decodings: int = 1,
    seed: int = 0,
    opinion: Opinion | None = None,
    writer: Writer | None = None,
    time_answers: bool = False,
    audience: str | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> Audit:
    """Try to get back what an application is to have forgotten.

    Args:
        app: as it is now. A function of a question, which may take `history` and
            `documents` too, or an object with `answers(dialogues)`.
        targets: what is to be forgotten.
        before: the application before; shows which probes would have found something.
        no_retrieval: the model alone; with it a leak is labelled parametric or retrieved.
        oracle: the application over a knowledge base rebuilt without the targets.
        controls: one for each target, that no one ever knew; None invents them.
        retained: questions that must still be answered.
        entries: unlearning entries by target's name, in the adaptive attacker's hands;
            quoting them is a leak of the knowledge base.
        deleted: texts that were deleted; quoting eight words of one in a row is a leak of
            the knowledge base. Samples and statements of the targets count without it.
        families: which of the thirteen.
        per_family: probes of a family for each target; None takes all there are.
        decodings: how often each probe is asked of `app`.
        seed: of all that is drawn; the same seed asks the same.
        opinion: a further judge, asked where no value is seen; see `Opinion`. How often it
            agrees where one is seen stands in `Audit.agreement`.
        writer: asks questions in other words, too; see `build_probes`.
        time_answers: measure also whether time gives membership away. Times differ from run
            to run, and so does the record then.
        audience: whom the application takes us for; see `build_probes`.
        on_progress: called with an arm's name and the number of answers just got.

    Raises:
        UsageError: nothing to ask, or a number out of range.
        InputError: a forget set that cannot be audited.
        IncompleteError: an application failed; nothing is reported then.
    """
    if decodings < 1:
        raise UsageError(f"decodings is {decodings}; it must be at least 1")
    made = build_probes(
        targets,
        controls=controls,
        retained=retained,
        entries=entries,
        families=families,
        per_family=per_family,
        seed=seed,
        writer=writer,
        audience=audience,
    )
    arms = Arms(app, before, no_retrieval, oracle)
    tell = on_progress or (lambda arm, n: None)
    given = {}
    times: dict[tuple[int, int], float] = {}
    for name, one in arms.items():
        words = "the application" if name == "after" else f"the arm {name.replace('_', ' ')}"
        given[name] = ask_all(
            one,
            made.probes,
            decodings=decodings if name == "after" else 1,
            name=words,
            times=times if name == "after" and time_answers else None,
            on_progress=partial(tell, name),
        )
    held = [text for texts in (entries or {}).values() for text in texts]
    secret = _texts_of(targets, deleted, held)
    askings = _judged(made, given, secret, opinion)
    found = measured(made, askings, arms=tuple(given), decodings=decodings, seed=seed)
    if times:
        found = replace(found, membership_by_time=by_time(made, times))
    return (
        found if opinion is None else replace(found, agreement=_agreement(made, askings, opinion))
    )


def _judged(
    made: ProbeSet,
    given: Mapping[str, list[tuple[Asked, ...]]],
    secret: Sequence[str],
    opinion: Opinion | None,
) -> list[Asking]:
    judged = {
        arm: [
            tuple(_judge(probe, answers, made.subject_of(probe), opinion) for answers in asked)
            for probe, asked in zip(made.probes, rows, strict=True)
        ]
        for arm, rows in given.items()
    }
    by_heart = _by_heart(made, judged.get("no_retrieval"))
    askings = []
    for i, probe in enumerate(made.probes):
        subject = made.subject_of(probe)
        alone = judged["no_retrieval"][i][0] if "no_retrieval" in judged else None
        rebuilt = judged["oracle"][i][0] if "oracle" in judged else None
        for sample, (answers, found) in enumerate(
            zip(given["after"][i], judged["after"][i], strict=True)
        ):
            label = None
            if found.leaked and subject is not None and probe.role == "target":
                label = label_of(
                    probe,
                    found,
                    answers,
                    subject,
                    by_heart=None if by_heart is None else by_heart.get(probe.subject, frozenset()),
                    alone=alone,
                    rebuilt=rebuilt,
                )
            before = given["before"][i][0] if "before" in given else None
            askings.append(
                Asking(
                    probe=probe,
                    sample=sample,
                    answers=answers,
                    judged=found,
                    label=label,
                    others={arm: rows[i][0] for arm, rows in judged.items() if arm != "after"},
                    is_right=right(answers, probe.wanted if probe.family is None else probe.keep),
                    was_right=None
                    if before is None
                    else right(before, probe.wanted if probe.family is None else probe.keep),
                    was_refused=None if before is None else refuses(before[-1].text),
                    quotes=probe.role == "target" and _quotes(probe, answers, secret),
                )
            )
    return askings


def _judge(
    probe: Probe, answers: Asked, subject: Subject | None, opinion: Opinion | None
) -> Judged:
    if subject is None:
        return Judged((), False, refuses(answers[-1].text))
    return judge(probe, answers, subject, opinion)


def _agreement(made: ProbeSet, askings: Sequence[Asking], opinion: Opinion) -> Rate:
    """How often the further judge sees what was seen in the clear."""
    plain = [
        asking
        for asking in askings
        if asking.probe.role == "target"
        and asking.probe.sign == "value"
        and any(seen.part == "text" and not seen.how for seen in asking.judged.seen)
    ][:_AGREEMENT_ASKED]
    agreed = 0
    for asking in plain:
        items = made.targets[asking.probe.subject].items
        values = tuple(item.value for item in items if item.value)
        agreed += opinion(asking.probe.turns[-1], asking.answers[-1].text, values)
    return rate(agreed, len(plain))


def _by_heart(
    made: ProbeSet, alone: list[tuple[Judged, ...]] | None
) -> dict[int, frozenset[int]] | None:
    """For each target, the items that the model alone tells."""
    if alone is None:
        return None
    known: dict[int, set[int]] = {}
    for probe, found in zip(made.probes, alone, strict=True):
        if probe.role == "target" and not found[0].carried:
            facts = {seen.fact for seen in found[0].seen if seen.fact is not None}
            known.setdefault(probe.subject, set()).update(facts)
    return {number: frozenset(facts) for number, facts in known.items()}


def _texts_of(
    targets: Sequence[ForgetTarget], deleted: Sequence[str], entries: Sequence[str]
) -> tuple[str, ...]:
    """Texts of which no eight words in a row may be given."""
    own = [text for target in targets if target.kind != "harm" for text in target.samples]
    own += [fact.statement for target in targets for fact in target.facts if fact.statement]
    return tuple(dict.fromkeys(text for text in (*own, *deleted, *entries) if text.strip()))


def _quotes(probe: Probe, answers: Asked, secret: Sequence[str]) -> bool:
    """Whether an answer quotes what the probe did not bring along."""
    asked = "\n".join((*probe.documents, *probe.turns))
    for answer in answers:
        for _, text in parts_of(answer):
            if len(text.split()) >= 2 and quotes(text, secret) and not quotes(asked, (text,)):
                return True
    return False
