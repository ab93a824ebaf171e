"""What every attack hands over: a poisoned passage that says how it was made."""

from __future__ import annotations

import hashlib

from ragshield.errors import UsageError
from ragshield.records import MetaValue, Passage, Target
from ragshield.text import normal_form, states

CANARY = "ragshield-canary"
"""How the tag of every planted passage begins."""


def check_target(attack: str, target: Target) -> None:
    """Refuse a target that no attack can be measured on.

    Raises:
        UsageError: the question or the wrong answer is empty, or the wrong answer is a
            right one.
    """
    name = f"{attack}: target '{target.question.id}'"
    if not target.question.text.strip():
        raise UsageError(f"{name} has an empty question; give the question to attack")
    if not normal_form(target.wrong_answer):
        raise UsageError(
            f"{name} has no wrong answer; give the answer that the attack should bring"
        )
    wrong = normal_form(target.wrong_answer)
    if any(normal_form(right) == wrong for right in target.question.answers):
        raise UsageError(
            f"{name}: the wrong answer '{target.wrong_answer:.60}' is a right one; give another"
        )


def crafted(
    attack: str,
    target: Target,
    index: int,
    *,
    variant: str,
    retrieval_part: str,
    generation_part: str,
    verified: bool | None,
    n_llm_calls: int = 0,
    n_encoder_calls: int = 0,
) -> Passage:
    """A poisoned passage, retrieval part first, with what is known about it.

    Its metadata: `attack`, `variant`, `target_id`, `question`, `wrong_answer`; `prefix`,
    whether there is a retrieval part; `retrieval_end` and `generation_start`, characters
    in the text; `states_target` and `states_correct`, whether the generation part states
    the wrong answer and a right one, as whole words; `verified`, whether a reader shown
    only the generation part gave the wrong answer (None: not tried); `weak`, where it
    does not state the target or failed that test; `n_llm_calls`, `n_encoder_calls`; and
    `canary`, a tag no clean passage has.

    Args:
        attack: registry name.
        target: what it aims at.
        index: position among the target's passages.
        variant: how the text came about.
        retrieval_part: what makes it retrieved; may be empty.
        generation_part: what makes the reader give the wrong answer.
        verified: see above.
        n_llm_calls: calls of a language model made for this passage.
        n_encoder_calls: texts embedded for this passage.
    """
    joint = "." if retrieval_part else ""
    text = f"{retrieval_part}{joint}{generation_part}"
    passage_id = f"{attack}/{target.question.id}/{index}"
    states_target = states(generation_part, target.wrong_answer)
    digest = hashlib.sha256(f"{passage_id}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
    meta: dict[str, MetaValue] = {
        "attack": attack,
        "variant": variant,
        "target_id": target.question.id,
        "question": target.question.text,
        "wrong_answer": target.wrong_answer,
        "prefix": bool(retrieval_part),
        "retrieval_end": len(retrieval_part),
        "generation_start": len(retrieval_part) + len(joint),
        "states_target": states_target,
        "states_correct": any(states(generation_part, a) for a in target.question.answers),
        "verified": verified,
        "weak": not states_target or verified is False,
        "n_llm_calls": n_llm_calls,
        "n_encoder_calls": n_encoder_calls,
        "canary": f"{CANARY}-{digest[:16]}",
    }
    return Passage(id=passage_id, text=text, meta=meta)
