"""A passage whose retrieval part HotFlip optimises before a generation part that stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ragshield.attacks.crafted import crafted
from ragshield.attacks.hotflip import Found, Search, first_tokens, hotflip
from ragshield.attacks.objectives import Objective
from ragshield.attacks.white_box import WhiteBox
from ragshield.records import MetaValue, Passage, Target


def optimised(
    attack: str,
    target: Target,
    index: int,
    box: WhiteBox,
    objective: Objective,
    *,
    start: str,
    payload: str,
    search: Search,
    rng: np.random.Generator,
    variant: str,
    avoid: Sequence[str] = (),
    promised: bool = True,
    verified: bool | None = None,
    n_llm_calls: int = 0,
    n_encoder_calls: int = 0,
    more: Mapping[str, MetaValue] | None = None,
) -> Passage:
    """The passage, with `objective_before`, `objective_after` and `n_gradients` in its metadata.

    Args:
        attack: registry name.
        target: what it aims at.
        index: position among the target's passages.
        box: the encoder.
        objective: what the whole text should achieve.
        start: the retrieval part to begin with; what would push the payload out of the
            model's window is cut off.
        payload: the generation part; may be empty.
        search: how long and how widely.
        rng: draws the places that are tried.
        variant: how the text came about.
        avoid: texts whose words are not put in.
        promised: whether the payload is meant to state the wrong answer.
        verified: whether it was tried on a reader, and worked.
        n_llm_calls: made for the payload.
        n_encoder_calls: texts embedded before the search.
        more: further metadata.
    """
    behind = f" {payload}" if payload else ""
    room = box.n_tokens - len(box.spans(payload)) - 2 if payload else box.n_tokens - 2
    found: Found = hotflip(
        box,
        first_tokens(box, start, max(room, box.n_tokens // 2)),
        objective,
        rng=rng,
        hosts=(("", behind),),
        search=search,
        avoid=avoid,
    )
    return crafted(
        attack,
        target,
        index,
        variant=variant,
        retrieval_part=found.text,
        generation_part=payload,
        verified=verified,
        n_llm_calls=n_llm_calls,
        n_encoder_calls=n_encoder_calls + found.n_evaluations,
        joint=" " if payload else "",
        promised=promised,
        more={
            **(more or {}),
            "objective_before": found.start_value,
            "objective_after": found.value,
            "n_gradients": found.n_gradients,
        },
    )
