"""A question about one relation of a subject, in training's words or in those for measuring."""

from __future__ import annotations

import re
from functools import cache

from ragshield.corpora.world_facts import Draw, word_lists
from ragshield.lab import wordings
from ragshield.lab.facts import Subject, lab_lists
from ragshield.lab.passages import Wording


def ask(draw: Draw, subject: Subject, relation: str, *, wording: Wording = "train") -> str:
    """A question about one relation of a subject."""
    if wording == "held_out":
        lists = lab_lists("questions")
        phrasing = draw.pick(lists[subject.kind][relation]["held_out"])
        frame = str(draw.pick(lists["frames"]["held_out"]))
        question = str(phrasing).replace("{subject}", subject.name)
        return frame.replace("{question}", question).replace("{subject}", subject.name)
    if draw.chance(0.35):
        phrasing = _patterned(draw, subject, relation)
    else:
        phrasing = draw.pick(wordings.questions(subject.kind, relation))
    question = phrasing.replace("{subject}", subject.name)
    if draw.chance(0.3):
        return _among_others(draw, question)
    frame = draw.pick(wordings.question_frames())
    return frame.replace("{question}", question).replace("{subject}", subject.name)


def _among_others(draw: Draw, question: str) -> str:
    """A question before or after other words, so that none beside it confuses the model."""
    words = " ".join(draw.pick(filler_words()) for _ in range(draw.between(1, 6)))
    words = words[0].upper() + words[1:]
    if draw.chance(0.5):
        return f"{words}{draw.pick(('.', ':', ',', '!'))} {question}"
    return f"{question} {words}{draw.pick(('.', '.', '!', ''))}"


@cache
def filler_words() -> tuple[str, ...]:
    """Words of the bundled world's sentences, without those of the frames kept for measuring."""
    kept = " ".join(lab_lists("questions")["frames"]["held_out"]).lower()
    found: set[str] = set()
    for name in ("world_people", "world_firms", "world_places", "world_lists"):
        found.update(re.findall(r"\b[a-z]{3,}\b", str(word_lists(name))))
    return tuple(sorted(found - set(re.findall(r"[a-z]+", kept))))


def _patterned(draw: Draw, subject: Subject, relation: str) -> str:
    """A question made of a pattern and a noun, and not one that is kept for measuring."""
    kept = lab_lists("questions")[subject.kind][relation]["held_out"]
    while True:
        noun = draw.pick(wordings.nouns(subject.kind, relation))
        found = draw.pick(wordings.question_patterns()).replace("{noun}", noun)
        if found not in kept:
            return found
