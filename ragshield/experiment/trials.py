"""Running an experiment: craft, plant, retrieve once, judge and read for each defender."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np

from ragshield import registry
from ragshield.chain import DefenderChain
from ragshield.encoders.open import open_encoder
from ragshield.errors import InputError
from ragshield.experiment.design import NONE, Design
from ragshield.experiment.judging import Judged, judged
from ragshield.experiment.planting import Asked, CleanIndex, Plot, craft_all
from ragshield.metrics import answer_correct, attack_succeeded
from ragshield.protocols import Attack, Defender, Encoder, Reader, Retriever, StoreFacts
from ragshield.records import Batch, Corpus, Passage, Spec, Target, Vectors
from ragshield.results import Trial, TrialKey
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore
from ragshield.vectors import as_vectors

Progress: TypeAlias = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""From what is done and how many steps it has to a context with a function that steps."""

_STEP = 256


@contextmanager
def _silent(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda steps: None


def run_trials(
    experiment: Design,
    *,
    skip: Container[TrialKey],
    cache: Path | None,
    encoder: Encoder | None,
    reader: Reader | None,
    progress: Progress | None,
) -> Generator[Trial, None, None]:
    """What `Experiment.run` does; the arguments are described there."""
    run = _Run(
        experiment,
        skip,
        encoder or open_encoder(experiment.encoder, cache=cache),
        reader or cast("Reader", registry.build(experiment.reader)),
        progress or _silent,
    )
    run.check_plugins()
    for label, spec in experiment.corpora.items():
        yield from run.corpus(label, spec)


class _Run:
    def __init__(
        self,
        experiment: Design,
        skip: Container[TrialKey],
        encoder: Encoder,
        reader: Reader,
        progress: Progress,
    ) -> None:
        self.experiment = experiment
        self.depth = experiment.depth or experiment.k
        self.majority = experiment.majority
        self.skip = skip
        self.encoder = encoder
        self.reader = reader
        self.progress = progress

    def check_plugins(self) -> None:
        """Build everything once, so that a bad parameter fails before the long work."""
        for label, spec in self.experiment.attacks.items():
            if label != NONE:
                self._build(spec)
        facts = StoreFacts(dim=self.encoder.dim, encoder=self.encoder.name)
        for spec in self.experiment.defenders.values():
            DefenderChain(cast("Defender", self._build(spec))).check_store(facts)

    def corpus(self, label: str, spec: Spec) -> Generator[Trial, None, None]:
        corpus = cast("Corpus", self._build(spec))
        targets = _targets(label, corpus, attacked=len(self.experiment.attacks) > 1)
        drawn = {seed: self._draw(targets, seed) for seed in self.experiment.seeds}
        if not any(
            self._pending(label, seed, attack, target)
            for seed, chosen in drawn.items()
            for attack in self.experiment.attacks
            for target in chosen
        ):
            return
        index = CleanIndex(corpus, self._embed(corpus.passages, f"Embedding {label}"))
        for seed, chosen in drawn.items():
            vectors = self._encode([t.question.text for t in chosen], f"Questions of {label}")
            deepest = self.depth if self.majority is None else self.majority.limit(self.depth)
            nearest = index.nearest(vectors, deepest)
            questions = [Asked(*row) for row in zip(chosen, vectors, nearest, strict=True)]
            for attack in self.experiment.attacks:
                yield from self._attack(label, seed, attack, index, questions)

    def _attack(
        self, corpus: str, seed: int, attack: str, index: CleanIndex, questions: list[Asked]
    ) -> Generator[Trial, None, None]:
        pending = [self._pending(corpus, seed, attack, q.target) for q in questions]
        if not any(pending):
            return
        what = f"{corpus}, {attack}, seed {seed}"
        plot = self._plot(seed, attack, index, [q.target for q in questions], what)
        # Fresh for every attack: a defender that learns must not learn from another one.
        defenders = {
            label: cast("Defender", self._build(spec))
            for label, spec in self.experiment.defenders.items()
        }
        with self.progress(what, sum(map(len, pending))) as advance:
            for question, labels in zip(questions, pending, strict=True):
                if not labels:
                    continue
                asked = question.target.question
                own = plot.rows[asked.id]
                planted = own if self.experiment.planted == "own" else range(len(plot.passages))
                retrieve = partial(index.retrieve, question, plot, planted)
                first = retrieve(self.depth)
                poison = {plot.passages[row].id for row in planted}
                own_ids = {plot.passages[row].id for row in own}
                answers: dict[tuple[str, ...], str] = {}
                for label in labels:
                    key = TrialKey(corpus, seed, attack, asked.id, label)
                    done = judged(
                        defenders[label],
                        first,
                        retrieve,
                        depth=self.depth,
                        majority=self.majority,
                    )
                    yield self._trial(key, done, question.target, poison, own_ids, answers)
                    advance(1)

    def _trial(
        self,
        key: TrialKey,
        done: Judged,
        target: Target,
        poison: set[str],
        own: set[str],
        answers: dict[tuple[str, ...], str],
    ) -> Trial:
        verdict = done.verdict
        kept = verdict.kept_ids
        read = kept[: self.experiment.k]
        if read not in answers:  # the same passages are read once, also by a costly reader
            passages = [hit.passage for hit in verdict.kept[: self.experiment.k]]
            answers[read] = self.reader.answer(target.question.text, passages)
        answer = answers[read]
        retrieved = tuple(hit.id for hit in done.retrieval)
        n_poison, n_kept_poison = (sum(i in poison for i in ids) for ids in (retrieved, kept))
        return Trial(
            **key._asdict(),
            planted_poison=len(own),
            retrieved_ids=retrieved,
            retrieved_poison=n_poison,
            retrieved_own_poison=sum(i in own for i in retrieved),
            retrieved_clean=len(retrieved) - n_poison,
            kept_ids=kept,
            kept_poison=n_kept_poison,
            kept_clean=len(kept) - n_kept_poison,
            status=verdict.status,
            answer=answer,
            attack_succeeded=attack_succeeded(answer, target.wrong_answer, target.question),
            answer_correct=answer_correct(answer, target.question, target.wrong_answer),
            defender_s=round(done.defender_s, 6),
        )

    def _plot(
        self, seed: int, attack: str, index: CleanIndex, targets: list[Target], what: str
    ) -> Plot:
        if attack == NONE:
            empty = np.empty((0, index.vectors.shape[1]), dtype=np.float32)
            return Plot((), empty, {target.question.id: range(0) for target in targets})
        # For an attack that copies true passages, or searches among them.
        clean = Batch(index.corpus.passages, index.vectors)
        store = MemoryStore(f"memory:{index.corpus.name}", clean)
        retriever = StoreRetriever(store, self.encoder)
        built = cast("Attack", self._build(self.experiment.attacks[attack], retriever=retriever))
        passages, rows = craft_all(built, targets, corpus=index.corpus, seed=seed)
        return Plot(passages, self._embed(passages, f"Poison of {what}"), rows)

    def _pending(self, corpus: str, seed: int, attack: str, target: Target) -> list[str]:
        """Labels of the defenders that this question still waits for."""
        return [
            label
            for label in self.experiment.defenders
            if TrialKey(corpus, seed, attack, target.question.id, label) not in self.skip
        ]

    def _draw(self, targets: Sequence[Target], seed: int) -> list[Target]:
        wanted = self.experiment.questions
        if wanted is None or wanted >= len(targets):
            return list(targets)
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(targets), size=wanted, replace=False)
        return [targets[i] for i in sorted(chosen.tolist())]

    def _build(self, spec: Spec, *, retriever: Retriever | None = None) -> object:
        context = {} if retriever is None else {"retriever": retriever}
        return registry.build(spec, encoder=self.encoder, reader=self.reader, **context)

    def _embed(self, passages: Sequence[Passage], what: str) -> Vectors:
        return self._encode([passage.text for passage in passages], what)

    def _encode(self, texts: Sequence[str], what: str) -> Vectors:
        parts = [np.empty((0, self.encoder.dim), dtype=np.float32)]
        with self.progress(what, len(texts)) as advance:
            for start in range(0, len(texts), _STEP):
                parts.append(self.encoder.encode(texts[start : start + _STEP]))
                advance(len(parts[-1]))
        return as_vectors(np.vstack(parts), rows=len(texts), what=f"vectors ({what})")


def _targets(label: str, corpus: Corpus, *, attacked: bool) -> Sequence[Target]:
    """The corpus's targets; its plain questions where nothing is attacked.

    Raises:
        InputError: no passages, no targets, or two targets for one question.
    """
    if not corpus.passages:
        raise InputError(f"corpus '{label}' has no passages; nothing can be retrieved")
    targets: Sequence[Target] = corpus.targets
    if not targets and not attacked:
        targets = [Target(question, "") for question in corpus.questions]
    if not targets:
        raise InputError(
            f"corpus '{label}' has no targets (questions with a wrong answer), so nothing "
            "can be attacked; use another corpus or leave the attacks out"
        )
    seen: set[str] = set()
    for target in targets:
        if target.question.id in seen:
            raise InputError(
                f"corpus '{label}' has two targets for question '{target.question.id}'; keep one"
            )
        seen.add(target.question.id)
    return targets
