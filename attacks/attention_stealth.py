"""Against attention filters: a lie that draws no more attention than honest passages."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.causal import CausalModel, CausalReader
from ragshield.attacks.crafted import check_choice, check_count, check_target, crafted
from ragshield.attacks.gcg import Measured, Scene, Search, searched
from ragshield.attacks.honest import honest_passages
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.errors import UsageError
from ragshield.protocols import Retriever
from ragshield.records import Passage, Target

Texts: TypeAlias = Literal["auto", "supplied", "template"]

_THRESHOLD = 26.2071
_MARGIN = 5.0


class AttentionStealth:
    """Add tokens that flatten the reader's attention to a lie (attack on the attention filter).

    The filter drops passages while the variance of the attention on the passages is above a
    threshold. Tokens behind a poisoned text are searched by gradients so that the reader
    still gives the wrong answer while the variance falls below that threshold:
    loss = cross-entropy of the wrong answer + lambda * variance.

    Access: gradients and attentions of the reader, and true passages of the knowledge base.
    Source: arXiv 2506.04390 (ICML 2026), its adaptive attack: GCG with top-256 and batch 256,
    lambda .01, .1 or 1, until the variance is 5 below the threshold 26.2071.
    Differs: the tokens stand behind the text and the text stays, where the paper may change
    any of its tokens, so the answer is never lost; attention is read at the last position of
    the prompt, mean over blocks and heads. Its other optimiser, AutoDAN, is not built.
    Reimplemented from the paper: its code has no licence.

    Cost per passage: at most n_steps * (n_candidates + 1 + max_answer_tokens) rows of k
    passages through the model and n_steps back; the true counts are in the metadata.

    Args:
        n: passages for each target, each with another text.
        prefix: whether the question comes first.
        model: a `transformers` causal model that shows its attention, or the folder of one.
        tokenizer: its tokenizer; None for the one in the folder.
        texts: what the tokens are added to; `auto` is the target's own texts if it has any,
            else templates.
        k: passages that the reader is given, the poisoned one among them.
        attention_weight: lambda.
        threshold: variance below which the filter keeps everything, percent squared.
        n_tokens: tokens added.
        n_steps: steps at most.
        top_k: replacements considered for each place.
        n_candidates: triggers tried in each step.
        ascii_only: whether only printable ASCII is used.
        prompt: with places {contexts} and {question}; None for PoisonedRAG's.
        max_answer_tokens: longest answer generated.
        batch_size: rows for each pass.
        retriever: over the knowledge base that is attacked.

    Raises:
        ValueError: a number out of range, or an unknown choice of texts.
    """

    name: ClassVar[str] = "attention-stealth"
    needs: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = True,
        model: CausalModel = None,
        tokenizer: Any = None,
        texts: Texts = "auto",
        k: int = 10,
        attention_weight: float = 0.1,
        threshold: float = _THRESHOLD,
        n_tokens: int = 16,
        n_steps: int = 100,
        top_k: int = 256,
        n_candidates: int = 256,
        ascii_only: bool = True,
        prompt: str | None = None,
        max_answer_tokens: int = 16,
        batch_size: int = 16,
        retriever: Retriever | None = None,
    ) -> None:
        check_choice("texts", texts, Texts)
        check_count("k", k, 2)
        for label, value in (
            ("n_tokens", n_tokens), ("n_steps", n_steps), ("top_k", top_k),
            ("n_candidates", n_candidates), ("max_answer_tokens", max_answer_tokens),
            ("batch_size", batch_size),
        ):  # fmt: skip
            check_count(label, value, 1)
        if not 0.0 < attention_weight < float("inf"):
            raise ValueError(f"attention_weight is {attention_weight}; it must be above 0")
        self._n = check_count("n", n)
        self._prefix = prefix
        self._texts = texts
        self._k = k
        self._goal = threshold - _MARGIN
        self._retriever = retriever
        self._search = Search(
            n_tokens, n_steps, top_k, n_candidates,
            attention_weight=attention_weight, ascii_only=ascii_only,
        )  # fmt: skip
        self._given = {
            "model": model, "tokenizer": tokenizer, "prompt": prompt,
            "max_answer_tokens": max_answer_tokens, "batch_size": batch_size,
        }  # fmt: skip
        self._reader: CausalReader | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `verified` tells whether the reader still answers wrongly.

        In their metadata also: `variance_first` and `variance`, `attention_first` and
        `attention` (percent on the poisoned passage), `hidden`, whether the variance is at
        the goal, `cross_entropy`, `n_steps`, `n_forward`, `n_backward`.

        Raises:
            UsageError: an unusable target, no model, no retriever, fewer texts than n, or a
                question too long for the model.
        """
        check_target(self.name, target)
        if self._reader is None:
            self._reader = CausalReader(self.name, **self._given)
        wanted = self._texts
        if wanted == "auto":
            wanted = "supplied" if target.texts else "template"
        texts = list(target.texts) if wanted == "supplied" else statements(target, rng)
        if len(texts) < self._n:
            raise UsageError(
                f"{self.name}: target '{target.question.id}' has {len(texts)} texts, "
                f"n is {self._n}; lower n"
            )
        honest = honest_passages(self.name, self._retriever, target, k=self._k - 1)
        others = tuple(passage.text for passage in honest)
        return [
            self._passage(self._reader, target, index, text, wanted, others, own)
            for index, (text, own) in enumerate(
                zip(texts[: self._n], rng.spawn(self._n), strict=True)
            )
        ]

    def _passage(
        self,
        reader: CausalReader,
        target: Target,
        index: int,
        text: str,
        variant: str,
        others: tuple[str, ...],
        rng: np.random.Generator,
    ) -> Passage:
        front = target.question.text if self._prefix else ""
        body = f"{front} {text}" if front else text
        scene = Scene(target.question.text, body, "", others, target.wrong_answer)
        before = reader.n_forward, reader.n_backward
        first, best, n_steps = searched(reader, scene, self._search, enough=self._enough, rng=rng)
        return crafted(
            self.name,
            target,
            index,
            variant=variant,
            retrieval_part=front,
            generation_part=f"{text} {best.trigger}",
            verified=best.answers,
            joint=" ",
            more={
                "variance_first": round(first.variance or 0.0, 4),
                "variance": round(best.variance or 0.0, 4),
                "attention_first": round(first.share or 0.0, 4),
                "attention": round(best.share or 0.0, 4),
                "hidden": (best.variance or 0.0) < self._goal,
                "cross_entropy": round(best.cross_entropy, 4),
                "n_steps": n_steps,
                "n_forward": reader.n_forward - before[0],
                "n_backward": reader.n_backward - before[1],
            },
        )

    def _enough(self, found: Measured) -> bool:
        return bool(found.answers) and (found.variance or 0.0) < self._goal
