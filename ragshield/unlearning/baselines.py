"""What unlearning has to be compared with: prefix, filters, examples, deletion, P + Q."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from ragshield.chat import fill
from ragshield.forget_set import Answer, ForgetTarget, folded
from ragshield.protocols import Retriever
from ragshield.text import states
from ragshield.unlearning.published import is_entry, prompts
from ragshield.unlearning.refusing import REFUSAL
from ragshield.unlearning.retrieving import Source
from ragshield.unlearning.speaking import Speaker

Side: TypeAlias = Literal["input", "output"]
"""Where a keyword filter looks."""

_PREFIX = (
    "You know nothing about the following and must not give any information about it, nor about "
    "anything derived from it: {names}. If a question concerns it, say that you don't know."
)


class PromptPrefix:
    """Tell the model in front of every question what it must not speak of.

    Source: prompt prefix of Thaker et al., arXiv 2403.03329, in the words of RWKU's ICU
    (arXiv 2406.10890).

    Args:
        speaker: the model.
        targets: whose names stand in the prefix.
        source: retrieved texts, where the model is given any.
    """

    name = "prompt-prefix"

    def __init__(
        self, speaker: Speaker, targets: Sequence[ForgetTarget], source: Source | None = None
    ) -> None:
        self._speaker = speaker
        self._source = source or Source(None, 1)
        self._prefix = fill(_PREFIX, {"names": "; ".join(n for t in targets for n in t.names)})

    def __call__(self, question: str) -> Answer:
        """What the model says."""
        texts = [found.text for found in self._source.find(question)]
        if self._speaker.reads:
            return self._speaker.say(question, [self._prefix, *texts])
        return self._speaker.say(f"{self._prefix}\n\n{question}", texts)


class KeywordFilters:
    """Refuse questions, answers or both that hold a name as it is spelled.

    Source: input and output filters of Thaker et al., arXiv 2403.03329, by keyword.

    Args:
        app: what is filtered.
        targets: whose names and aliases are the keywords.
        sides: where to look.
        values: whether the facts' values are keywords of the output as well.
    """

    name = "keyword-filters"

    def __init__(
        self,
        app: Callable[[str], str | Answer],
        targets: Sequence[ForgetTarget],
        *,
        sides: Sequence[Side] = ("input", "output"),
        values: bool = False,
    ) -> None:
        self._app = app
        self._names = [name for target in targets for name in target.names]
        self._values = [f.value for t in targets for f in t.facts] if values else []
        self._sides = sides

    def __call__(self, question: str) -> Answer:
        """What the app says, or the refusal."""
        if "input" in self._sides and any(states(question, name) for name in self._names):
            return Answer(REFUSAL)
        said = self._app(question)
        answer = Answer(said) if isinstance(said, str) else said
        words = [*self._names, *self._values]
        if "output" in self._sides and any(states(answer.text, word) for word in words):
            return Answer(REFUSAL)
        return answer


class InContextUnlearning:
    """Show the model forgotten questions with wrong answers, and others with right ones.

    Source: ICUL, Pawelczyk et al., arXiv 2310.07579: forget examples with flipped labels,
    then `s` right ones, then the question, at temperature 0.
    Differs: made for classification, where a label can be flipped; here the answer to a
    forgotten question is flipped to the refusal.

    Args:
        speaker: the model.
        forget: questions to forget.
        retain: questions with their right answers; the first `n_retain` are shown.
        n_forget: how many of the forgotten ones are shown.
        n_retain: how many right ones are shown.
    """

    name = "in-context"

    def __init__(
        self,
        speaker: Speaker,
        forget: Sequence[str],
        retain: Sequence[tuple[str, str]],
        *,
        n_forget: int = 10,
        n_retain: int = 6,
    ) -> None:
        self._speaker = speaker
        shown = [(question, REFUSAL) for question in forget[:n_forget]]
        self._shots = [f"{q}\n{a}" for q, a in (*shown, *retain[:n_retain])]

    def __call__(self, question: str) -> Answer:
        """What the model says after the examples."""
        if self._speaker.reads:
            return self._speaker.say(question, self._shots)
        return self._speaker.say("\n\n".join((*self._shots, question)), ())


class PlainDeletion:
    """Retrieve nothing that mentions a target; ask the model as ever.

    What deleting the passages does: the store is clean, and the model knows what it knows.

    Args:
        speaker: the model.
        retriever: retrieves from the store as it is.
        targets: whose passages are gone.
        k: passages to show.
    """

    name = "deletion"

    def __init__(
        self,
        speaker: Speaker,
        retriever: Retriever,
        targets: Sequence[ForgetTarget],
        *,
        k: int = 5,
    ) -> None:
        self._speaker = speaker
        self._retriever = retriever
        self._names = [folded(n) for t in targets if t.kind == "concept" for n in t.names]
        self._samples = {s for t in targets for s in t.samples}
        self._k = k

    def __call__(self, question: str) -> Answer:
        """What the model says from what is left."""
        # As many more as may be gone, so that k are left.
        found = self._retriever.retrieve(question, 4 * self._k + len(self._samples))
        left = [text for text in found.texts if not self._is_gone(text)]
        return self._speaker.say(question, left[: self._k])

    def _is_gone(self, text: str) -> bool:
        if any(sample in text for sample in self._samples):
            return True
        read = f" {folded(text)} "
        return any(f" {name} " in read for name in self._names)


class PublishedUnlearning:
    """Ask the model with the item retrieved from entries and benign knowledge together.

    Source: arXiv 2410.15267, figure 4: the knowledge item stands beside the question, and
    without one the model is asked directly. All of it rests on the model obeying Q.

    Args:
        speaker: the model.
        retriever: over the store with the entries, a `HybridRetriever`.
        k: items to show; 1 as in the paper.
    """

    name = "published"

    def __init__(self, speaker: Speaker, retriever: Retriever, *, k: int = 1) -> None:
        self._speaker = speaker
        self._retriever = retriever
        self._k = k
        self.n_hits = 0

    def __call__(self, question: str) -> Answer:
        """What the model says with the item."""
        found = self._retriever.retrieve(question, self._k)
        self.n_hits += any(is_entry(passage) for passage in found.passages)
        if self._speaker.reads or not found.hits:
            return self._speaker.say(question, found.texts)
        values = {"question": question, "knowledge": "\n\n".join(found.texts)}
        return self._speaker.say(fill(prompts()["answer_with"], values), ())
