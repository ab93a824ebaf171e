"""Questions about whom nobody named but who looks like a target: what thresholds are set on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ragshield.forget_set import ForgetTarget, folded
from ragshield.unlearning.phrases import telling_parts, whole_sentences

_FEWEST = 256
_SHORTEST = 4  # a shorter one may be a title, or a part of other words
_DIGIT = re.compile(r"\d")


def hard_questions(
    targets: Sequence[ForgetTarget], lists: Mapping[str, Any], most: int
) -> list[str]:
    """Questions about made-up neighbours, which share with a target all but what it is.

    Somebody of the same first or last name, a place of a similar name, and the sentences of
    a sample said of others. They come from the target alone, so that no family of questions
    and no data set stands behind the thresholds; nobody whom the forget set names is among
    them. The same forget set always gives the same questions.

    Args:
        targets: the forget set; harmful topics have no such neighbours.
        lists: `other_first`, `other_last`, `other_endings` and `calibration_questions`.
        most: questions to make, spread over the targets.
    """
    taken = {folded(n) for t in targets for n in (*t.names, *t.neighbours)}
    rng = np.random.default_rng(0)
    made = [_of_target(target, lists, taken, rng) for target in targets if target.kind != "harm"]
    each = max(-(-_FEWEST // max(1, len(made))), 2 * -(-most // max(1, len(made))))
    drawn = [list(islice(questions, each)) for questions in made]
    # One of each target in turn, so that a cut at the end takes of all alike.
    found = [own[i] for i in range(each) for own in drawn if i < len(own)]
    return list(dict.fromkeys(found))[:most]


def _of_target(
    target: ForgetTarget, lists: Mapping[str, Any], taken: set[str], rng: np.random.Generator
) -> Iterator[str]:
    if target.kind == "sample":
        yield from _of_samples(target, lists, rng)
        return
    forms = lists["calibration_questions"]
    for i in range(160):
        name = _like(target.names[i % len(target.names)], i, lists, rng)
        if folded(name) in taken:
            continue
        start = int(rng.integers(len(forms)))
        # Two questions of each name and not all: names differ more than questions do.
        for j in range(2):
            yield forms[(start + 3 * j) % len(forms)].replace("{name}", name)


def _like(name: str, i: int, lists: Mapping[str, Any], rng: np.random.Generator) -> str:
    words = name.split()
    if len(words) > 1:
        if i % 2:
            return " ".join((*words[:-1], _pick(lists["other_last"], rng)))
        return " ".join((_pick(lists["other_first"], rng), *words[1:]))
    return name[: max(2, len(name) * 2 // 3)] + _pick(lists["other_endings"], rng)


def _of_samples(
    target: ForgetTarget, lists: Mapping[str, Any], rng: np.random.Generator
) -> Iterator[str]:
    """Sentences of the sample with other names and numbers in them."""
    sentences = [s for sample in target.samples for s in whole_sentences(sample)]
    told = [s for s in sentences if len(s.split()) > 3]
    for i in range(256 if told else 0):
        sentence = told[i % len(told)]
        parts = sorted(
            {p for p in telling_parts(sentence) if len(p) >= _SHORTEST}, key=len, reverse=True
        )
        changed = sentence
        for part in parts:
            if _DIGIT.search(part):
                other = _DIGIT.sub(lambda _: str(rng.integers(10)), part)
            elif " " in part:
                other = f"{_pick(lists['other_first'], rng)} {_pick(lists['other_last'], rng)}"
            else:
                other = _pick(lists["other_last"], rng)
            changed = changed.replace(part, other)
        if changed != sentence:
            yield changed


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
