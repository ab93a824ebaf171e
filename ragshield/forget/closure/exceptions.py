"""Facts about a subject that are to be kept: which passages stay for their sake."""

from __future__ import annotations

import re

from ragshield.forget.closure.chosen import Chosen, Why
from ragshield.forget.matching.facts import Statement
from ragshield.forget.matching.features import Features, Rarity
from ragshield.forget.matching.mentions import Mentions
from ragshield.forget.plans.records import EXCERPT_CHARS, Kept
from ragshield.forget.plans.request import Request
from ragshield.protocols import Store
from ragshield.records import Passage
from ragshield.text import content_words, sentences

_STEP = 500
_PRONOUN = re.compile(r"\b(?:he|she|they|his|her|hers|him|their|them)\b", re.I)
_ENOUGH = 0.7


class Exceptions:
    """Judges passages about a subject by the facts that are to be kept.

    A passage goes or stays as a whole. One whose sentences about the subject all state
    something to be kept stays, and the plan lists it; one that says other things besides is
    for a person, who may rewrite it; so is all that rests on a single word.

    Args:
        request: the subject and the exceptions.
        rarity: of words in the store.
    """

    def __init__(self, request: Request, rarity: Rarity) -> None:
        names = () if request.subject is None else (request.subject, *request.aliases)
        self._mentions = Mentions(names[0], names[1:]) if names else None
        self._statements = [Statement(text, rarity, without=names) for text in request.exceptions]
        own = {word for name in names for word in content_words(name)}
        self._weak = {
            text
            for text in request.exceptions
            if len([word for word in content_words(text) if word not in own]) < 2
        }
        self._kept: dict[str, Kept] = {}

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What stays, in the order found."""
        return tuple(self._kept.values())

    def settle(self, store: Store, chosen: Chosen) -> None:
        """Judge what the request named directly."""
        if not self._statements:
            return
        ids = [item.passage_id for item in chosen.items()]
        drop, review = [], {}
        for start in range(0, len(ids), _STEP):
            for passage in store.get(ids[start : start + _STEP]).passages:
                judged = self._judge(passage)
                if judged is None:
                    continue
                if judged[0]:
                    drop.append(passage.id)
                elif chosen.is_selected(passage.id):
                    review[passage.id] = judged[1]
        chosen.put_on_review(review)
        chosen.drop(drop)

    def judged(self, passage: Passage, why: Why) -> Why | None:
        """What becomes of a passage that was found to carry the target; None = it stays."""
        if passage.id in self._kept:
            return None
        judged = self._judge(passage) if self._statements else None
        if judged is None:
            return why
        return None if judged[0] else Why(False, why.confidence, judged[1], why.related_to)

    def _judge(self, passage: Passage) -> tuple[bool, str] | None:
        """Whether it stays (or is for a person), and why; None where no exception touches it."""
        about = [part for part in sentences(passage.text) if self._is_about(part)]
        kept = {part: text for part in about if (text := self._exception(part)) is not None}
        if not kept:
            return None
        text = next(iter(kept.values()))
        if len(kept) < len(about):
            return False, f"states what is to be kept ('{text}') and more: rewrite it, or select it"
        if set(kept.values()) <= self._weak:
            return False, f"may only state what is to be kept ('{text}')"
        self._kept[passage.id] = Kept(passage.id, text, passage.text[:EXCERPT_CHARS])
        return True, ""

    def _is_about(self, sentence: str) -> bool:
        if self._mentions is None:
            return False
        found = self._mentions.find(sentence)
        return bool(found and found.confidence >= 0.5) or bool(_PRONOUN.search(sentence))

    def _exception(self, sentence: str) -> str | None:
        """The exception that a sentence states."""
        features = Features(sentence)
        for statement in self._statements:
            stated = statement.stated(features)
            if stated is not None and stated[0] >= _ENOUGH:
                return statement.text
        return None
