"""The certificate: proved in docs/certificate.md, attacked here by brute force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, combinations_with_replacement, product

import numpy as np
import pytest

from ragshield.certificate import Certificate, CertifiedRetriever
from ragshield.errors import InputError, UsageError
from ragshield.protocols import Retriever
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore

QUESTION = "Who founded Elm?"
Entry = tuple[str | None, str, float]
"""Source, claim, similarity to the question."""


class OneQuestion:
    """The question lies on the first axis."""

    name, dim = "axis", 2

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))


def store_of(entries: Iterable[Entry], first: Iterable[Entry] = ()) -> MemoryStore:
    """Passages p0, p1, ... of the entries; those in `first` win ties (ids a0, a1, ...)."""
    rows = [("a", e) for e in first] + [("p", e) for e in entries]
    if not rows:
        return MemoryStore()
    passages = tuple(
        Passage(f"{kind}{i}", text, source) for i, (kind, (source, text, _)) in enumerate(rows)
    )
    cosine = np.array([similarity for _, (_, _, similarity) in rows])
    vectors = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1).astype(np.float32)
    return MemoryStore(batch=Batch(passages, vectors))


def certified(store: MemoryStore, k: int, per_source: int = 1, votes: int = 1) -> Certificate:
    retriever = CertifiedRetriever(store, OneQuestion(), per_source=per_source, votes=votes)
    return retriever.certify(QUESTION, k).certificate


def context(entries: Iterable[Entry], k: int, per_source: int) -> list[Entry]:
    """The definition, written down a second time and independently."""
    chosen: list[Entry] = []
    for entry in sorted(entries, key=lambda e: -e[2]):  # stable: earlier entries win ties
        if sum(e[0] == entry[0] for e in chosen) < per_source and len(chosen) < k:
            chosen.append(entry)
    return chosen


def kept_claims(entries: Iterable[Entry], k: int, per_source: int, votes: int) -> set[str]:
    votes_for: dict[str, set[str | None]] = {}
    for source, claim, _ in context(entries, k, per_source):
        votes_for.setdefault(claim, set()).add(source)
    return {claim for claim, sources in votes_for.items() if len(sources) >= votes}


def random_entries(rng: np.random.Generator, n_sources: int, n_max: int = 3) -> list[Entry]:
    sources: list[str | None] = [f"s{i}" for i in range(n_sources)]
    if rng.random() < 0.3:
        sources[0] = None
    entries = [
        (source, str(rng.choice(["red", "blue", "green"], p=[0.5, 0.3, 0.2])), 0.0)
        for source in sources
        for _ in range(rng.integers(1, n_max + 1))
    ]
    similarity = rng.permutation(np.linspace(0.1, 0.9, len(entries)))
    return [(s, c, float(x)) for (s, c, _), x in zip(entries, similarity, strict=True)]


def attacks(
    entries: list[Entry], n_controlled: int, per_source: int
) -> Iterator[tuple[list[Entry], list[Entry]]]:
    """(what honest sources hold, what the attacker holds), for every attack there is.

    Controlled sources are existing or new. Each holds any `per_source` passages or
    fewer: more of them would not be admitted. A similarity is above, between or below
    the honest ones; `evil` stands for all claims that nobody else makes.
    """
    existing = list(dict.fromkeys(source for source, _, _ in entries))
    options = list(product(["red", "blue", "evil"], [1.0, 0.5001, 0.0]))
    holdings = [
        held for n in range(per_source + 1) for held in combinations_with_replacement(options, n)
    ]
    for n_taken in range(n_controlled + 1):
        new = [f"new{i}" for i in range(n_controlled - n_taken)]
        for taken in combinations(existing, n_taken):
            honest = [entry for entry in entries if entry[0] not in taken]
            controlled: list[str | None] = [*taken, *new]
            for choice in product(holdings, repeat=n_controlled):
                mine = [
                    (source, claim, similarity)
                    for source, held in zip(controlled, choice, strict=True)
                    for claim, similarity in held
                ]
                yield honest, mine


@pytest.mark.parametrize(
    ("seed", "n_sources", "k", "per_source", "votes", "m_max"),
    [
        *[(seed, 4, 3, 1, 1, 2) for seed in range(6)],
        *[(seed, 5, 5, 1, 1 + seed % 2, 3) for seed in range(50, 54)],
        *[(seed, 3, 2 + seed % 5, 2, 1 + seed % 2, 2) for seed in range(60, 72)],
        *[(seed, 4, 4, 1, 2, 2) for seed in range(6, 12)],
        *[(seed, 3, 5, 1, 1, 2) for seed in range(12, 15)],  # the context is not full
        *[(seed, 5, 4, 1, 2, 2) for seed in range(15, 18)],
        (18, 3, 3, 1, 1, 3),
        (19, 3, 3, 1, 2, 3),
        *[(seed, 3, 4, 2, 1, 1) for seed in range(20, 26)],
        *[(seed, 4, 4, 2, 2, 1) for seed in range(26, 32)],
        (32, 3, 4, 2, 1, 2),
        (33, 2, 5, 2, 1, 2),
        (34, 3, 4, 2, 2, 2),
    ],
)
def test_no_attack_beats_the_certificate(
    seed: int, n_sources: int, k: int, per_source: int, votes: int, m_max: int
) -> None:
    entries = random_entries(np.random.default_rng(seed), n_sources)
    stated = certified(store_of(entries), k, per_source, votes)
    clean = context(entries, k, per_source)
    needed = {claim.claim: claim.sources_to_displace for claim in stated.claims}
    assert set(needed) == kept_claims(entries, k, per_source, votes)
    for m in range(1, m_max + 1):
        displaced: set[str] = set()
        planted = all_gone = False
        most_mine = most_gone = 0
        for honest, mine in attacks(entries, m, per_source):
            after = context([*mine, *honest], k, per_source)
            kept = kept_claims([*mine, *honest], k, per_source, votes)
            displaced |= set(needed) - kept
            all_gone |= bool(needed) and not set(needed) & kept
            planted |= "evil" in kept
            most_mine = max(most_mine, sum(entry in mine for entry in after))
            most_gone = max(most_gone, sum(entry not in after for entry in clean))
            assert len(set(after) - set(clean)) <= stated.passages_changed(m)
        assert most_mine <= stated.passages_changed(m)
        assert most_gone <= stated.passages_changed(m)
        assert displaced <= {claim for claim, n in needed.items() if n <= m}
        assert not planted or m >= stated.sources_to_plant
        assert not all_gone or m >= (stated.sources_to_displace_all or 0)
        if stated.exact:  # and then the numbers are reached
            assert displaced == {claim for claim, n in needed.items() if n <= m}
            assert planted == (m >= stated.sources_to_plant)
            assert all_gone == (bool(needed) and m >= (stated.sources_to_displace_all or 0))
            assert most_mine == stated.passages_changed(m)
            assert most_gone == min(m, len(clean))


def test_the_retriever_does_under_attack_what_the_definition_says() -> None:
    rng = np.random.default_rng(40)
    n_compared = 0
    for _ in range(6):
        entries = random_entries(rng, 4)
        for honest, mine in attacks(entries, 1, 2):
            after = certified(store_of(honest, mine), 4, 2, 2)
            assert {c.claim for c in after.claims} == kept_claims([*mine, *honest], 4, 2, 2)
            n_compared += 1
    assert n_compared == 6 * 5 * 55


def test_the_bound_for_several_passages_per_source_is_reached_too() -> None:
    # Three sources say red at the end of a full context; two new ones fill four slots.
    entries: list[Entry] = [("a", "blue", 0.9), ("b", "red", 0.3), ("c", "red", 0.2)]
    entries += [("d", "red", 0.1)]
    stated = certified(store_of(entries), 4, per_source=2)
    needed = {claim.claim: claim.sources_to_displace for claim in stated.claims}
    assert needed == {"blue": 1, "red": 2}
    mine: list[Entry] = [(s, c, 1.0) for s in ("x", "y") for c in ("evil", "worse")]
    assert "red" not in kept_claims([*mine, *entries], 4, 2, 1)
    assert stated.exact is False


def test_one_flooding_source_gets_one_slot() -> None:
    flood: list[Entry] = [("evil", f"lie {i}", 1.0) for i in range(300)]
    honest: list[Entry] = [(f"s{i}", f"fact {i}", 0.9 - i / 100) for i in range(8)]
    retriever = CertifiedRetriever(store_of(honest, flood), OneQuestion())
    found = retriever.retrieve(QUESTION, 5)
    assert [hit.passage.source for hit in found] == ["evil", "s0", "s1", "s2", "s3"]
    assert isinstance(retriever, Retriever)
    two = CertifiedRetriever(store_of(honest, flood), OneQuestion(), votes=2)
    assert two.retrieve(QUESTION, 5).hits == ()


def test_hits_keep_their_vectors_and_order() -> None:
    entries: list[Entry] = [("a", "x", 0.5), ("b", "y", 0.9), ("a", "z", 0.8)]
    found = CertifiedRetriever(store_of(entries), OneQuestion()).retrieve(QUESTION, 3)
    assert [hit.id for hit in found] == ["p1", "p2"]
    np.testing.assert_allclose(found.vectors[:, 0], [0.9, 0.8], atol=1e-6)
    assert found.question_vector.tolist() == [1, 0]


def test_passages_without_a_source_count_as_one_source() -> None:
    entries: list[Entry] = [(None, "x", 0.9), ("", "x", 0.8), ("a", "y", 0.7)]
    stated = certified(store_of(entries), 3)
    assert [claim.passage_ids for claim in stated.claims] == [("p0",), ("p2",)]
    assert stated.claims[0].sources == (None,)
    assert "They count as one source" in stated.explain()
    assert certified(store_of(entries), 3, votes=2).claims == ()


def test_own_sources_and_claims_are_used() -> None:
    entries: list[Entry] = [("a/1", "Ada did.", 0.9), ("a/2", "Bob did.", 0.8), ("b/1", "ada", 0.7)]
    retriever = CertifiedRetriever(
        store_of(entries),
        OneQuestion(),
        votes=2,
        source=lambda passage: (passage.source or "").split("/")[0],
        claim=lambda question, passage: passage.text[:3].lower(),
    )
    result = retriever.certify(QUESTION, 3)
    (claim,) = result.certificate.claims
    assert (claim.claim, claim.sources, claim.passage_ids) == ("ada", ("a", "b"), ("p0", "p2"))
    assert claim.sources_to_displace == 1
    assert [hit.id for hit in result.retrieval] == ["p0", "p2"]


def test_a_lost_sign_is_another_claim_and_white_space_is_not() -> None:
    entries: list[Entry] = [
        ("a", "It is -5.", 0.9),
        ("b", "It is 5.", 0.8),
        ("c", "It  is 5.", 0.7),
    ]
    (claim,) = certified(store_of(entries), 3, votes=2).claims
    assert claim.sources == ("b", "c")


def test_the_explanation_reads_well() -> None:
    entries: list[Entry] = [("a", "Ada", 0.9), ("b", "Ada", 0.8), ("c", "Ada", 0.7)]
    entries += [("d", "Bob", 0.6), ("a", "Cid", 0.5)]
    assert certified(store_of(entries), 4).explain() == (
        "4 passages from 4 sources kept.\n"
        "To displace something of it takes 1 source; to displace all of it, 4 sources.\n"
        "Best supported: passage p0, said by 3 sources; to displace what it says takes 3\n"
        "sources.\n"
        "An attacker who controls one source can take at most 1 of the 4 slots, and\n"
        "displace no more; every further source adds as many. One source is enough to add\n"
        "a passage: with votes=2 it would take two.\n"
        "This is about what is retrieved. It does not say that it is true."
    )
    outvoted = certified(store_of(entries), 4, votes=2).explain()
    assert outvoted.startswith("3 passages from 3 sources kept, 1 outvoted.\nTo displace something")
    assert "What no other source says is kept only with 2 sources" in outvoted.replace("\n", " ")
    none = certified(store_of(entries), 4, votes=4).explain()
    assert none.startswith("Nothing is kept: none of the 4 passages found is backed by 4 sources.")
    several = certified(store_of(entries), 4, per_source=2).explain().replace("\n", " ")
    assert "to displace all of it, at least 2 sources." in several
    assert max(map(len, outvoted.splitlines())) <= 80


def test_what_cannot_be_is_refused() -> None:
    store = store_of([("a", "x", 0.9)])
    for settings in ({"per_source": 0}, {"votes": 0}):
        with pytest.raises(UsageError, match=next(iter(settings))):
            CertifiedRetriever(store, OneQuestion(), **settings)
    retriever = CertifiedRetriever(store, OneQuestion())
    with pytest.raises(UsageError, match="empty"):
        retriever.retrieve(" ")
    with pytest.raises(UsageError, match="k is 0"):
        retriever.retrieve(QUESTION, 0)
    with pytest.raises(UsageError, match="n_sources is -1"):
        retriever.certify(QUESTION).certificate.passages_changed(-1)
    wrong = CertifiedRetriever(store, OneQuestion(), source=lambda passage: 3)  # type: ignore[arg-type,return-value]
    with pytest.raises(InputError, match="source\\(\\) gave 3"):
        wrong.retrieve(QUESTION)
