"""From a forget set to its keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ragshield.errors import UsageError
from ragshield.forget_set import (
    EVERYTHING,
    Fact,
    ForgetTarget,
    check_forget_set,
    folded,
)
from ragshield.protocols import Encoder
from ragshield.unlearning.calibrating import calibrated
from ragshield.unlearning.changing import joined
from ragshield.unlearning.hashing import KeyedHashes
from ragshield.unlearning.key_texts import key_texts, templates
from ragshield.unlearning.keys import (
    Calibration,
    ForgetKeys,
    KeyedFact,
    KeyedTarget,
    new_secret,
    rotation,
)
from ragshield.unlearning.marks import Mark, Marks, Typos
from ragshield.unlearning.namesakes import namesake_marks
from ragshield.unlearning.other_words import TYPO_LETTERS, other_words
from ragshield.unlearning.phrases import (
    LONGEST,
    Phrase,
    content,
    phrases_of,
)
from ragshield.unlearning.samples import implied_facts, shared_parts
from ragshield.unlearning.spelling import deletions, skeleton, words_of
from ragshield.unlearning.staying import StayingTexts, as_staying

PIECE = 5
"""Words of a run by which a sample is known again."""

_SPELLED_LETTERS = 4
_HYPHEN = re.compile(r"(?<=\w)['\u2019\-\u2010\u2011](?=\w)")


def build_keys(
    targets: Sequence[ForgetTarget],
    encoder: Encoder,
    *,
    secret: bytes | None = None,
    benign: Iterable[str] | StayingTexts = (),
    budget: float = 0.02,
    beside: ForgetKeys | None = None,
) -> ForgetKeys:
    """The keys of a forget set, with thresholds set on its neighbours.

    Args:
        targets: what to forget.
        encoder: the gates' own; the same one is needed whenever the keys are used.
        secret: 32 bytes; None for a fresh key. Keys built with the same secret can be
            compared.
        benign: texts that stay, where they are at hand: what they share with samples, and
            values that they state too, give nothing away by themselves; and whom they name
            in full is somebody else (`ragshield.unlearning.namesakes`). `StayingTexts` where
            more targets are added later.
        budget: share of neighbours' questions that may be refused for their meaning alone.
        beside: keys that these are to be joined with, built with the same secret: neighbours
            are then asked about beside what they forget too, and the limits hold for both.

    Raises:
        InputError: `check_forget_set` refuses the targets, or `joined` the two keys.
        UsageError: no targets, a budget that is not in (0, 0.5], or a secret of another
            length.
    """
    if not targets:
        raise UsageError("there is nothing to forget: give at least one target")
    if not 0 < budget <= 0.5:
        raise UsageError(f"budget is {budget}, allowed is more than 0 up to 0.5")
    check_forget_set(targets)
    key = new_secret() if secret is None else secret
    if len(key) != 32:
        raise UsageError(f"the secret has {len(key)} bytes, it must have 32")
    keyed = KeyedHashes(key)
    facts = [(i, fact) for i, target in enumerate(targets) for fact in target.facts]
    implied = [(i, fact) for i, target in enumerate(targets) for fact in implied_facts(target)]
    kept = as_staying(benign)
    marks = Marks.of(
        (
            *_marks(targets, facts, kept, keyed),
            *_implied_marks(targets, implied, len(facts), kept, keyed),
            *other_words(targets, kept, keyed),
            *namesake_marks(targets, kept, keyed),
        )
    )
    texts, rows, owners = key_texts(targets)
    turn = rotation(key, encoder.dim)
    vectors = encoder.encode(texts) @ turn
    keys = ForgetKeys(
        secret=key,
        targets=tuple(_keyed(target, keyed) for target in targets),
        facts=tuple(
            KeyedFact(i, keyed.mark("attribute", folded(fact.attribute)))
            for i, fact in (*facts, *implied)
        ),
        marks=marks,
        typos=Typos.of(_typos(targets, keyed)),
        attributes=_attributes(targets, keyed),
        vectors=vectors.astype(np.float32),
        rows=np.array(rows, dtype=np.uint8),
        owners=np.array(owners, dtype=np.int32),
        encoder=encoder.name,
        calibration=Calibration(**templates()["shipped"], budget=budget),
    )
    tried = keys if beside is None else joined(beside, keys)
    shipped = replace(tried, calibration=keys.calibration)
    return replace(keys, calibration=calibrated(shipped, targets, encoder, budget))


def attribute_words(attribute: str) -> Iterator[tuple[str, ...]]:
    """Runs of content words, each of which asks for an attribute."""
    own = tuple(content(words_of(attribute)))
    yield own
    for name, more in templates()["attributes"].items():
        known = [tuple(content(words_of(words))) for words in (name, *more)]
        if own in known:
            yield from known


def _keyed(target: ForgetTarget, keyed: KeyedHashes) -> KeyedTarget:
    def marked(attributes: Iterable[str]) -> frozenset[str]:
        return frozenset(
            EVERYTHING if a == EVERYTHING else keyed.mark("attribute", folded(a))
            for a in attributes
        )

    return KeyedTarget(
        id=keyed.mark("target", folded(target.name)),
        kind=target.kind,
        allowed=marked(target.allowed),
        audiences={name: marked(told) for name, told in target.audiences.items()},
        thing=_is_thing(target),
    )


def _is_thing(target: ForgetTarget) -> bool:
    """Whether facts are listed of a target, and none that only a person has."""
    asked = {run for fact in target.facts for run in attribute_words(fact.attribute)}
    person = {run for name in templates()["of_persons"] for run in attribute_words(name)}
    return target.kind == "concept" and bool(target.facts) and asked.isdisjoint(person)


def _marks(
    targets: Sequence[ForgetTarget],
    facts: Sequence[tuple[int, Fact]],
    benign: StayingTexts,
    keyed: KeyedHashes,
) -> Iterator[tuple[int, Mark, int, int]]:
    common = frozenset(templates()["common_words"].split())
    for i, target in enumerate(targets):
        if target.kind != "sample":
            for name in target.names:
                yield from _name_marks(name, i, common, keyed)
        for neighbour in target.neighbours:
            run = words_of(neighbour)
            yield keyed.run(run), Mark.NEIGHBOUR, len(run), 0
    stated = _counted(facts, targets, benign, keyed)
    for j, (i, fact) in enumerate(facts):
        for phrase in phrases_of(fact, targets[i].names):
            mark = Mark.TELLING if _is_telling(phrase.words) else Mark.VALUE
            if stated[keyed.run(phrase.words)]:
                mark = Mark.SHARED
            yield from _phrase_marks(phrase, mark, j, keyed)
    yield from _piece_marks(targets, benign, keyed)


def _phrase_marks(
    phrase: Phrase, mark: Mark, j: int, keyed: KeyedHashes
) -> Iterator[tuple[int, Mark, int, int]]:
    for words in (phrase.words, *phrase.spellings):
        yield keyed.run(words), mark, len(words), j
    if len(phrase.joined) >= _SPELLED_LETTERS:
        letters = tuple(phrase.joined)
        yield keyed.run(letters), Mark.SPELLED, len(letters), j


def _implied_marks(
    targets: Sequence[ForgetTarget],
    implied: Sequence[tuple[int, Fact]],
    first: int,
    benign: StayingTexts,
    keyed: KeyedHashes,
) -> Iterator[tuple[int, Mark, int, int]]:
    """Marks of what samples tell; what texts that stay tell too, of the same, is shared."""
    of: dict[int, list[tuple[int, Phrase]]] = {}
    for j, (i, fact) in enumerate(implied, first):
        for phrase in phrases_of(fact, ()):
            # A word like "school" names nobody, whatever it is a part of.
            if len(phrase.words) > 1 or phrase.words[0] not in benign.small:
                of.setdefault(i, []).append((j, phrase))
    # What is listed is known by its own mark, which says more.
    listed = {
        (i, keyed.run(phrase.words))
        for i in of
        for fact in targets[i].facts
        for phrase in phrases_of(fact, targets[i].names)
    }
    of = {
        i: [(j, phrase) for j, phrase in own if (i, keyed.run(phrase.words)) not in listed]
        for i, own in of.items()
    }
    shared = shared_parts(
        {i: [phrase.words for _, phrase in phrases] for i, phrases in of.items()}, benign, keyed
    )
    for i, phrases in of.items():
        for j, phrase in phrases:
            mark = Mark.SHARED if phrase.words in shared[i] else Mark.VALUE
            yield from _phrase_marks(phrase, mark, j, keyed)


def _name_marks(
    name: str, i: int, common: frozenset[str], keyed: KeyedHashes
) -> Iterator[tuple[int, Mark, int, int]]:
    run = words_of(name)
    is_common = all(word in common or word.isdigit() for word in run)
    mark = Mark.COMMON_NAME if is_common else Mark.NAME
    yield keyed.run(run), mark, len(run), i
    joined = "".join(run)
    unhyphened = words_of(_HYPHEN.sub("", name))
    if unhyphened != run:
        yield keyed.run(unhyphened), mark, len(unhyphened), i
    if len(run) > 1:
        # The other way round, or with any part of it first: "Lindqvist, Ada".
        turned = (run[::-1], run[1:] + run[:1], run[-1:] + run[:-1])
        yield from ((keyed.run(words), mark, len(run), i) for words in turned)
        # Somebody else may have the last name, or it and the initial.
        if len(run[-1]) > 2 and not run[-1].isdigit() and run[-1].isascii():
            yield keyed.run(run[-1:]), Mark.PART, 1, i
            yield keyed.run((run[0][0], run[-1])), Mark.PART, 2, i
    if len(joined) >= 5 and (not is_common or len(run) > 1):
        yield keyed.run(tuple(joined)), Mark.LETTERS, len(joined), i
        yield keyed.run((joined,)), Mark.JOINED, 1, i
    sounds = tuple(skeleton(word) for word in run)
    if sum(map(len, sounds)) >= 4 and all(sounds) and (not is_common or len(run) > 1):
        yield keyed.run([f"~{sound}" for sound in sounds]), Mark.SOUND, len(run), i


def _typos(targets: Sequence[ForgetTarget], keyed: KeyedHashes) -> Iterator[tuple[int, int, int]]:
    for i, target in enumerate(targets):
        if target.kind == "sample":
            continue
        for word in {word for name in target.names for word in words_of(name)}:
            if len(word) >= TYPO_LETTERS and not word.isdigit():
                for shorter in deletions(word):
                    yield keyed.word(f"-{shorter}"), keyed.word(word), i


def _piece_marks(
    targets: Sequence[ForgetTarget], benign: StayingTexts, keyed: KeyedHashes
) -> Iterator[tuple[int, Mark, int, int]]:
    """Runs of words of samples that no text that stays has too."""
    found: dict[int, set[int]] = {}
    windows: set[tuple[str, ...]] = set()
    for i, target in enumerate(targets):
        texts = target.samples if target.kind == "sample" else ()
        long = [f.value for f in target.facts if len(content(words_of(f.value))) > LONGEST]
        for text in (*texts, *long):
            words = words_of(text)
            windows.update(words[a : a + PIECE] for a in range(len(words) - PIECE + 1))
            for run in pieces(text, keyed):
                found.setdefault(run, set()).add(i)
    stay = [benign.words[i] for i in benign.with_any(windows)]
    for words in (*stay, *(words_of(text) for text in templates()["background"])):
        for hash_ in keyed.runs(keyed.words(words), PIECE):
            found.pop(int(hash_), None)
    for run, owners in found.items():
        # What several targets share is boilerplate.
        if len(owners) == 1:
            yield run, Mark.PIECE, PIECE, owners.pop()


def pieces(text: str, keyed: KeyedHashes) -> list[int]:
    """Hashes of all runs of `PIECE` words of a text."""
    return [int(h) for h in keyed.runs(keyed.words(words_of(text)), PIECE)]


def _counted(
    facts: Sequence[tuple[int, Fact]],
    targets: Sequence[ForgetTarget],
    benign: StayingTexts,
    keyed: KeyedHashes,
) -> Counter[int]:
    """How often phrases of the facts are said of somebody else."""
    owners: dict[int, set[int]] = {}
    phrases: set[tuple[str, ...]] = set()
    for i, fact in facts:
        for phrase in phrases_of(fact, targets[i].names):
            phrases.add(phrase.words)
            owners.setdefault(keyed.run(phrase.words), set()).add(i)
    stated: Counter[int] = Counter({run: 1 for run, of in owners.items() if len(of) > 1})
    lengths = range(1, LONGEST + 1)
    for number in benign.with_any(phrases):
        hashes = keyed.words(content(benign.words[number]))
        for _, runs in keyed.runs_of(hashes, lengths):
            stated.update(run for run in runs.tolist() if run in owners)
    return stated


def _is_telling(phrase: Sequence[str]) -> bool:
    """Whether a phrase can hardly be said of anything else: an id, a number, a title."""
    letters = "".join(phrase)
    digits = sum(c.isdigit() for c in letters)
    return digits >= 6 or len(phrase) >= 4 or (digits >= 3 and len(letters) - digits >= 3)


def _attributes(targets: Sequence[ForgetTarget], keyed: KeyedHashes) -> dict[int, tuple[str, ...]]:
    """Which runs of words ask for which attributes, of all that policies speak of."""
    named = {fact.attribute for target in targets for fact in target.facts}
    for target in targets:
        named.update(target.allowed, *target.audiences.values())
    found: dict[int, set[str]] = {}
    for attribute in named - {EVERYTHING}:
        for words in attribute_words(attribute):
            if words:
                found.setdefault(keyed.run(words), set()).add(
                    keyed.mark("attribute", folded(attribute))
                )
    return {run: tuple(sorted(ids)) for run, ids in found.items()}
