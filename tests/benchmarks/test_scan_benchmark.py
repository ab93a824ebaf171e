"""The scan's benchmark compares what it says it compares, and gives planted poison no sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scan_detection_heldout import CHOSEN, Constants, held_out, kin
from scan_detection_measure import ranked_alone
from scan_detection_poison import Campaign, Family, disguised, draw
from scan_detection_triggers import trigger_campaigns
from scan_detection_world import COMPARED, honest_store, planted
from scan_peers import MinHash, _rouge_l, outlier_factor

from ragshield import rarity
from ragshield.records import Action, Finding, Passage


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((120, 12)).astype(np.float32)


def _passages(n: int, name: str = "p") -> list[Passage]:
    return [Passage(f"{name}{i}", f"text {i}", f"source-{i % 7}") for i in range(n)]


def test_what_is_planted_is_compared_as_if_all_had_been_there(
    vectors: np.ndarray, tmp_path: Path
) -> None:
    all_passages = _passages(120)
    whole = honest_store(all_passages, vectors, tmp_path)
    part = honest_store(all_passages[:100], vectors[:100], tmp_path)
    mixed = planted(part, all_passages[100:], vectors[100:])
    assert np.array_equal(mixed.table.rows, whole.table.rows)
    assert np.allclose(mixed.table.similarity, whole.table.similarity, atol=1e-6)
    assert [p for part_ in mixed.parts() for p in part_] == list(range(120))


def test_the_outlier_factor_is_scikit_learns(vectors: np.ndarray, tmp_path: Path) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    store = honest_store(_passages(120), vectors, tmp_path)
    theirs = neighbors.LocalOutlierFactor(n_neighbors=COMPARED, metric="cosine")
    theirs.fit(vectors)
    ours = outlier_factor(store)
    assert np.allclose(ours, -theirs.negative_outlier_factor_, rtol=1e-3)


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    assert _rouge_l("the cat sat on the mat".split(), "the cat lay on a mat".split()) == (
        pytest.approx(2 * 4 / 12)
    )
    assert _rouge_l(["a"], ["b"]) == 0.0


def test_min_hash_sees_copies_and_no_strangers(vectors: np.ndarray, tmp_path: Path) -> None:
    texts = [" ".join(f"w{(i * 31 + j * j) % 997}" for j in range(40)) for i in range(119)]
    passages = [Passage(f"p{i}", t) for i, t in enumerate([*texts, texts[3]])]
    store = honest_store(passages, vectors, tmp_path)
    found = MinHash([p.text for p in passages])(store)
    assert np.flatnonzero(found > 0.9).tolist() == [3, 119]


def test_planted_passages_have_new_ids_sources_of_the_store_and_no_tags() -> None:
    given = Passage("attack-1", "a lie", "evil", {"attack": "naive", "canary": "x", "author": "A"})
    rng = np.random.default_rng(1)
    made = disguised([Campaign("q", (given, given))], _passages(9), rng)
    assert {p.text for p in made} == {"a lie"}
    assert len({p.id for p in made} | {"attack-1"}) == 3
    assert all(p.source in {f"source-{i}" for i in range(7)} for p in made)
    assert [dict(p.meta) for p in made] == [{"author": "A"}] * 2


def test_chunks_of_a_split_payload_are_numbered_in_one_document() -> None:
    two = Campaign("q", tuple(_passages(2)))
    made = disguised([two, two], _passages(9), np.random.default_rng(1), split=True)
    names = [p.id.rpartition("-") for p in made]
    assert [number for _, _, number in names] == ["0", "1", "0", "1"]
    assert names[0][0] == names[1][0] != names[2][0]


def test_a_draw_takes_whole_campaigns_until_there_are_enough() -> None:
    family = Family("f", "five", tuple(Campaign(f"q{i}", tuple(_passages(5))) for i in range(9)))
    chosen = draw(family, 12, np.random.default_rng(0))
    assert [len(c.passages) for c in chosen] == [5, 5, 5]
    assert len({c.key for c in chosen}) == 3


def test_every_passage_of_a_trigger_cluster_holds_its_trigger() -> None:
    found = trigger_campaigns([f"words of honest text number {i}" for i in range(50)], n=3)
    assert all(key in text.lower() for key, texts in found.items() for text in texts)
    assert [len(set(texts)) for texts in found.values()] == [10, 10, 10]


def test_one_screen_alone_is_ranked_with_ties_in_the_order_of_the_store(
    vectors: np.ndarray, tmp_path: Path
) -> None:
    store = honest_store(_passages(120), vectors, tmp_path)
    given = [("p7", 0.5), ("p3", 0.5), ("p9", 0.8)]
    findings = [Finding(name, s, "echo", Action.KEEP, "") for name, s in given]
    assert ranked_alone(findings, store).ids == ("p9", "p3", "p7")


def test_constants_are_chosen_by_other_families_and_put_back() -> None:
    def row(family: str, honest: float, poison: float) -> dict[str, object]:
        found = [[f"h{i}", honest, "question-echo", None] for i in range(2000)]
        found += [["x0", poison, "token-soup", None]]
        findings = {"found": found, "planted": {"x0": "q"}}
        methods: dict[str, object] = {"HubScan's hubness": {}}
        return {
            "family": family, "kind": "one", "n_store": 100_000,
            "methods": methods, "findings": findings, "peers": True,
        }  # fmt: skip

    rows = [row("a", 0.9, 0.5), row("b", 0.9, 0.5), row("c", 0.5, 0.9)]
    lenient = Constants(0.5, 0.5, 0.5)
    found = held_out([*rows, row("d", 0.9, 0.9) | {"peers": False}], [lenient, CHOSEN])
    assert set(found["families"]) == {"a / one", "b / one", "c / one"}
    assert found["families"]["a / one"]["constants"][1] == CHOSEN.habitual
    assert found["families"]["a / one"]["recall"] == [1.0, 1.0, 1.0]
    assert CHOSEN.habitual == rarity._HABITUAL
    assert kin("poisonedrag + question") == kin("attack poisonedrag") == kin("attack synonyms")
    assert kin("edited date") == kin("attack edited-fact") != kin("gpt4")
    assert kin("hotflip, one") == kin("hotflip, five")
