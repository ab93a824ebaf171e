"""Does the stated false-positive rate hold on stores that nothing was fitted on?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from guard_answers import as_dict
from guard_calibrated import N_DRAWN, drawn_rows, mean_share, stated_row
from guard_data import Case, DevData, split
from guard_fit import Fit, Scored, scored
from guard_heldout import ATTACKED
from guard_models import BUDGET, Models, critical
from guard_store import headwords, honest_passages
from guard_trials import Builder, HonestStore

from ragshield.calibration.conformal import Threshold, calibrated_threshold
from ragshield.intervals import clustered_rate

PER_STORE, PER_COLLECTION, N_TESTED = 1500, 4, 600
FORMS = {"wordnet": "What is {}?", "foldoc": "What is {}?", "gcide": "What does {} mean?"}


@dataclass(frozen=True)
class Fresh:
    """One honest store and questions about it.

    Attributes:
        name: what it is made of.
        passages: its texts.
        asked: real questions about it, or "What is X?" for a dictionary's X.
        kind: `real`, `headword`, or "" where there are none.
        datasets: kept from the fit that judges it.
    """

    name: str
    passages: list[str]
    asked: list[str]
    kind: str
    datasets: tuple[str, ...]


def fresh_stores(data: DevData, used: dict[str, list[str]], *, quick: bool = False) -> list[Fresh]:
    """Disjoint stores: dictionary entries that the large store lacks, and the rest by part.

    Args:
        data: the development files.
        used: passages of the large store by collection.
        quick: two stores only, none of the dictionaries.
    """
    if quick:
        return list(_invented(data))[::3]
    return [*_collected(data, used), *_invented(data)]


def fresh(
    stores: Sequence[Fresh], builder: Builder, models: Models, *, quick: bool = False
) -> dict[str, Any]:
    """Each store calibrated on drawn questions, tested with others and with its own."""
    rows = []
    for store in stores:
        searched = HonestStore(builder, store.passages)
        drawn = drawn_rows(searched, "fresh", N_DRAWN + N_TESTED, store.asked, seed=len(rows))
        # A small store allows few questions: then two thirds calibrate and a third tests.
        n = min(N_DRAWN, 2 * len(drawn) // 3)
        model = models.without(datasets=store.datasets)
        clusters = [critical(model, row) for row in drawn]
        found = calibrated_threshold(clusters[:n], BUDGET)
        asked = store.asked[: 50 if quick else N_TESTED]
        tested = {"drawn": clusters[n:], store.kind: _asked(searched, model, asked)}
        for kind, judged in tested.items():
            if judged:
                rows.append(_row(store, kind, found, n, judged))
    return {"rows": rows, "held": {k: _held(rows, k) for k in ("drawn", "headword", "real")}}


def _row(
    store: Fresh, kind: str, found: Threshold, n: int, judged: Sequence[Any]
) -> dict[str, Any]:
    rate = clustered_rate((int((c >= found.value).sum()), len(c)) for c in judged)
    observed = as_dict(rate) | {"value": mean_share(judged, found.value)}
    return {
        "store": store.name,
        "passages": len(store.passages),
        "questions": kind,
        "n_questions": len(judged),
        "stated": stated_row(found, n),
        "observed": observed,
        "within": found.low <= observed["value"] <= found.high,
        "below": observed["value"] < found.low,
        "compatible": observed["low"] <= found.high and observed["high"] >= found.low,
    }


def _held(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, int]:
    """In how many stores the observed rate lay where it was stated to lie."""
    ours = [row for row in rows if row["questions"] == kind]
    counts = {name: sum(row[name] for row in ours) for name in ("within", "below", "compatible")}
    return counts | {"n": len(ours)}


def _asked(store: HonestStore, model: Fit, questions: Sequence[str]) -> list[Any]:
    if not questions:
        return []
    store.builder.vectors(questions)
    cases = [Case(f"asked-{i}", "asked", q, "", "", ()) for i, q in enumerate(questions)]
    rows: list[Scored] = scored([store.trial("fresh", case, "", ()) for case in cases])
    return [critical(model, row) for row in rows]


def _collected(data: DevData, used: dict[str, list[str]]) -> Iterator[Fresh]:
    """Dictionary entries that the benchmark's large store does not hold; Debian in halves."""
    everything = honest_passages(data, per_collection=10**9)
    rng = np.random.default_rng(23)
    for name, form in FORMS.items():
        taken = set(used[name])
        left = [text for text in everything[name] if text not in taken]
        order = rng.permutation(len(left))
        for number in range(min(PER_COLLECTION, len(left) // PER_STORE)):
            part = order[number * PER_STORE : (number + 1) * PER_STORE]
            texts = [left[i] for i in part]
            asked = [form.format(head) for head in dict.fromkeys(headwords(texts))]
            yield Fresh(f"{name} {number + 1}", texts, asked, "headword", (name,))
    debian = used["debian"]
    half = len(debian) // 2
    for number, texts in enumerate((debian[:half], debian[half:])):
        if texts:
            yield Fresh(f"debian {number + 1}", texts, [], "", ())


def _invented(data: DevData) -> Iterator[Fresh]:
    """Stores with real questions: invented authors, interviews in styles, evidence."""
    rows = data.tofu()
    authors = list(dict.fromkeys(row["author"] for row in rows))
    for number in (0, 1):
        half = set(authors[number::2])
        ours = [row for row in rows if row["author"] in half]
        answers = list(dict.fromkeys(row["answer"] for row in ours))
        asked = [row["question"] for row in ours]
        yield Fresh(f"tofu {number + 1}", answers, asked, "real", ("tofu",))
    documents = [piece for row in data.dusk_documents() for piece in split(row["text"])]
    asked = data.honest_questions()["dusk"]
    yield Fresh("dusk", list(dict.fromkeys(documents)), asked, "real", ("dusk",))
    cases = [*data.cases(), *data.optimised_cases()]
    evidence = [text for case in cases for text in (*case.golden, *case.contexts)]
    asked = list(dict.fromkeys(case.question for case in cases))
    yield Fresh("evidence", list(dict.fromkeys(evidence)), asked, "real", ATTACKED)
