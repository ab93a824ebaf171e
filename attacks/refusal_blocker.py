"""A refusal blocker: a passage after which the reader declines to answer."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.crafted import assembled, check_choice, check_count, check_target
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.records import Passage, Target

Reason: TypeAlias = Literal["insufficient", "confidential", "safety", "privacy"]


class RefusalBlocker:
    """Make the reader decline to answer (jamming, by template).

    `insufficient` claims that nobody knows, `confidential` that the answer may not be told,
    `safety` is a false safety notice (SafeRAG's white denial of service), `privacy` says
    that all passages are private, so that an aligned model refuses (BadRAG).

    Access: the question. The wrong answer is not used and may be empty; what succeeds is
    that no answer comes, so attack success rate does not apply.
    Source: the aims of jamming (arXiv 2406.05870), SafeRAG (2501.18636) and BadRAG's
    alignment as an attack (2406.00083).
    Differs: jamming searches 50 tokens with queries to the victim; this needs none and reads
    as a sentence.

    Args:
        n: passages for each target.
        prefix: whether the question comes first.
        reason: why the reader should decline.

    Raises:
        ValueError: n < 0 or an unknown reason.
    """

    name: ClassVar[str] = "refusal-blocker"

    def __init__(self, *, n: int = 1, prefix: bool = True, reason: Reason = "insufficient") -> None:
        check_choice("reason", reason, Reason)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._reason = reason

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages, which promise no answer and are never `weak`.

        Raises:
            UsageError: an empty question, or n is above the number of wordings.
        """
        check_target(self.name, target, answer=False)
        wordings = shuffled(table("refusal_blocker.toml")[self._reason], rng)
        return assembled(
            self.name,
            target,
            [filled(text, target) for text in wordings],
            n=self._n,
            prefix=self._prefix,
            variant=self._reason,
            promised=False,
        )
