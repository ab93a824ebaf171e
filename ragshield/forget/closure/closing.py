"""The closure in one collection: read, take in, and read again until nothing new goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragshield.forget.closure.carriers import Carriers, carriers
from ragshield.forget.closure.chosen import Chosen
from ragshield.forget.closure.exceptions import Exceptions
from ragshield.forget.closure.seeds import Seed, Seeds, seeds_of
from ragshield.forget.closure.shared import shared_facts
from ragshield.forget.closure.survey import Survey
from ragshield.forget.matching.facts import Statement
from ragshield.forget.matching.features import Features
from ragshield.forget.matching.reading import Looks
from ragshield.forget.plans.records import AtRisk, Kept, SharedFact
from ragshield.forget.plans.request import Request
from ragshield.protocols import Encoder, Store
from ragshield.records import Passage, Vectors
from ragshield.text import words

_ROUNDS = 4
"""Copies of copies of copies: a closure that still grows then says so."""


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """What carries the target in one collection.

    Attributes:
        survey: of the collection.
        chosen: what is in the plan.
        at_risk: nearest passages that stay.
        kept: what the request's exceptions keep.
        shared: facts that passages outside the target state also.
        n_shared: how many there are; `shared` may list fewer.
        seeds: the selected passages, for other collections; None where none is.
        notes: what a reader should know.
    """

    survey: Survey
    chosen: Chosen
    at_risk: tuple[AtRisk, ...]
    kept: tuple[Kept, ...]
    shared: tuple[SharedFact, ...]
    n_shared: int
    seeds: Seeds | None
    notes: tuple[str, ...]


def closed(
    store: Store,
    request: Request,
    *,
    survey: Survey,
    beyond: Seeds | None = None,
    encoder: Encoder | None = None,
) -> Looks[Closed]:
    """Find what carries the target in a collection.

    Args:
        store: the collection.
        request: what is to be forgotten.
        survey: its first reading.
        beyond: selected passages of another collection of the same store.
        encoder: gives texts of the request a vector, for paraphrases of them.

    Raises:
        StoreError: the collection cannot be read.
    """
    overview = survey.overview
    names = () if request.subject is None else (request.subject, *request.aliases)
    without = frozenset(word for name in names for word in words(name))
    statements = (
        [Statement(text, overview.rarity) for text in request.texts]
        if request.scope == "fact"
        else []
    )
    chosen = survey.chosen
    exceptions = Exceptions(request, overview.rarity)
    direct = frozenset(chosen.ids(selected=True))
    exceptions.settle(store, chosen)
    given = _given(request, survey, encoder)
    lexical = overview.rarity if overview.dim is None else None
    done: set[str] = set()
    near: dict[str, AtRisk] = {}
    last = Carriers()
    for round_ in range(_ROUNDS):
        new = [x for x in chosen.ids(selected=True) if x not in done]
        done.update(new)
        seeds = seeds_of(store, new, direct, lexical, without=without)
        if round_ == 0:
            extra = [found for found in (given, beyond) if found is not None]
            seeds = _joined([seeds, *extra], survey, without)
        if not len(seeds) and not (statements and round_ == 0):
            break
        last = yield from carriers(
            survey,
            seeds,
            scope=request.scope,
            is_selected=chosen.is_selected,
            statements=statements if round_ == 0 else (),
            siblings_go=request.where is None,
        )
        for passage, why in last.found:
            taken = exceptions.judged(passage, why)
            if taken is not None:
                chosen.take(passage, taken)
        for neighbour in last.at_risk:
            before = near.get(neighbour.passage_id)
            if before is None or before.similarity < neighbour.similarity:
                near[neighbour.passage_id] = neighbour
    selected = chosen.ids(selected=True)
    notes = _notes(survey, last, grows=bool(set(selected) - done))
    seeds = seeds_of(store, selected, direct, lexical, without=without)
    if len(seeds) < len(selected):
        gone = len(selected) - len(seeds)
        notes += (f"{gone} passages went while the plan was made: plan again",)
    shared: tuple[SharedFact, ...] = ()
    n_shared = 0
    if request.scope == "document" and len(seeds):
        shared, n_shared = yield from shared_facts(seeds, chosen, overview.rarity, request.shared)
    elif request.scope == "fact":
        _share_of_statement(request, chosen, seeds)
    stay = {kept.passage_id for kept in exceptions.kept}
    at_risk = sorted(
        (n for n in near.values() if n.passage_id not in chosen and n.passage_id not in stay),
        key=lambda n: (-n.similarity, n.passage_id),
    )
    return Closed(
        survey,
        chosen,
        tuple(at_risk[:10]),
        exceptions.kept,
        shared,
        n_shared,
        seeds if len(seeds) else None,
        notes,
    )


def _given(request: Request, survey: Survey, encoder: Encoder | None) -> Seeds | None:
    """The texts of the request as seeds of their own."""
    if not request.texts:
        return None
    seeds = [Seed(Passage("", text), Features(text), direct=True) for text in request.texts]
    unit: Vectors = np.zeros((len(seeds), 0), dtype=np.float32)
    if survey.overview.dim is None:
        unit = survey.overview.rarity.rows([seed.features for seed in seeds])
    elif encoder is not None:
        unit = encoder.encode([seed.passage.text for seed in seeds])
    return Seeds(seeds, unit)


def _joined(parts: Sequence[Seeds], survey: Survey, without: frozenset[str]) -> Seeds:
    """Several seeds as one; vectors of another width than the store's count as none."""
    if len(parts) == 1:
        return parts[0]
    width = survey.overview.dim or 512
    rows = [
        part.unit if part.unit.shape[1] == width else np.zeros((len(part), width), dtype=np.float32)
        for part in parts
    ]
    return Seeds([seed for part in parts for seed in part.seeds], np.vstack(rows), without=without)


def _share_of_statement(request: Request, chosen: Chosen, seeds: Seeds) -> None:
    """A fact that several documents state, where it is not to be forgotten in all of them."""
    if request.shared == "forget" or len(seeds) < 2:
        return
    how = {
        "keep": "states the fact, and so do others: kept, as shared facts are",
        "report": "states the fact, and so do others: for a person to decide",
    }[request.shared]
    direct = set(request.ids)
    chosen.put_on_review({x: how for x in chosen.ids(selected=True) if x not in direct})


def _notes(survey: Survey, last: Carriers, *, grows: bool) -> tuple[str, ...]:
    notes = []
    if survey.overview.dim is None:
        notes.append("the store has no vectors: paraphrases were looked for by their words")
    elif survey.overview.n_unusable:
        notes.append(
            f"{survey.overview.n_unusable} passages have no usable vector: of those, only copies "
            "were looked for"
        )
    if last.usual is not None:
        notes.append(
            f"paraphrases were looked for from a similarity of {last.cut:.2f} on; "
            f"{last.usual:.0%} of this store's passages have a neighbour so near"
        )
    if grows:
        notes.append("the closure was still growing when it was cut off: plan again afterwards")
    return tuple(notes)
