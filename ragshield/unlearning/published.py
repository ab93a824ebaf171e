"""RAG-based unlearning as published: unlearned knowledge k = P + Q, built and stored."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ragshield.chat import ask, fill
from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.forget_set import ForgetTarget, check_forget_set, folded
from ragshield.protocols import Encoder, MutableStore
from ragshield.records import Batch, Passage
from ragshield.unlearning.refusing import is_refusal

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

OnUnverified: TypeAlias = Literal["keep", "refuse"]
"""What becomes of an entry of which no Q made the model refuse: `keep` as the authors' code
does, or `refuse` to build it."""

CONCEPT = "ragshield_unlearned"
"""Metadata field of an entry that names its concept."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of unlearned knowledge.

    Attributes:
        concept: the target's name.
        p: the retrieval part: what makes it be found.
        q: the constraint part: what makes a model refuse.
        is_verified: whether the model that must forget refused under Q; None where there
            was no model to ask.
    """

    concept: str
    p: str
    q: str
    is_verified: bool | None = None

    @property
    def text(self) -> str:
        """P and Q as they are stored."""
        return f"{self.p}\n\n{self.q}"


@cache
def prompts() -> Mapping[str, Any]:
    """The method's prompts and templates."""
    source = files("ragshield.unlearning").joinpath("published.toml").read_text("utf-8")
    return tomllib.loads(source)


class PublishedBuilder:
    """Builds entries for concepts, samples and harmful topics, and verifies Q.

    For a concept or a harmful topic: Q is written by the builder's model and kept once the
    model that must forget refuses a probing question under it, in at most `n_tries`; then
    that model describes the target from `n_aspects` aspects, so that P is phrased as its
    users phrase it, and each is stored with the same Q. For samples: P is the sample.

    Source: Wang, Zhu, Ye, Zhou, "When Machine Unlearning Meets Retrieval-Augmented
    Generation", arXiv 2410.15267, algorithm 1; constants of shihe98/RAG_Unlearning@42198966
    (3 tries, 8 aspects, P of 60 and Q of 80 words).
    Differs: a refusal is recognised as a whole answer, where the code counts any "don't";
    aspects are never padded with duplicates; an unverified Q is marked, and refused if
    asked for, where the code stores it in silence; a sample's Q is stored with it, where
    the code puts it into the system prompt. Without models, templates stand in for both,
    and nothing is verified.

    Args:
        model: the model that must forget; it answers probes and writes P.
        builder: writes Q; None: the same model.
        n_aspects: entries for each concept, 1 to 8.
        n_tries: how often Q is written anew.
        p_words: longest P that is asked for.
        q_words: longest Q that is asked for.
        on_unverified: what becomes of entries whose Q was never obeyed.

    Raises:
        UsageError: a number out of range.
    """

    def __init__(
        self,
        model: BaseChatModel | None = None,
        builder: BaseChatModel | None = None,
        *,
        n_aspects: int = 8,
        n_tries: int = 3,
        p_words: int = 60,
        q_words: int = 80,
        on_unverified: OnUnverified = "keep",
    ) -> None:
        most = len(prompts()["aspects"])
        if not 1 <= n_aspects <= most or n_tries < 1:
            raise UsageError(
                f"n_aspects is {n_aspects} (allowed: 1 to {most}) and n_tries is {n_tries} "
                "(at least 1)"
            )
        self._model = model
        self._builder = builder or model
        self._aspects = prompts()["aspects"][:n_aspects]
        self._n_tries = n_tries
        self._p_words, self._q_words = p_words, q_words
        self._on_unverified = on_unverified

    def build(self, target: ForgetTarget) -> tuple[Entry, ...]:
        """The entries of one target.

        Raises:
            InputError: the target cannot be enforced; see `check_forget_set`.
            IncompleteError: a model failed, or no Q was obeyed and on_unverified="refuse".
        """
        check_forget_set([target])
        if target.kind == "sample":
            q = prompts()["sample_q"]
            return tuple(Entry(target.name, sample, q) for sample in target.samples)
        q, verified = self._constraint(target)
        texts = dict.fromkeys(self._descriptions(target))
        return tuple(Entry(target.name, p, q, verified) for p in texts)

    def _constraint(self, target: ForgetTarget) -> tuple[str, bool | None]:
        form = prompts()["harm_q" if target.kind == "harm" else "concept_q"]
        if self._model is None or self._builder is None:
            return fill(form, {"name": target.name}), None
        q = ""
        values = {"name": target.name, "most_words": str(self._q_words)}
        for _ in range(self._n_tries):
            q = ask(self._builder, fill(prompts()["write_q"], values))
            probe = ask(self._model, fill(prompts()["probe"], values))
            asked = fill(prompts()["verify"], {"constraint": q, "probe": probe})
            if q and is_refusal(ask(self._model, asked)):
                return q, True
        if self._on_unverified == "refuse":
            raise IncompleteError(
                f"the model obeyed none of {self._n_tries} constraints on '{target.name}'; nothing "
                "was built. Suppress it with the gates, which need no obedience"
            )
        return q or fill(form, {"name": target.name}), False

    def _descriptions(self, target: ForgetTarget) -> Iterator[str]:
        told = " ".join(
            fact.statement or f"The {fact.attribute} is {fact.value}." for fact in target.facts
        )
        for i, aspect in enumerate(self._aspects):
            values = {"name": target.name, "aspect": aspect, "most_words": str(self._p_words)}
            if self._model is None:
                # Each template entry tells its share of the facts.
                own = " ".join(told.split(". ")[i :: len(self._aspects)])
                yield fill(prompts()["concept_p"], {**values, "facts": own}).strip()
            else:
                written = ask(self._model, fill(prompts()["write_p"], values))
                if written:
                    yield written


