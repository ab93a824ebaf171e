"""The edited fact: a copy of a true passage with one value changed."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np

from ragshield.attacks.crafted import check_choice, check_count, check_target, crafted
from ragshield.attacks.edits import Edit, answer_edit, fact_edit
from ragshield.attacks.honest import honest_passages
from ragshield.errors import UsageError
from ragshield.protocols import Retriever
from ragshield.records import Passage, Target

Wanted: TypeAlias = Literal["auto", "answer", "number", "date", "name", "negation"]

_CANDIDATES = 10


class EditedFact:
    """Copy a true passage and change one number, date, name or negation in it.

    The copy is as fluent, as near to the question and as well written as the original; its
    vector hardly moves. `answer` puts the wrong answer in the place of the right one,
    the others change one value whatever it is; `auto` takes the first of answer, number,
    date, name and negation that a passage allows.

    Access: true passages of the knowledge base, and the right answer for `answer`.
    Source: the setting of arXiv 2604.00387 (a changed number moves the cosine by .0002).
    Differs: planted as a new passage beside the true one, not in its place under its id.

    Args:
        n: passages for each target, each from another true passage while they last.
        prefix: whether the question comes first; off, since a copy needs no help.
        edit: what to change.
        retriever: over the knowledge base that is attacked.

    Raises:
        ValueError: n < 0 or an unknown edit.
    """

    name: ClassVar[str] = "edited-fact"

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = False,
        edit: Wanted = "auto",
        retriever: Retriever | None = None,
    ) -> None:
        check_choice("edit", edit, Wanted)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._edits: tuple[Edit, ...] = get_args(Edit) if edit == "auto" else (edit,)
        self._retriever = retriever

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `edit` and `edited_id` in their metadata say what was done.

        Only an edited answer is meant to state the wrong answer.

        Raises:
            UsageError: an unusable target, no true passage that allows the edit, or fewer
                different edits than n.
        """
        check_target(self.name, target)
        honest = honest_passages(self.name, self._retriever, target, k=_CANDIDATES)
        made: dict[str, tuple[Edit, str]] = {}
        # A passage can be edited again with another value, but new passages come first.
        for original in honest * self._n:
            if len(made) >= self._n:
                break
            others = [p.text for p in honest if p.id != original.id]
            for edit in self._edits:
                text = _edited(original.text, edit, target, others, rng)
                if text is not None and text != original.text and text not in made:
                    made[text] = (edit, original.id)
                    break
        if len(made) < self._n:
            raise UsageError(
                f"{self.name}: target '{target.question.id}': {len(honest)} true passages allow "
                f"{len(made)} edits ({', '.join(self._edits)}), n is {self._n}; lower n"
            )
        return [
            crafted(
                self.name,
                target,
                index,
                variant=edit,
                retrieval_part=target.question.text if self._prefix else "",
                generation_part=text,
                verified=None,
                joint=" ",
                promised=edit == "answer",
                more={"edit": edit, "edited_id": passage_id},
            )
            for index, (text, (edit, passage_id)) in enumerate(made.items())
        ]


def _edited(
    text: str, edit: Edit, target: Target, others: list[str], rng: np.random.Generator
) -> str | None:
    if edit != "answer":
        return fact_edit(text, edit, others, rng)
    for right in target.question.answers:
        if (changed := answer_edit(text, right, target.wrong_answer)) is not None:
            return changed
    return None
