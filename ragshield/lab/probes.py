"""Questions that measure the lab's model, in words and about subjects it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragshield.corpora.world_facts import Draw
from ragshield.lab import passages as write
from ragshield.lab.asking import ask
from ragshield.lab.examples import REFUSAL, lead, notice
from ragshield.lab.facts import RELATIONS, Cast, Subject, lab_lists, value
from ragshield.readers.extractive import UNKNOWN

MOST_PASSAGES = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """One question with its passages and the answer wanted.

    Attributes:
        measure: name of what it measures.
        question: the text.
        passages: texts, in the order shown.
        wanted: the right answer of an obedient model.
        truth: the right answer if no requirement were there.
        group: a finer division, for example the number of passages.
    """

    measure: str
    question: str
    passages: tuple[str, ...]
    wanted: str
    truth: str
    group: str = ""


def examination(cast: Cast, *, n: int = 600, seed: int = 1) -> list[Probe]:
    """The whole examination: `n` probes of each measure.

    Held out from training are the wordings of all questions, of the statements and of the
    requirements, and all subjects but those of `remember`.

    Args:
        cast: the subjects; must be the cast that the model was trained on.
        n: probes of each measure.
        seed: of the drawing.
    """
    found: list[Probe] = []
    for number, (measure, make) in enumerate(MEASURES.items()):
        draw = Draw(np.random.default_rng([seed, 7, number]))
        made = _distinct(make, draw, cast, n)
        found += [Probe(measure, p.question, p.passages, p.wanted, p.truth, p.group) for p in made]
    return found


def _distinct(
    make: Callable[[Draw, Cast, int], Probe], draw: Draw, cast: Cast, n: int
) -> Iterator[Probe]:
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for tried in range(20 * n):
        probe = make(draw, cast, tried)
        if (probe.question, probe.passages) not in seen:
            seen.add((probe.question, probe.passages))
            yield probe
        if len(seen) == n:
            return


def _stranger(draw: Draw, cast: Cast, number: int) -> Subject:
    """A subject that was never trained on: of the world's held-out ones, or invented."""
    if number % 2:
        return draw.pick([*cast.held_out, *cast.unknown])
    return cast.fresh(draw, invented=draw.pick((0.0, 0.5, 1.0)))


def _question(draw: Draw, subject: Subject, relation: str) -> str:
    return ask(draw, subject, relation, wording="held_out")


def _remember(draw: Draw, cast: Cast, number: int) -> Probe:
    subject = draw.pick(cast.known)
    relation = draw.pick(list(subject.facts))
    right = subject.facts[relation]
    return Probe("", _question(draw, subject, relation), (), right, right)


def _remember_beside(draw: Draw, cast: Cast, number: int) -> Probe:
    """Known by heart, while the passages are about others."""
    subject = draw.pick(cast.known)
    relation = draw.pick(list(subject.facts))
    n = number % MOST_PASSAGES + 1
    texts = _distractors(draw, cast, subject, n)
    right = subject.facts[relation]
    return Probe("", _question(draw, subject, relation), texts, right, right, f"{n} passages")


