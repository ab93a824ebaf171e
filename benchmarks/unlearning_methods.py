"""The lab's model behind each method of forgetting, asked in batches and from a cache."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from unlearning_data import Setting

from ragshield.audit import Dialogue
from ragshield.encoders.open import open_encoder
from ragshield.forget_set import Answer
from ragshield.protocols import Encoder
from ragshield.readers.extractive import UNKNOWN
from ragshield.readers.lab import LabReader
from ragshield.records import Batch, Passage, Vectors
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore, MutableMemoryStore
from ragshield.unlearning import Forgetting, HybridRetriever, PublishedBuilder, UnlearnedKnowledge
from ragshield.unlearning.baselines import (
    InContextUnlearning,
    KeywordFilters,
    PlainDeletion,
    PromptPrefix,
    PublishedUnlearning,
)
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.planning import GATES, GateName
from ragshield.unlearning.published import CONCEPT, is_entry
from ragshield.unlearning.query_gate import parts_of
from ragshield.unlearning.retrieving import Source
from ragshield.unlearning.speaking import Speaker

K = 1
"""Passages shown to the model: as the paper, which retrieves one item."""

METHODS = (
    "hardened",
    "published P+Q",
    "plain deletion",
    "keyword filters",
    "in-context",
    "prompt prefix",
)
"""The dearest last: a run that is cut off has the others in its cache."""
_N_SHOTS = 6
Say = Callable[[Dialogue], str | Answer]


class Mind:
    """The model as a reader: answers from a cache, notes what is not in it, asks that at once.

    Args:
        model: `obedient`, `twin` or a folder.
        cache: SQLite file of answers by weights, question and passages; None for none.
    """

    name: ClassVar[str] = "mind"

    def __init__(self, model: str, cache: Path | None) -> None:
        self.reader = LabReader(model)
        weights = (self.reader.folder / "model.safetensors").read_bytes()
        self.weights = hashlib.sha256(weights).hexdigest()[:16]
        self._waiting: dict[str, tuple[str, tuple[Passage, ...]]] = {}
        self._known: dict[str, str] = {}
        self._file = None
        self.history = ""
        self._is_live = False
        self.is_guessing = False
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(cache, timeout=120, check_same_thread=False)
            self._file.execute("CREATE TABLE IF NOT EXISTS a (key TEXT PRIMARY KEY, said TEXT)")

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The model's answer, or a stand-in until `think` was called."""
        asked = f"{self.history}{question}"
        if self._is_live:
            return self.reader.answer(asked, passages)
        spelled = json.dumps([self.weights, asked, [p.text for p in passages]])
        key = hashlib.sha256(spelled.encode()).hexdigest()
        if key not in self._known:
            row = None
            if self._file is not None:
                row = self._file.execute("SELECT said FROM a WHERE key = ?", (key,)).fetchone()
            if row is None:
                self._waiting[key] = (asked, tuple(passages))
                # Also where another dialogue waits for the same answer.
                self.is_guessing = True
                return UNKNOWN
            self._known[key] = row[0]
        return self._known[key]

    @contextmanager
    def live(self) -> Iterator[None]:
        """Ask the model itself every time, with nothing remembered."""
        known, self.reader = self.reader, LabReader(str(self.reader.folder))
        self._is_live = True
        try:
            yield
        finally:
            self.reader, self._is_live = known, False

    def think(self) -> bool:
        """Ask the model all that waits; whether there was anything."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return False
        said = self.reader.answers(
            [q for q, _ in waiting.values()], [p for _, p in waiting.values()]
        )
        found = dict(zip(waiting, said, strict=True))
        self._known.update(found)
        if self._file is not None:
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO a VALUES (?, ?)", found.items())
        return True


class SwitchedEncoder:
    """The offline encoder, from its cache but where its time is measured.

    Args:
        cache: SQLite file of vectors; None for none.
    """

    def __init__(self, cache: Path | None) -> None:
        self._cached = open_encoder(cache=cache)
        self._plain = open_encoder() if cache is not None else self._cached
        self.name, self.dim = self._cached.name, self._cached.dim
        self._is_live = False

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit rows."""
        return (self._plain if self._is_live else self._cached).encode(texts)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Make every vector anew."""
        self._is_live = True
        try:
            yield
        finally:
            self._is_live = False


class App:
    """One method as the audit asks it: many dialogues at once.

    The turns before stand in front of the question, as in a chat; what came with the
    question is shown before what was retrieved.
    """

    def __init__(self, mind: Mind, encoder: Encoder, say: Say) -> None:
        self._mind, self._encoder, self._say = mind, encoder, say

    def answers(self, dialogues: Sequence[Dialogue]) -> list[str | Answer]:
        """One answer for each."""
        self._encoder.encode(
            list(dict.fromkeys(t for d in dialogues for t in parts_of(d.question)))
        )
        given: dict[int, str | Answer] = {}
        for _ in range(3):
            for i, dialogue in enumerate(dialogues):
                if i in given:
                    continue
                self._mind.is_guessing = False
                said = self._one(dialogue)
                if not self._mind.is_guessing:
                    given[i] = said
            if not self._mind.think():
                break
        return [given[i] if i in given else self._one(d) for i, d in enumerate(dialogues)]

    def __call__(self, question: str) -> str | Answer:
        """One answer, asked at once: what timing measures."""
        return self._one(Dialogue(question))

    def _one(self, dialogue: Dialogue) -> str | Answer:
        self._mind.history = "".join(
            f"{'User' if who == 'user' else 'Assistant'}: {text}\n"
            for who, text in dialogue.history
        )
        try:
            return self._say(dialogue)
        finally:
            self._mind.history = ""


class Methods:
    """All methods over one setting, for one model.

    Args:
        setting: what is asked.
        mind: the model.
        encoder: of store and gates.
    """

    def __init__(self, setting: Setting, mind: Mind, encoder: Encoder) -> None:
        self.setting, self.mind, self.encoder = setting, mind, encoder
        self._whole = _store(setting.passages, encoder)
        self._kept = _store(setting.kept, encoder)
        entries = [entry for t in setting.targets for entry in PublishedBuilder().build(t)]
        self.entries: dict[str, list[str]] = {}
        for entry in entries:
            self.entries.setdefault(entry.concept, []).append(entry.text)
        both = MutableMemoryStore(batch=_batch(setting.passages, encoder))
        UnlearnedKnowledge(both, encoder).forget(entries)
        self._hybrid = HybridRetriever(both, encoder)
        self.keys: ForgetKeys = build_keys(
            setting.targets, encoder, secret=bytes(32), benign=[p.text for p in setting.kept]
        )

    def app(self, name: str) -> App:
        """`before`, `no retrieval`, `oracle`, one of `METHODS`, or hardened without a gate."""
        return App(self.mind, self.encoder, self._say(name))

    def hardened(self, gates: Sequence[GateName] = GATES, *, even_cost: bool = False) -> App:
        """The hardened method with some of its gates."""
        forgetting = Forgetting(
            self.keys,
            self.mind,
            retriever=StoreRetriever(self._whole, self.encoder),
            encoder=self.encoder,
            gates=gates,
            even_cost=even_cost,
            k=K,
        )
        return App(
            self.mind,
            self.encoder,
            lambda d: forgetting.ask(d.question, history=d.history, documents=d.documents),
        )

    def hits(self, questions: Sequence[str], setting: Setting) -> dict[str, int]:
        """How often the published method retrieves an entry first, and one of the target's."""
        of_target = [setting.targets[one.target].name for one in setting.direct]
        n_any = n_own = 0
        for question, name in zip(questions, of_target, strict=True):
            passage = self._hybrid.retrieve(question, 1).passages[0]
            n_any += is_entry(passage)
            n_own += passage.meta.get(CONCEPT) == name
        return {"any": n_any, "own": n_own, "n": len(questions)}

    def _say(self, name: str) -> Say:
        mind, targets = self.mind, self.setting.targets
        speaker = Speaker(mind)
        source = Source(StoreRetriever(self._whole, self.encoder), K)
        if name == "no retrieval":
            return self._from(None)
        if name == "before":
            return self._from(self._whole)
        if name == "oracle":
            return self._from(self._kept)
        if name == "prompt prefix":
            prefix = PromptPrefix(speaker, targets, source)
            return lambda d: prefix(_with_documents(d))
        if name == "keyword filters":
            before = self._from(self._whole)
            found: list[Dialogue] = []
            filters = KeywordFilters(lambda _: before(found[0]), targets)

            def filtered(dialogue: Dialogue) -> str | Answer:
                found[:] = [dialogue]
                return filters(dialogue.question)

            return filtered
        if name == "in-context":
            direct = self.setting.direct
            shown = InContextUnlearning(
                speaker,
                [one.question for one in direct[:: max(1, len(direct) // _N_SHOTS)]],
                [(one.question, one.answers[0]) for one in self.setting.other[:_N_SHOTS]],
                n_forget=_N_SHOTS,
                n_retain=_N_SHOTS,
            )
            return lambda d: shown(_with_documents(d))
        if name == "plain deletion":
            # What is stored is gone; the passages that came with a question are not.
            gone = PlainDeletion(speaker, StoreRetriever(self._kept, self.encoder), targets, k=K)
            rest = self._from(self._kept)
            return lambda d: rest(d) if d.documents else gone(d.question)
        if name == "published P+Q":
            published = PublishedUnlearning(speaker, self._hybrid)
            return lambda d: published(_with_documents(d))
        return self.hardened()._say

    def _from(self, store: MemoryStore | None) -> Say:
        retriever = None if store is None else StoreRetriever(store, self.encoder)

        def say(dialogue: Dialogue) -> str:
            texts = list(dialogue.documents)
            if retriever is not None:
                texts += [hit.text for hit in retriever.retrieve(dialogue.question, K)]
            shown = [Passage(str(i), text) for i, text in enumerate(texts)]
            return self.mind.answer(dialogue.question, shown)

        return say


def _with_documents(dialogue: Dialogue) -> str:
    """For methods that take a question alone: what came with it in front of it."""
    return " ".join((*dialogue.documents, dialogue.question))


def _batch(passages: Sequence[Passage], encoder: Encoder) -> Batch:
    return Batch(tuple(passages), encoder.encode([p.text for p in passages]))


def _store(passages: Sequence[Passage], encoder: Encoder) -> MemoryStore:
    return MemoryStore(batch=_batch(passages, encoder))
