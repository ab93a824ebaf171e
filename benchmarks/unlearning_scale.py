"""From one target to a thousand at once: the gates under load."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from unlearning_methods import SwitchedEncoder

from ragshield.corpora.world import generate
from ragshield.corpora.world_facts import word_lists
from ragshield.forget_set import Fact, ForgetTarget
from ragshield.intervals import rate
from ragshield.unlearning import Forgetting, StayingTexts, build_keys, is_refusal
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.query_gate import QueryGate, parts_of
from ragshield.unlearning.spelling import tokens, views, words_of

SIZES = (1, 10, 100, 1000)
SEQUENTIAL = 100
REMOVING = 50
_N_ASKED = 200
_N_BESIDE = 300
_N_FACTS = 3
_N_NEIGHBOURS = 10
_REPEATS = 3
_N_TIMED = 60


def scaled(vectors: Path | None, *, quick: bool = False) -> dict[str, Any]:
    """Latency, over-refusal and leak by the number of targets.

    The model is the worst there can be: it knows every fact of everybody and refuses
    nothing. Half of the questions spell the name with a mistake, in Base64 or backwards.
    """
    from unlearning_sequence import one_after_another

    encoder = SwitchedEncoder(vectors)
    crowd = Crowd(40 if quick else 1000)
    sizes = tuple(n for n in SIZES if n <= len(crowd.targets))
    rows = []
    for n in sizes:
        start = time.perf_counter()
        keys = build_keys(crowd.targets[:n], encoder, secret=bytes(32), benign=crowd.staying)
        built = time.perf_counter() - start
        rows.append({"n": n, "build_s": round(built, 1), **crowd.measured(keys, encoder)})
        print(f"scale: {n} targets", rows[-1], flush=True)
    # The same without a knowledge base, which says who else has a surname.
    keys = build_keys(crowd.targets[: sizes[-1]], encoder, secret=bytes(32))
    alone = {"n": sizes[-1], **crowd.measured(keys, encoder, timed=False)}
    return {
        "at_once": rows,
        "without_texts": alone,
        "n_staying": len(crowd.staying.texts),
        "one_after_another": one_after_another(crowd, encoder, 10 if quick else SEQUENTIAL),
        "removed": one_after_another(crowd, encoder, 10 if quick else REMOVING, restore=True),
    }


class Crowd:
    """A larger world, of which the first targets are forgotten and the last ones asked about."""

    def __init__(self, n: int) -> None:
        world = generate(1, people=1500, firms=140, places=120)
        self.facts: dict[str, dict[str, str]] = {name: {} for name in world.kinds}
        self.kinds = world.kinds
        for fact in world.facts:
            self.facts[fact.entity][fact.relation] = fact.value
        draw = np.random.default_rng(2)
        people = [name for name, kind in world.kinds.items() if kind == "person"]
        order = [people[int(i)] for i in draw.permutation(len(people))]
        # Whom no forget set names, and who is like somebody that it does: the hard ones.
        surnames = {name.split()[-1] for name in order[:n]}
        others = sorted(order[n:], key=lambda name: name.split()[-1] not in surnames)
        self.beside, rest = others[:_N_BESIDE], others[_N_BESIDE:]
        near = {name: _near(name, rest) for name in order[:n]}
        self.targets = [self._target(name, near[name]) for name in order[:n]]
        # The knowledge base without whatever names one of them.
        gone = {words_of(name) for name in order[:n]}
        stay = (p.text for p in world.passages if gone.isdisjoint(_pairs(p.text)))
        self.staying = StayingTexts(stay)

    def measured(
        self, keys: ForgetKeys, encoder: SwitchedEncoder, *, timed: bool = True
    ) -> dict[str, Any]:
        """Latency, over-refusal and leak of the keys of the first targets."""
        n = len(keys.targets)
        asked = self.asked(range(n), min(_N_ASKED, max(40, n)))
        beside = self.about_others()
        given = self.given(keys, encoder, [*asked, *beside])
        timing = _latency(keys, encoder, [question for question, _ in (*asked, *beside)])
        return {
            "leak": of(sum(not is_refusal(given[question]) for question, _ in asked), len(asked)),
            "over_refusal": of(sum(is_refusal(given[q]) for q, _ in beside), len(beside)),
            "threshold": keys.calibration.threshold,
            "n_vectors": len(keys.vectors),
            **(timing if timed else {}),
        }

    def asked(self, targets: Sequence[int], n: int) -> list[tuple[str, str]]:
        """`n` questions about some targets, in turn, each with the whole truth."""
        return [self._asked(self.targets[targets[i % len(targets)]].name, i) for i in range(n)]

    def about_others(self) -> list[tuple[str, str]]:
        """Questions about whom no forget set names, each with the whole truth."""
        return [self._asked(name, 0) for name in self.beside]

    @staticmethod
    def given(
        keys: ForgetKeys, encoder: SwitchedEncoder, asked: Sequence[tuple[str, str]]
    ) -> dict[str, str]:
        """What is given for questions to a model that tells the truth about everybody."""
        encoder.encode([part for question, _ in asked for part in parts_of(question)])
        truth = dict(asked)
        app = Forgetting(keys, truth.__getitem__, encoder=encoder, even_cost=False, split=False)
        return {question: app.ask(question).text for question, _ in asked}

    def plain(self, target: int, number: int) -> tuple[str, str]:
        """One of the questions about a target by its name as it is spelled."""
        return self._asked(self.targets[target].name, number, plain=True)

    def latency(
        self, keys: ForgetKeys, encoder: SwitchedEncoder, targets: Sequence[int]
    ) -> dict[str, float]:
        """Milliseconds of the query gate, half of the questions about targets."""
        asked = [*self.asked(targets, _N_TIMED), *self.about_others()[:_N_TIMED]]
        return _latency(keys, encoder, [question for question, _ in asked])

    def _target(self, name: str, near: Sequence[str]) -> ForgetTarget:
        facts = list(self.facts[name].items())[:_N_FACTS]
        return ForgetTarget(
            name,
            facts=tuple(Fact(r.replace("_", " "), v) for r, v in facts),
            neighbours=tuple(near),
        )

    def _asked(self, name: str, i: int, *, plain: bool = False) -> tuple[str, str]:
        """A question and the whole truth as an answer."""
        facts = list(self.facts[name].items())[:_N_FACTS]
        relation, value = facts[i % len(facts)]
        forms = word_lists("world_questions")[self.kinds[name]][relation]
        spelled = name if plain else _SPELLINGS[i % len(_SPELLINGS)](name)
        return forms[i % len(forms)].format(subject=spelled), f"{value}."


def _typo(name: str) -> str:
    middle = len(name) - 3
    return name[:middle] + name[middle + 1] + name[middle] + name[middle + 2 :]


def _encoded(name: str) -> str:
    import base64

    return base64.b64encode(name.encode()).decode()


_SPELLINGS = (
    lambda name: name,
    _typo,
    lambda name: name,
    _encoded,
    lambda name: name,
    lambda name: name[::-1],
)


def _pairs(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    return set(pairwise(words))


def _near(name: str, others: Sequence[str]) -> list[str]:
    first, last = name.split()[0], name.split()[-1]
    same = [o for o in others if o.split()[-1] == last or o.split()[0] == first]
    return [*same, *others][:_N_NEIGHBOURS]


def _latency(
    keys: ForgetKeys, encoder: SwitchedEncoder, questions: Sequence[str]
) -> dict[str, float]:
    """Milliseconds of the query gate for one question, its vector at hand.

    The best of three turns of each question: what others do on the machine is no cost of
    the gate. Processor time is of the median turn.
    """
    gate = QueryGate(keys, encoder)
    made = [(question, encoder.encode(parts_of(question))) for question in questions]
    gate.judge(made[0][0], vectors=made[0][1])
    walls, cpus = [], []
    for question, vectors in made:
        turns = []
        for _ in range(_REPEATS):
            tokens.cache_clear()
            views.cache_clear()
            gate.recogniser.forget()
            start, cpu = time.perf_counter(), time.thread_time()
            gate.judge(question, vectors=vectors)
            turns.append((time.perf_counter() - start, time.thread_time() - cpu))
        walls.append(min(wall for wall, _ in turns) * 1e3)
        cpus.append(float(np.median([cpu for _, cpu in turns])) * 1e3)
    return {
        "gate_median_ms": round(float(np.median(walls)), 2),
        "gate_p95_ms": round(float(np.quantile(walls, 0.95)), 2),
        "gate_cpu_ms": round(float(np.median(cpus)), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def of(k: int, n: int) -> dict[str, Any]:
    found = rate(k, n)
    return {"value": found.value, "low": found.low, "high": found.high, "k": k, "n": n}