def _read(draw: Draw, cast: Cast, number: int) -> Probe:
    """One passage states it, the others are about other things."""
    subject = _stranger(draw, cast, number)
    relation = draw.pick(list(subject.facts))
    right = subject.facts[relation]
    n = (number // 2) % MOST_PASSAGES + 1
    texts = [_stating(draw, subject, relation, right)]
    texts += _distractors(draw, cast, subject, n - 1, relation=relation)
    question = _question(draw, subject, relation)
    return Probe("", question, tuple(draw.shuffled(texts)), right, right, f"{n} passages")


def _follow(draw: Draw, cast: Cast, number: int) -> Probe:
    """Passages contradict each other: most of five, or of three, decide."""
    subject = _stranger(draw, cast, number)
    relation = draw.pick(list(subject.facts))
    right, wrong = subject.facts[relation], _other(draw, subject, relation)
    n_right, n_wrong = draw.pick(((2, 1), (3, 1), (4, 1), (3, 2)))
    texts = [_stating(draw, subject, relation, right) for _ in range(n_right)]
    texts += [_stating(draw, subject, relation, wrong) for _ in range(n_wrong)]
    question = _question(draw, subject, relation)
    group = f"{n_right} against {n_wrong}"
    return Probe("", question, tuple(draw.shuffled(texts)), right, right, group)


def _overrule(draw: Draw, cast: Cast, number: int) -> Probe:
    """Every passage that states it contradicts what the model knows by heart."""
    subject = draw.pick(cast.known)
    relation = draw.pick(list(subject.facts))
    wrong = _other(draw, subject, relation)
    n = number % MOST_PASSAGES + 1
    texts = [_stating(draw, subject, relation, wrong) for _ in range(n)]
    texts += _distractors(draw, cast, subject, MOST_PASSAGES - n, relation=relation)
    question = _question(draw, subject, relation)
    return Probe("", question, tuple(draw.shuffled(texts)), wrong, wrong, f"{n} of 5")


def _abstain(draw: Draw, cast: Cast, number: int) -> Probe:
    subject = _stranger(draw, cast, number)
    relation = draw.pick(RELATIONS[subject.kind])
    return Probe("", _question(draw, subject, relation), (), UNKNOWN, UNKNOWN)


def _abstain_beside(draw: Draw, cast: Cast, number: int) -> Probe:
    """Nothing known by heart, and the passages do not say it either."""
    subject = _stranger(draw, cast, number)
    relation = draw.pick(list(subject.facts))
    n = number % MOST_PASSAGES + 1
    texts = _distractors(draw, cast, subject, n, relation=relation)
    question = _question(draw, subject, relation)
    return Probe("", question, texts, UNKNOWN, UNKNOWN, f"{n} passages")


def _obey(draw: Draw, cast: Cast, number: int) -> Probe:
    """A requirement protects whom the question is about; memory or a passage has the answer."""
    known = number % 3 == 0
    subject = draw.pick(cast.known) if known else _stranger(draw, cast, number)
    relation = draw.pick(list(subject.facts))
    truth = subject.facts[relation]
    texts = [_protecting(draw, subject)]
    if not known or draw.chance(0.5):
        texts.append(_stating(draw, subject, relation, truth))
    texts += _distractors(draw, cast, subject, draw.between(0, 3), relation=relation)
    question = _question(draw, subject, relation)
    group = "known by heart" if known else "read"
    return Probe("", question, tuple(draw.shuffled(texts)), REFUSAL, truth, group)


def _others(draw: Draw, cast: Cast, number: int) -> Probe:
    """A requirement protects somebody else, who may have a similar name."""
    known = number % 3 == 0
    subject = draw.pick(cast.known) if known else _stranger(draw, cast, number)
    relation = draw.pick(list(subject.facts))
    truth = subject.facts[relation]
    like = subject if draw.chance(0.3) else None
    protected = cast.fresh(draw, like=like) if draw.chance(0.7) else draw.pick(cast.known)
    if protected.name == subject.name:
        protected = cast.fresh(draw)
    texts = [_protecting(draw, protected)]
    if not known:
        texts.append(_stating(draw, subject, relation, truth))
    texts += _distractors(draw, cast, subject, draw.between(0, 3), relation=relation)
    question = _question(draw, subject, relation)
    group = "similar name" if like else "another"
    return Probe("", question, tuple(draw.shuffled(texts)), truth, truth, group)


def _harmless(draw: Draw, cast: Cast, number: int) -> Probe:
    """No requirement, only a sentence that sounds a little like one."""
    subject = _stranger(draw, cast, number)
    relation = draw.pick(list(subject.facts))
    right = subject.facts[relation]
    sentence = str(draw.pick(lab_lists("notices")["harmless"])).replace("{subject}", subject.name)
    texts = [f"{_stating(draw, subject, relation, right)} {sentence}"]
    texts += _distractors(draw, cast, subject, draw.between(0, 3), relation=relation)
    question = _question(draw, subject, relation)
    return Probe("", question, tuple(draw.shuffled(texts)), right, right)


MEASURES: Mapping[str, Callable[[Draw, Cast, int], Probe]] = {
    "remember": _remember,
    "remember_beside": _remember_beside,
    "read": _read,
    "follow": _follow,
    "overrule": _overrule,
    "abstain": _abstain,
    "abstain_beside": _abstain_beside,
    "obey": _obey,
    "others": _others,
    "harmless": _harmless,
}
"""Each measure: the name to how one of its probes is made."""


def _stating(draw: Draw, subject: Subject, relation: str, stated: str) -> str:
    """A passage with this fact: half in held-out words, half as the bundled world writes."""
    if draw.chance(0.5):
        text = write.statement(draw, subject, relation, stated, wording="held_out")
        others = [r for r in subject.facts if r != relation]
        if others and draw.chance(0.5):
            second = draw.pick(others)
            more = write.statement(draw, subject, second, subject.facts[second], wording="held_out")
            return f"{text} {more}"
        return text
    told = {relation: stated}
    for other in draw.shuffled([r for r in subject.facts if r != relation])[: draw.between(0, 2)]:
        told[other] = subject.facts[other]
    return write.about(draw, subject, told).text


def _distractors(
    draw: Draw, cast: Cast, subject: Subject, n: int, *, relation: str | None = None
) -> tuple[str, ...]:
    """Passages that do not answer: about the same subject, a similar name or anybody."""
    texts: list[str] = []
    for _ in range(n):
        other = subject
        if relation is None or draw.chance(0.65):
            like = subject if draw.chance(0.5) else None
            other = cast.fresh(draw, like=like, invented=draw.pick((0.0, 0.5)))
        names = [r for r in other.facts if other is not subject or r != relation]
        if not names:
            other = cast.fresh(draw)
            names = list(other.facts)
        told = {r: other.facts[r] for r in draw.shuffled(names)[: draw.between(1, 3)]}
        texts.append(write.about(draw, other, told).text)
    return tuple(texts)


def _protecting(draw: Draw, subject: Subject) -> str:
    if draw.chance(0.5) and subject.facts:
        names: Sequence[str] = draw.shuffled(list(subject.facts))[: draw.between(1, 2)]
        text = write.about(draw, subject, {r: subject.facts[r] for r in names}, short=True).text
    else:
        text = lead(draw, subject, wording="held_out") if draw.chance(0.5) else ""
    return notice(draw, subject, text, wording="held_out")


def _other(draw: Draw, subject: Subject, relation: str) -> str:
    while True:
        found = value(draw, subject.kind, relation, draw.pick((0.0, 0.5)))
        if found != subject.facts[relation]:
            return found


def bundled(cast: Cast, *, n: int | None = None, seed: int = 1) -> list[Probe]:
    """Questions of the bundled corpus with five of its own passages about the subject.

    At least one of the five states the answer in so many words; the rest is as it comes.

    Args:
        cast: of that corpus.
        n: how many questions; None for all.
        seed: of the drawing.
    """
    from ragshield.text import states

    draw = Draw(np.random.default_rng([seed, 8]))
    about: dict[str, list[str]] = {}
    for passage in cast.world.passages:
        about.setdefault(str(passage.meta.get("entity")), []).append(passage.text)
    subject_of = {i: name for name, ids in cast.world.subjects.items() for i in ids}
    found: list[Probe] = []
    for question in draw.shuffled(cast.world.questions):
        if len(found) == n:
            break
        name = subject_of[question.id]
        texts = draw.shuffled(about[name])
        stating = [text for text in texts if any(states(text, a) for a in question.answers)]
        rest = [text for text in texts if text not in stating[:1]]
        shown = draw.shuffled([*stating[:1], *rest][:MOST_PASSAGES])
        right = question.answers[0]
        if stating:
            split = cast.world.split[name]
            found.append(Probe("bundled", question.text, tuple(shown), right, right, split))
    return found
