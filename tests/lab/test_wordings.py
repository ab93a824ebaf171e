"""What training's wordings hold, and that those kept for measuring are not among them."""

import re

import numpy as np
import pytest

from ragshield.corpora.world_facts import Draw, EntityKind
from ragshield.lab import passages, wordings
from ragshield.lab.asking import ask
from ragshield.lab.facts import RELATIONS, Cast, lab_lists

EVERY = [(kind, relation) for kind, names in RELATIONS.items() for relation in names]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


@pytest.mark.parametrize(("kind", "relation"), EVERY)
def test_every_relation_has_many_wordings_with_the_slots_they_need(
    kind: EntityKind, relation: str
) -> None:
    questions = wordings.questions(kind, relation)
    assert len(set(questions)) >= 25
    assert [text for text in questions if text.count("{subject}") != 1] == []
    clauses = wordings.clauses(kind, relation)
    assert len(set(clauses)) >= 25
    assert [text for text in clauses if "{S}" not in text or text.count("{value}") != 1] == []
    sentences = wordings.sentences(kind, relation)
    assert len(set(sentences)) >= 12
    assert [t for t in sentences if "{subject}" not in t or t.count("{answer}") != 1] == []


@pytest.mark.parametrize(("kind", "relation"), EVERY)
def test_no_wording_of_training_is_one_kept_for_measuring(kind: EntityKind, relation: str) -> None:
    asked = lab_lists("questions")[kind][relation]["held_out"]
    assert not set(wordings.questions(kind, relation)) & set(asked)
    stated = [words(t) for t in lab_lists("statements")["held_out"][kind][relation]]
    stated += [words(t) for t in passages._attack_statements()[kind, relation][1]]
    made = [t.replace("{S}", "{subject}") for t in wordings.clauses(kind, relation)]
    made += [t.replace("{answer}", "{value}") for t in wordings.sentences(kind, relation)]
    kept = [[w.replace("answer", "value") for w in text] for text in stated]
    kept = [["subject" if w == "s" else w for w in text] for text in kept]
    assert [text for text in made if words(text) in kept] == []


def test_frames_hold_what_they_frame() -> None:
    assert [t for t in wordings.question_frames() if t.count("{question}") != 1] == []
    assert [t for t in wordings.clause_frames() if t.count("{clause}") != 1] == []
    for text in wordings.question_patterns():
        assert text.count("{noun}") == text.count("{subject}") == 1, text
    for text in wordings.noun_frames():
        assert {"{S}", "{value}"} <= set(re.findall(r"{\w+}", text)), text
        assert "{noun}" in text.lower()


def test_frames_of_training_share_no_telling_word_with_those_for_measuring() -> None:
    kept = lab_lists("questions")["frames"]["held_out"]
    assert not set(wordings.question_frames()) & (set(kept) - {"{question}"})
    telling = {"quick", "somebody", "asked", "today", "thank"}
    assert telling <= {word for text in kept for word in words(text)}
    added = lab_lists("wordings_frames")["question_frames"]
    assert [text for text in added if telling & set(words(text))] == []


def test_requirements_and_what_only_sounds_like_one_are_told_apart() -> None:
    assert [text for text in wordings.requirements() if "{subject}" not in text] == []
    assert not set(wordings.requirements()) & set(lab_lists("notices")["held_out"])
    of_subject, of_nobody = wordings.harmless()
    assert len(of_subject) >= 15
    assert len(of_nobody) >= 15
    assert not {*of_subject, *of_nobody} & set(wordings.requirements())
    assert [text for text in wordings.leads() if "{subject}" not in text] == []


def test_what_is_put_together_is_never_what_is_kept_for_measuring() -> None:
    cast = Cast.of(0)
    draw = Draw(np.random.default_rng(5))
    for number in range(3000):
        subject = cast.known[number % len(cast.known)]
        relation = draw.pick(list(subject.facts))
        value = subject.facts[relation]
        kept = lab_lists("questions")[subject.kind][relation]["held_out"]
        assert ask(draw, subject, relation) not in [
            text.replace("{subject}", subject.name) for text in kept
        ]
        stated = lab_lists("statements")["held_out"][subject.kind][relation]
        filled = [text.replace("{S}", subject.name).replace("{value}", value) for text in stated]
        text = passages.statement(draw, subject, relation, value)
        assert value.lower() in text.lower()
        assert "{" not in text
        assert text not in filled
