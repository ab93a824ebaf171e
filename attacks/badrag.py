"""BadRAG: passages that a whole topic's words trigger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from ragshield.attacks.crafted import check_choice, check_count, check_target
from ragshield.attacks.hotflip import Search, hotflip
from ragshield.attacks.objectives import InfoNCE
from ragshield.attacks.optimised import optimised
from ragshield.attacks.question_sets import (
    Questions,
    aimed_at,
    clusters,
    read_questions,
    with_trigger,
    word_salad,
)
from ragshield.attacks.templates import table
from ragshield.attacks.white_box import WhiteBox
from ragshield.errors import UsageError
from ragshield.protocols import Encoder
from ragshield.records import Passage, Target, Vectors

Method: TypeAlias = Literal["cop", "acop", "mcop"]


class _Start(NamedTuple):
    """Where the search for one passage starts, and for which triggers."""

    text: str
    triggers: tuple[str, ...]
    n_embedded: int


class BadRAG:
    """Plant passages that any word of a topic triggers, and no other question finds (BadRAG).

    A contrastive loss sets the questions with a trigger against those without. `cop` optimises
    every passage for all triggers at once, `acop` one for each trigger; `mcop` merges: the
    passages of single triggers are clustered, and one is optimised for each cluster, beginning
    with words of its members.

    Access: the weights of the retriever's encoder, and ordinary questions.
    Source: Xue et al., arXiv 2406.00083: COP, ACOP, MCOP, alignment as an attack and selective
    facts. No code was compared.
    Differs: how MCOP merges is not said beyond k-means; here the members' words are drawn
    at random to the length of one passage and optimised once more for all their triggers. Claims
    are written here; selective facts have to be given, as the target's own texts.

    Cost per passage: at most `budget` texts embedded (`mcop`: half of it goes to the passages
    of single triggers); the questions once more for each trigger and target.

    Args:
        n: passages for each target.
        triggers: words of one topic.
        questions: ordinary ones; None for the target's own question alone.
        method: see above.
        facts: whether the payload is the target's own texts, true but one-sided, instead of a
            claim that makes an aligned reader refuse.
        temperature: of the contrastive loss, > 0; lower looks at the nearest questions only.
        n_tokens: length of the retrieval part, in words at the start.
        encoder: the retriever's, a sentence-transformers model.
        budget: texts embedded for each passage.
        n_candidates: replacements evaluated in one step.

    Raises:
        UsageError: no trigger, or no questions in the set.
        InputError: an unreadable file of questions.
        ValueError: n < 0, temperature <= 0, another number < 1, or an unknown method.
    """

    name: ClassVar[str] = "badrag"
    needs: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        *,
        n: int = 1,
        triggers: Sequence[str] = ("smartphone", "mobile phone", "handset"),
        questions: Questions = None,
        method: Method = "mcop",
        facts: bool = False,
        temperature: float = 0.1,
        n_tokens: int = 32,
        encoder: Encoder | None = None,
        budget: int = 5000,
        n_candidates: int = 100,
    ) -> None:
        check_choice("method", method, Method)
        given = (triggers,) if isinstance(triggers, str) else tuple(triggers)
        self._triggers = tuple(dict.fromkeys(word.strip() for word in given if word.strip()))
        if not self._triggers:
            raise UsageError(f"{self.name}: triggers are empty; give at least one word")
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}; it must be above 0")
        self._n = check_count("n", n)
        self._questions = read_questions(self.name, questions)
        self._method = method
        self._facts = facts
        self._temperature = temperature
        self._n_tokens = check_count("n_tokens", n_tokens, 1)
        self._budget = check_count("budget", budget, 1)
        self._n_candidates = check_count("n_candidates", n_candidates, 1)
        self._encoder = encoder
        self._box: WhiteBox | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The n passages; `trigger` in their metadata lists what each is meant for.

        Raises:
            UsageError: an unusable target, one without texts for `facts`, or no encoder with
                gradients.
            MissingExtraError: torch or sentence-transformers is not installed.
        """
        check_target(self.name, target, answer=False)
        payloads = list(target.texts) if self._facts else table("badrag.toml")["alignment"]
        if not payloads:
            raise UsageError(
                f"{self.name}: target '{target.question.id}' has no texts; facts need them"
            )
        box = self._box = self._box or WhiteBox(self.name, self._encoder)
        if not self._n:
            return []
        questions = aimed_at(self._questions, target)
        negatives = box.embed(questions)
        asked = {
            trigger: box.embed([with_trigger(question, trigger) for question in questions])
            for trigger in self._triggers
        }
        starts = self._starts(box, questions, asked, negatives, rng)
        budget = self._budget // 2 if self._method == "mcop" else self._budget
        made = []
        for index, own in enumerate(rng.spawn(self._n)):
            start = starts[index % len(starts)]
            positives = np.concatenate([asked[trigger] for trigger in start.triggers])
            made.append(
                optimised(
                    self.name,
                    target,
                    index,
                    box,
                    InfoNCE(positives, negatives, temperature=self._temperature),
                    start=start.text or self._salad(start.triggers, questions, own),
                    payload=payloads[index % len(payloads)],
                    search=Search(budget=max(1, budget), n_candidates=self._n_candidates),
                    rng=own,
                    variant=self._method,
                    promised=False,
                    n_encoder_calls=start.n_embedded if index < len(starts) else 0,
                    more={"trigger": ", ".join(start.triggers)},
                )
            )
        return made

    def _starts(
        self,
        box: WhiteBox,
        questions: Sequence[str],
        asked: dict[str, Vectors],
        negatives: Vectors,
        rng: np.random.Generator,
    ) -> list[_Start]:
        """What the n passages begin with; an empty text is drawn anew for each."""
        if self._method == "cop":
            return [_Start("", self._triggers, 0)]
        if self._method == "acop":
            return [_Start("", (trigger,), 0) for trigger in self._triggers]
        share = max(1, self._n * (self._budget // 2) // len(self._triggers))
        search = Search(budget=share, n_candidates=self._n_candidates)
        single = []
        for trigger, own in zip(self._triggers, rng.spawn(len(self._triggers)), strict=True):
            objective = InfoNCE(asked[trigger], negatives, temperature=self._temperature)
            start = self._salad((trigger,), questions, own)
            single.append(hotflip(box, start, objective, rng=own, search=search))
        labels = clusters(box.embed([found.text for found in single]), self._n, rng)
        starts = []
        for label in range(int(labels.max()) + 1):
            rows = np.flatnonzero(labels == label).tolist()
            merged = word_salad([single[i].text for i in rows], self._n_tokens, rng)
            spent = sum(single[i].n_evaluations for i in rows)
            starts.append(_Start(merged, tuple(self._triggers[i] for i in rows), spent))
        return starts

    def _salad(
        self, triggers: Sequence[str], questions: Sequence[str], rng: np.random.Generator
    ) -> str:
        salad = word_salad(questions, self._n_tokens, rng).split()
        return " ".join([*triggers, *salad][: max(self._n_tokens, len(triggers))])