class UnlearnedKnowledge:
    """Entries in a real store, beside the knowledge that stays.

    Args:
        store: holds both; entries are told apart by their metadata.
        encoder: the store's own.
    """

    def __init__(self, store: MutableStore, encoder: Encoder) -> None:
        self.store = store
        self._encoder = encoder

    def forget(self, entries: Sequence[Entry]) -> int:
        """Add entries; those of a concept that is there already are replaced.

        Returns:
            How many entries were added.

        Raises:
            InputError: there are none.
        """
        if not entries:
            raise InputError("there are no entries to add")
        for concept in dict.fromkeys(entry.concept for entry in entries):
            self.restore(concept)
        passages = tuple(
            Passage(
                _id(entry, i),
                entry.text,
                meta={CONCEPT: entry.concept, "verified": str(entry.is_verified)},
            )
            for i, entry in enumerate(entries)
        )
        self.store.add(Batch(passages, self._encoder.encode([p.text for p in passages])))
        return len(passages)

    def restore(self, concept: str) -> int:
        """Remove a concept's entries, so that it is answered about again; how many."""
        wanted = folded(concept)
        ids = [p.id for p in self._entries() if folded(str(p.meta[CONCEPT])) == wanted]
        return self.store.delete(ids) if ids else 0

    def concepts(self) -> dict[str, int]:
        """Names of the concepts in the store and how many entries each has."""
        found: dict[str, int] = {}
        for passage in self._entries():
            name = str(passage.meta[CONCEPT])
            found[name] = found.get(name, 0) + 1
        return found

    def _entries(self) -> Iterator[Passage]:
        for batch in self.store.batches():
            yield from (p for p in batch.passages if p.meta.get(CONCEPT))


def is_entry(passage: Passage) -> bool:
    """Whether a passage is unlearned knowledge."""
    return bool(passage.meta.get(CONCEPT))


def _id(entry: Entry, i: int) -> str:
    spelled = f"{folded(entry.concept)}\0{i}\0{entry.text}".encode()
    return f"unlearned-{hashlib.blake2b(spelled, digest_size=8).hexdigest()}-{i}"
