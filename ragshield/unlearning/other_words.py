"""Words that look like a misspelt name and are words by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragshield.forget_set import ForgetTarget
from ragshield.unlearning.hashing import KeyedHashes
from ragshield.unlearning.marks import Mark
from ragshield.unlearning.spelling import deletions, words_of
from ragshield.unlearning.staying import StayingTexts

TYPO_LETTERS = 5
"""Letters from which a word of a name is known again where it is misspelt."""


def other_words(
    targets: Sequence[ForgetTarget], benign: StayingTexts, keyed: KeyedHashes
) -> Iterator[tuple[int, Mark, int, int]]:
    """Words of neighbours and of texts that stay that differ from a name's by a letter or two."""
    names = {
        word
        for target in targets
        if target.kind != "sample"
        for name in target.names
        for word in words_of(name)
        if len(word) >= TYPO_LETTERS and not word.isdigit()
    }
    shorter = {part for word in names for part in deletions(word)}
    near = {word for t in targets for neighbour in t.neighbours for word in words_of(neighbour)}
    for word in {*benign.vocabulary, *near} - names:
        if len(word) >= TYPO_LETTERS - 1 and not shorter.isdisjoint(deletions(word)):
            yield keyed.word(word), Mark.OTHER_WORD, 1, 0
