"""PoisonedRAG's success with no defence and behind RAGDefender, with the extractive reader."""

from __future__ import annotations

from typing import Any

from ragdefender_cases import Data, rates, removal

from ragshield.defenders.none import NoDefence
from ragshield.defenders.ragdefender import RAGDefender
from ragshield.metrics import Rate, answer_correct, attack_succeeded, share
from ragshield.protocols import Defender
from ragshield.readers.extractive import ExtractiveReader

DEFENDERS: dict[str, Defender] = {
    "none": NoDefence(),
    "released, single": RAGDefender("released", "single", ties="rank"),
    "released, multi": RAGDefender("released", "multi", ties="rank"),
    "paper, single": RAGDefender("paper", "single"),
    "paper, multi": RAGDefender("paper", "multi"),
}

SETTINGS = [
    ("retrieved", "hotpotqa", 0, False),
    *(("retrieved", "hotpotqa", n, prefix) for n in (1, 2, 5) for prefix in (False, True)),
    *(
        ("golden", dataset, 5, prefix)
        for dataset in ("nq", "hotpotqa", "msmarco")
        for prefix in (False, True)
    ),
]


def attack_rows(data: Data) -> list[dict[str, Any]]:
    """One row per setting and defender, all over the same retrievals.

    The passages come in the order of their similarity to the question, as from a
    retriever: listing the poison first would let ties decide for it. Yes/no questions
    are not scored, nor are answers that contain one another (see ragshield.metrics).
    """
    reader = ExtractiveReader()
    rows = []
    for regime, dataset, n_poison, prefix in SETTINGS:
        cases = data.cases(regime, dataset, "poisonedrag", n_poison, prefix)
        data.embed(text for case in cases for text in (*case.texts, case.question.text))
        for name, defender in DEFENDERS.items():
            attacked, correct, removals = [], [], []
            for case in cases:
                verdict = defender.inspect(data.retrieval(case, ranked=True))
                answer = reader.answer(case.question.text, [hit.passage for hit in verdict.kept])
                key = case.question.id
                attacked.append((key, attack_succeeded(answer, case.wrong_answer, case.question)))
                correct.append((key, answer_correct(answer, case.question, case.wrong_answer)))
                gone = [int(f.passage_id.rpartition("-")[2]) for f in verdict.dropped]
                removals.append(removal(case, gone))
            measured = rates(removals)
            rows.append(
                {
                    "setting": f"{dataset} {regime} + {n_poison}" + (", prefix" if prefix else ""),
                    "defender": name,
                    "attack_success": _as_dict(share(attacked)),
                    "accuracy": _as_dict(share(correct)),
                    "recall": _as_dict(measured["recall"]),
                    "loss": _as_dict(measured["loss"]),
                }
            )
    return rows


def _as_dict(rate: Rate) -> dict[str, Any]:
    return {k: getattr(rate, k) for k in ("value", "low", "high", "successes", "n", "n_clusters")}
