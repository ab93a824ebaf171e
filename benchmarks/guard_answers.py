"""What a reader answers before and after a defence: attack success and accuracy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import guard_heldout as heldout
from guard_data import DevData
from guard_trials import Trial

from ragshield.corpora.world import load
from ragshield.intervals import Rate
from ragshield.metrics import answer_correct, attack_succeeded, share
from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Question

ANSWERED = ("a", "b", "c", "c20")
"""Regimes whose contexts are read."""


class Answers:
    """Reads what a defence leaves; the same passages are read once.

    Questions without a wrong answer, and what `ragshield.metrics` does not score, count
    for nothing.
    """

    def __init__(self, data: DevData) -> None:
        self._asked = dict(_published(data)) | dict(_world())
        self._reader = ExtractiveReader()
        self._read: dict[tuple[Any, ...], tuple[bool | None, bool | None]] = {}

    def outcome(self, trial: Trial, dropped: Any) -> tuple[bool | None, bool | None]:
        """Whether the attack succeeded and whether the answer is right; None = not scored."""
        asked = self._asked.get(trial.key)
        if asked is None or trial.regime not in ANSWERED:
            return None, None
        variant = trial.regime, trial.key, trial.family, trial.n_poison, trial.prefixed
        key = (*variant, trial.retrieval.question, dropped.tobytes())
        if key not in self._read:
            question, wrong = asked
            kept = [
                hit.passage
                for hit, gone in zip(trial.retrieval.hits, dropped, strict=True)
                if not gone
            ]
            answer = self._reader.answer(trial.retrieval.question, kept)
            self._read[key] = (
                attack_succeeded(answer, wrong, question),
                answer_correct(answer, question, wrong),
            )
        return self._read[key]

    def measured(self, judged: Iterable[tuple[Trial, Any]]) -> dict[str, Any]:
        """Recall, clean loss, exact removal, attack success and accuracy with n and limits."""
        judged = list(judged)
        found = [(t.retrieval.question, *self.outcome(t, dropped)) for t, dropped in judged]
        return heldout.measured(judged) | {
            "attack_success": as_dict(share((q, attacked) for q, attacked, _ in found)),
            "accuracy": as_dict(share((q, right) for q, _, right in found)),
        }


def as_dict(rate: Rate) -> dict[str, Any]:
    """A rate as the tables read it."""
    return {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n}


def _published(data: DevData) -> Iterable[tuple[str, tuple[Question, str]]]:
    for row in data.rows("poisoned_qa.jsonl.gz"):
        key = f"{row['dataset']}-{row['idx']}"
        yield key, _asked(key, row["question"], row["correct_answers"], row["target_answer"])
    for name, family in (("hotflip.jsonl.gz", "hotflip"), ("phantom.jsonl.gz", "phantom")):
        for row in data.rows(name):
            # Phantom's aim is a refusal, not the wrong answer that its file carries along.
            wrong = row["incorrect"][0] if row["incorrect"] and family == "hotflip" else ""
            key = f"{family}-{row['query_id']}"
            yield key, _asked(key, row["query"], row["correct"], wrong)
    for row in data.rows("counterfact_poison.jsonl.gz"):
        key = f"counterfact-{row['case_id']}"
        yield key, _asked(key, row["prompt"], [row["true"]], row["false"])


def _world() -> Iterable[tuple[str, tuple[Question, str]]]:
    for number, target in enumerate(load().targets):
        yield f"world-{number}", (target.question, target.wrong_answer)


def _asked(key: str, text: str, rights: list[str], wrong: str) -> tuple[Question, str]:
    return Question(key, text, tuple(rights)), wrong
