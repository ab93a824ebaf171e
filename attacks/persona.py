"""Query-agnostic: passages for the questions that invented people would ask of a topic."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, crafted, keywords
from ragshield.attacks.writing import Model, Writer, bullets, opened, plain, prompt
from ragshield.protocols import Encoder, Reader
from ragshield.records import MetaValue, Passage, Target
from ragshield.text import content_words
from ragshield.vectors import cosines


class Persona:
    """Anchor a lie in questions that invented personas would ask (query-agnostic, MIRAGE-like).

    The attacker knows the topic and the claim to spread, not the question. A language model
    invents people who ask about the topic, asks in their place, and writes passages that
    take up the wording of those questions and state the claim. With an encoder, several
    drafts are written and the one nearest to all the invented questions is planted.

    Access: the topic, the claim and a language model, not the victim's; optionally
    similarity scores of the retriever's encoder.
    Source: MIRAGE, arXiv 2512.08289 (persona queries, semantic anchoring).
    Differs: built from the paper's idea, not from its prompts, of which none was read. The
    target's question serves only to phrase the claim once, as the topic's words where no
    topic is given, and for verifying; it is never shown to the model that asks and writes.

    Cost per target: 1 + n_personas calls of the language model for questions, 1 for the
    claim, and for each passage at most n_drafts * 2 * max_tries; texts embedded: n_drafts
    for each passage and the questions once.

    Args:
        n: passages for each target; passage i is written for persona i, over and over.
        anchor: whether a passage begins with the invented question most like the others
            of its persona.
        topic: what is asked about; None for the content words of the target's question.
        n_personas: people invented.
        n_queries: questions of each.
        n_drafts: drafts of each passage to choose from, with an encoder.
        llm: any LangChain chat model, or `openai:URL#MODEL`.
        max_words: longest passage asked for.
        max_tries: tries for each draft.
        verify: whether each draft is tried on a reader shown nothing else.
        verify_with: the reader for that; None for the same language model.
        encoder: that of the store.

    Raises:
        ValueError: n < 0, or another number below 1.
    """

    name: ClassVar[str] = "persona"
    needs: ClassVar[tuple[str, ...]] = ("llm",)

    def __init__(
        self,
        *,
        n: int = 3,
        anchor: bool = True,
        topic: str | None = None,
        n_personas: int = 3,
        n_queries: int = 4,
        n_drafts: int = 3,
        llm: Model = None,
        max_words: int = 80,
        max_tries: int = 5,
        verify: bool = True,
        verify_with: Reader | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self._n = check_count("n", n)
        self._n_personas = check_count("n_personas", n_personas, 1)
        self._n_queries = check_count("n_queries", n_queries, 1)
        self._n_drafts = check_count("n_drafts", n_drafts, 1) if encoder is not None else 1
        self._max_words = check_count("max_words", max_words, 1)
        check_count("max_tries", max_tries, 1)
        self._anchor = anchor
        self._topic = topic
        self._encoder = encoder
        self._writer = Writer(
            self.name, opened(llm), max_tries=max_tries, verify=verify, verify_with=verify_with
        )

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `persona` and `n_queries` are in their metadata.

        With an encoder also `similarity`, the mean cosine to all invented questions. The
        calls for personas and questions are counted with the first passage.

        Raises:
            UsageError: an unusable target, or no language model.
            IncompleteError: the language model failed, or gave no list of people or
                questions.
        """
        del rng  # the language model's own sampling decides
        check_target(self.name, target)
        if not self._n:
            return []
        topic = self._topic or keywords(target.question.text)
        request = prompt("persona_claim", question=target.question.text, answer=target.wrong_answer)
        claim = self._writer.write(target, request)
        people, n_calls = self._asked(topic)
        n_calls += claim.n_llm_calls
        every = [query for _, queries in people for query in queries]
        aim = None if self._encoder is None else self._encoder.encode(every)
        made: list[Passage] = []
        seen: set[str] = set()
        for index in range(self._n):
            persona, queries = people[index % len(people)]
            text, verified, own, similarity = self._passage(claim.text, queries, target, aim, seen)
            more: dict[str, MetaValue] = {"persona": persona, "n_queries": len(every)}
            seen.add(text)
            if similarity is not None:
                more["similarity"] = round(similarity, 4)
            embedded = 0 if aim is None else self._n_drafts + (len(every) if index == 0 else 0)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant="anchored" if self._anchor else "persona",
                    retrieval_part=_central(queries) if self._anchor else "",
                    generation_part=text,
                    verified=verified,
                    n_llm_calls=own + (n_calls if index == 0 else 0),
                    n_encoder_calls=embedded,
                    joint=" ",
                    more=more,
                )
            )
        return made

    def _asked(self, topic: str) -> tuple[list[tuple[str, list[str]]], int]:
        """Each persona with the questions asked in its place, and the calls that took."""
        request = prompt("persona_personas", topic=topic, most=str(self._n_personas))
        found, n_calls = self._writer.lists(request, most=self._n_personas)
        people = []
        for persona in [plain(str(one)) for one in found] or ["someone who wants to know"]:
            request = prompt(
                "persona_queries", persona=persona, topic=topic, most=str(self._n_queries)
            )
            queries, own = self._writer.lists(request, most=self._n_queries)
            n_calls += own
            # A model that gives no list of questions leaves the topic itself.
            people.append((persona, [plain(str(query)) for query in queries] or [topic]))
        return people, n_calls

    def _passage(
        self,
        claim: str,
        queries: list[str],
        target: Target,
        aim: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None,
        seen: set[str],
    ) -> tuple[str, bool | None, int, float | None]:
        """The best draft, whether it was verified, the calls, and its mean similarity."""
        request = prompt(
            "persona_passage",
            claim=claim,
            queries=bullets(queries),
            max_words=str(self._max_words),
        )
        front = f"{_central(queries)} " if self._anchor else ""
        drafts = [self._writer.write(target, request, unlike=seen) for _ in range(self._n_drafts)]
        n_calls = sum(draft.n_llm_calls for draft in drafts)
        if aim is None or self._encoder is None:
            return drafts[0].text, drafts[0].verified, n_calls, None
        rows = self._encoder.encode([f"{front}{draft.text}" for draft in drafts])
        near = [float(cosines(aim, row).mean()) for row in rows]
        # A draft that passed goes before one that did not, however near.
        best = max(range(len(drafts)), key=lambda i: (drafts[i].accepted, near[i]))
        return drafts[best].text, drafts[best].verified, n_calls, near[best]


def _central(queries: list[str]) -> str:
    """The question that shares most words with the others, the first of equals."""
    words = [set(content_words(query)) for query in queries]
    shared = [sum(len(a & b) / max(len(a | b), 1) for b in words) for a in words]
    return queries[int(np.argmax(np.round(shared, 6)))]
