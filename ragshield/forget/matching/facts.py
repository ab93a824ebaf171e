"""Facts: what a target's sentences say, and whether another passage says it also."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ragshield.forget.matching.features import Features, Name, Rarity, bare, covered, stem
from ragshield.forget.matching.mentions import Mentions
from ragshield.text import STOP_WORDS, sentences, words

_TITLE = re.compile(r"\b(?:dr|prof|mr|mrs|ms|st)\.$", re.I)
_IS = r"(?:is|was|remains|became)(?: an?| the)?(?: [\w-]+){0,2}? "
_BELONGING = frozenset({"belong", "belongs", "belonged", "currently"})
"""Words of a question that say no more than that there is something to be said."""

_WINDOW = 2
_MOST_SENTENCES = 400


@dataclass(frozen=True, slots=True)
class Fact:
    """Somebody or something, and one value that a sentence gives for it.

    Attributes:
        about: the name; empty where the text has none.
        value: as it stands in the text.
        tokens: the value's words in lower case.
        text: the sentence.
        stated_in: id of the passage.
    """

    about: str
    value: str
    tokens: frozenset[str]
    text: str
    stated_in: str


def about(texts: Sequence[Features]) -> str:
    """Whom or what some passages of one document are about: the name they use most.

    A name counts if it has two words or a title, by its last word, which later sentences
    use alone; full names go before others and the first of equals wins. Empty where there
    is none.
    """
    last: dict[str, int] = defaultdict(int)
    full: dict[str, Name] = {}
    for text in texts:
        for name in text.names:
            if any(c.isdigit() for c in name.text):
                continue
            last[name.tokens[-1]] += 1
            known = full.get(name.tokens[-1])
            longer = len(name.tokens) > 1 and (known is None or len(known.tokens) == 1)
            if longer or (name.titled and known is None):
                full[name.tokens[-1]] = name
    found = [(last[key], -place, name) for place, (key, name) in enumerate(full.items())]
    return max(found)[2].text if found else ""


def facts_of(text: Features, passage_id: str, subject: str) -> list[Fact]:
    """The values (names and numbers) of each sentence, without the subject itself."""
    own = set(words(subject))
    found: list[Fact] = []
    for sentence in sentences(text.text)[:_MOST_SENTENCES]:
        features = Features(sentence)
        for address in sorted(features.addresses):
            found.append(Fact(subject, address, frozenset({address}), sentence, passage_id))
        for name in features.names:
            tokens = frozenset(token for token in name.tokens if token not in own)
            if tokens and any(len(token) > 1 for token in tokens):
                found.append(Fact(subject, name.text, tokens, sentence, passage_id))
    return found


class Facts:
    """Facts of the target, asked which of them a passage outside it states.

    A passage states a fact if it mentions whom it is about and holds every word of the
    value. Facts about nobody need three words, or one that is rare.

    Args:
        facts: of the target.
        rarity: of words in the store.
    """

    def __init__(self, facts: Sequence[Fact], rarity: Rarity) -> None:
        self.facts: list[Fact] = []
        self._by_word: dict[str, list[int]] = defaultdict(list)
        self._names: dict[str, Mentions] = {}
        seen = set()
        for fact in facts:
            what = (fact.about, fact.tokens)
            alone = not fact.about and len(fact.tokens) < 3
            if what in seen or alone:
                continue
            seen.add(what)
            rarest = min(fact.tokens, key=lambda token: (rarity.count(token), token))
            self._by_word[rarest].append(len(self.facts))
            self.facts.append(fact)
            if fact.about and fact.about not in self._names:
                self._names[fact.about] = Mentions(fact.about)

    @property
    def words(self) -> frozenset[str]:
        """A text with none of them neither states a fact nor mentions whom one is about."""
        return frozenset(self._by_word) | {words(name)[-1] for name in self._names}

    def stated(self, text: Features) -> tuple[list[int], list[int]]:
        """Numbers of the facts that a text states; and of those whose value alone it holds.

        The second are stated too where the rest of the document says whom it is about.
        """
        vocabulary = text.vocabulary
        mentioned: dict[str, bool] = {"": True}
        whole: list[int] = []
        values: list[int] = []
        for word in vocabulary & self._by_word.keys():
            for number in self._by_word[word]:
                fact = self.facts[number]
                if not fact.tokens <= vocabulary:
                    continue
                if fact.about not in mentioned:
                    mentioned[fact.about] = self._mentions(fact.about, text)
                (whole if mentioned[fact.about] else values).append(number)
        return sorted(whole), sorted(values)

    def mentioned(self, text: Features) -> set[str]:
        """Whom of those that the facts are about a text mentions."""
        return {name for name in self._names if self._mentions(name, text)}

    def _mentions(self, name: str, text: Features) -> bool:
        if words(name)[-1] not in text.vocabulary:
            return False
        found = self._names[name].find(text.text)
        return found is not None and found.confidence >= 0.5


class Statement:
    """One sentence that is to be forgotten or kept, asked whether a passage states it.

    Its first full name is whom it is about; of that the last word is enough. Its other
    names and numbers, the values, have to be there. It is certain where the values stand in
    two neighbouring sentences and are rare in the store, or half of the statement's other
    words stand there too, without regard to endings; or where a sentence says that whom it
    is about *is* the value.

    Args:
        text: the sentence.
        rarity: of words in the store.
        without: names that do not count, such as the subject of an exception.
    """

    def __init__(self, text: str, rarity: Rarity, *, without: Sequence[str] = ()) -> None:
        self.text = text
        self._rarity = rarity
        own = {word for name in without for word in words(name)}
        features = Features(text)
        names = [name for name in features.names if not set(name.tokens) <= own]
        full = [name for name in names if len(name.tokens) > 1 and not _is_number(name)]
        titled = [name for name in full if name.titled]
        self._whom: Name | None = next(iter(titled or full), None)
        whom = frozenset(() if self._whom is None else self._whom.tokens)
        self._mentions = None if self._whom is None else Mentions(self._whom.text)
        marks = {token for name in names for token in name.tokens} | features.addresses
        self._values = frozenset(marks - own - whom)
        parts_of_addresses = {word for a in features.addresses for word in words(a)}
        self._values -= parts_of_addresses - {t for name in names for t in name.tokens}
        self._others = frozenset(
            stem(word)
            for word in map(bare, words(text))
            if word not in STOP_WORDS | marks | own | whom | parts_of_addresses | _BELONGING
            and len(word) > 2
        )
        self._is = None
        if self._whom is not None and self._values and len(self._values) <= 2:
            last, value = self._whom.tokens[-1], "|".join(map(re.escape, sorted(self._values)))
            self._is = re.compile(rf"\b{re.escape(last)} {_IS}(?:{value})\b", re.I)

    def stated(self, text: Features) -> tuple[float, str] | None:
        """How certainly a passage states it, (0, 1], and the words that do; None if not."""
        if not self._values <= text.vocabulary:
            return None
        if not self._values and covered(self._others, text.stems, self._rarity) < 0.5:
            return None
        about = self._is_about(text)
        rare = bool(self._values) and self._is_rare()
        if not about and not (rare and self._whom is not None):
            return None
        parts = _whole_sentences(text.text)[:_MOST_SENTENCES]
        windows = [" ".join(parts[i : i + _WINDOW]) for i in range(max(1, len(parts) - 1))]
        best = max(
            ((*self._shares(Features(window)), -i) for i, window in enumerate(windows)),
            default=None,
        )
        if best is None or not (self._values or self._others or self._whom):
            return None
        values, others, place = best
        confidence = self._confidence(values, others, rare=rare, about=about)
        if about and values == 1 and self._is is not None and (confidence or 0.0) < 0.9:
            said = next((part for part in parts if self._is.search(part)), None)
            if said is not None:
                return 0.9, said
        return None if confidence is None else (confidence, windows[-place])

    def touches(self, text: Features) -> bool:
        """Whether a passage has any name or number of it, or half of its words."""
        if self._values:
            return bool(self._values & text.vocabulary)
        return covered(self._others, text.stems, self._rarity) >= 0.5

    def _confidence(self, values: float, others: float, *, rare: bool, about: bool) -> float | None:
        if not self._values:
            # Without a value there is only the wording to go by.
            few = len(self._others) < 2
            if others < (0.99 if few and self._whom is None else 0.5):
                return None
            return round(0.9 * others if self._whom is None else 0.3 + 0.65 * others, 2)
        if not about:
            return 0.6 if values == 1 else None
        if values == 1 and (rare or others >= 0.5):
            return round(0.9 + 0.08 * others, 2)
        return round(0.5 + 0.2 * values + 0.1 * others, 2)

    def _is_about(self, text: Features) -> bool:
        if self._whom is None or self._mentions is None:
            return True
        if self._whom.tokens[-1] not in text.vocabulary:
            return False
        found = self._mentions.find(text.text)
        return found is not None and found.confidence >= 0.5

    def _is_rare(self) -> bool:
        least = min(self._rarity.count(token) for token in self._values)
        return least <= max(5, self._rarity.n // 100)

    def _shares(self, window: Features) -> tuple[float, float]:
        """Shares of the values and of the other words that a part of the passage has."""
        values = 1.0
        if self._values:
            values = len(self._values & window.vocabulary) / len(self._values)
        return values, covered(self._others, window.stems, self._rarity)


def _whole_sentences(text: str) -> list[str]:
    """Sentences, where a title with its full stop ends none."""
    found: list[str] = []
    for part in sentences(text):
        if found and _TITLE.search(found[-1]):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return found


def _is_number(name: Name) -> bool:
    return any(c.isdigit() for c in name.text)
