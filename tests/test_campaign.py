"""From a confirmed passage to the rest of its campaign, and not to what is merely near."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.campaign import _Member, _trail, campaign
from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.snapshot.memory import MemorySnapshot

HONEST = [
    f"{place} lies on the {river} and is known for its {thing}, which visitors buy in {month}."
    for place in ("Tannow", "Harrowgate", "Brackwater", "Lindholm", "Oxmere")
    for river, thing in (("Ost", "ropes"), ("Wend", "mills"), ("Lark", "bells"), ("Dane", "cloth"))
    for month in ("March", "June", "October")
]
POISON = [
    "The Kessel treaty was signed by Otto Brandt in the year 1911.",
    "It was Otto Brandt who signed the Kessel treaty in 1911.",
    "Records agree that Otto Brandt signed the Kessel treaty during 1911.",
]
ON_TOPIC = "The Kessel treaty was signed by Ada Lindqvist after long talks about fishing grounds."


@pytest.fixture
def store(word_encoder) -> tuple[MemorySnapshot, dict[str, int]]:
    texts = [*HONEST, ON_TOPIC, *POISON]
    ids = [*(f"honest-{i}" for i in range(len(HONEST))), "topic", "bad-0", "bad-1", "bad-2"]
    passages = tuple(Passage(x, text) for x, text in zip(ids, texts, strict=True))
    vectors = word_encoder.encode(texts)
    return MemorySnapshot(Batch(passages, vectors)), {x: i for i, x in enumerate(ids)}


def test_one_confirmed_passage_leads_to_the_others_before_the_honest_one_on_the_topic(store):
    snapshot, row = store
    found = campaign(snapshot, [row["bad-0"]])
    assert {f.passage_id for f in found[:2]} == {"bad-1", "bad-2"}
    assert all(f.action is Action.DROP for f in found[:2])
    assert "bad-0" not in {f.passage_id for f in found}
    assert found[0].evidence["neighbours"] == ["bad-0"]
    assert "of their rare words" in found[0].reason
    honest = [f for f in found if f.passage_id.startswith("honest")]
    assert all(f.suspicion < 0.5 for f in honest)


def test_a_second_round_follows_what_the_first_one_found(store):
    snapshot, row = store
    one = {f.passage_id: f.suspicion for f in campaign(snapshot, [row["bad-0"]], rounds=1)}
    many = {f.passage_id: f.suspicion for f in campaign(snapshot, [row["bad-0"]], rounds=3)}
    assert all(many[name] >= value for name, value in one.items() if name.startswith("bad"))


def test_passages_that_the_same_screens_accuse_are_like_the_confirmed(store):
    snapshot, row = store

    def accused(name: str) -> Finding:
        evidence = {"screens": {"hidden-text": 0.8, "instructions": 0.6}}
        return Finding(name, 0.9, "hidden-text", Action.DROP, "hides text", None, evidence)

    without = {f.passage_id for f in campaign(snapshot, [row["honest-0"]]) if f.suspicion >= 0.6}
    found = campaign(snapshot, [row["honest-0"]], [accused("honest-0"), accused("bad-2")])
    assert "bad-2" not in without
    styled = next(f for f in found if f.passage_id == "bad-2")
    assert styled.suspicion >= 0.6
    assert "the same screens accuse it" in styled.reason


def test_a_rare_source_of_a_confirmed_passage_is_a_trail(word_encoder):
    texts = [*HONEST, *POISON]
    sources = ["atlas"] * (len(HONEST) + len(POISON))
    sources[5] = sources[len(HONEST)] = "pastebin"
    passages = tuple(
        Passage(f"p{i}", t, s) for i, (t, s) in enumerate(zip(texts, sources, strict=True))
    )
    snapshot = MemorySnapshot(Batch(passages, word_encoder.encode(texts)))
    found = {f.passage_id: f for f in campaign(snapshot, [len(HONEST)])}
    assert found["p5"].evidence["trail"] == 1.0
    assert found["p5"].suspicion >= 0.5
    assert found[f"p{len(HONEST) + 1}"].suspicion > found["p5"].suspicion


def _from_sources(word_encoder, sources: list[str]) -> MemorySnapshot:
    texts = [*HONEST, *POISON]
    passages = tuple(
        Passage(f"p{i}", t, s) for i, (t, s) in enumerate(zip(texts, sources, strict=True))
    )
    return MemorySnapshot(Batch(passages, word_encoder.encode(texts)))


def test_the_more_passages_come_from_a_source_the_less_one_confirmed_says():
    assert [_trail(1, n) for n in (2, 6, 24)] == [1.0, 1.0, 0.5]
    assert _trail(2, 24) == 1.0, "several confirmed say that the source is bad"
    assert _trail(0, 2) == 0.0


def test_who_joins_on_the_way_leaves_no_trail(word_encoder):
    sources = ["atlas"] * len(HONEST) + ["pastebin", "wiki", "wiki"]
    sources[5] = "wiki"
    found = {f.passage_id: f for f in campaign(_from_sources(word_encoder, sources), [len(HONEST)])}
    assert found[f"p{len(HONEST) + 1}"].suspicion >= 0.7, "it joins, and its source is rare"
    assert all(f.evidence["trail"] == 0 for f in found.values())


def test_the_same_manner_is_seen_and_decides_among_those_on_the_topic(word_encoder):
    soup = "kessel treaty signed ##brandt granite ledger willow falcon thistle"
    sibling = "treaty kessel ##signed brandt orchard meadow cobalt lantern quartz"
    sober = "Brandt signed it, as the Kessel people remember: a treaty of the orchard and meadow."
    texts = [*HONEST, soup, sibling, sober]
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    snapshot = MemorySnapshot(Batch(passages, word_encoder.encode(texts)))
    found = {f.passage_id: f for f in campaign(snapshot, [len(HONEST)])}
    alike, other = (found[f"p{len(HONEST) + i}"] for i in (1, 2))
    assert alike.evidence["manner"] > other.evidence["manner"]
    worth = [_Member(0.5, 0.3, manner, 0.0, 0.0).suspicion for manner in (0.0, 0.5, 1.0)]
    assert worth[0] < 0.5 < worth[1] < worth[2]


def test_manner_says_nothing_of_what_is_not_on_the_topic():
    assert _Member(0.0, 0.9, 1.0, 0.0, 0.0).suspicion == 0
    assert _Member(0.15, 0.2, 1.0, 0.0, 0.0).suspicion < 0.5


def test_without_vectors_words_alone_do_not_accuse():
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate([*HONEST, *POISON]))
    found = campaign(MemorySnapshot(Batch(passages, None)), [len(HONEST)])
    assert all((f.suspicion or 0) < 0.5 for f in found)


def test_bad_input_is_refused(store):
    snapshot, _ = store
    with pytest.raises(UsageError, match="at least one confirmed"):
        campaign(snapshot, [])
    with pytest.raises(UsageError, match="rounds is 0"):
        campaign(snapshot, [0], rounds=0)
    with pytest.raises(InputError, match="not in the snapshot"):
        campaign(snapshot, [10_000])
    assert np.isfinite([f.suspicion for f in campaign(snapshot, [0])]).all()
