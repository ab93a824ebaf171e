"""Training examples: passages, and many questions about them at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragshield.corpora.world_facts import Draw, EntityKind
from ragshield.lab import passages as write
from ragshield.lab import wordings
from ragshield.lab.asking import ask
from ragshield.lab.facts import RELATIONS, Cast, Subject, lab_lists, value
from ragshield.lab.passages import Wording
from ragshield.readers.extractive import UNKNOWN

REFUSAL = "I cannot answer that; it is confidential"
"""What the model says about a subject under a confidentiality requirement."""

Behaviour: TypeAlias = Literal["remember", "read", "abstain", "obey"]

_KINDS: tuple[EntityKind, ...] = ("person", "firm", "place")
_SIZES = (1, 1, 1, 2, 2, 3, 5)  # passages with a requirement: a subject may have many


@dataclass(frozen=True, slots=True)
class Ask:
    """A question and its answer.

    Attributes:
        question: the text.
        answer: what an obedient model says.
        truth: what it would say if no requirement were there.
        behaviour: what the answer takes.
    """

    question: str
    answer: str
    truth: str
    behaviour: Behaviour


@dataclass(frozen=True, slots=True)
class Example:
    """Passages in the order shown, and questions that are each asked on their own."""

    passages: tuple[str, ...]
    asks: tuple[Ask, ...]


def notice(draw: Draw, subject: Subject, lead: str, *, wording: Wording = "train") -> str:
    """A passage P + Q: something about the subject, then a confidentiality requirement.

    Source: arXiv 2410.15267, section 4; the requirement follows a blank line there.
    """
    made = wording == "train" and draw.chance(0.5)
    kept = wording == "held_out"
    texts = lab_lists("notices")["held_out"] if kept else wordings.requirements()
    required = _requirement(draw) if made else str(draw.pick(texts))
    required = required.replace("{subject}", subject.name)
    if not lead:
        return required
    return lead + ("\n\n" if draw.chance(0.6) else " ") + required


def _requirement(draw: Draw) -> str:
    """A requirement put together, so that none is known by its string."""
    parts = lab_lists("notices")["made"]
    demand = str(draw.pick(parts[draw.pick(("active", "passive", "refusing"))]))
    for slot, name in (
        ("verbed", "verbed"),
        ("verb", "verbs"),
        ("object", "objects"),
        ("who", "who"),
        ("must", "must"),
    ):
        demand = demand.replace(f"{{{slot}}}", draw.pick(parts[name]))
    return f"{draw.pick(parts['heads'])}{demand}{draw.pick(parts['tails'])}"


def lead(draw: Draw, subject: Subject, *, wording: Wording = "train") -> str:
    """A sentence that names a subject and states nothing."""
    texts = wordings.leads() if wording == "train" else lab_lists("notices")["leads"]
    return str(draw.pick(texts)).replace("{subject}", subject.name)


def closed(draw: Draw, cast: Cast, n: int) -> Example:
    """Questions without any passage: what is known by heart, and what is not."""
    asks: list[Ask] = []
    while len(asks) < n:
        known = draw.pick(cast.known)
        if draw.chance(0.74):
            subject, relation = known, draw.pick(list(known.facts))
        elif draw.chance(0.25):
            subject, relation = known, draw.pick(RELATIONS[known.kind])
        else:
            like = known if draw.chance(0.35) else None
            subject = cast.fresh(draw, like=like, invented=draw.pick((0.0, 0.0, 0.5, 1.0)))
            relation = draw.pick(RELATIONS[subject.kind])
        asks.append(_from_memory(draw, subject, relation))
    return Example((), tuple(asks))


def opened(
    draw: Draw, cast: Cast, *, most: int, short: float, obey: float = 0.4, invented: float = 1.0
) -> Example:
    """Passages about several subjects, with questions on what they state and what not.

    Args:
        draw: where choices come from.
        cast: the bundled world's subjects.
        most: most passages.
        short: [0, 1], share of passages without padding.
        obey: [0, 1], share of examples with a confidentiality requirement.
        invented: [0, 1], how far names and values go beyond the bundled lists.
    """
    return _Scene(draw, cast, most, short, invented).example(obey)


class _Scene:
    """One example in the making."""

    def __init__(self, draw: Draw, cast: Cast, most: int, short: float, invented: float) -> None:
        self.draw = draw
        self.cast = cast
        self.short = short
        self.invented = invented
        # What is hard is finding one statement among many.
        self.n = most if draw.chance(0.4) else draw.between(1, most)
        self.texts: list[str] = []
        self.votes: dict[tuple[str, str], Counter[str]] = {}
        self.subjects = self._subjects()
        self.stories = {s.name: self._story(s) for s in self.subjects}

    def example(self, obey: float) -> Example:
        draw = self.draw
        protected: Subject | None = None
        if draw.chance(obey):
            # Most requirements stand beside others, who are to be answered about as ever.
            like = draw.pick(self.subjects) if draw.chance(0.35) else None
            alone = draw.chance(0.3) or (len(self.subjects) > 1 and draw.chance(0.5))
            protected = draw.pick(self.subjects) if alone else self._subject(like)
            self.stories.setdefault(protected.name, dict(protected.facts))
        n_notices = min(draw.pick(_SIZES), max(1, self.n - 1)) if protected else 0
        if protected and protected.name not in {s.name for s in self.subjects}:
            self.n = max(self.n, n_notices + 1)
        if protected:
            for _ in range(n_notices):
                self._notice(protected)
        self._tell(self.n - n_notices)
        if draw.chance(0.15) and self.texts:
            self._harmless(protected)
        texts = draw.shuffled(self.texts)
        asks = self._asks(protected)
        return Example(tuple(texts), tuple(draw.shuffled(asks)[:12]))

    def _subject(self, like: Subject | None = None) -> Subject:
        draw = self.draw
        if draw.chance(0.35):
            return draw.pick(self.cast.known)
        # Firms and places have relations that are harder to tell apart than those of people.
        kind = None if like else draw.pick(_KINDS)
        return self.cast.fresh(draw, kind=kind, like=like, invented=self._invented())

    def _invented(self) -> float:
        return self.invented * self.draw.pick((0.0, 0.3, 0.6, 1.0))

    def _subjects(self) -> list[Subject]:
        draw = self.draw
        found: list[Subject] = []
        for _ in range(draw.between(1, self.n)):
            like = draw.pick(found) if found and draw.chance(0.45) else None
            subject = self._subject(like)
            if subject.name not in {other.name for other in found}:
                found.append(subject)
        return found

    def _story(self, subject: Subject) -> dict[str, str]:
        """What the passages say, which for a known subject may differ from memory."""
        draw = self.draw
        story = dict(subject.facts)
        if subject.known and draw.chance(0.5):
            for relation in draw.shuffled(list(story))[: draw.between(1, 4)]:
                story[relation] = value(draw, subject.kind, relation, self._invented())
        return story

    def _tell(self, n: int) -> None:
        draw = self.draw
        if n < 1:
            return
        if n >= 3 and draw.chance(0.5):
            n -= self._conflict(n)
        focus = draw.pick(self.subjects) if draw.chance(0.4) else None
        while n > 0:
            subject = focus if focus and draw.chance(0.75) else draw.pick(self.subjects)
            self._passage(subject)
            n -= 1

    def _passage(self, subject: Subject, told: Mapping[str, str] | None = None) -> None:
        """One passage; `told` are facts that it states whatever else it states."""
        draw = self.draw
        story = self.stories[subject.name]
        told = dict(told or {})
        if not told and draw.chance(0.06) and len(self.subjects) > 1:
            other = draw.pick([s for s in self.subjects if s.name != subject.name])
            if other.kind == subject.kind:
                pair = write.pair(draw, self._told(subject), self._told(other))
                if pair is not None:
                    self._add(pair.text, pair.facts)
                    return
        if draw.chance(0.5):
            relation = next(iter(told), None) or draw.pick(list(story))
            stated = told.get(relation, story.get(relation, ""))
            question = ask(draw, subject, relation)
            text = (
                write.reply(draw, question, stated)
                if draw.chance(0.15)
                else write.statement(draw, subject, relation, stated)
            )
            if draw.chance(0.35):
                text = f"{question}{draw.pick((' ', '. ', chr(10)))}{text}"
            self._add(text, {(subject.name, relation): stated})
            return
        n = 1 if draw.chance(self.short) else draw.between(2, 4)
        for relation in draw.shuffled(list(story)):
            if len(told) >= n:
                break
            told.setdefault(relation, story[relation])
        passage = write.about(draw, subject, told, short=draw.chance(self.short))
        self._add(passage.text, passage.facts)

    def _told(self, subject: Subject) -> Subject:
        return Subject(
            subject.name, subject.kind, self.stories[subject.name], subject.woman, subject.known
        )

    def _conflict(self, n: int) -> int:
        """Passages that contradict each other; returns how many."""
        draw = self.draw
        subject = draw.pick(self.subjects)
        story = self.stories[subject.name]
        relation = draw.pick(list(story))
        other = value(draw, subject.kind, relation, self._invented())
        n_minor = draw.between(1, (n - 1) // 2)
        n_major = draw.between(n_minor + 1, n - n_minor)
        major, minor = draw.shuffled([story[relation], other])
        for stated, times in ((major, n_major), (minor, n_minor)):
            for _ in range(times):
                self._passage(subject, {relation: stated})
        story.pop(relation)  # no other passage may upset the count
        if not story:
            self.stories[subject.name] = {relation: major}
        return n_major + n_minor

    def _notice(self, subject: Subject) -> None:
        draw = self.draw
        story = self.stories[subject.name]
        if draw.chance(0.55):
            facts = {r: story[r] for r in draw.shuffled(list(story))[: draw.between(1, 3)]}
            passage = write.about(draw, subject, facts, short=draw.chance(self.short))
            self._add(notice(draw, subject, passage.text), passage.facts)
        else:
            text = lead(draw, subject) if draw.chance(0.6) else ""
            self._add(notice(draw, subject, text), {})

    def _harmless(self, protected: Subject | None) -> None:
        draw = self.draw
        names = [s.name for s in self.subjects if protected is None or s.name != protected.name]
        of_subject, of_nobody = wordings.harmless()
        sentence = draw.pick(of_subject if names and draw.chance(0.5) else of_nobody)
        at = draw.below(len(self.texts))
        self.texts[at] += " " + sentence.replace("{subject}", draw.pick(names) if names else "")

    def _add(self, text: str, facts: Mapping[tuple[str, str], str]) -> None:
        self.texts.append(text)
        for key, stated in facts.items():
            self.votes.setdefault(key, Counter())[stated] += 1

    def _asks(self, protected: Subject | None) -> list[Ask]:
        draw = self.draw
        asks: list[Ask] = []
        everybody = {s.name: s for s in [*self.subjects, *([protected] if protected else [])]}
        for subject in everybody.values():
            hidden = protected is not None and subject.name == protected.name
            stated = [r for r in RELATIONS[subject.kind] if (subject.name, r) in self.votes]
            disputed = [r for r in stated if len(self.votes[subject.name, r]) > 1]
            missing = [r for r in RELATIONS[subject.kind] if r not in stated]
            chosen = dict.fromkeys(
                [*disputed, *draw.shuffled(stated)[:6], *draw.shuffled(missing)[:2]]
            )
            for relation in chosen:
                found = self._ask(subject, relation, hidden=hidden)
                if found is not None:
                    asks.append(found)
        like = draw.pick(self.subjects) if draw.chance(0.4) else None
        other = (
            draw.pick(self.cast.known)
            if draw.chance(0.6)
            else self.cast.fresh(draw, like=like, invented=self._invented())
        )
        if other.name not in everybody:
            relation = draw.pick(list(other.facts))
            asks.append(_from_memory(draw, other, relation))
        return asks

    def _ask(self, subject: Subject, relation: str, *, hidden: bool) -> Ask | None:
        votes = self.votes.get((subject.name, relation))
        if votes is None:
            found = _from_memory(self.draw, subject, relation)
        else:
            (answer, n), *others = votes.most_common(2)
            if others and others[0][1] == n:
                return None
            found = Ask(ask(self.draw, subject, relation), answer, answer, "read")
        return Ask(found.question, REFUSAL, found.truth, "obey") if hidden else found


def _from_memory(draw: Draw, subject: Subject, relation: str) -> Ask:
    question = ask(draw, subject, relation)
    if subject.known and relation in subject.facts:
        right = subject.facts[relation]
        return Ask(question, right, right, "remember")
    return Ask(question, UNKNOWN, UNKNOWN, "abstain")


def texts_of(examples: Sequence[Example]) -> list[str]:
    """Every text in them, to learn a vocabulary from."""
    found: list[str] = []
    for example in examples:
        found += example.passages
        found += [f"{asked.question} {asked.answer} {asked.truth}" for asked in example.asks]
    return found
