"""The unlearning benchmark asks what it says: real facts, neighbours that stay, no target twice."""

from __future__ import annotations

import pytest

pytest.importorskip("unlearning_data")

from unlearning_data import N_LISTED, N_UNLISTED, setting
from unlearning_report import markdown

from ragshield.corpora.world import generate
from ragshield.forget_set import check_forget_set, folded
from ragshield.text import sentences, states


def test_targets_have_ten_neighbours_that_are_none_themselves() -> None:
    asked = setting(6, n_other=20)
    check_forget_set(asked.targets)
    assert [t.kind for t in asked.targets] == ["concept"] * 6 + ["sample"] * 6
    assert {len(t.neighbours) for t in asked.targets} == {N_LISTED}
    names = {folded(t.name) for t in asked.targets[:6]}
    assert not names & {folded(n) for t in asked.targets for n in t.neighbours}
    per_target = [sum(one.target == i for one in asked.unlisted) for i in range(12)]
    assert per_target == [N_UNLISTED] * 12


def test_questions_have_the_worlds_answers_and_spare_the_forgotten() -> None:
    asked = setting(6, n_other=20)
    concepts = [t.name for t in asked.targets[:6]]
    values = {fact.value for fact in generate(0).facts}
    for one in (*asked.listed, *asked.unlisted, *asked.same_subject):
        assert one.answers[0] in values
        assert not any(states(one.question, name) for name in concepts)
        assert not any(states(one.answers[0], name) for name in concepts)
    for one in asked.direct:
        if one.target < asked.n_concepts:
            assert states(one.question.replace("'s", ""), asked.targets[one.target].name)


def test_the_rebuilt_knowledge_base_names_no_concept_and_states_no_sample() -> None:
    asked = setting(6, n_other=20)
    assert 0 < len(asked.deleted) < len(asked.passages)
    for passage in asked.kept:
        text = passage.text.replace("'s", "")
        assert not any(states(text, t.name) for t in asked.targets[:6])
        told = set(sentences(passage.text))
        assert not any(told.intersection(target.samples) for target in asked.targets[6:])


def test_the_same_seed_asks_the_same() -> None:
    assert setting(4) == setting(4)
    assert setting(4) != setting(4, seed=1)


def test_a_target_that_is_missed_is_called_missed() -> None:
    page = markdown(_RESULTS)
    rows = [line for line in page.splitlines() if line.startswith("| twin |")]
    lines = {row.split(" | ")[1]: row for row in rows}
    assert lines["leak over all families"].endswith("**missed** |")
    assert lines["utility lost"].endswith("| met |")
    assert lines["refused, neighbours not listed"].endswith("| met; interval wider |")
    assert "A quick run" not in page


def _share(k: int, n: int, low: float, high: float) -> dict[str, object]:
    return {"value": k / n, "low": low, "high": high, "k": k, "n": n, "n_clusters": n}


_ROW = {
    **{f"success_{kind}": _share(10, 10, 0.72, 1.0) for kind in ("concept", "sample")},
    **{f"told_{kind}": _share(0, 10, 0.0, 0.28) for kind in ("concept", "sample")},
    **{f"rouge_{kind}": _share(0, 10, 0.0, 0.28) for kind in ("concept", "sample")},
    **{
        f"refused_{part}": _share(1, 100, 0.0, 0.05)
        for part in ("listed", "unlisted", "same_subject", "other")
    },
    "utility_loss": {"value": 0.0, "low": 0.0, "high": 0.0, "n": 100},
}
_LEAK = _share(8, 100, 0.04, 0.15)
_HARDENED = {
    **_ROW,
    "leak": _LEAK,
    "families": {"plain": {"leak": _LEAK, "control": _LEAK, "before": _LEAK, "labels": {}}},
    "worst_family": "plain",
    "labels": {"parametric": 8},
    "before": _LEAK,
    "combined_kept": _LEAK,
    "membership": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10},
    "adaptive": {"0": _LEAK, "100": _LEAK},
    "cost": {"median_ms": 1.0, "p95_ms": 2.0, "cpu_ms": 1.0, "tokens_in": 9.0, "n": 4},
}
_RESULTS = {
    "environment": {
        "commit": "abc",
        "n_each": 5,
        "per_family": 2,
        "quick": False,
        "minutes": 1.0,
        "command": "python benchmarks/unlearning.py",
    },
    "models": {
        "twin": {
            "weights": "00",
            "hits": {"any": 1, "own": 1, "n": 2},
            "calibration": {"threshold": 0.1, "sample_threshold": 0.2, "n": 600},
            "methods": {"before": _ROW, "hardened": _HARDENED},
            "gates": {"all gates": _ROW},
        }
    },
}
