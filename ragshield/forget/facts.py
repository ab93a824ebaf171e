"""Facts: what a target's sentences say, and whether another passage says it also."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ragshield.forget.features import Features, Name, Rarity, covered, stem
from ragshield.forget.mentions import Mentions
from ragshield.text import STOP_WORDS, sentences, words

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

    The names and numbers of the sentence have to be there, and of its other words most,
    without regard to endings; the last name of a full name is enough where the passage has
    the full name, too, or no other bearer of it.

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
        self._names = [
            name for name in features.names if not set(name.tokens) <= own and name.tokens
        ]
        marks = {token for name in self._names for token in name.tokens} | {
            word for word in features.vocabulary if "@" in word
        }
        self._values = frozenset(marks - own)
        self._full = [Mentions(name.text) for name in self._names if len(name.tokens) > 1]
        self._last = {name.tokens[-1] for name in self._names if len(name.tokens) > 1}
        self._others = frozenset(
            stem(word)
            for word in words(text)
            if word not in STOP_WORDS | marks | own and len(word) > 2
        )

    def stated(self, text: Features) -> tuple[float, str] | None:
        """How certainly a passage states it, (0, 1], and the words that do; None if not."""
        if not self._values and not self._others:
            return None
        if self._values and not self._present(text):
            return None
        if not self._values and covered(self._others, text.stems, self._rarity) < 0.5:
            return None
        best: tuple[float, str] | None = None
        parts = sentences(text.text)[:_MOST_SENTENCES]
        for i in range(len(parts)):
            window = " ".join(parts[i : i + _WINDOW])
            share = self._share(Features(window))
            if best is None or share > best[0] + 1e-9:
                best = share, window
        if best is None:
            return None
        share, window = best
        if self._values:
            confidence = 0.55 + 0.43 * share
            return (round(min(confidence, 0.98), 2), window) if share >= 0.2 else None
        # Without a name or number there is only the wording to go by.
        return (
            (round(share, 2), window)
            if (share >= 0.5 and len(self._others) > 1) or share > 0.99
            else None
        )

    def touches(self, text: Features) -> bool:
        """Whether a passage has any name or number of it, or half of its words."""
        if self._values:
            return bool(self._values & text.vocabulary)
        return covered(self._others, text.stems, self._rarity) >= 0.5

    def _present(self, text: Features) -> bool:
        """Whether the names and numbers are all there, somewhere in the passage."""
        missing = self._values - text.vocabulary
        if not missing:
            return True
        # "Ada Lindqvist" may go on as "Lindqvist".
        spare = {
            token
            for name in self._names
            if len(name.tokens) > 1 and name.tokens[-1] in text.vocabulary
            for token in name.tokens[:-1]
        }
        return missing <= spare and len(self._values - spare) > len(self._last)

    def _share(self, window: Features) -> float:
        values = [token for token in self._values if token in window.vocabulary]
        hay = window.stems
        if not self._others:
            return len(values) / max(1, len(self._values))
        share = covered(self._others, hay, self._rarity)
        if not self._values:
            return share
        return 0.5 * share + 0.5 * len(values) / len(self._values)
