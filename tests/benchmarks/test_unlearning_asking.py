"""The unlearning benchmark's asking: in batches, in parts, and every answer the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("unlearning_data")

from unlearning_measure import parts, put_together
from unlearning_methods import METHODS, App

from ragshield.audit import Dialogue
from ragshield.records import Vectors


class _Encoder:
    name, dim = "none", 1

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.ones((len(texts), 1), dtype=np.float32)


class _Mind:
    """Knows an answer only after it was asked to think."""

    def __init__(self) -> None:
        self.history = ""
        self.is_guessing = False
        self.known: dict[str, str] = {}
        self.waiting: list[str] = []

    def say(self, dialogue: Dialogue) -> str:
        asked = self.history + dialogue.question.lower()
        if asked not in self.known:
            self.is_guessing = True
            self.waiting.append(asked)
            return "I don't know."
        return self.known[asked]

    def think(self) -> bool:
        waiting, self.waiting = self.waiting, []
        self.known.update((asked, asked.upper()) for asked in waiting)
        return bool(waiting)


def test_questions_that_wait_for_the_same_answer_all_get_it() -> None:
    mind: Any = _Mind()
    app = App(mind, _Encoder(), mind.say)
    asked = [Dialogue("a?"), Dialogue("A?"), Dialogue("b?"), Dialogue("a?")]
    first = app.answers(asked)
    assert first == ["A?", "A?", "B?", "A?"]
    assert app.answers(asked) == first


def _one(found: Any) -> dict[str, Any]:
    return {"seconds": 1.5, "found": found}


def test_parts_make_the_model_that_the_report_reads() -> None:
    done = {part: _one({"row": part}) for part in parts()}
    arms = {"weights": "00", "methods": {"before": {"row": "before"}}}
    done |= {"arms": _one(arms), "cost": _one({name: {"median_ms": 1.0} for name in METHODS})}
    model = put_together(done)
    assert model is not None
    assert list(model["methods"]) == ["before", *METHODS]
    assert model["methods"]["hardened"]["adaptive"] == {"row": "adaptive hardened"}
    assert "adaptive" not in model["methods"]["in-context"]
    assert model["methods"]["in-context"]["cost"] == {"median_ms": 1.0}
    assert model["gates"]["exact alone"] == {"row": "gates exact alone"}
    assert model["seconds"]["arms"] == 1.5


def test_what_a_run_that_was_cut_off_has_is_a_model_once_the_first_parts_are_there() -> None:
    needed = ["arms", "audit hardened", "adaptive hardened", "questions hardened"]
    done = {part: _one({"methods": {}}) for part in needed}
    model = put_together(done)
    assert model is not None
    assert list(model["methods"]) == ["hardened"]
    for part in needed:
        assert put_together({p: one for p, one in done.items() if p != part}) is None
