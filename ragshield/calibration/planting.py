"""The product's own attacks, planted beside what a store gives; the store is not touched."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ragshield import registry
from ragshield.calibration.drawing import Honest
from ragshield.defenders.calibrated_shield import Detection, Measured
from ragshield.defenders.fused import Fused
from ragshield.errors import RagshieldError
from ragshield.intervals import Rate, rate
from ragshield.metrics import Removal, clean_loss, poison_recall
from ragshield.protocols import Attack, Encoder, Retriever
from ragshield.records import Hit, Passage, Retrieval, Spec, Vectors
from ragshield.vectors import cosines

PLANTED = (1, 2, 5)
"""Poisoned passages planted for each question by the attack that shows the dose."""

_DOSED = "poisonedrag"
_DISGUISES = ("homoglyph", "zero-width", "html-hidden")
# Its search asks a defender 200 times for each question: an hour, not a minute.
_TOO_SLOW = frozenset({"adaptive"})


class Variant(NamedTuple):
    """One attack as it is planted.

    Attributes:
        label: registry name, and what was varied.
        n: passages for each question.
        attack: makes them.
    """

    label: str
    n: int
    attack: Attack


class Planted(NamedTuple):
    """What was measured, and what could not be.

    Attributes:
        detection: by variant and number planted.
        notes: attacks left out, with the reason.
    """

    detection: tuple[Detection, ...]
    notes: tuple[str, ...]


def variants(probe: Honest, retriever: Retriever | None = None) -> tuple[list[Variant], list[str]]:
    """Every registered attack that needs a target and true passages at most, by family.

    `poisonedrag` is planted 1, 2 and 5 times, the others as many times as they are meant
    to be; an attack with a parameter `prefix` with and without the question; `composed`
    in three disguises. What cannot be built or cannot attack the probe is left out with a
    note; what says that it needs more (a language model, a model's inside) and `adaptive`,
    whose search takes too long here, without.

    Args:
        probe: a question that each attack is tried on.
        retriever: gives true passages to the attacks that copy them.
    """
    found: list[Variant] = []
    notes = []
    for name in registry.names("attack"):
        if name in _TOO_SLOW or _needs_more(name):
            continue
        try:
            found += _variants_of(name, probe, retriever)
        except (RagshieldError, ImportError, TypeError) as error:
            notes.append(f"attack '{name}' was not tried: {str(error).splitlines()[0]}")
    return found, notes


def measure(
    honest: Sequence[Honest],
    retrievals: Sequence[Retrieval],
    thresholds: Sequence[float],
    encoder: Encoder,
    *,
    k: int,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> Planted:
    """Plant every variant for every question and judge what is then retrieved.

    The k best of the store's k best and the poison are the k best of a store that holds
    both, so nothing is written anywhere.

    Args:
        honest: the questions.
        retrievals: what the store gives for each.
        thresholds: for each question, one calibrated without it.
        encoder: the store's.
        k: hits judged together.
        seed: of the attacks.
        advance: called with 1 after each variant.
    """
    found, notes = variants(honest[0], _Given(retrievals))
    vectors = _Vectors(encoder)
    detection = []
    for variant in found:
        made = [_crafted(variant, one, seed) for one in honest]
        failed = sum(poison is None for poison in made)
        if failed:
            notes.append(f"{variant.label}: no poison could be made for {failed} questions")
        vectors.embed([p.text for poison in made for p in poison or ()])
        removals, retrieved = [], 0
        for poison, clean, threshold in zip(made, retrievals, thresholds, strict=True):
            if not poison:
                continue
            mixed = overlay(clean, poison, vectors.of(poison), k=k)
            removal = _judged(mixed, {p.id for p in poison}, threshold)
            retrieved += removal.poison > 0
            # Where no poison was retrieved, there is no attack to lose clean passages under.
            if removal.poison:
                removals.append(removal)
        detection.append(
            Detection(
                variant.label,
                variant.n,
                measured(rate(retrieved, len(made) - failed)),
                measured(poison_recall(removals)),
                measured(clean_loss(removals)),
            )
        )
        if advance is not None:
            advance(1)
    return Planted(tuple(detection), tuple(notes))


def overlay(clean: Retrieval, poison: Sequence[Passage], vectors: Vectors, *, k: int) -> Retrieval:
    """What would be retrieved if `poison` were stored beside the clean hits."""
    rows = np.vstack([clean.vectors, vectors]).astype(np.float32)
    similarity = cosines(rows, clean.question_vector)
    order = np.argsort(-similarity, kind="stable")[:k]
    passages = (*clean.passages, *poison)
    hits = tuple(Hit(passages[i], float(similarity[i])) for i in order)
    return Retrieval(clean.question, hits, rows[order], clean.question_vector)


def measured(found: Rate) -> Measured:
    """A rate as a shield holds it, to six digits."""
    value, low, high = (
        None if v is None else round(v, 6) for v in (found.value, found.low, found.high)
    )
    return Measured(value, low, high, found.n, found.n_clusters)


def _needs_more(name: str) -> bool:
    """Whether an attack says that a target and true passages are not enough for it."""
    needs: tuple[str, ...] = getattr(registry.load("attack", name), "needs", ())
    return bool(needs)


def _variants_of(name: str, probe: Honest, retriever: Retriever | None) -> Iterator[Variant]:
    known = inspect.signature(registry.load("attack", name)).parameters
    varied: Mapping[str, Mapping[str, Any]] = {name: {}}
    if "prefix" in known:
        varied = {name: {"prefix": True}, f"{name}, no prefix": {"prefix": False}}
    elif name == "composed":
        varied = {f"{name}, {disguise}": {"disguise": disguise} for disguise in _DISGUISES}
    context = {} if retriever is None else {"retriever": retriever}
    for label, params in varied.items():
        for dose in [{"n": n} for n in PLANTED] if name == _DOSED else [{}]:
            attack: Attack = registry.build(Spec("attack", name, {**params, **dose}), **context)
            tried = attack.craft(probe.target, rng=np.random.default_rng(0))
            yield Variant(label, len(tried), attack)


def _crafted(variant: Variant, honest: Honest, seed: int) -> list[Passage] | None:
    key = f"{seed}\0{variant.attack.name}\0{honest.target.question.id}"
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    try:
        return variant.attack.craft(honest.target, rng=np.random.default_rng(list(digest)))
    except RagshieldError:
        return None


def _judged(mixed: Retrieval, poison_ids: set[str], threshold: float) -> Removal:
    verdict = Fused(threshold=threshold).inspect(mixed)
    gone = {finding.passage_id for finding in verdict.dropped}
    present = poison_ids & {hit.id for hit in mixed}
    n_clean = len(mixed) - len(present)
    return Removal(len(present), len(present & gone), n_clean, len(gone - present), mixed.question)


class _Given:
    """A retriever that knows the questions that were asked, for attacks that copy passages."""

    def __init__(self, retrievals: Sequence[Retrieval]) -> None:
        self._known = {retrieval.question: retrieval for retrieval in retrievals}

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        found = self._known[question]
        return found.select(range(min(k, len(found))))


class _Vectors:
    """Vectors by text: the variants of an attack share most of their texts."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._encoder.encode(new), strict=True))

    def of(self, passages: Sequence[Passage]) -> Vectors:
        return np.stack([self._known[passage.text] for passage in passages])
