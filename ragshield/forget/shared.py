"""Which facts of a document other documents state also, and what is done about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ragshield.forget.chosen import Chosen, Why
from ragshield.forget.documents import Key, keys_of
from ragshield.forget.facts import Fact, Facts, about, facts_of
from ragshield.forget.features import Features, Rarity
from ragshield.forget.plan_records import Shared, SharedFact
from ragshield.forget.seeds import Seed, Seeds
from ragshield.forget.survey import unit_batches
from ragshield.protocols import Store
from ragshield.records import Passage

N_LISTED = 20
MOST_FACTS = 5_000
"""Facts that a plan lists; the most widely shared first."""


def shared_facts(
    store: Store, seeds: Seeds, chosen: Chosen, rarity: Rarity, shared: Shared
) -> tuple[tuple[SharedFact, ...], int]:
    """Read a store once more for facts of the seeds in passages that stay.

    With `report` such passages are put on the review list, with `forget` selected where
    the fact is about somebody, else put there too.

    Args:
        store: what to read.
        seeds: the passages that would go.
        chosen: what has been chosen; passages may be added.
        rarity: of words in the store.
        shared: what becomes of them.

    Returns:
        The facts, most widely shared first, at most `MOST_FACTS`, and how many there are.
    """
    facts = Facts(_facts(seeds.seeds), rarity)
    also: dict[int, list[str]] = defaultdict(list)
    n_also: dict[int, int] = defaultdict(int)

    def note(passage: Passage, stated: Sequence[int]) -> None:
        for number in stated:
            n_also[number] += 1
            if len(also[number]) < N_LISTED:
                also[number].append(passage.id)
        if stated and shared != "keep":
            chosen.take(passage, _why(facts, stated, shared))

    named: dict[Key, set[str]] = defaultdict(set)
    waiting: list[tuple[Passage, tuple[Key, ...], list[int]]] = []
    for _, batch, _ in unit_batches(store):
        for passage in batch.passages:
            if chosen.is_selected(passage.id):
                continue
            text, keys = Features(passage.text), keys_of(passage)
            whole, values = facts.stated(text)
            note(passage, whole)
            for key in keys:
                named[key] |= facts.mentioned(text)
            if values and keys:
                waiting.append((passage, keys, values))
    for passage, keys, values in waiting:
        # Another chunk of its document says whom "he" is.
        about_whom: set[str] = set().union(*(named[key] for key in keys))
        note(passage, [number for number in values if facts.facts[number].about in about_whom])
    for number, ids in list(also.items()):
        # Taken in after it was counted: with `forget` it is no longer outside.
        also[number] = [x for x in ids if not chosen.is_selected(x)] or ids
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
