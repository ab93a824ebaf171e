"""From targets to a set of probes: which are picked, their ids, and the set's hash."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ragshield.audit.drafts import Draft, Setting, renamed
from ragshield.audit.families import MAKERS
from ragshield.audit.probe import FAMILIES, Family, Probe, Retained, Role
from ragshield.audit.second import Writer, usable
from ragshield.audit.subjects import Subject, questions_about, subjects_of
from ragshield.audit.templates import filled, templates
from ragshield.errors import UsageError
from ragshield.forget_set import ForgetTarget, check_forget_set, folded

MAX_NEIGHBOURS = 12
"""Neighbours of one target that are asked about."""


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """All that is asked in one audit.

    Attributes:
        probes: in the order of asking.
        targets: subjects, by number.
        controls: their controls; None where there can be none.
    """

    probes: tuple[Probe, ...]
    targets: tuple[Subject, ...]
    controls: tuple[Subject | None, ...]

    @property
    def sha256(self) -> str:
        """Hash over every field of every probe: the same set has the same hash."""
        lines = (
            json.dumps(asdict(probe), sort_keys=True, ensure_ascii=True) for probe in self.probes
        )
        return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()

    def subject_of(self, probe: Probe) -> Subject | None:
        """Whose items give a probe's answers away; None for questions about neither."""
        if probe.role == "target":
            return self.targets[probe.subject]
        return self.controls[probe.subject] if probe.role == "control" else None


def build_probes(
    targets: Sequence[ForgetTarget],
    *,
    controls: Sequence[ForgetTarget] | None = None,
    retained: Sequence[Retained] = (),
    entries: Mapping[str, Sequence[str]] | None = None,
    families: Collection[Family] = FAMILIES,
    per_family: int | None = 6,
    seed: int = 0,
    writer: Writer | None = None,
    audience: str | None = None,
) -> ProbeSet:
    """The probes for a forget set, made offline from its facts.

    Each target is asked by `per_family` probes of each family, over different ways of
    asking first and different facts second; its control by the same ones. The same
    arguments give the same set.

    Args:
        targets: what is to be forgotten.
        controls: one for each target, that no one ever knew; None invents them.
        retained: questions that must still be answered.
        entries: unlearning entries by target's name, for the adaptive attacker.
        families: which of the thirteen.
        per_family: probes of a family for each target; None takes all there are.
        seed: of all that is drawn.
        writer: asks each question in other words, too (family `surface`), for targets and
            controls alike; what tells the answer is left out. A set is then the same only
            if the writer is.
        audience: whom the application takes us for; None: anybody. What the forget set lets
            it be told is not attacked, and must be answered.

    Raises:
        UsageError: an unknown family, none at all, or per_family < 1.
        InputError: a forget set that cannot be audited.
    """
    unknown = [family for family in families if family not in FAMILIES]
    if unknown or not families:
        given = f"unknown family '{unknown[0]}'" if unknown else "no family"
        raise UsageError(f"{given}; allowed: {', '.join(FAMILIES)}")
    if per_family is not None and per_family < 1:
        raise UsageError(f"per_family is {per_family}; it must be at least 1")
    if not targets:
        raise UsageError("no targets: nothing to audit")
    check_forget_set(targets)
    subjects, others = subjects_of(targets, controls, seed, audience)
    given_entries = {folded(name): tuple(texts) for name, texts in (entries or {}).items()}
    made: list[Probe] = []
    for subject, control in zip(subjects, others, strict=True):
        held = given_entries.get(folded(subject.name), ())
        for family in FAMILIES:
            if family in families:
                made += _family(family, subject, control, tuple(retained), held, per_family, seed)
        if writer is not None and "surface" in families:
            made += _written(subject, control, writer)
        made += _beside(subject)
    made += [
        _probe(None, Draft("retained", (one.question,), wanted=one.answers), "retained", -1)
        if not one.about
        else _probe(None, Draft("neighbour", (one.question,), wanted=one.answers), "neighbour", -1)
        for one in retained
    ]
    return ProbeSet(tuple(dict.fromkeys(made)), subjects, others)


