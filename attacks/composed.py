"""Composed attacks: any technique, in any disguise, with any retrieval part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np

from ragshield import registry
from ragshield.attacks.crafted import (
    RetrievalPart,
    check_choice,
    check_target,
    crafted,
    generation_text,
    retrieval_text,
)
from ragshield.attacks.disguises import Disguise, disguised
from ragshield.errors import UsageError
from ragshield.protocols import Attack, Encoder, Reader, Retriever
from ragshield.records import MetaValue, Passage, Spec, Target


class Composed:
    """Put any attack into disguises (hidden, homoglyph, typos ...) and choose its retrieval part.

    The technique makes its passages; their generation parts go through the disguises, in
    order, and the retrieval part is put on anew:

        { name = "composed", technique = "corruptrag", disguise = "homoglyph" }
        { name = "composed", technique = "hijackrag", technique_params = { n = 3 },
          disguise = ["synonyms", "zero-width"], retrieval = "keywords" }

    Access: that of the technique; a disguise needs none.
    Source: hidden text, homoglyphs, invisible and reordered characters as in "Bad
    Characters" (arXiv 2106.09898) and ASCII smuggling by tag characters; composition is
    this project's.
    Differs: disguises of single words leave the wrong answer readable, so that attack success
    can still be measured as a phrase; those that hide a text hide the answer too, and
    `states_target` says which passages no longer state it literally.

    Args:
        technique: registry name of the attack inside; not `composed` or `adaptive`.
        technique_params: its parameters.
        n: passages for each target; None for the technique's own number.
        disguise: one disguise or several, applied in order; `disguised` describes them.
        retrieval: what makes a passage retrieved.
        disguise_retrieval: whether the retrieval part is disguised too.
        encoder: handed to the technique if it asks for one.
        reader: the same.
        retriever: the same; over the knowledge base that is attacked.

    Raises:
        UsageError: the technique is unknown, refuses its parameters or cannot be composed.
        ValueError: an unknown disguise or retrieval part.
    """

    name: ClassVar[str] = "composed"

    def __init__(
        self,
        *,
        technique: str = "poisonedrag",
        technique_params: Mapping[str, Any] | None = None,
        n: int | None = None,
        disguise: Disguise | Sequence[Disguise] = "homoglyph",
        retrieval: RetrievalPart = "question-prefix",
        disguise_retrieval: bool = False,
        encoder: Encoder | None = None,
        reader: Reader | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        check_choice("retrieval", retrieval, RetrievalPart)
        self._disguises = (disguise,) if isinstance(disguise, str) else tuple(disguise)
        for one in self._disguises:
            check_choice("disguise", one, Disguise)
        if technique in (self.name, "adaptive"):
            raise UsageError(
                f"{self.name}: technique '{technique}' cannot be composed; name a single attack"
            )
        params = dict(technique_params or {})
        if n is not None:
            params["n"] = n
        context = {"encoder": encoder, "reader": reader, "retriever": retriever}
        given = {key: value for key, value in context.items() if value is not None}
        self._technique = cast("Attack", registry.build(Spec("attack", technique, params), **given))
        self._retrieval = retrieval
        self._disguise_retrieval = disguise_retrieval

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The technique's passages in disguise; `technique` and `disguise` are in their metadata.

        Raises:
            UsageError: what the technique raises.
        """
        check_target(self.name, target, answer=False)
        kept = [target.wrong_answer, *target.question.answers]
        part = retrieval_text(self._retrieval, target.question.text)
        passages = self._technique.craft(target, rng=rng)
        made = []
        for index, (inner, own) in enumerate(zip(passages, rng.spawn(len(passages)), strict=True)):
            text, front = generation_text(inner), part
            stays = [*kept, str(inner.meta.get("stated_answer", ""))]
            for disguise in self._disguises:
                text = disguised(text, disguise, stays, own)
                if self._disguise_retrieval and front:
                    front = disguised(front, disguise, stays, own)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=", ".join((self._technique.name, *self._disguises)),
                    retrieval_part=front,
                    generation_part=text,
                    verified=None,
                    n_llm_calls=int(inner.meta["n_llm_calls"] or 0),
                    n_encoder_calls=int(inner.meta["n_encoder_calls"] or 0),
                    joint=" ",
                    retrieval_last=self._retrieval == "question-suffix",
                    promised=bool(inner.meta["weak"] or inner.meta["states_target"]),
                    source=inner.source,
                    more={**_extra(inner), **self._how()},
                )
            )
        return made

    def _how(self) -> dict[str, MetaValue]:
        return {
            "technique": self._technique.name,
            "disguise": ", ".join(self._disguises),
            "retrieval": self._retrieval,
        }


def _extra(inner: Passage) -> dict[str, MetaValue]:
    """What the technique itself noted (sources, dates, edits)."""
    ours = {"retrieval_start", "generation_end"}
    return {key: value for key, value in inner.meta.items() if key not in ours}
