"""Builds the retrievals that the guard is fitted and measured on, with their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from guard_data import Case, DevData, data_folder, embedder
from guard_families import FAMILIES, PREFIXABLE, carriers_with_payload, poison_texts
from guard_store import headwords, honest_passages

from ragshield.records import Hit, Passage, Retrieval

Embed = Callable[[list[str]], Any]
DOSES = (1, 2, 5)


@dataclass(frozen=True)
class Trial:
    """One retrieval and which of its hits are poisoned.

    Attributes:
        regime: a (fixed contexts), a-short, b (golden and poison), c (honest store), c20
            (the same, 20 hits judged), ...
        dataset: where the question comes from.
        family: attack family, "" for none.
        n_poison: poisoned passages offered; fewer may have been retrieved.
        poisoned: (k,) bool.
        evidence: (k,) bool, the labelled evidence among passages on other topics; all
            False where nothing is labelled so.
    """

    regime: str
    dataset: str
    family: str
    n_poison: int
    prefixed: bool
    key: str
    retrieval: Retrieval
    poisoned: Any
    evidence: Any


class Builder:
    """Turns texts into trials with one embedding function."""

    def __init__(self, embed: Embed) -> None:
        self.embed = embed
        self.known: dict[str, Any] = {}

    def vectors(self, texts: Sequence[str]) -> Any:
        """Vectors of texts, remembered."""
        missing = list(dict.fromkeys(t for t in texts if t not in self.known))
        if missing:
            self.known.update(zip(missing, self.embed(missing), strict=True))
        return np.stack([self.known[t] for t in texts])

    def retrieval(self, question: str, texts: Sequence[str]) -> Retrieval:
        """The texts as hits, most similar first."""
        vectors, asked = self.vectors(texts), self.vectors([question])[0]
        similarity = vectors @ asked
        order = np.argsort(-similarity, kind="stable")
        hits = tuple(Hit(Passage(f"p{i}", texts[i]), float(similarity[i])) for i in order)
        return Retrieval(question, hits, vectors[order], asked)

    def trial(
        self, regime: str, case: Case, family: str, clean: Sequence[str], bad: Sequence[str],
        *, prefixed: bool = False, n_poison: int | None = None, n_evidence: int = 0,
    ) -> Trial:  # fmt: skip
        """A retrieval of all given texts; the first `n_evidence` are the evidence."""
        retrieval = self.retrieval(case.question, [*clean, *bad])
        given = np.array([int(hit.id[1:]) for hit in retrieval.hits])
        n = len(bad) if n_poison is None else n_poison
        return Trial(
            regime, case.dataset, family, n, prefixed, case.key, retrieval,
            poisoned=given >= len(clean), evidence=given < n_evidence,
        )  # fmt: skip


def fixed_contexts(builder: Builder, data: DevData) -> Iterator[Trial]:
    """(a): ten really retrieved passages with 0, 1, 2 or 5 poisoned ones added."""
    for case in data.cases():
        if not case.contexts:
            continue
        for regime, clean in (("a", case.contexts), ("a-short", _shortened(case.contexts))):
            yield builder.trial(regime, case, "", clean, ())
            for family, prefixed in variants():
                bad = poison_texts(case, family, prefixed=prefixed)
                for n in DOSES:
                    if len(bad) >= n:
                        yield builder.trial(regime, case, family, clean, bad[:n], prefixed=prefixed)


def golden_and_poison(builder: Builder, data: DevData) -> Iterator[Trial]:
    """(b): the labelled evidence with five poisoned passages: poison in the majority."""
    for case in [*data.cases(), *data.optimised_cases()]:
        yield builder.trial("b", case, "", case.golden, ())
        for family, prefixed in variants():
            bad = poison_texts(case, family, prefixed=prefixed)
            if bad:
                yield builder.trial("b", case, family, case.golden, bad, prefixed=prefixed)


def lone_evidence(builder: Builder, data: DevData) -> Iterator[Trial]:
    """The labelled evidence among nine passages that answer other questions, and poison.

    What a small store gives: one passage is on the topic and far nearer than the rest,
    for the best of reasons.
    """
    cases = data.cases()
    evidence = [(case.key, text) for case in cases for text in case.golden]
    matrix = builder.vectors([text for _, text in evidence])
    rng = np.random.default_rng(7)
    for case in cases:
        other = [i for i, (key, _) in enumerate(evidence) if key != case.key]
        asked = builder.vectors([case.question])[0]
        nearest = sorted(other, key=lambda i: -float(matrix[i] @ asked))[:9]
        for regime, chosen in (
            ("lone", rng.choice(other, 9, replace=False).tolist()),
            ("lone-near", nearest),
        ):
            clean = [*case.golden, *(evidence[i][1] for i in chosen)]
            n = len(case.golden)
            yield builder.trial(regime, case, "", clean, (), n_evidence=n)
            for family, prefixed in variants():
                bad = poison_texts(case, family, prefixed=prefixed)
                for dose in DOSES:
                    if len(bad) >= dose:
                        yield builder.trial(
                            regime, case, family, clean, bad[:dose], prefixed=prefixed, n_evidence=n
                        )


class HonestStore:
    """(c): one large store, searched exactly."""

    def __init__(self, builder: Builder, passages: list[str]) -> None:
        self.builder = builder
        self.passages = passages
        self.matrix = builder.vectors(passages)
        self._top: dict[tuple[str, int], Any] = {}

    def trial(
        self, regime: str, case: Case, family: str, bad: Sequence[str],
        *, prefixed: bool = False, k: int = 10, without: frozenset[str] = frozenset(),
    ) -> Trial:  # fmt: skip
        """The top k of the store with `bad` planted in it."""
        asked = self.builder.vectors([case.question])[0]
        if (case.question, k) not in self._top:
            similarity = self.matrix @ asked
            top = np.argsort(-similarity, kind="stable")[: k + 5]
            self._top[case.question, k] = [(self.passages[i], float(similarity[i])) for i in top]
        found = [
            (text, value) for text, value in self._top[case.question, k] if text not in without
        ]
        clean = [text for text, _ in found[:k]]
        values = [value for _, value in found[:k]]
        if bad:
            values += list(self.builder.vectors(bad) @ asked)
        texts = [*clean, *bad]
        best = np.argsort(-np.array(values), kind="stable")[:k]
        kept_clean = [texts[i] for i in best if i < len(clean)]
        kept_bad = [texts[i] for i in best if i >= len(clean)]
        return self.builder.trial(
            regime, case, family, kept_clean, kept_bad, prefixed=prefixed, n_poison=len(bad)
        )


def planted(
    store: HonestStore, data: DevData, *, regime: str = "c", k: int = 10,
    families: Sequence[str] = FAMILIES,
) -> Iterator[Trial]:  # fmt: skip
    """(c) with poison: every family, 1, 2 and 5 planted."""
    cases = [
        *data.cases(),
        *data.optimised_cases(),
        *data.counterfact_cases(),
        *carriers_with_payload(data),
    ]
    for case in cases:
        yield store.trial(regime, case, "", (), k=k)
        hide = frozenset(case.golden) if case.dataset == "bipia" else frozenset()
        for family, prefixed in variants():
            bad = poison_texts(case, family, prefixed=prefixed) if family in families else []
            for n in DOSES:
                if len(bad) >= n:
                    yield store.trial(
                        regime, case, family, bad[:n], prefixed=prefixed, k=k, without=hide
                    )


def honest(
    store: HonestStore, collections: dict[str, list[str]], data: DevData,
    *, regime: str = "c", k: int = 10,
) -> Iterator[Trial]:  # fmt: skip
    """(c) without poison, for questions that nothing aims at: clean loss only."""
    questions = dict(data.honest_questions())
    rng = np.random.default_rng(11)
    for name, form in (
        ("wordnet", "What is {}?"),
        ("foldoc", "What is {}?"),
        ("gcide", "What does {} mean?"),
    ):
        heads = headwords(collections.get(name, []))
        if heads:
            chosen = rng.choice(len(heads), size=min(300, len(heads)), replace=False)
            questions[name] = [form.format(heads[i]) for i in chosen]
    for name, asked in questions.items():
        for number, question in enumerate(asked):
            yield store.trial(regime, _case(name, number, question), "", (), k=k)


def small_stores(builder: Builder, data: DevData) -> Iterator[Trial]:
    """Stores of short honest passages that answer directly, and an FAQ, without poison."""
    rows = data.tofu()
    answers = HonestStore(builder, list(dict.fromkeys(r["answer"] for r in rows)))
    faq = HonestStore(builder, [f"{r['question']} {r['answer']}" for r in rows])
    for number, row in enumerate(rows):
        case = _case("tofu", number, row["question"])
        yield answers.trial("answers", case, "", ())
        yield faq.trial("faq", case, "", ())


def bundled_world(builder: Builder) -> Iterator[Trial]:
    """The bundled corpus: short honest passages that answer, templated poison beside them."""
    from ragshield.attacks.poisonedrag import PoisonedRAG
    from ragshield.corpora.world import load

    corpus = load()
    store = HonestStore(builder, list(dict.fromkeys(p.text for p in corpus.passages)))
    attack = PoisonedRAG()
    for number, target in enumerate(corpus.targets):
        case = Case(
            key=f"world-{number}",
            dataset="world",
            question=target.question.text,
            wrong=target.wrong_answer,
            right=target.question.answers[0],
            golden=(),
        )
        yield store.trial("world", case, "", ())
        if number % 4:
            continue
        crafted = [p.text for p in attack.craft(target, rng=np.random.default_rng(number))]
        start = f"{case.question}."
        bare = [t.removeprefix(start).removeprefix(case.question).strip() for t in crafted]
        for family, bad, prefixed in (
            ("template", bare, False),
            ("template", [start + t for t in bare], True),
            ("corruptrag", poison_texts(case, "corruptrag"), False),
        ):
            for n in DOSES:
                if len(bad) >= n:
                    yield store.trial("world", case, family, bad[:n], prefixed=prefixed)


def variants() -> list[tuple[str, bool]]:
    """Families, those with a question prefix twice."""
    return [(f, False) for f in FAMILIES] + [(f, True) for f in PREFIXABLE]


def _case(name: str, number: int, question: str) -> Case:
    return Case(
        key=f"{name}-{number}", dataset=name, question=question, wrong="", right="", golden=()
    )


def _shortened(texts: Sequence[str], n_words: int = 28) -> list[str]:
    """Clean passages as short as targeted poison, so that length tells nothing."""
    return [" ".join(text.split()[:n_words]) for text in texts]


def all_trials(cache: Path) -> list[Trial]:
    """Every trial of every regime; minutes when the cache is empty, seconds after."""
    data = DevData(data_folder())
    builder = Builder(embedder(cache))
    collections = honest_passages(data)
    store = HonestStore(builder, [text for texts in collections.values() for text in texts])
    return [
        *fixed_contexts(builder, data),
        *golden_and_poison(builder, data),
        *lone_evidence(builder, data),
        *planted(store, data),
        *honest(store, collections, data),
        # What a guard judges that was asked for ten passages: it retrieves deeper.
        *planted(store, data, regime="c20", k=20, families=("poisonedrag", "gpt4")),
        *honest(store, collections, data, regime="c20", k=20),
        *small_stores(builder, data),
        *bundled_world(builder),
    ]
