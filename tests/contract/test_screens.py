"""What every registered screen must do."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield import registry
from ragshield.records import Batch, Passage, Spec

SCREENS = registry.names("screen")


def screen(name: str):
    return registry.build(Spec("screen", name))


@pytest.mark.parametrize("name", SCREENS)
def test_an_empty_batch_gives_no_findings(name: str) -> None:
    assert screen(name).screen(Batch((), np.empty((0, 4), dtype=np.float32))) == []


@pytest.mark.parametrize("name", SCREENS)
def test_findings_name_passages_of_the_batch_and_do_not_depend_on_order(
    name: str, word_encoder
) -> None:
    texts = [f"Passage {i} tells of the river, the town and the number {i * 7}." for i in range(30)]
    texts += [
        f"Who founded Brackwater Mills?. Brackwater Mills was founded by Per Lund, {w}."
        for w in ("as records show", "say the records", "records say", "so the records show")
    ]
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    vectors = word_encoder.encode(texts)
    found = screen(name).screen(Batch(passages, vectors))
    assert {f.passage_id for f in found} <= {p.id for p in passages}
    for finding in found:
        assert finding.detector == name
        assert finding.suspicion is not None
        assert 0 <= finding.suspicion <= 1
        assert finding.reason.strip()
    order = np.random.default_rng(1).permutation(len(texts))
    again = screen(name).screen(Batch(tuple(passages[i] for i in order), vectors[order]))
    key = lambda f: (f.passage_id, f.group, round(f.suspicion or 0, 6))  # noqa: E731
    assert sorted(map(key, again)) == sorted(map(key, found))


@pytest.mark.parametrize("name", SCREENS)
def test_hostile_passages_do_not_break_it(name: str) -> None:
    texts = ["", "\x00", "🙂" * 50, "x" * 200_000, "???", "a?b?c?" * 1000, "\ud800"]
    passages = tuple(Passage(str(i), text) for i, text in enumerate(texts))
    vectors = np.random.default_rng(0).standard_normal((len(texts), 8)).astype(np.float32)
    found = screen(name).screen(Batch(passages, vectors))
    assert {f.passage_id for f in found} <= {p.id for p in passages}
