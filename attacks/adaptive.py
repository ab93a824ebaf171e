"""The adaptive attacker: it knows the defence and searches until it gets through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np

from ragshield import registry
from ragshield.attacks.adaptive_drafts import Draft, Material
from ragshield.attacks.adaptive_search import Trial, day_of, searched, source_of
from ragshield.attacks.crafted import check_count, check_target, crafted, generation_text
from ragshield.attacks.honest import honest_retrieval
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.errors import UsageError
from ragshield.protocols import Attack, Defender, Encoder, Retriever
from ragshield.records import Passage, Spec, Target
from ragshield.text import states


class Adaptive:
    """Search for passages that the defence lets through (adaptive attacker; knows the guard).

    Starts from another attack's texts and edits them: drops or rewords the echo of the question,
    restates, trims and rewords the claim, borrows honest sentences for length and style,
    copies a true passage with its answer replaced, splits the claim over two passages.
    Each candidate set is mixed with the honest hits, ranked and shown to the defender; a
    passage is through when it is retrieved, kept, among the first k kept, and states the
    wrong answer (half of a split claim: when the other half is through). Every passage has
    a source of its own and a date weeks from the next.

    Access: similarity scores of the retriever, the honest hits, and the defence itself.
    Source: this project's; the demand that a defence be tried by an attacker who knows it is
    that of Carlini et al., arXiv 1902.06705.
    Differs: black box against the defence: verdicts and suspicion only, no gradients.

    Measured against `fused` with MiniLM over 667 real passages (three datasets, 10 read of 20
    judged, budget 200): all passages of all targets got through, after a mean of 13
    judgements for n = 1 (21 targets), 23 for n = 2 (42) and 48 for n = 5 (21), where
    PoisonedRAG's own texts without the question got 48, 25 and 7 % through. A defence that
    gives its verdicts away is found out; measure others against it, not only this.

    Cost per target: at most `budget` judgements by the defender, and as many texts embedded
    where no text comes twice, in batches of 8; one search of the store.

    Args:
        n: passages for each target, searched together.
        technique: registry name of the attack it starts from, which must need no more than
            a target; the question stands before its texts at first.
        technique_params: its parameters, without n.
        defender: registry name of the defence it knows.
        defender_params: its parameters.
        budget: candidate sets judged at most; it stops earlier when all n are through.
        k: passages that the reader is given.
        depth: passages retrieved and judged for that.
        retriever: over the knowledge base that is attacked.
        encoder: that of the retriever; None for the retriever's own.

    Raises:
        UsageError: an unknown technique or defender, or parameters it refuses.
        ValueError: n < 0, budget < 1, k < 1 or depth < k.
    """

    name: ClassVar[str] = "adaptive"

    def __init__(
        self,
        *,
        n: int = 1,
        technique: str = "poisonedrag",
        technique_params: Mapping[str, Any] | None = None,
        defender: str = "fused",
        defender_params: Mapping[str, Any] | None = None,
        budget: int = 200,
        k: int = 10,
        depth: int = 20,
        retriever: Retriever | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        if technique in (self.name, "composed"):
            raise UsageError(f"{self.name}: cannot start from '{technique}'; name a single attack")
        self._n = check_count("n", n)
        self._budget = check_count("budget", budget, 1)
        self._k = check_count("k", k, 1)
        self._depth = check_count("depth", depth, k)
        params = {**(technique_params or {}), "n": max(n, 1)}
        self._technique = cast("Attack", registry.build(Spec("attack", technique, params)))
        self._defender = Spec("defender", defender, dict(defender_params or {}))
        self._retriever = retriever
        self._encoder = encoder or getattr(retriever, "encoder", None)
        self._built()

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n best passages; `through` in their metadata says which got through.

        Also there: `defender`, `n_evaluations` (for all n together) and, as the variant, the
        edits that led to the passage.

        Raises:
            UsageError: an unusable target, no retriever or encoder, or the technique
                cannot attack the target.
        """
        check_target(self.name, target)
        honest = honest_retrieval(self.name, self._retriever, target, k=self._depth)
        if self._encoder is None:
            raise UsageError(
                f"{self.name}: needs the encoder of the store it attacks: pass encoder "
                "(ragshield attack --store URL --encoder NAME)"
            )
        if not self._n:
            return []
        seeds = [generation_text(p) for p in self._technique.craft(target, rng=rng)]
        claims = dict.fromkeys([*seeds, *statements(target, rng)])
        stating = tuple(c for c in claims if states(c, target.wrong_answer))
        material = Material(target, stating or tuple(claims), honest.texts)
        trial = Trial(target, honest, self._built(), self._encoder, k=self._k, depth=self._depth)
        start = [Draft(seed, front=target.question.text) for seed in seeds[: self._n]]
        drafts, result = searched(start, material, trial, budget=self._budget, rng=rng)
        own, more = divmod(trial.n_embedded, self._n)
        return [
            crafted(
                self.name,
                target,
                index,
                variant=", ".join(draft.edits) or "as the technique made it",
                retrieval_part=draft.front,
                generation_part=draft.generation,
                verified=None,
                n_encoder_calls=own + (index < more),
                joint=" ",
                promised=draft.promised,
                source=source_of(index),
                more={
                    "through": result.through[index],
                    "defender": self._defender.name,
                    "technique": self._technique.name,
                    "n_evaluations": trial.n_evaluations,
                    "date": day_of(index),
                },
            )
            for index, draft in enumerate(drafts)
        ]

    def _built(self) -> Defender:
        """A defender without a memory of what was tried before."""
        context = {} if self._encoder is None else {"encoder": self._encoder}
        return cast("Defender", registry.build(self._defender, **context))
