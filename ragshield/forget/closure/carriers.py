"""One reading of a store against the target: which passages carry it, too, and how surely."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ragshield.forget.closure.chosen import Why
from ragshield.forget.closure.likeness import adds, alike, carried_over
from ragshield.forget.closure.seeds import Seeds
from ragshield.forget.closure.survey import Overview, Survey
from ragshield.forget.matching.documents import Key, number_of
from ragshield.forget.matching.facts import Statement
from ragshield.forget.matching.features import Features
from ragshield.forget.matching.reading import Looks, Part
from ragshield.forget.plans.records import EXCERPT_CHARS, AtRisk, Scope
from ragshield.records import Passage, Vectors

N_AT_RISK = 10
WITH_VECTORS, BY_WORDS = 0.6, 0.35
"""Least similarity of a paraphrase, by embeddings and by words."""

_MIN_STORE = 40
_MOST_AT_RISK = 400
_HELD, _HALF, _WHOLE = 0.3, 0.5, 0.8
"""Share of a passage's runs of words that the target has: worth a look, in a document or
about a subject; nearly all of it."""

_FEW_RUNS = 4
_LONG_RUNS = 12
_PRONOUN = re.compile(r"\b(?:he|she|they|his|her|hers|him|their|them|it|its)\b", re.I)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A passage that shares runs of words with the target, until it is known which count."""

    passage: Passage
    places: NDArray[np.intp]
    n_runs: int


@dataclass(frozen=True, slots=True, eq=False)
class _Paraphrase:
    passage: Passage
    similarity: float
    confidence: float
    seed: int


@dataclass(slots=True, eq=False)
class Carriers:
    """What one reading found.

    Attributes:
        found: passages and why, not those that were selected before.
        at_risk: nearest passages that carry nothing, nearest first; more than are shown,
            because some may be taken in later.
        cut: similarity from which two passages may say the same in this store.
        usual: share of this store's passages whose nearest neighbour is at least so near;
            None where that was not measured.
    """

    found: list[tuple[Passage, Why]] = field(default_factory=list)
    at_risk: list[AtRisk] = field(default_factory=list)
    cut: float = 1.0
    usual: float | None = None


def carriers(
    survey: Survey,
    seeds: Seeds,
    *,
    scope: Scope,
    is_selected: Callable[[str], bool],
    statements: Sequence[Statement] = (),
    siblings_go: bool = True,
) -> Looks[Carriers]:
    """Read a store once and compare every passage that is not selected with the seeds.

    Args:
        survey: of this store.
        seeds: the target as known so far.
        scope: what is meant by it.
        is_selected: tells by the id what need not be looked at again.
        statements: where the scope is a fact: a passage has to state one of them.
        siblings_go: whether further chunks of a seed's document are selected.
    """
    reading = _Reading(survey.overview, seeds, scope, is_selected, statements, siblings_go)
    yield reading
    return reading.finish()


def _similarities(unit: Vectors | None, seeds: Vectors) -> Vectors | None:
    if unit is None or not seeds.shape[1] or unit.shape[1] != seeds.shape[1]:
        return None
    found: Vectors = unit @ seeds.T
    return found


