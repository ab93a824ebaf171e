"""Synonym substitution: the same claim in rarer words."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.crafted import (
    assembled,
    check_choice,
    check_count,
    check_share,
    check_target,
)
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.templates import table
from ragshield.attacks.typos import changeable, replaced
from ragshield.records import Passage, Target

Texts: TypeAlias = Literal["auto", "supplied", "template"]

_WORD = re.compile(r"(?<![\w'\u2019-])[^\W\d_]{3,}(?![\w'\u2019-])")
_ARTICLE = re.compile(r"\b(an?)\s+$", re.IGNORECASE)


class Synonyms:
    """Replace words by rarer ones, never the answer, names or numbers (synonym evasion).

    The claim stays; passages that were alike become less so, and word filters miss them.

    Access: the question and the wrong answer.
    Source: the synonym family among the adaptive attacks of arXiv 2511.01268, section 6.5.
    Differs: a list of about 150 words written for this project stands for a thesaurus, so a
    replacement fits most sentences; words of the question stay where the text quotes it.

    Args:
        n: passages for each target.
        prefix: whether the question comes first.
        texts: what is reworded; `auto` is the target's own texts if it has any, else
            templates.
        rate: share of the listed words that are replaced, [0, 1].

    Raises:
        ValueError: n < 0, a rate outside [0, 1], or an unknown choice of texts.
    """

    name: ClassVar[str] = "synonyms"

    def __init__(
        self, *, n: int = 5, prefix: bool = True, texts: Texts = "auto", rate: float = 1.0
    ) -> None:
        check_choice("texts", texts, Texts)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._texts = texts
        self._rate = check_share("rate", rate)

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages.

        Raises:
            UsageError: an unusable target, or fewer texts than n.
        """
        check_target(self.name, target)
        wanted = self._texts
        if wanted == "auto":
            wanted = "supplied" if target.texts else "template"
        texts = list(target.texts) if wanted == "supplied" else statements(target, rng)
        kept = [target.question.text, target.wrong_answer, *target.question.answers]
        return assembled(
            self.name,
            target,
            [
                with_synonyms(text, kept, own, rate=self._rate)
                for text, own in zip(texts, rng.spawn(len(texts)), strict=True)
            ],
            n=self._n,
            prefix=self._prefix,
            variant=wanted,
        )


def with_synonyms(
    text: str, kept: tuple[str, ...] | list[str], rng: np.random.Generator, *, rate: float
) -> str:
    """The text with a share of the listed words replaced, capitals kept.

    Args:
        text: what to reword.
        kept: phrases that stay as they are.
        rng: draws the words and what replaces them.
        rate: share of the words of the list.
    """
    words = table("synonyms.toml")["words"]
    changes = []
    for match in changeable(text, _WORD, kept):
        choices = words.get(match.group().lower())
        drawn = rng.random()
        if before := _ARTICLE.search(text, max(match.start() - 8, 0), match.start()):
            # "an error" must not become "an mistake".
            vowel = before[1].lower() == "an"
            choices = [c for c in choices or () if (c[0] in "aeiou") == vowel]
        if choices and drawn < rate:
            new = choices[int(rng.integers(len(choices)))]
            changes.append((match, new.capitalize() if match.group()[0].isupper() else new))
    return replaced(text, changes)
