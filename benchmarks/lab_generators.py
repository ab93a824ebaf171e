"""Phantom's generator part and GARAG's answer-probability objective on the lab's model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ragshield.attacks.causal import CausalReader
from ragshield.attacks.garag_search import GARAGSearch
from ragshield.attacks.phantom_reader import PhantomReader
from ragshield.attacks.typos import WORD, changeable, with_typos
from ragshield.protocols import Encoder
from ragshield.records import Target
from ragshield.text import states


def phantom(
    reader: CausalReader, given: dict[str, Any], targets: Sequence[Target], *, n_steps: int
) -> list[dict[str, Any]]:
    """Whether the reader follows the planted command: without the trigger, and with it."""
    attack = PhantomReader(n=1, n_steps=n_steps, n_candidates=64, n_tokens=12, **given)
    found: list[dict[str, Any]] = []
    for number, target in enumerate(targets):
        [passage] = attack.craft(target, rng=np.random.default_rng([5, number]))
        trigger = str(passage.meta["trigger"])
        bare = " ".join(passage.text.replace(trigger, " ").split())
        question, wrong = target.question.text, target.wrong_answer
        answers = reader.answers(question, [[bare], [passage.text]])
        found.append(
            {
                "bare": states(answers[0], wrong),
                "triggered": states(answers[1], wrong),
                "entropy_first": float(passage.meta["cross_entropy_first"] or 0.0),
                "entropy_last": float(passage.meta["cross_entropy"] or 0.0),
                "n_steps": int(passage.meta["n_steps"] or 0),
                "n_forward": int(passage.meta["n_forward"] or 0),
            }
        )
    return found


def garag(
    reader: CausalReader,
    given: dict[str, Any],
    encoder: Encoder,
    targets: Sequence[Target],
    *,
    n_generations: int,
) -> list[dict[str, Any]]:
    """Typing errors bred against the answer's probability, beside as many drawn blindly.

    Each target's own text is a true passage that states its right answer.
    """
    attack = GARAGSearch(
        texts="supplied", population=16, n_parents=8, n_generations=n_generations,
        prefix=False, encoder=encoder, **given,
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    for number, target in enumerate(targets):
        rng = np.random.default_rng([6, number])
        [passage] = attack.craft(target, rng=rng)
        meta = passage.meta
        blind = _blindly(target, int(meta["n_words"] or 0), rng)
        question, right = target.question.text, target.question.answers[0]
        answers = reader.answers(question, [[target.texts[0]], [blind], [passage.text]])
        usual, drawn = reader.log_probs(question, [[target.texts[0]], [blind]], right)
        found.append(
            {
                "before": not states(answers[0], right),
                "blind": not states(answers[1], right),
                "bred": not states(answers[2], right),
                "blind_gpr": float(np.exp(drawn - usual)),
                "gpr": float(meta["gpr"] or 0.0),
                "rsr": float(meta["rsr"] or 0.0),
                "n_words": int(meta["n_words"] or 0),
                "n_judged": int(meta["n_evaluations"] or 0),
            }
        )
    return found


def _blindly(target: Target, n_words: int, rng: np.random.Generator) -> str:
    """As many words misspelt, drawn without asking anybody."""
    text, kept = target.texts[0], [target.wrong_answer, *target.question.answers]
    n_all = len(changeable(text, WORD, kept))
    return with_typos(text, kept, rng, rate=min(n_words / n_all, 1.0) if n_all else 0.0)
