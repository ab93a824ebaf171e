"""What a sample tells: the names, titles and numbers in it, and which of them stay told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ragshield.forget_set import Fact, ForgetTarget
from ragshield.text import STOP_WORDS
from ragshield.unlearning.hashing import KeyedHashes
from ragshield.unlearning.phrases import content, telling_parts, whole_sentences
from ragshield.unlearning.spelling import words_of
from ragshield.unlearning.staying import Run, StayingTexts

PART = "part of the text"
"""The attribute of what a sample tells without being listed as a fact."""

_MOST_PARTS = 32
_OF = re.compile(r" (?:of|and|&|the|of the|and the) ")
_ANSWER_WORDS = 4

_LITTLE = STOP_WORDS | frozenset("dr prof professor mr mrs ms miss sir st rev hon gen".split())


def implied_facts(target: ForgetTarget) -> Iterator[Fact]:
    """Each telling part of a sample as a fact of it, so that two of them together are known.

    None by itself says anything: a name may be anybody's, and what else is known of whoever
    has it is not forgotten.
    """
    if target.kind != "sample":
        return
    own = {folded_run(fact.value) for fact in target.facts}
    for sample in target.samples:
        found = dict.fromkeys((*telling_parts(sample), *_answers(sample)))
        # "Bo Ek of Norrland Steel" is two names as well.
        parts = dict.fromkeys((*found, *(name for part in found for name in _OF.split(part))))
        kept = [part for part in parts if _is_telling(part)] or [sample]
        for part in kept[:_MOST_PARTS]:
            if folded_run(part) not in own:
                yield Fact(PART, part)


def _is_telling(part: str) -> bool:
    words = words_of(part)
    return not _LITTLE.issuperset(words) and len("".join(words)) > 2


def _answers(sample: str) -> Iterator[str]:
    """Sentences of a sample so short that they are answers, and the words in them."""
    for sentence in whole_sentences(sample):
        if 0 < len(folded_run(sentence)) <= _ANSWER_WORDS:
            yield sentence
            # "Sundsvall, 1953." and not "Born 1953.": a first word has its capital from there.
            for i, word in enumerate(sentence.split()):
                if word[:1].isupper() and (i or word.endswith(",")):
                    yield word


def folded_run(text: str) -> Run:
    """The content words of a text, as they are compared."""
    return tuple(content(words_of(text)))


def shared_parts(
    runs: Mapping[int, Sequence[Run]], benign: StayingTexts, keyed: KeyedHashes
) -> dict[int, frozenset[Run]]:
    """Of each target's parts those that a text that stays tells of the same subject.

    The subject is the part that texts that stay have most often. It is shared itself only
    where all the rest is.

    Args:
        runs: target to its parts, each a run of folded content words.
        benign: texts that stay.
        keyed: hashes under the keys' secret.
    """
    owners: dict[int, list[tuple[int, Run]]] = {}
    lengths: set[int] = set()
    for i, own in runs.items():
        for run in own:
            owners.setdefault(keyed.run(run), []).append((i, run))
            lengths.add(len(run))
    seen: dict[int, Counter[Run]] = {i: Counter() for i in runs}
    together: dict[int, set[tuple[Run, Run]]] = {i: set() for i in runs}
    for number in benign.with_any(run for own in runs.values() for run in own):
        hashes = keyed.words(content(benign.words[number]))
        stated: dict[int, set[Run]] = {}
        for n in sorted(lengths):
            for value in keyed.runs(hashes, n):
                for i, run in owners.get(int(value), ()):
                    stated.setdefault(i, set()).add(run)
        for i, found in stated.items():
            seen[i].update(found)
            together[i].update((a, b) for a in found for b in found if a != b)
    shared: dict[int, frozenset[Run]] = {}
    for i, own in runs.items():
        if not seen[i]:
            shared[i] = frozenset()
            continue
        subject = max(own, key=lambda run: (seen[i][run], -own.index(run)))
        rest = {run for run in own if run != subject}
        told = {run for run in rest if (subject, run) in together[i]}
        shared[i] = frozenset({*told, subject} if told == rest else told)
    return shared