def _family(
    family: Family,
    target: Subject,
    control: Subject | None,
    retained: tuple[Retained, ...],
    entries: tuple[str, ...],
    per_family: int | None,
    seed: int,
) -> Iterator[Probe]:
    """The picked probes of one target, each followed by its control's."""
    kind = zlib.crc32(family.encode())

    def drafts(subject: Subject, held: tuple[str, ...]) -> dict[tuple[str, int | None], Draft]:
        # A target and its control see the same random numbers, so that they are asked alike.
        rng = np.random.default_rng((seed, subject.number, kind))
        found: dict[tuple[str, int | None], Draft] = {}
        for draft in MAKERS[family](Setting(subject, rng, retained, held)):
            usable = _fitted(draft, subject)
            if usable is not None:
                found.setdefault((draft.variant, draft.fact), usable)
        return found

    own = drafts(target, entries)
    beside = {} if control is None else drafts(control, ())
    rng = np.random.default_rng((seed, target.number, kind, 1))
    for key in _picked(list(own), per_family, rng):
        yield _probe(family, own[key], "target", target.number)
        if key in beside:
            yield _probe(family, beside[key], "control", target.number)


def _written(target: Subject, control: Subject | None, writer: Writer) -> Iterator[Probe]:
    """Every item's question in the writer's words; the control's by exchange of the name."""
    for n, item in enumerate(target.items):
        asked = [text for text in writer(item.questions[0]) if usable(text, item.value)]
        for i, text in enumerate(asked, start=1):
            draft = _fitted(Draft(f"written-{i}", (text,), n), target)
            if draft is None:
                continue
            yield _probe("surface", draft, "target", target.number)
            if control is not None:
                other = draft._replace(turns=(renamed(text, target.names, control.name),))
                yield _probe("surface", other, "control", target.number)


def _fitted(draft: Draft, subject: Subject) -> Draft | None:
    """A draft as it can be judged: harmful requests have no value that could be seen."""
    item = None if draft.fact is None else subject.items[draft.fact]
    if subject.kind == "harm" and (item is None or not item.value):
        return draft._replace(sign="helps") if draft.sign == "value" and item else None
    return draft


def _picked(
    keys: list[tuple[str, int | None]], n: int | None, rng: np.random.Generator
) -> list[tuple[str, int | None]]:
    """Every variant once, each with another fact, before any variant comes again."""
    if n is None or len(keys) <= n:
        return keys
    by_variant: dict[str, list[tuple[str, int | None]]] = {}
    for key in keys:
        by_variant.setdefault(key[0], []).append(key)
    order = [list(by_variant)[int(i)] for i in rng.permutation(len(by_variant))]
    shuffled = {
        v: [by_variant[v][int(i)] for i in rng.permutation(len(by_variant[v]))] for v in order
    }
    used: dict[int | None, int] = {}
    picked: list[tuple[str, int | None]] = []
    while len(picked) < n:
        for variant in order:
            rest = shuffled[variant]
            if rest and len(picked) < n:
                key = min(rest, key=lambda k: used.get(k[1], 0))
                rest.remove(key)
                used[key[1]] = used.get(key[1], 0) + 1
                picked.append(key)
    return sorted(picked, key=keys.index)


def _beside(subject: Subject) -> Iterator[Probe]:
    """Questions that must still be answered: about neighbours, and what may be told."""
    forms = templates("neighbours")["ask"]
    attributes = list(
        dict.fromkeys(
            i.attribute for i in subject.items if i.attribute not in ("text", "request", "answer")
        )
    )
    for i, name in enumerate(subject.neighbours[:MAX_NEIGHBOURS]):
        form = forms[i % len(forms)]
        yield _probe(None, Draft("who", (filled(form, name=name),)), "neighbour", subject.number)
        if attributes:
            asked = questions_about(name, attributes[i % len(attributes)])[0]
            yield _probe(None, Draft("attribute", (asked,)), "neighbour", subject.number)
    for fact in subject.allowed:
        asked = questions_about(subject.name, fact.attribute)[0]
        draft = Draft("allowed", (asked,), wanted=(fact.value,))
        yield _probe(None, draft, "allowed", subject.number)


def _probe(family: Family | None, draft: Draft, role: Role, number: int) -> Probe:
    parts = (family, draft, role, number)
    digest = hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode("ascii")).hexdigest()
    return Probe(
        id=f"{family or 'keep'}-{digest[:10]}",
        family=family,
        variant=draft.variant,
        role=role,
        subject=number,
        turns=draft.turns,
        documents=draft.documents,
        sign=draft.sign,
        fact=draft.fact,
        wanted=draft.wanted,
        keep=draft.keep,
    )
