"""Paraphrase and dispersion: a language model rewords what another attack made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, cast

import numpy as np

from ragshield import registry
from ragshield.attacks.crafted import (
    RetrievalPart,
    check_choice,
    check_count,
    check_target,
    crafted,
    generation_text,
    retrieval_text,
)
from ragshield.attacks.synonyms import with_synonyms
from ragshield.attacks.writing import Model, Writer, bullets, opened, prompt
from ragshield.errors import UsageError
from ragshield.protocols import Attack, Encoder, Reader, Retriever
from ragshield.records import Passage, Spec, Target, Vectors
from ragshield.vectors import cosines

Style: TypeAlias = Literal["paraphrase", "dispersion", "mixed"]
_Way: TypeAlias = Literal["paraphrase", "dispersion", "synonyms"]
_WAYS: tuple[_Way, ...] = ("paraphrase", "synonyms", "dispersion")


class Paraphrase:
    """Have a language model reword any attack's passages, or spread them apart (evasion).

    A disguise over any technique, against defences that look for passages alike:
    `paraphrase` asks for another structure, order and voice, each unlike the earlier ones;
    `dispersion` drafts several rewordings of each passage and takes the one whose highest
    cosine to those already chosen is lowest, among those that are still retrieved;
    `mixed` draws one of these or synonym substitution for each passage.

    Access: that of the technique, a language model, and for `dispersion` and `mixed`
    similarity scores of the retriever's encoder.
    Source: the adaptive attacks of arXiv 2511.01268 (RAGDefender), section 6.5.
    Differs: the rule of selection for dispersion is this project's; the paper names the goal
    only. A rewording that no longer states what its text stated is written anew, and
    after all tries the text stays as it was: in the paper's own sets the wrong answer is
    left in .65 to .84 of the texts.

    Cost per passage: at most max_tries calls of the language model and one for each
    verification; for `dispersion` `n_drafts` times that and as many texts embedded.

    Args:
        technique: registry name of the attack inside; not `composed`, `adaptive` or this.
        technique_params: its parameters.
        n: passages for each target; None for the technique's own number.
        style: how they are reworded.
        retrieval: what makes a passage retrieved.
        n_drafts: rewordings to choose from, for `dispersion`.
        min_similarity: cosine to the question that a draft must keep, [-1, 1]; None for
            that of the k-th true hit where a retriever is given, else no limit.
        k: passages that the reader is given.
        llm: any LangChain chat model, or `openai:URL#MODEL`.
        max_tries: tries for each rewording.
        verify: whether each is tried on a reader shown nothing else.
        verify_with: the reader for that; None for the same language model.
        encoder: that of the store; also handed to the technique.
        reader: handed to the technique.
        retriever: over the knowledge base that is attacked; also handed to the technique.

    Raises:
        UsageError: the technique is unknown, refuses its parameters or cannot be reworded.
        ValueError: a number out of range, or an unknown style or retrieval part.
    """

    name: ClassVar[str] = "paraphrase"
    needs: ClassVar[tuple[str, ...]] = ("llm",)

    def __init__(
        self,
        *,
        technique: str = "poisonedrag",
        technique_params: Mapping[str, Any] | None = None,
        n: int | None = None,
        style: Style = "paraphrase",
        retrieval: RetrievalPart = "question-prefix",
        n_drafts: int = 4,
        min_similarity: float | None = None,
        k: int = 10,
        llm: Model = None,
        max_tries: int = 5,
        verify: bool = False,
        verify_with: Reader | None = None,
        encoder: Encoder | None = None,
        reader: Reader | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        check_choice("style", style, Style)
        check_choice("retrieval", retrieval, RetrievalPart)
        if technique in (self.name, "composed", "adaptive"):
            raise UsageError(f"{self.name}: cannot reword '{technique}'; name a single attack")
        self._style = style
        self._retrieval = retrieval
        self._n_drafts = check_count("n_drafts", n_drafts, 1)
        self._k = check_count("k", k, 1)
        check_count("max_tries", max_tries, 1)
        self._floor = min_similarity
        self._encoder = encoder or getattr(retriever, "encoder", None)
        self._retriever = retriever
        model = opened(llm)
        self._writer = Writer(
            self.name, model, max_tries=max_tries, verify=verify, verify_with=verify_with
        )
        params = {**(technique_params or {}), **({} if n is None else {"n": n})}
        context = {"encoder": encoder, "reader": reader, "retriever": retriever, "llm": model}
        given = {key: value for key, value in context.items() if value is not None}
        if technique == "poisonedrag":
            given.pop("llm", None)  # its texts are reworded anyway; templates cost nothing
        self._technique = cast("Attack", registry.build(Spec("attack", technique, params), **given))

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The technique's passages, reworded; `reworded` tells which kept their text.

        Also in their metadata: `technique`, `similarity` to the question and `max_cosine`
        to the passages before it, where they were measured.

        Raises:
            UsageError: an unusable target, no language model, no encoder for dispersion,
                or what the technique raises.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target, answer=False)
        part = retrieval_text(self._retrieval, target.question.text)
        inner = self._technique.craft(target, rng=rng)
        choice = _Choice(self._encoder, target, part, self._lowest(target, part))
        made: list[Passage] = []
        for index, (passage, own) in enumerate(zip(inner, rng.spawn(len(inner)), strict=True)):
            way = self._way(own)
            before = choice.n_embedded
            text, reworded, verified, n_calls = self._reworded(
                way, generation_text(passage), target, choice, own
            )
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=f"{self._technique.name}, {way}",
                    retrieval_part=part,
                    generation_part=text,
                    verified=verified,
                    n_llm_calls=int(passage.meta["n_llm_calls"] or 0) + n_calls,
                    n_encoder_calls=choice.n_embedded - before,
                    joint=" ",
                    retrieval_last=self._retrieval == "question-suffix",
                    promised=bool(passage.meta["weak"] or passage.meta["states_target"]),
                    source=passage.source,
                    more={
                        "technique": self._technique.name,
                        "reworded": reworded,
                        **choice.measured(),
                    },
                )
            )
            choice.chosen.append(text)
        return made

    def _way(self, rng: np.random.Generator) -> _Way:
        return _WAYS[int(rng.integers(len(_WAYS)))] if self._style == "mixed" else self._style

    def _reworded(
        self, way: _Way, text: str, target: Target, choice: _Choice, rng: np.random.Generator
    ) -> tuple[str, bool, bool | None, int]:
        """The text, whether it changed, whether it was verified, and the calls made."""
        if way == "synonyms":
            kept = [target.question.text, target.wrong_answer, *target.question.answers]
            changed = with_synonyms(text, kept, rng, rate=1.0)
            return changed, changed != text, None, 0
        drafts, n_calls = [], 0
        earlier = list(choice.chosen)
        for _ in range(self._n_drafts if way == "dispersion" else 1):
            request = prompt(
                "disperse" if way == "dispersion" else "paraphrase",
                text=text,
                answer=target.wrong_answer,
                earlier=bullets(earlier),
            )
            written = self._writer.write(target, request, unlike={text, *earlier})
            n_calls += written.n_llm_calls
            if written.accepted:
                drafts.append(written)
                earlier.append(written.text)
        if not drafts:
            return text, False, None, n_calls
        best = drafts[0]
        if way == "dispersion":
            best = drafts[choice.best([draft.text for draft in drafts])]
        return best.text, True, best.verified, n_calls

    def _lowest(self, target: Target, part: str) -> float | None:
        """The similarity that a draft must keep."""
        if self._style == "paraphrase":
            return None
        if self._encoder is None:
            raise UsageError(
                f"{self.name}: style '{self._style}' needs the encoder of the store it attacks: "
                "pass encoder (ragshield attack --store URL --encoder NAME)"
            )
        if self._floor is not None or self._retriever is None:
            return self._floor
        hits = self._retriever.retrieve(target.question.text, self._k)
        return min((hit.similarity for hit in hits), default=None)


class _Choice:
    """The texts chosen so far, and which draft lies farthest from them."""

    def __init__(
        self, encoder: Encoder | None, target: Target, part: str, floor: float | None
    ) -> None:
        self.chosen: list[str] = []
        self.n_embedded = 0
        self._encoder = encoder
        self._question = target.question.text
        self._part = part
        self._floor = floor
        self._last: dict[str, float] = {}

    def best(self, drafts: Sequence[str]) -> int:
        """Index of the draft least like the chosen, among those near enough to the question.

        If none is, the one nearest to the question.
        """
        rows = self._embedded([*drafts, *self.chosen])
        question = self._embedded([self._question], bare=True)[0]
        near = cosines(rows[: len(drafts)], question)
        alike = np.full(len(drafts), -1.0)
        if self.chosen:
            others = rows[len(drafts) :]
            alike = np.stack([cosines(others, row).max() for row in rows[: len(drafts)]])
        fit = near >= (-1.0 if self._floor is None else self._floor)
        best = int(np.argmin(np.where(fit, alike, np.inf)) if fit.any() else np.argmax(near))
        self._last = {"similarity": round(float(near[best]), 4)}
        if self.chosen:
            self._last["max_cosine"] = round(float(alike[best]), 4)
        return best

    def measured(self) -> dict[str, float]:
        """What the last choice measured, once."""
        last, self._last = self._last, {}
        return last

    def _embedded(self, texts: Sequence[str], *, bare: bool = False) -> Vectors:
        if self._encoder is None:
            raise UsageError("paraphrase: dispersion needs an encoder")
        self.n_embedded += len(texts)
        joint = f"{self._part} " if self._part and not bare else ""
        return self._encoder.encode([f"{joint}{text}" for text in texts])
