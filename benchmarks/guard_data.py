"""Reads the development data that the guard is measured on; nothing of it is stored here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragshield.errors import InputError
from ragshield.files import read_jsonl

Row = dict[str, Any]


def data_folder() -> Path:
    """`RAGSHIELD_DATA`, or the folder `shared/data` beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RAGSHIELD_DATA", default))
    if not (folder / "poisoned_qa.jsonl.gz").is_file():
        raise InputError(f"{folder} holds no poisoned_qa.jsonl.gz; set RAGSHIELD_DATA")
    return folder


@dataclass(frozen=True)
class Case:
    """One attacked question: its honest passages and its poison by family."""

    key: str
    dataset: str
    question: str
    wrong: str
    right: str
    golden: tuple[str, ...]
    contexts: tuple[str, ...] = ()
    poison: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class DevData:
    """The development files, read once."""

    folder: Path

    def rows(self, name: str) -> list[Row]:
        """Records of one file."""
        return [row for _, row in read_jsonl(self.folder / name)]

    def cases(self) -> list[Case]:
        """The 150 questions of poisoned_qa with the families it holds."""
        contexts = {
            r["question"]: tuple(r["contexts"]) for r in self.rows("retrieved_contexts.jsonl")
        }
        return [
            Case(
                key=f"{r['dataset']}-{r['idx']}",
                dataset=r["dataset"],
                question=r["question"],
                wrong=r["target_answer"],
                right=r["correct_answers"][0] if r["correct_answers"] else "",
                golden=tuple(r["golden"]) + tuple(r["clean_other"] or ()),
                contexts=contexts.get(r["question"], ()) if r["dataset"] == "hotpotqa" else (),
                poison={family: tuple(texts) for family, texts in r["poison"].items()},
            )
            for r in self.rows("poisoned_qa.jsonl.gz")
        ]

    def optimised_cases(self) -> list[Case]:
        """HotFlip (100 questions) and Phantom (one question per distinct trigger query)."""
        out = []
        for name, family in (("hotflip.jsonl.gz", "hotflip"), ("phantom.jsonl.gz", "phantom")):
            for r in self.rows(name):
                wrong = r["incorrect"][0] if r["incorrect"] else ""
                out.append(
                    Case(
                        key=f"{family}-{r['query_id']}",
                        dataset="nq",
                        question=r["query"],
                        wrong=wrong,
                        right=r["correct"][0] if r["correct"] else "",
                        golden=tuple(r["gt_text"]),
                        poison={family: tuple(r["poisoned_docs"])},
                    )
                )
        return out

    def counterfact_cases(self, n: int = 150) -> list[Case]:
        """Persuasive false statements about a subject; the prompt is the question."""
        return [
            Case(
                key=f"counterfact-{r['case_id']}",
                dataset="counterfact",
                question=r["prompt"],
                wrong=r["false"],
                right=r["true"],
                golden=(),
                poison={"counterfact": tuple(r["evidence"])},
            )
            for r in self.rows("counterfact_poison.jsonl.gz")[:n]
        ]

    def injections(self) -> tuple[list[str], list[Row]]:
        """Payload texts, and carriers with their questions."""
        rows = self.rows("injections.jsonl")
        payloads = [r["text"] for r in rows if r["kind"] == "payload"]
        return payloads, [r for r in rows if r["kind"] == "carrier"]

    def tofu(self) -> list[Row]:
        """Questions with a full-sentence answer each, 30 invented authors."""
        return self.rows("unlearning/tofu_forget.jsonl") + self.rows("unlearning/tofu_retain.jsonl")

    def dusk_documents(self) -> list[Row]:
        """Documents in five styles about the same invented people."""
        return self.rows("unlearning/dusk_documents.jsonl.gz")

    def honest_questions(self) -> dict[str, list[str]]:
        """Questions that no poison aims at, by where they come from."""
        restor = [
            fact["question"]
            for row in self.rows("unlearning/restor_facts.jsonl")
            for fact in row["facts"][:2]
        ]
        return {
            "tofu": [r["question"] for r in self.tofu()],
            "dusk": [r["question"] for r in self.rows("unlearning/dusk_qa.jsonl")],
            "restor": restor[:300],
            "authors": [r["question"] for r in self.rows("unlearning/tofu_real_authors.jsonl")],
            "facts": [r["question"] for r in self.rows("unlearning/tofu_world_facts.jsonl")],
            "carriers": [r["question"] for r in self.injections()[1]],
        }

    def clean_passages(self) -> list[str]:
        """Every honest passage of the development data."""
        out: list[str] = []
        for case in [*self.cases(), *self.optimised_cases()]:
            out += [*case.golden, *case.contexts]
        out += [r["answer"] for r in self.tofu()]
        out += [r["context"] for r in self.injections()[1]]
        for row in self.dusk_documents():
            out += list(split(row["text"]))
        return out


def embedder(cache: Path) -> Callable[[list[str]], Any]:
    """MiniLM behind a cache on disk."""
    from ragshield.encoders.open import open_encoder

    encoder = open_encoder("minilm", cache=cache)
    return lambda texts: encoder.encode(texts)


def batches_of(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def split(text: str, n_words: int = 70) -> Iterator[str]:
    """Consecutive parts of about `n_words` words; a rest under 12 words is dropped."""
    parts = text.split()
    for start in range(0, len(parts), n_words):
        piece = parts[start : start + n_words]
        if len(piece) >= 12:
            yield " ".join(piece)
