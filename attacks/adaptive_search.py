"""The adaptive attacker's search: candidate sets judged by the defence itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from ragshield.attacks.adaptive_drafts import Draft, Material, edited, split
from ragshield.attacks.templates import table
from ragshield.protocols import Defender, Encoder
from ragshield.records import Hit, Passage, Retrieval, Target, Vector
from ragshield.text import states
from ragshield.vectors import cosines

_BATCH = 8
_P_SPLIT = 0.15
_P_RESTART = 0.2
_FIRST_DAY = date(2024, 1, 8)
_DAYS_APART = 34


class Tried(NamedTuple):
    """How a set of drafts did: worth of each (higher = better) and which got through."""

    worth: tuple[float, ...]
    through: tuple[bool, ...]


class Trial:
    """Judges candidate sets as the guard would, over the honest hits; counts what it cost."""

    def __init__(
        self,
        target: Target,
        honest: Retrieval,
        defender: Defender,
        encoder: Encoder,
        *,
        k: int,
        depth: int,
    ) -> None:
        self.n_evaluations = 0
        self.n_embedded = 0
        self._target = target
        self._honest = honest
        self._defender = defender
        self._encoder = encoder
        self._k = k
        self._depth = depth
        self._vectors: dict[str, Vector] = {}

    def embed(self, texts: Sequence[str]) -> None:
        """Embed what is new, in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self.n_embedded += len(new)
            self._vectors.update(zip(new, self._encoder.encode(new), strict=True))

    def judge(self, drafts: Sequence[Draft]) -> Tried:
        """Rank the drafts among the honest hits and ask the defender."""
        self.n_evaluations += 1
        vectors = np.vstack([self._honest.vectors, *(self._vectors[d.text] for d in drafts)])
        vectors = vectors.astype(np.float32)
        similarity = cosines(vectors, self._honest.question_vector)
        order = np.argsort(-similarity, kind="stable")[: self._depth]
        # The names a store would see are not the attack's: a defender may not read them off.
        ours = [
            Passage(f"candidate/{i}", d.text, source_of(i), {"date": day_of(i)})
            for i, d in enumerate(drafts)
        ]
        passages = (*self._honest.passages, *ours)
        hits = tuple(Hit(passages[i], float(similarity[i])) for i in order)
        verdict = self._defender.inspect(
            Retrieval(self._honest.question, hits, vectors[order], self._honest.question_vector)
        )
        read = set(verdict.kept_ids[: self._k])
        suspicion = {f.passage_id: f.suspicion for f in verdict.findings}
        wrong = self._target.wrong_answer
        stated = [
            p.id in read and states(d.generation, wrong) for p, d in zip(ours, drafts, strict=True)
        ]
        through = tuple(
            p.id in read and (own or (not d.promised and any(stated)))
            for p, d, own in zip(ours, drafts, stated, strict=True)
        )
        first = len(self._honest)
        worth = tuple(
            _worth(p.id in suspicion, passed, suspicion.get(p.id), float(similarity[first + i]))
            for i, (p, passed) in enumerate(zip(ours, through, strict=True))
        )
        return Tried(worth, through)


def _worth(retrieved: bool, through: bool, suspicion: float | None, similarity: float) -> float:
    """What a passage is worth: through before retrieved before near, then less suspicion."""
    if not retrieved:
        return 0.1 * similarity
    trust = 1.0 - (0.5 if suspicion is None else suspicion)
    return (2.0 if through else 0.2) + 0.5 * trust


def searched(
    start: list[Draft],
    material: Material,
    trial: Trial,
    *,
    budget: int,
    rng: np.random.Generator,
) -> tuple[list[Draft], Tried]:
    """Generate and test: edit the worst passage, keep the best of each batch if not worse."""
    drafts = start
    trial.embed([draft.text for draft in drafts])
    best = trial.judge(drafts)
    while not all(best.through) and trial.n_evaluations < budget:
        room = min(_BATCH, budget - trial.n_evaluations)
        proposed = [_proposed(drafts, best, start, material, rng) for _ in range(room)]
        fresh = [p for p in proposed if len({d.text for d in p}) == len(p)]
        if not fresh:  # every edit led back to what is there already; count it, so that it ends
            trial.n_evaluations += 1
            continue
        trial.embed([draft.text for set_ in fresh for draft in set_])
        for candidate in fresh:
            tried = trial.judge(candidate)
            if sum(tried.worth) >= sum(best.worth):
                drafts, best = candidate, tried
    return drafts, best


def _proposed(
    drafts: list[Draft],
    best: Tried,
    start: list[Draft],
    material: Material,
    rng: np.random.Generator,
) -> list[Draft]:
    """The set with its worst passage edited, begun anew, or split with the next worst."""
    order = np.argsort(best.worth, kind="stable").tolist()
    worst = order[0]
    changed = list(drafts)
    drawn = rng.random()
    if drawn < _P_SPLIT and len(drafts) > 1:
        changed[worst], changed[order[1]] = split(material, rng)
    elif drawn < _P_SPLIT + _P_RESTART:
        changed[worst] = edited(start[worst % len(start)], material, rng)
    else:
        changed[worst] = edited(drafts[worst], material, rng)
    return changed


def source_of(index: int) -> str:
    """The source that the passage at this place claims."""
    sources: list[str] = table("slow_drip.toml")["sources"]
    return f"{sources[index % len(sources)]}/{index}"


def day_of(index: int) -> str:
    """The day that the passage at this place claims, weeks from the next."""
    return (_FIRST_DAY + timedelta(days=_DAYS_APART * index)).isoformat()
