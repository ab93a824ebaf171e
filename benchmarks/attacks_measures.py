"""What one attack does: retrieval, answers, fluency, cost, and what finds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np
from attacks_fluency import Fluency, mean_interval
from attacks_store import SETS, Aim, PlantedStore, unlabelled
from guard_answers import as_dict

from ragshield import Guard
from ragshield.attacks.question_sets import with_trigger
from ragshield.errors import RagshieldError
from ragshield.intervals import clustered_rate
from ragshield.metrics import (
    Removal,
    answer_correct,
    attack_succeeded,
    clean_loss,
    poison_recall,
    share,
)
from ragshield.protocols import Attack, Reader
from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Passage, Question, Retrieval, Target, Vectors, Verdict
from ragshield.text import states

READ = 5
"""Passages that the reader is given."""


@dataclass
class Made:
    """The poison of one attack, by aim; seconds are the processor's."""

    aims: list[Aim] = field(default_factory=list)
    poison: list[list[Passage]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    n_embedded: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def of(self, name: str) -> list[int]:
        """Positions of the aims of one set."""
        return [i for i, aim in enumerate(self.aims) if aim.set == name]


def crafted(
    attack: Attack, aims: Sequence[Aim], store: PlantedStore, *, seconds: float, seed: int = 0
) -> Made:
    """Poison for the aims in turn, until the processor's time is up; at least one is tried.

    It gives up when the first four fail, which an attack does that lacks something.
    """
    made = Made()
    encoder: Any = store.encoder
    end = time.process_time() + seconds
    for i, aim in enumerate(aims):
        start, embedded = time.process_time(), encoder.n_texts
        try:
            poison = attack.craft(aim.target, rng=np.random.default_rng([seed, i]))
        except RagshieldError as error:
            made.failures.append(str(error).splitlines()[0])
            if len(made.failures) == 4 and not made.aims:
                break
            continue
        made.seconds.append(time.process_time() - start)
        made.n_embedded.append(max(encoder.n_texts - embedded, noted(poison)))
        made.aims.append(aim)
        made.poison.append(poison)
        if time.process_time() > end:
            break
    return made


def noted(poison: Sequence[Passage]) -> int:
    """Texts embedded by an attack's own count: what it embeds past the encoder's front door."""
    return sum(int(p.meta.get("n_encoder_calls") or 0) for p in poison)


def crafted_for_many(
    build: Callable[[list[str]], Attack], aims: Sequence[Aim], store: PlantedStore, *, seed: int = 0
) -> Made:
    """One lot of poison for all questions of a set, and the questions it has not seen.

    The attack is given half of a set's questions and aims at the other half. What counts as
    success is what the poison claims.
    """
    made = Made()
    encoder: Any = store.encoder
    for number, name in enumerate(SETS):
        own = [aim.target for aim in aims if aim.set == name]
        seen, unseen = own[: len(own) // 2], own[len(own) // 2 :]
        start, embedded = time.process_time(), encoder.n_texts
        try:
            attack = build([target.question.text for target in seen])
            poison = attack.craft(seen[0], rng=np.random.default_rng([seed, number]))
        except RagshieldError as error:
            made.failures.append(str(error).splitlines()[0])
            continue
        spent = time.process_time() - start
        n_embedded = max(encoder.n_texts - embedded, noted(poison))
        wrong = seen[0].wrong_answer
        claimed = wrong if any(states(p.text, wrong) for p in poison) else ""
        for target in unseen:
            made.aims.append(Aim(name, Target(target.question, claimed)))
            made.poison.append(poison)
            made.seconds.append(spent)
            made.n_embedded.append(n_embedded)
    return made


def triggered(made: Made) -> Made:
    """The same with a trigger of its own poison in every question, of several in turn."""
    aims = []
    for i, (aim, poison) in enumerate(zip(made.aims, made.poison, strict=True)):
        question, wrong = aim.target.question, aim.target.wrong_answer
        triggers = str(poison[0].meta.get("trigger") or "").split(", ")
        text = with_trigger(question.text, triggers[i % len(triggers)])
        aims.append(Aim(aim.set, Target(Question(question.id, text, question.answers), wrong)))
    return replace(made, aims=aims)


class Measure:
    """Measures attacks over one store."""

    def __init__(
        self,
        store: PlantedStore,
        embed: Callable[[list[str]], Vectors],
        fluency: Fluency,
        reader: Reader | None = None,
    ) -> None:
        self.store, self.embed, self.fluency = store, embed, fluency
        self._reader = reader or ExtractiveReader()

    def none(self, aims: Sequence[Aim], sets: Sequence[str] = SETS) -> dict[str, Any]:
        """The sets without any attack."""
        made = Made(list(aims), [[] for _ in aims], [0.0] * len(aims), [0] * len(aims))
        return {name: self._answers(made, made.of(name), self.store) for name in sets}

    def all(self, made: Made) -> dict[str, Any]:
        """Both sets, all poison of the attack planted at once."""
        flat = unlabelled(list({p.id: p for poison in made.poison for p in poison}.values()))
        store = self.store.planted(flat, self.embed([p.text for p in flat]))
        found = {}
        for name in SETS:
            if at := made.of(name):
                found[name] = {
                    "n_targets": len(at),
                    "n_passages": len({p.id for i in at for p in made.poison[i]}),
                    **self._retrieved(made, at, store),
                    **self._answers(made, at, store),
                    **self._cost(made, at),
                }
        return found

    def _retrieved(self, made: Made, at: Sequence[int], store: PlantedStore) -> dict[str, Any]:
        inside: dict[int, list[tuple[int, int]]] = {5: [], 10: []}
        hit = []
        for i in at:
            own = {p.id for p in made.poison[i]}
            found = store.retrieve(made.aims[i].target.question.text, 10)
            for k, cells in inside.items():
                cells.append((sum(h.id in own for h in found[:k]), len(own)))
            hit.append((int(inside[10][-1][0] > 0), 1))
        groups = [[p.text for p in made.poison[i]] for i in at]
        if len(groups) > 1 and groups.count(groups[0]) == len(groups):
            groups = [[text] for text in groups[0]]  # one lot for all questions
        places = [list(map(self.fluency.place, texts)) for texts in groups]
        bits = [list(map(self.fluency.model.surprise, texts)) for texts in groups]
        return {
            "top5": as_dict(clustered_rate(inside[5])),
            "top10": as_dict(clustered_rate(inside[10])),
            "questions_hit": as_dict(clustered_rate(hit)),
            "less_fluent_than": mean_interval(places),
            "bits_per_character": mean_interval(bits),
        }

    def _answers(self, made: Made, at: Sequence[int], store: PlantedStore) -> dict[str, Any]:
        poisoned = {p.id for p in store.poison}
        verdicts: list[tuple[Retrieval, Verdict]] = []
        guard = Guard(store, on_verdict=lambda *judged: verdicts.append(judged))
        removals = []
        outcome: dict[str, list[tuple[str, bool | None]]] = {}
        for i in at:
            target = made.aims[i].target
            question, name = target.question, target.question.id
            for how, found in (
                ("", store.retrieve(question.text, READ)),
                ("guarded_", guard.retrieve(question.text, READ)),
            ):
                answer = self._reader.answer(question.text, found.passages)
                succeeded = attack_succeeded(answer, target.wrong_answer, question)
                right = answer_correct(answer, question, target.wrong_answer)
                outcome.setdefault(f"{how}attack_success", []).append((name, succeeded))
                outcome.setdefault(f"{how}accuracy", []).append((name, right))
            removals.append(_removal(*verdicts[-1], {p.id for p in made.poison[i]}, poisoned))
        return {
            **{key: as_dict(share(rows)) for key, rows in outcome.items()},
            "guard_recall": as_dict(poison_recall(removals)),
            "guard_loss": as_dict(clean_loss(removals)),
        }

    def _cost(self, made: Made, at: Sequence[int]) -> dict[str, Any]:
        many = [max(1, len(made.poison[i])) for i in at]
        calls = [
            max((int(p.meta.get("n_llm_calls") or 0) for p in made.poison[i]), default=0)
            for i in at
        ]
        each = [made.seconds[i] / n for i, n in zip(at, many, strict=True)]
        return {
            "passages_a_lot": median(many),
            "seconds_per_passage": median(each),
            "seconds_per_passage_p90": float(np.quantile(each, 0.9)),
            "embedded_per_passage": sum(made.n_embedded[i] for i in at) / sum(many),
            "llm_calls_per_passage": sum(calls) / sum(many),
        }


def _removal(retrieval: Retrieval, verdict: Verdict, own: set[str], poisoned: set[str]) -> Removal:
    """What the guard removed; poison meant for other questions counts as neither."""
    gone = {finding.passage_id for finding in verdict.dropped}
    shown = {hit.id for hit in retrieval}
    clean = shown - poisoned
    return Removal(
        len(shown & own),
        len(shown & own & gone),
        len(clean),
        len(clean & gone),
        retrieval.question,
    )


def in_parts(made: Made, name: str, n: int) -> Iterator[list[Passage]]:
    """The poison of the first n aims of a set; what many aims share comes once."""
    shared: set[str] = set()
    for i in made.of(name)[:n]:
        if part := [p for p in made.poison[i] if p.id not in shared]:
            shared |= {p.id for p in part}
            yield unlabelled(part)
