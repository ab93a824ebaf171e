"""MINJA: records for an agent's memory, injected by ordinary queries that grow shorter."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, crafted, keywords
from ragshield.attacks.templates import filled, table
from ragshield.errors import UsageError
from ragshield.records import Passage, Target


class MINJA:
    """Inject memory records, the indication prompt shortened round by round (MINJA).

    A record is a query, a bridging step and the reasoning that the attacker wants repeated. The
    first round's query carries the whole indication prompt; each further round drops its
    last clause, until a record looks like an ordinary query answered wrongly, which the
    agent then recalls for the victim's.

    Access: ordinary queries to the agent, whose answers it stores.
    Source: arXiv 2503.03704; the record (query, [bridging step, target reasoning]) and
    progressive shortening.
    Differs: the paper talks to an agent and counts a record once the agent answered as
    wanted; here the records are written as a compliant agent would store them, for tests of
    a memory's defences. Clauses and records are templates of this project.

    Args:
        n: records for each target. One is the fully shortened; more begin with the longest
            indication prompt that n rounds can shorten to nothing.
        prefix: whether the record begins with the victim's query as it stands; off, with
            its content words.

    Raises:
        ValueError: n < 0.
    """

    name: ClassVar[str] = "minja"

    def __init__(self, *, n: int = 5, prefix: bool = True) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n records in the order of the rounds; `n_clauses` falls to 0.

        Raises:
            UsageError: an unusable target, or n is above the number of rounds.
        """
        check_target(self.name, target)
        data = table("minja.toml")
        sets = data["clauses"]
        most = min(len(clauses) for clauses in sets) + 1
        if self._n > most:
            raise UsageError(f"{self.name}: n is {self._n}; there are {most} rounds, lower n")
        clauses = sets[int(rng.integers(len(sets)))]
        bridge = data["bridges"][int(rng.integers(len(data["bridges"])))]
        topic = keywords(target.question.text)
        query = target.question.text if self._prefix else topic
        more = {"topic": topic}
        made = []
        for index in range(self._n):
            n_clauses = self._n - 1 - index
            asked = [filled(clause, target, more=more) for clause in clauses[:n_clauses]]
            record = filled(f"{bridge} {data['result']}", target, more=more)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=f"round {index + 1} of {self._n}",
                    retrieval_part=f"Query: {query}",
                    generation_part="\n".join([*asked, record]),
                    verified=None,
                    joint="\n",
                    more={"round": index + 1, "n_clauses": n_clauses},
                )
            )
        return made
