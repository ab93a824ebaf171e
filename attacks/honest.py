"""The true passages that an attacker can read in the knowledge base it attacks."""

from __future__ import annotations

from ragshield.attacks.crafted import CANARY
from ragshield.errors import UsageError
from ragshield.protocols import Retriever
from ragshield.records import Passage, Retrieval, Target
from ragshield.text import states

_DEEPER = 10


def honest_retrieval(
    attack: str, retriever: Retriever | None, target: Target, *, k: int
) -> Retrieval:
    """The k nearest honest passages with their vectors, nearest first.

    What an attack planted earlier is left out by its canary.

    Args:
        attack: registry name, for the message.
        retriever: over the knowledge base.
        target: whose question is asked.
        k: at most so many; fewer come from a smaller store.

    Raises:
        UsageError: there is no retriever, or it finds nothing honest.
    """
    if retriever is None:
        raise UsageError(
            f"{attack}: needs true passages of the knowledge base it attacks: "
            "pass a retriever over it (ragshield attack --store URL)"
        )
    # Deeper than k, because poison of an earlier attack may take the first places.
    found = retriever.retrieve(target.question.text, k + _DEEPER)
    honest = [
        i
        for i, hit in enumerate(found)
        if not str(hit.passage.meta.get("canary", "")).startswith(CANARY)
    ]
    if not honest:
        raise UsageError(
            f"{attack}: no true passage was found for target '{target.question.id}'; "
            "is this the right store?"
        )
    return found.select(honest[:k])


def honest_passages(
    attack: str, retriever: Retriever | None, target: Target, *, k: int
) -> list[Passage]:
    """The same passages, those that state a right answer first.

    Raises:
        UsageError: there is no retriever, or it finds nothing honest.
    """
    found = honest_retrieval(attack, retriever, target, k=k).passages
    rights = target.question.answers
    return sorted(found, key=lambda p: not any(states(p.text, right) for right in rights))
