"""What every attack hands over: a poisoned passage that says how it was made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

from ragshield.errors import UsageError
from ragshield.records import MetaValue, Passage, Target
from ragshield.text import STOP_WORDS, normal_form, states

RetrievalPart: TypeAlias = Literal["none", "question-prefix", "question-suffix", "keywords"]
"""What makes a passage retrieved: nothing, the question before or after it, or its words."""

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")

CANARY = "ragshield-canary"
"""How the tag of every planted passage begins."""


def check_count(name: str, value: int, least: int = 0, most: int | None = None) -> int:
    """The value, if it is in range.

    Raises:
        ValueError: it is not.
    """
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")
    if most is not None and value > most:
        raise ValueError(f"{name} is {value}; it must be at most {most}")
    return value


def check_choice(name: str, value: str, options: object) -> None:
    """Refuse a text that is none of a `Literal`'s.

    Raises:
        ValueError: it is not.
    """
    if value not in get_args(options):
        raise ValueError(f"{name} is '{value}'; allowed: {', '.join(get_args(options))}")


def check_share(name: str, value: float) -> float:
    """The value, if it is in [0, 1].

    Raises:
        ValueError: it is not.
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {value}; it must be between 0 and 1")
    return value


def check_target(attack: str, target: Target, *, answer: bool = True) -> None:
    """Refuse a target that no attack can be measured on.

    Args:
        attack: registry name, for the message.
        target: what to attack.
        answer: whether the attack needs the wrong answer; one that blocks every answer
            does not.

    Raises:
        UsageError: the question or the wrong answer is empty, or the wrong answer is a
            right one.
    """
    name = f"{attack}: target '{target.question.id}'"
    if not target.question.text.strip():
        raise UsageError(f"{name} has an empty question; give the question to attack")
    if not answer:
        return
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
    joint: str = ".",
    retrieval_last: bool = False,
    promised: bool = True,
    source: str | None = None,
    more: Mapping[str, MetaValue] | None = None,
) -> Passage:
    """A poisoned passage, retrieval part first, with what is known about it.

    Its metadata: `attack`, `variant`, `target_id`, `question`, `wrong_answer`; `prefix`,
    whether there is a retrieval part; `retrieval_end` and `generation_start`, characters
    in the text; `states_target` and `states_correct`, whether the generation part states
    the wrong answer and a right one, as whole words; `verified`, whether a reader shown
    only the generation part gave the wrong answer (None: not tried); `weak`, where it
    does not state the target or failed that test; `n_llm_calls`, `n_encoder_calls`; and
    `canary`, a tag no clean passage has. Where the retrieval part comes last, also
    `retrieval_start` and `generation_end`.

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
        joint: what stands between the parts; PoisonedRAG's full stop has no blank.
        retrieval_last: whether the retrieval part follows the generation part.
        promised: whether the technique is meant to state the target in this passage;
            one that is not is never `weak` for leaving it out.
        source: who the passage claims to come from.
        more: further metadata; may not overwrite the above.
    """
    joint = joint if retrieval_part else ""
    parts = (
        (generation_part, retrieval_part) if retrieval_last else (retrieval_part, generation_part)
    )
    text = joint.join(parts) if retrieval_part else generation_part
    start = 0 if retrieval_last else len(retrieval_part) + len(joint)
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
        "retrieval_end": len(text) if retrieval_last else len(retrieval_part),
        "generation_start": start,
        "states_target": states_target,
        "states_correct": any(states(generation_part, a) for a in target.question.answers),
        "verified": verified,
        "weak": (promised and not states_target) or verified is False,
        "n_llm_calls": n_llm_calls,
        "n_encoder_calls": n_encoder_calls,
        "canary": f"{CANARY}-{digest[:16]}",
    }
    if retrieval_last:
        meta |= {
            "retrieval_start": len(generation_part) + len(joint),
            "generation_end": len(generation_part),
        }
    return Passage(id=passage_id, text=text, source=source, meta={**(more or {}), **meta})


def assembled(
    attack: str,
    target: Target,
    texts: Sequence[str],
    *,
    n: int,
    prefix: bool,
    variant: str,
    promised: bool = True,
) -> list[Passage]:
    """The first n texts as poisoned passages, with the question before each or without.

    Raises:
        UsageError: fewer different texts than n.
    """
    different = list(dict.fromkeys(texts))
    if len(different) < n:
        raise UsageError(
            f"{attack}: target '{target.question.id}' has {len(different)} texts, n is {n}; lower n"
        )
    return [
        crafted(
            attack,
            target,
            index,
            variant=variant,
            retrieval_part=target.question.text if prefix else "",
            generation_part=text,
            verified=None,
            joint=" ",
            promised=promised,
        )
        for index, text in enumerate(different[:n])
    ]


def keywords(question: str) -> str:
    """The question's content words as they stand in it; the question if it has none."""
    found = [word for word in _WORD.findall(question) if word.lower() not in STOP_WORDS]
    return " ".join(dict.fromkeys(found)) or question


def retrieval_text(part: RetrievalPart, question: str) -> str:
    """The text of a retrieval part."""
    if part == "none":
        return ""
    return keywords(question) if part == "keywords" else question


def generation_text(passage: Passage) -> str:
    """The part of a crafted passage that makes the reader answer wrongly."""
    start, end = passage.meta["generation_start"], passage.meta.get("generation_end")
    return passage.text[int(start or 0) : None if end is None else int(end)]
