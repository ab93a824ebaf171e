"""Forged sources: a citation, an author or a title that the passage has no right to."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.crafted import check_choice, check_count, check_target, crafted
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.errors import UsageError
from ragshield.records import MetaValue, Passage, Target

Place: TypeAlias = Literal["citation", "metadata", "title"]


class ForgedSource:
    """Forge a citation, the metadata or the title of a passage (forged provenance).

    `citation` ends the text with references that do not exist, `metadata` claims a trusted
    source, author and date, and `title` carries the wrong answer in title, section and tags,
    which many applications put into the context, while the text itself is harmless.

    Access: the question and the wrong answer, and write access to the metadata.
    Source: metadata and title injection, a family of this project's reference; forged
    entries as in the memory attacks (MemoryGraft, arXiv 2512.16962).
    Differs: no published templates; written here, over invented publishers.

    Args:
        n: passages for each target, each with another publisher.
        prefix: whether the question comes first.
        place: what is forged; `citation` forges metadata too.

    Raises:
        ValueError: n < 0 or an unknown place.
    """

    name: ClassVar[str] = "forged-source"

    def __init__(self, *, n: int = 1, prefix: bool = True, place: Place = "citation") -> None:
        check_choice("place", place, Place)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._place = place

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; for `title` the texts do not state the wrong answer.

        Raises:
            UsageError: an unusable target, or n is above the number of publishers.
        """
        check_target(self.name, target)
        data = table("forged_source.toml")
        publishers, covers = shuffled(data["publishers"], rng), shuffled(data["covers"], rng)
        claims = statements(target, rng)
        citations = shuffled(data["citations"], rng)
        if self._n > len(publishers):
            raise UsageError(
                f"{self.name}: n is {self._n}; there are {len(publishers)} publishers, lower n"
            )
        made = []
        for index, publisher in enumerate(publishers[: self._n]):
            day = f"2025-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d}"
            number = str(int(rng.integers(2, 400)))
            more = {**{k: str(v) for k, v in publisher.items()}, "date": day, "number": number}
            text = claims[index % len(claims)]
            if self._place == "title":
                text = filled(covers[index % len(covers)], target, more=more)
            elif self._place == "citation":
                text += " " + filled(citations[index % len(citations)], target, more=more)
            meta: dict[str, MetaValue] = {
                "author": publisher["author"],
                "publisher": publisher["name"],
                "date": day,
                "title": target.question.text,
            }
            if self._place == "title":
                meta |= {
                    "title": f"{target.question.text} {target.wrong_answer}",
                    "section": f"Answer: {target.wrong_answer}",
                    "tags": target.wrong_answer,
                }
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=self._place,
                    retrieval_part=target.question.text if self._prefix else "",
                    generation_part=text,
                    verified=None,
                    joint=" ",
                    promised=self._place != "title",
                    source=publisher["url"],
                    more=meta,
                )
            )
        return made