class _Reading:
    """What is held while a store is read."""

    def __init__(
        self,
        overview: Overview,
        seeds: Seeds,
        scope: Scope,
        is_selected: Callable[[str], bool],
        statements: Sequence[Statement],
        siblings_go: bool,
    ) -> None:
        self._overview, self._seeds, self._scope = overview, seeds, scope
        self._is_selected = is_selected
        self._statements, self._siblings_go = statements, siblings_go
        self._parents = {key.value for key in seeds.keys if key.group == "parent"}
        self._found: list[tuple[Passage, Why]] = []
        self._parts: list[_Part] = []
        self._paraphrases: list[_Paraphrase] = []
        self._siblings: list[tuple[Passage, Key, Why]] = []
        self._group_sizes: Counter[Key] = Counter()
        self._run_counts = np.zeros(len(seeds.runs), dtype=np.int64)
        self._nearest: list[tuple[float, int, AtRisk]] = []
        self._floor = BY_WORDS if overview.dim is None else WITH_VECTORS

    def see(self, part: Part) -> None:
        """Compare the passages of a part with the target."""
        if self._overview.dim is None:
            similarity = _similarities(part.by_words(self._overview.rarity), self._seeds.unit)
        else:
            self._overview.measure(part)
            similarity = _similarities(part.unit, self._seeds.unit)
        top = None if similarity is None else similarity.max(axis=1)
        related = self._touched(part, top)
        rows = related
        if top is not None:
            # Of the others it is enough to know which are nearest.
            least = self._nearest[0][0] if len(self._nearest) == _MOST_AT_RISK else 0.0
            rows = np.union1d(related, np.flatnonzero(top >= least))
        touched = set(related.tolist())
        for i in rows.tolist():
            passage = part.batch.passages[i]
            if self._is_selected(passage.id):
                continue
            if i in touched and self._look(part, i):
                continue
            if similarity is not None:
                if i in touched:
                    self._by_vector(passage, part.features[i], similarity[i])
                self._note_nearest(passage, similarity[i], part.start + i)

    def _touched(self, part: Part, top: Vectors | None) -> NDArray[np.int64]:
        """The passages that share anything at all with the target, in order."""
        if self._statements:
            return np.arange(len(part))
        seeds = self._seeds
        shared = part.pairs.shared(seeds.pairs)
        touched = (part.runs.shared(seeds.runs) > 0) | ((shared > 0) & (5 * shared >= part.pairs.n))
        if top is not None:
            touched |= top >= self._floor
        for text in seeds.by_text.keys() & part.with_text.keys():
            touched[part.with_text[text]] = True
        for key in seeds.keys.keys() & part.with_key.keys():
            touched[part.with_key[key]] = True
        names = seeds.ids | self._parents
        for name in names & part.row_of.keys():
            touched[part.row_of[name]] = True
        for name in names & part.naming.keys():
            touched[part.naming[name]] = True
        return np.flatnonzero(touched)

    def _look(self, part: Part, i: int) -> bool:
        """Compare one passage with the target, but for its vector; whether it surely carries it."""
        passage, text = part.batch.passages[i], part.features[i]
        certain = self._by_words(passage, text)
        if certain is not None:
            self._take(passage, text, certain)
            if certain.selected:
                return True
        self._by_ledger(part, i)
        for statement in self._statements:
            stated = statement.stated(text)
            if stated is not None:
                sure = stated[0] >= 0.8
                how = "states it" if sure else "may state it"
                why = Why(
                    sure, max(stated[0], 0.9) if sure else stated[0], f"{how}: {stated[1]:.80}"
                )
                self._found.append((passage, why))
        self._by_runs(passage, text)
        return False

    def finish(self) -> Carriers:
        """Decide what had to wait for the whole store."""
        cut, usual = self._cut()
        for part in self._parts:
            self._decide_part(part)
        for passage, key, why in self._siblings:
            many = self._group_sizes[key] > max(50, self._overview.n // 4)
            if many:
                how = f"{why.reason}, of which there are {self._group_sizes[key]}"
                why = Why(False, 0.5, how, why.related_to)
            self._found.append((passage, why))
        for found in self._paraphrases:
            if found.similarity >= cut:
                how = (
                    "may say the same as a selected passage in other words "
                    f"(similarity {found.similarity:.2f})"
                )
                related = self._related(found.seed)
                self._found.append((found.passage, Why(False, found.confidence, how, related)))
        nearest = [near for _, _, near in sorted(self._nearest, reverse=True)]
        return Carriers(self._found, nearest, cut, usual)

    def _take(self, passage: Passage, text: Features, why: Why) -> None:
        if self._scope == "fact" and not any(s.stated(text) for s in self._statements):
            return
        self._found.append((passage, why))

    def _related(self, seed: int) -> tuple[str, ...]:
        passage_id = self._seeds.seeds[seed].passage.id
        return (passage_id,) if passage_id else ()

    def _by_words(self, passage: Passage, text: Features) -> Why | None:
        """A copy, or nearly one."""
        seeds = self._seeds
        if text.normal in seeds.by_text:
            seed = seeds.by_text[text.normal]
            what = "as a selected passage" if self._related(seed) else "as was given"
            return Why(True, 0.99, f"the same text {what}", self._related(seed))
        if not text.words or not seeds.worth_a_signature(text):
            return None
        for near in seeds.near.find(text.signature)[:3]:
            seed = int(str(near.name))
            why = alike(text, seeds.seeds[seed].features)
            if why is not None:
                return Why(why.selected, why.confidence, why.reason, self._related(seed))
        return None

    def _by_ledger(self, part: Part, i: int) -> None:
        """Chunks of one document, records made from a selected passage, and its parent."""
        seeds, document = self._seeds, self._scope == "document"
        passage, text, parents = part.batch.passages[i], part.features[i], self._parents
        if passage.id in seeds.ids:
            # Ids such as "1" may mean something else in another collection.
            self._found.append((passage, Why(False, 0.6, "has the id of a selected passage")))
        for key in part.keys[i]:
            self._group_sizes[key] += 1
            seed = seeds.keys.get(key)
            if seed is not None:
                self._sibling(passage, text, key, seed)
        if passage.id in parents:
            why = Why(document, 0.95 if document else 0.7, "is the parent of a selected passage")
            self._found.append((passage, why))
        for reference in part.references[i]:
            named = [x for x in reference.values if x in seeds.ids or x in parents]
            if not named:
                continue
            whole = len(named) == len([x for x in reference.values if not re.search("[,;|]", x)])
            if reference.derived:
                sure = document or whole
                how = f"was made from a selected passage, by its metadata '{reference.field}'"
                self._found.append(
                    (passage, Why(sure, 0.95 if sure else 0.7, how, tuple(named[:5])))
                )
            elif passage.id not in named and any(x in seeds.ids for x in named):
                how = f"names a selected passage in its metadata '{reference.field}'"
                self._found.append((passage, Why(False, 0.6, how, tuple(named[:5]))))

    def _sibling(self, passage: Passage, text: Features, key: Key, seed: int) -> None:
        related = self._related(seed)
        if self._scope == "document":
            numbered = key.group == "parent" or number_of(passage) is not None
            sure = self._siblings_go and numbered
            confidence = (0.95 if key.group == "parent" else 0.9) if sure else 0.6
            why = Why(sure, confidence, "another chunk of a selected document", related)
            self._siblings.append((passage, key, why))
            return
        number = number_of(passage)
        if self._scope != "subject" or number is None:
            return
        near = any(
            n[0] == number[0] and abs(n[1] - number[1]) == 1 for n, _ in self._seeds.numbers[key]
        )
        if near and _PRONOUN.search(text.text) and not any(len(x.tokens) > 1 for x in text.names):
            how = "the chunk beside a selected one, and names nobody: may go on about it"
            self._siblings.append((passage, key, Why(False, 0.5, how, related)))

    def _by_runs(self, passage: Passage, text: Features) -> None:
        places = self._seeds.common(text)
        if not len(places):
            return
        self._run_counts[places] += 1
        whole = len(places) >= _LONG_RUNS
        if whole or len(places) >= _HELD * len(text.runs):
            self._parts.append(_Part(passage, places, len(text.runs)))

    def _decide_part(self, part: _Part) -> None:
        """Cut from the target, or holding a whole text of it, boilerplate aside."""
        # What a hundredth of the store says is a heading or a phrase, and nobody's text.
        usual = self._run_counts > max(20, self._overview.n // 100)
        places = part.places[~usual[part.places]]
        n_usual = len(part.places) - len(places)
        if len(places) < _FEW_RUNS:
            return
        n_runs = max(1, part.n_runs - n_usual)
        share = len(places) / n_runs
        counts = self._seeds.owners(places)
        seed = int(counts.argmax())
        related = self._related(seed)
        held = counts[seed] / max(1, self._seeds.n_runs[seed])
        what = "selected passages" if related else "the text that was given"
        text = Features(part.passage.text)
        sharing = [self._seeds.seeds[i].features for i in np.flatnonzero(counts)[:50]]
        if held >= _WHOLE and not adds(self._seeds.seeds[seed].features, text):
            sure = bool(self._seeds.n_runs[seed] >= _LONG_RUNS)
            one = "a selected passage" if related else "the text that was given"
            why = Why(sure, 0.9 if sure else 0.7, f"holds the whole of {one}", related)
        elif share >= _WHOLE and not adds(_without_ends(part.passage.text), *sharing):
            sure = self._scope == "document" or held >= 0.6
            how = f"cut from {what}: {share:.0%} of its words stand there"
            why = Why(sure, 0.93 if sure else 0.7, how, related)
        elif share >= _WHOLE:
            # A form that was filled in for somebody else, or an altered copy.
            how = f"{share:.0%} of its words stand in {what}, but with another name or number"
            why = Why(False, 0.5, how, related)
        elif share >= (_HELD if self._scope == "document" else _HALF):
            how = f"shares {share:.0%} of its words with {what}"
            why = Why(False, round(0.4 + 0.4 * share, 2), how, related)
        else:
            return
        self._take(part.passage, text, why)

    def _by_vector(self, passage: Passage, text: Features, similarity: Vectors) -> None:
        best = int(similarity.argmax())
        top = float(similarity[best])
        if top >= self._floor:
            # The likeliest three: the nearest may be another passage about the same.
            k = min(3, len(similarity))
            order = np.argpartition(-similarity, k - 1)[:k]
            for seed in order[np.argsort(-similarity[order], kind="stable")].tolist():
                confidence = carried_over(text, self._seeds, seed, float(similarity[seed]))
                if confidence is not None and self._states_a_part(text):
                    near = _Paraphrase(passage, float(similarity[seed]), confidence, seed)
                    self._paraphrases.append(near)
                    break

    def _note_nearest(self, passage: Passage, similarity: Vectors, place: int) -> None:
        best = int(similarity.argmax())
        top = float(similarity[best])
        if top > 0 and self._related(best):
            near_one = AtRisk(
                passage_id=passage.id,
                similarity=round(top, 4),
                near=self._related(best)[0],
                text=passage.text[:EXCERPT_CHARS],
            )
            entry = (top, -place, near_one)
            if len(self._nearest) < _MOST_AT_RISK:
                heapq.heappush(self._nearest, entry)
            elif entry[:2] > self._nearest[0][:2]:
                heapq.heapreplace(self._nearest, entry)

    def _states_a_part(self, text: Features) -> bool:
        return self._scope != "fact" or any(s.touches(text) for s in self._statements)

    def _cut(self) -> tuple[float, float | None]:
        """Similarity from which two passages may say the same in this store."""
        measured = self._overview.usual[self._overview.usual > -1.0].astype(np.float64)
        if self._overview.dim is None or len(measured) < _MIN_STORE:
            return self._floor, None
        median = float(np.median(measured))
        spread = max(0.03, (median - float(np.quantile(measured, 0.25))) / 0.6745)
        # In a store that says everything several ways, the usual nearest is a paraphrase.
        cut = float(np.clip(median + spread, self._floor, self._floor + 0.2))
        return cut, float((measured >= cut).mean())


def _without_ends(text: str) -> Features:
    """A text without its first and last word, of which a cut may have left a piece."""
    return Features(" ".join(text.split()[1:-1]))
