"""What passages hold about a question: names, links between passages, relevant sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from ragshield.readers.expected import asked_class
from ragshield.readers.segments import Segment, as_segment, is_relation, segments, stem
from ragshield.records import Passage
from ragshield.text import STOP_WORDS, content_words, words

# These and the reader's own constants were chosen by reason. Halved or raised by half, one
# at a time, none moves an accuracy or attack success rate measured on five sets by over 0.07.
_IN_NEIGHBOUR, _IN_PASSAGE = 0.5, 0.2  # worth of a question word outside the sentence itself
_NAME_OUTSIDE = 0.9  # worth of a name there: "it" and "she" stand for names
_NAME_WEIGHT = 0.5  # what is asked tells sentences about one name apart, the name does not
_BRIDGED = 0.8  # worth of a passage that is linked to the question by another passage only
# "What is the name of the mayor" asks for the mayor, and "name" is in too many sentences.
_SAYS_NOTHING = frozenset({"name", "names"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be the answer.

    Attributes:
        n: position of its passage.
        part: the sentence.
        stems: stems of its content words.
        relevance: [0, 1], share of what is asked that it covers.
    """

    n: int
    part: Segment
    stems: frozenset[str]
    relevance: float


@dataclass(frozen=True, slots=True)
class About:
    """What a question asks, seen with the passages that name things.

    Attributes:
        words: its content words.
        asked: their stems.
        relations: those stems that are relations.
        names: words that are names, here or in the passages.
        asked_names: stems of its names.
        name_runs: stems of each run of names in it.
    """

    words: frozenset[str]
    asked: frozenset[str]
    relations: frozenset[str]
    names: frozenset[str]
    asked_names: frozenset[str]
    name_runs: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, question: str, split: Iterable[Sequence[Segment]]) -> About:
        """Read a question together with its passages."""
        names = _names(part for parts in split for part in parts) | _capitals(question)
        names -= asked_class(question)
        asked_words = frozenset(content_words(question) or words(question))
        asked_words = asked_words - _SAYS_NOTHING or asked_words
        runs: list[set[str]] = [set()]
        for word in words(question):
            if word in names:
                runs[-1].add(stem(word, names))
            elif runs[-1]:
                runs.append(set())
        asked = frozenset(stem(word, names) for word in asked_words)
        return cls(
            words=asked_words,
            asked=asked,
            relations=frozenset(filter(is_relation_stem, asked)),
            names=names,
            asked_names=frozenset(stem(word, names) for word in asked_words & names),
            name_runs=tuple(frozenset(run) for run in runs if run),
        )


def is_relation_stem(found: str) -> bool:
    """Whether a stem stands for a group of relation words."""
    return found.startswith("=")


def split_passages(passages: Iterable[Passage], question: str) -> list[list[Segment]]:
    """The sentences of each passage."""
    return [segments(passage.text, question) for passage in passages]


def candidates(split: Sequence[Sequence[Segment]], about: About) -> list[Candidate]:
    """Every sentence that may be an answer, in order: no question, and not only an echo."""
    read = [_read(parts, about) for parts in split]
    weights = _weights(read, about)
    return [
        candidate
        for n, (passage, link) in enumerate(zip(read, _links(read, about, weights), strict=True))
        for candidate in _in_passage(n, passage, link, about, weights)
    ]


@dataclass(frozen=True, slots=True)
class _Read:
    """A passage: its sentences, their stems, all stems, and the stems that are names."""

    parts: Sequence[Segment]
    stems: Sequence[frozenset[str]]
    all: frozenset[str]
    names: frozenset[str]


def _read(parts: Sequence[Segment], about: About) -> _Read:
    found = [frozenset(stem(word, about.names) for word in part.words) for part in parts]
    names = (stem(word, about.names) for part in parts for word in part.words & about.names)
    return _Read(parts, found, frozenset().union(*found), frozenset(names))


def _names(parts: Iterable[Segment]) -> frozenset[str]:
    """Words that are always written with a capital."""
    inside: set[str] = set()
    first: set[str] = set()
    plain: set[str] = set()
    for part in parts:
        inside |= part.names
        first |= part.first
        plain |= part.plain
    return frozenset((inside | {word for word in first if not is_relation(word)}) - plain)


def _capitals(question: str) -> frozenset[str]:
    """Names in a question, unless it is in capitals or title case, which tells nothing."""
    part = as_segment(question)
    return part.names if part.plain - STOP_WORDS else frozenset()


def _weights(read: Sequence[_Read], about: About) -> dict[str, float]:
    """The weight of each stem of the question: rarer in the passages, heavier."""
    n_using = Counter(found for passage in read for found in passage.all)
    return {
        found: math.log(1 + (len(read) + 1) / (n_using[found] + 0.5))
        * (_NAME_WEIGHT if found in about.asked_names else 1.0)
        for found in about.asked
    }


def _links(read: Sequence[_Read], about: About, weights: Mapping[str, float]) -> list[float]:
    """How far each passage is about what the question names: [0, 1], 0 = not at all."""
    if not about.name_runs:
        return [1.0] * len(read)
    direct = []
    for passage in read:
        shares = [
            math.fsum(weights.get(found, 0.0) for found in run & passage.all)
            / (math.fsum(weights.get(found, 0.0) for found in run) or 1.0)
            for run in about.name_runs
        ]
        direct.append(max(shares))
    if 1.0 not in direct:  # nobody here has the whole name: half of it is somebody else's
        return [0.0] * len(read)
    whole = (passage.names for passage, link in zip(read, direct, strict=True) if link == 1.0)
    bridges = frozenset().union(*whole) - about.asked
    return [
        max(link if link > 0.5 else 0.0, _BRIDGED if passage.names & bridges else 0.0)
        for passage, link in zip(read, direct, strict=True)
    ]


def _in_passage(
    n: int, passage: _Read, link: float, about: About, weights: Mapping[str, float]
) -> Iterator[Candidate]:
    if not link:
        return
    for i, (part, own) in enumerate(zip(passage.parts, passage.stems, strict=True)):
        if own <= about.asked or part.text.endswith(("?", "\uff1f", "\u061f")):
            continue
        near = own.union(*passage.stems[max(0, i - 1) : i + 2])
        covered = _covered(own, near, passage.all, weights, about.asked_names)
        yield Candidate(n, part, own, link * covered)


def _covered(
    own: Set[str],
    near: Set[str],
    everywhere: Set[str],
    weights: Mapping[str, float],
    names: Set[str],
) -> float:
    """Share of the question's weight that a sentence covers, itself or by its surroundings."""
    total = []
    for found, weight in weights.items():
        if found in own:
            total.append(weight)
        elif found in everywhere and found in names:
            total.append(weight * _NAME_OUTSIDE)
        elif found in everywhere:
            total.append(weight * (_IN_NEIGHBOUR if found in near else _IN_PASSAGE))
    return math.fsum(total) / math.fsum(weights.values())
