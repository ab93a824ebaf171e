"""The attacked retrievals that RAGDefender is measured on, and what it removes from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.defenders.ragdefender import pair_weights
from ragshield.defenders.ragdefender_counts import concentration_count
from ragshield.files import read_jsonl
from ragshield.metrics import Rate, Removal, clean_loss, exact_removal, poison_recall, precision
from ragshield.protocols import Encoder
from ragshield.records import Hit, Passage, Question, Retrieval
from ragshield.vectors import cosines, unit_rows


@dataclass(frozen=True)
class Case:
    """One question with poison, listed first, and clean passages."""

    question: Question
    wrong_answer: str
    poison: tuple[str, ...]
    clean: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """All passages, poison first, as the released artefact lists them."""
        return self.poison + self.clean


@dataclass
class Data:
    """The published questions, read once, and a memory of the vectors of their texts."""

    folder: Path
    encoder: Encoder
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _vectors: dict[str, np.ndarray] = field(default_factory=dict)

    def cases(
        self, regime: str, dataset: str, family: str, n_poison: int, prefix: bool
    ) -> list[Case]:
        """The 50 questions of one set, with at most `n_poison` poisoned passages each."""
        name = "retrieved_contexts.jsonl" if regime == "retrieved" else "poisoned_qa.jsonl.gz"
        if name not in self._rows:
            self._rows[name] = [row for _, row in read_jsonl(self.folder / name)]
        cases = []
        for row in self._rows[name]:
            if row["dataset"] != dataset:
                continue
            poison = row["poison"] if regime == "retrieved" else row["poison"][family]
            clean = row["contexts"] if regime == "retrieved" else row["golden"]
            before = f"{row['question']}." if prefix else ""
            answers = tuple(row["correct_answers"])
            question = Question(f"{dataset}-{row['idx']}", row["question"], answers)
            chosen = tuple(before + text for text in poison[:n_poison])
            cases.append(Case(question, row["target_answer"], chosen, tuple(clean)))
        return cases

    def embed(self, texts: Iterable[str]) -> None:
        """Embed what has not been seen; afterwards `vectors` costs nothing."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if missing:
            self._vectors.update(zip(missing, self.encoder.encode(missing), strict=True))

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts that were embedded, (n, dim)."""
        return np.stack([self._vectors[text] for text in texts])

    def retrieval(self, case: Case, *, ranked: bool = False) -> Retrieval:
        """The case as a retriever would hand it over: poison first, or by similarity."""
        vectors = self.vectors(case.texts)
        asked = self.vectors([case.question.text])[0]
        near = cosines(vectors, asked)
        hits = tuple(
            Hit(
                Passage(f"{'poison' if i < len(case.poison) else 'clean'}-{i}", text),
                float(near[i]),
            )
            for i, text in enumerate(case.texts)
        )
        listed = Retrieval(case.question.text, hits, vectors, asked)
        return listed.select(np.argsort(-near, kind="stable").tolist()) if ranked else listed


class Served:
    """Stands in for the package's model: serves the vectors that we have."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def encode(self, texts: list[str], convert_to_tensor: bool = True) -> Any:
        """Their vectors as a torch tensor."""
        import torch

        return torch.from_numpy(self._data.vectors(texts))


def larger_group(retrieval: Retrieval) -> list[int]:
    """What is removed if the larger of the released multi-hop count and the rest is taken.

    Not an algorithm that anybody published: it explains a set of reference numbers.
    """
    unit = unit_rows(retrieval.vectors)
    similarities = unit @ unit.T
    count = concentration_count(similarities, mode="released")
    n_adv = max(count, len(retrieval) - count)
    weights = pair_weights(similarities, n_adv)
    return sorted(range(len(retrieval)), key=lambda i: -weights[i])[:n_adv]


def removal(case: Case, removed: Iterable[int]) -> Removal:
    """Counts for one case, from the indices removed of `case.texts`."""
    gone = set(removed)
    n_poison = len(case.poison)
    hit = sum(i < n_poison for i in gone)
    return Removal(n_poison, hit, len(case.clean), len(gone) - hit, case.question.id)


def rates(removals: Sequence[Removal]) -> dict[str, Rate]:
    """Poison recall, clean loss, precision and exact removal, clustered by question."""
    return {
        "recall": poison_recall(removals),
        "loss": clean_loss(removals),
        "precision": precision(removals),
        "exact": exact_removal(removals),
    }
