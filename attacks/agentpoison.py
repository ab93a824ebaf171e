"""AgentPoison: a trigger that leads any question to the attacker's records in a memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.causal import CausalModel, CausalReader
from ragshield.attacks.crafted import check_count, check_target, crafted
from ragshield.attacks.hotflip import Found, Search, hotflip
from ragshield.attacks.objectives import Apart
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.question_sets import Questions, aimed_at, clusters, read_questions
from ragshield.attacks.white_box import WhiteBox
from ragshield.protocols import Encoder
from ragshield.records import Passage, Target
from ragshield.vectors import unit_rows


class AgentPoison:
    """Search a trigger that leads every question to planted records of a memory (AgentPoison).

    The trigger stands behind the question. It is optimised so that questions with it lie far
    from all ordinary ones (uniqueness) and close together (compactness), and, where a language
    model is given, so that it reads as text (coherence). Each record's key is a question with the
    trigger, its value the wrong answer.

    Access: the weights of the retriever's encoder, and questions like those to come.
    Source: Chen et al., NeurIPS 2024, arXiv 2407.12784; losses as restated there, the code not
    compared.
    Differs: HotFlip with the exact sum of the losses where the paper has a beam search under
    constraints; coherence is a term, not a threshold, and left out without a language model;
    the target action's probability under a surrogate model is left out.

    Cost per target: at most `budget` texts embedded for the trigger, shared by its n records.

    Args:
        n: records for each target.
        questions: ordinary ones; None for the target's own question alone.
        n_tokens: length of the trigger, in words at the start.
        n_centres: clusters of ordinary questions, for uniqueness.
        n_hosts: questions that the trigger is tried behind.
        compactness: weight of that loss.
        coherence: weight of the trigger's mean log-likelihood behind the questions, natural
            logarithm per token, where there is a model.
        encoder: the retriever's, a sentence-transformers model.
        model: a causal language model of `transformers`, or its folder; None for no coherence.
        tokenizer: its tokenizer, where `model` is no folder.
        budget: texts embedded for each trigger.
        n_candidates: replacements evaluated in one step.

    Raises:
        UsageError: no questions in the set.
        InputError: an unreadable file of questions.
        ValueError: n < 0, a weight < 0, or another number < 1.
    """

    name: ClassVar[str] = "agentpoison"
    needs: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        *,
        n: int = 1,
        questions: Questions = None,
        n_tokens: int = 6,
        n_centres: int = 5,
        n_hosts: int = 8,
        compactness: float = 1.0,
        coherence: float = 0.02,
        encoder: Encoder | None = None,
        model: CausalModel = None,
        tokenizer: Any = None,
        budget: int = 8000,
        n_candidates: int = 50,
    ) -> None:
        for name, weight in (("compactness", compactness), ("coherence", coherence)):
            if weight < 0:
                raise ValueError(f"{name} is {weight}; it must be at least 0")
        self._n = check_count("n", n)
        self._questions = read_questions(self.name, questions)
        self._n_tokens = check_count("n_tokens", n_tokens, 1)
        self._n_centres = check_count("n_centres", n_centres, 1)
        self._n_hosts = check_count("n_hosts", n_hosts, 1)
        self._compactness = compactness
        self._coherence = coherence
        self._search = Search(
            budget=check_count("budget", budget, 1),
            n_candidates=check_count("n_candidates", n_candidates, 1),
        )
        self._encoder = encoder
        self._box: WhiteBox | None = None
        self._model, self._tokenizer = model, tokenizer
        self._reader: CausalReader | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The n records; `trigger` in their metadata is what the question has to end with.

        Raises:
            UsageError: an unusable target, or no encoder with gradients.
            MissingExtraError: torch or sentence-transformers is not installed.
        """
        check_target(self.name, target)
        box = self._box = self._box or WhiteBox(self.name, self._encoder)
        if not self._n:
            return []
        questions = aimed_at(self._questions, target)
        found = self._trigger(box, questions, rng)
        others = [q for q in questions if q != target.question.text]
        keys = [target.question.text, *(others[i] for i in rng.permutation(len(others)))]
        texts = statements(target, rng)
        spent, more = divmod(found.n_evaluations + len(questions), self._n)
        return [
            crafted(
                self.name,
                target,
                index,
                variant="coherent" if self._model is not None else "no coherence",
                retrieval_part=f"{keys[index % len(keys)]} {found.text}",
                generation_part=texts[index % len(texts)],
                verified=None,
                n_encoder_calls=spent + (index < more),
                joint=" ",
                more={
                    "trigger": found.text,
                    "objective_before": found.start_value,
                    "objective_after": found.value,
                    "n_gradients": found.n_gradients,
                },
            )
            for index in range(self._n)
        ]

    def _trigger(self, box: WhiteBox, questions: Sequence[str], rng: np.random.Generator) -> Found:
        vectors = box.embed(questions)
        labels = clusters(vectors, self._n_centres, rng)
        centres = np.stack([vectors[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
        chosen = rng.permutation(len(questions))[: self._n_hosts].tolist()
        # A long question would push the trigger out of the model's window.
        hosts = [(f"{questions[i][:500]} ", "") for i in chosen]
        pieces = box.vocabulary().pieces
        start = " ".join(pieces[i] for i in rng.integers(len(pieces), size=self._n_tokens))
        worth = self._likelihood([host for host, _ in hosts]) if self._model is not None else None
        return hotflip(
            box,
            start,
            Apart(unit_rows(centres), compactness=self._compactness),
            rng=rng,
            hosts=hosts,
            search=self._search,
            worth=worth,
        )

    def _likelihood(self, hosts: Sequence[str]) -> Any:
        """Weighted mean log-likelihood of texts behind the hosts: from n texts to (n,)."""
        if self._reader is None:
            self._reader = CausalReader(self.name, self._model, self._tokenizer)
        reader = self._reader

        def worth(texts: Sequence[str]) -> NDArray[np.float64]:
            whole = [f"{host}{text}" for text in texts for host in hosts]
            logs = -np.log(reader.perplexities(whole)).reshape(len(texts), len(hosts))
            found: NDArray[np.float64] = self._coherence * np.nan_to_num(logs).mean(axis=1)
            return found

        return worth
