"""Which facts of a document other documents state also, and what is done about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ragshield.forget.closure.chosen import Chosen, Why
from ragshield.forget.closure.seeds import Seed, Seeds
from ragshield.forget.matching.documents import Key, keys_of
from ragshield.forget.matching.facts import Fact, Facts, about, facts_of
from ragshield.forget.matching.features import Rarity
from ragshield.forget.matching.reading import Looks, Part
from ragshield.forget.plans.records import Shared, SharedFact
from ragshield.records import Passage

N_LISTED = 20
MOST_FACTS = 5_000
"""Facts that a plan lists; the most widely shared first."""


def shared_facts(
    seeds: Seeds, chosen: Chosen, rarity: Rarity, shared: Shared
) -> Looks[tuple[tuple[SharedFact, ...], int]]:
    """Read a store once more for facts of the seeds in passages that stay.

    With `report` such passages are put on the review list, with `forget` selected where
    the fact is about somebody, else put there too.

    Args:
        seeds: the passages that would go.
        chosen: what has been chosen; passages may be added.
        rarity: of words in the store.
        shared: what becomes of them.

    Returns:
        The facts, most widely shared first, at most `MOST_FACTS`, and how many there are.
    """
    facts = Facts(_facts(seeds.seeds), rarity)
    if not facts.facts:
        return (), 0
    reading = _Reading(facts, chosen, shared)
    yield reading
    return reading.finish()


class _Reading:
    """What is held while a store is read."""

    def __init__(self, facts: Facts, chosen: Chosen, shared: Shared) -> None:
        self._facts, self._chosen, self._shared = facts, chosen, shared
        self._words = facts.words
        self._also: dict[int, list[str]] = defaultdict(list)
        self._n_also: dict[int, int] = defaultdict(int)
        self._named: dict[Key, set[str]] = defaultdict(set)
        self._waiting: list[tuple[Passage, tuple[Key, ...], list[int]]] = []

    def see(self, part: Part) -> None:
        """Look for the facts in the passages of a part."""
        facts = self._facts
        there = self._words & part.with_word.keys()
        for i in sorted({i for word in there for i in part.with_word[word]}):
            passage, text, keys = part.batch.passages[i], part.features[i], part.keys[i]
            if self._chosen.is_selected(passage.id):
                continue
            whole, values = facts.stated(text)
            self._note(passage, whole)
            for key in keys:
                self._named[key] |= facts.mentioned(text)
            if values and keys:
                self._waiting.append((passage, keys, values))

    def finish(self) -> tuple[tuple[SharedFact, ...], int]:
        """The facts, and how many there are."""
        facts, also, n_also = self._facts, self._also, self._n_also
        for passage, keys, values in self._waiting:
            # Another chunk of its document says whom "he" is.
            about_whom: set[str] = set().union(*(self._named[key] for key in keys))
            stated = [number for number in values if facts.facts[number].about in about_whom]
            self._note(passage, stated)
        for number, ids in list(also.items()):
            # Taken in after it was counted: with `forget` it is no longer outside.
            also[number] = [x for x in ids if not self._chosen.is_selected(x)] or ids
        order = sorted(n_also, key=lambda number: (-n_also[number], number))
        listed = tuple(
            SharedFact(
                text=facts.facts[number].text[:300],
                about=facts.facts[number].about,
                value=facts.facts[number].value,
                stated_in=facts.facts[number].stated_in,
                also_in=tuple(also[number]),
                n_also=n_also[number],
            )
            for number in order[:MOST_FACTS]
        )
        return listed, len(order)

    def _note(self, passage: Passage, stated: Sequence[int]) -> None:
        for number in stated:
            self._n_also[number] += 1
            if len(self._also[number]) < N_LISTED:
                self._also[number].append(passage.id)
        if stated and self._shared != "keep":
            self._chosen.take(passage, _why(self._facts, stated, self._shared))


def _facts(seeds: Sequence[Seed]) -> list[Fact]:
    """The facts of each document; one that says nothing of its documents is one itself."""
    documents: dict[object, list[Seed]] = defaultdict(list)
    for seed in seeds:
        keys = keys_of(seed.passage)
        documents[keys[0] if keys else seed.passage.id].append(seed)
    found: list[Fact] = []
    for parts in documents.values():
        subject = about([part.features for part in parts])
        for part in parts:
            found += facts_of(part.features, part.passage.id, subject)
    return found


def _why(facts: Facts, stated: Sequence[int], shared: Shared) -> Why:
    found = [facts.facts[number] for number in stated]
    values = ", ".join(f"'{fact.value}'" for fact in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    somebody = [fact.about for fact in found if fact.about]
    whom = f" about {somebody[0]}" if somebody else ""
    how = f"states {len(found)} fact{'s' if len(found) > 1 else ''} of the target also{whom}"
    related = tuple(dict.fromkeys(fact.stated_in for fact in found))[:5]
    sure = shared == "forget" and bool(somebody)
    return Why(sure, 0.9 if sure else 0.6, f"{how}: {values}{more}", related)
