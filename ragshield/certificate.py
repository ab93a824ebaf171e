"""A retriever whose result states what an attacker needs to change it. Model-free.

The statement, its proof and its limits: docs/certificate.md.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ragshield.errors import InputError, UsageError
from ragshield.protocols import Encoder, Store
from ragshield.records import Hit, Passage, Retrieval, Vector
from ragshield.retriever import check_dimensions, check_question

SourceOf = Callable[[Passage], str | None]
"""Who answers for a passage; None where nobody is known."""

ClaimOf = Callable[[str, Passage], str]
"""What a passage says in answer to a question; from these two alone."""


@dataclass(frozen=True, slots=True)
class CertifiedClaim:
    """What one or several sources of the context say, and what it takes to displace it.

    Attributes:
        claim: as `claim` gave it; passages with the same claim vote together.
        passage_ids: the passages kept that say so, in the retriever's order.
        sources: those that say so, in order of their first passage; None is all
            passages without a source.
        sources_to_displace: with fewer sources than this an attacker cannot make the
            claim leave what is kept.
    """

    claim: str
    passage_ids: tuple[str, ...]
    sources: tuple[str | None, ...]
    sources_to_displace: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an attacker needs who controls whole sources, for one context.

    He may add to, delete from and rewrite the sources he controls as he likes, with any
    text and any vector; the other sources, their labels and the question stay.

    Attributes:
        question: what was asked.
        k: passages asked for.
        per_source: passages that one source may have in the context.
        votes: sources that must say the same for a passage to be kept.
        n_candidates: passages in the context before the vote, at most k.
        claims: what was kept, in the retriever's order of their first passages.
        n_outvoted: passages of the context that lacked votes.
        exact: whether the numbers of sources are exact (`per_source` is 1); if not, an
            attacker needs at least so many.
    """

    question: str
    k: int
    per_source: int
    votes: int
    n_candidates: int
    claims: tuple[CertifiedClaim, ...]
    n_outvoted: int
    exact: bool

    @property
    def n_kept(self) -> int:
        """Passages kept."""
        return sum(len(claim.passage_ids) for claim in self.claims)

    @property
    def sources_to_displace_any(self) -> int | None:
        """Sources needed to displace the weakest claim; None if nothing was kept."""
        return min((claim.sources_to_displace for claim in self.claims), default=None)

    @property
    def sources_to_displace_all(self) -> int | None:
        """Sources needed to displace every claim; None if nothing was kept."""
        if not self.claims:
            return None
        surplus = sum(len(claim.sources) - self.votes + 1 for claim in self.claims)
        return -(-surplus // self.per_source)

    @property
    def sources_to_plant(self) -> int:
        """Sources needed for a claim that no other source makes to be kept."""
        return self.votes

    def passages_changed(self, n_sources: int) -> int:
        """At most so many of the context's k slots differ if n sources are controlled.

        Before the vote: at most so many of its passages leave, and at most so many that
        were not in it come in, the attacker's among them.

        Raises:
            UsageError: n_sources < 0.
        """
        if n_sources < 0:
            raise UsageError(f"n_sources is {n_sources}; it must be at least 0")
        return min(self.k, n_sources * self.per_source)

    def explain(self) -> str:
        """The certificate in plain language, in lines of at most 80 characters."""
        if not self.claims:
            n = _count(self.n_candidates, "passage")
            parts = [
                f"Nothing is kept: none of the {n} found is backed by {self.votes} sources."
                if self.n_candidates
                else "Nothing was found, so there is nothing to certify."
            ]
        else:
            n_sources = len({source for claim in self.claims for source in claim.sources})
            parts = [
                f"{_count(self.n_kept, 'passage')} from {_count(n_sources, 'source')} kept"
                + (f", {self.n_outvoted} outvoted." if self.n_outvoted else ".")
            ]
            parts += self._kept_in_words()
        parts.append(
            f"An attacker who controls one source can take at most {self.per_source} of the "
            f"{_count(self.k, 'slot')}, and displace no more; every further source adds as many. "
            + (
                f"What no other source says is kept only with {self.votes} sources under control."
                if self.votes > 1
                else "One source is enough to add a passage: with votes=2 it would take two."
            )
        )
        parts.append("This is about what is retrieved. It does not say that it is true.")
        return "\n".join(textwrap.fill(part, 80) for part in parts)

    def _kept_in_words(self) -> list[str]:
        least = "" if self.exact else "at least "
        weakest, everything = self.sources_to_displace_any, self.sources_to_displace_all
        counts = Counter(claim.sources_to_displace for claim in self.claims)
        best = max(self.claims, key=lambda claim: claim.sources_to_displace)
        lines = [
            f"To displace something of it takes {least}{_count(weakest or 0, 'source')}; to "
            f"displace all of it, {least}{_count(everything or 0, 'source')}."
        ]
        if len(counts) > 1:
            lines.append(
                f"Best supported: passage {best.passage_ids[0]}, said by "
                f"{_count(len(best.sources), 'source')}; to displace what it says takes "
                f"{least}{_count(best.sources_to_displace, 'source')}."
            )
        if any(None in claim.sources for claim in self.claims):
            lines.append(
                "Some passages have no source. They count as one source, which anyone may be "
                "who can store a passage without one."
            )
        return lines


@dataclass(frozen=True, slots=True, eq=False)
class CertifiedRetrieval:
    """What was kept and what is certified about it."""

    retrieval: Retrieval
    certificate: Certificate


class CertifiedRetriever:
    """A retriever in which every source has one vote, or `per_source` of them.

    Every source is searched by itself and puts forward its `per_source` passages nearest
    to the question; the k nearest of those are the context; what fewer than `votes`
    sources of the context say is left out. An attacker who controls m sources, with any
    number of passages and any vectors, holds at most m * per_source of the k slots and
    displaces at most as many passages; with fewer than `votes` sources he gets nothing
    in that no other source says.

    The search by source is done without a filter: the store is asked for more and
    more neighbours, doubling, until the context is full or the store is at its end.
    That is exact for a store whose `search` is, and costs at most about twice one
    search of the depth needed: a few times k where sources are many, the whole store
    where one source floods the question or fewer than k sources exist. There is no cap,
    since a cap could be flooded. Approximate indexes (Chroma's HNSW) may miss neighbours:
    the statement is about what the store's search finds. For an exact one copy
    the store's batches into a `MemoryStore` (n * dim * 4 bytes) and give that.

    Source: the isolate-then-vote idea of RobustRAG (Xiang et al., 2024, arXiv 2405.15556)
    moved from answers to retrieval, with sources in the place of passages.

    Args:
        store: an open store.
        encoder: the one that filled it.
        per_source: passages that one source may have in the context, at least 1.
        votes: sources that must say the same, at least 1; 1 keeps the whole context.
        source: who answers for a passage; default: its `source`. Passages without
            one count as one source. To be worth something it must be what an attacker
            cannot choose: the verified owner, the domain, not a free text field.
        claim: what a passage says; passages with the same claim vote together. It must
            depend on nothing but the question and the passage. Default: its
            text apart from white space, so that copies support one another; a reader's
            answer from that one passage makes it a vote on answers.

    Raises:
        UsageError: per_source or votes below 1.
        InputError: the encoder's dimension is not the store's.
    """

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        *,
        per_source: int = 1,
        votes: int = 1,
        source: SourceOf | None = None,
        claim: ClaimOf | None = None,
    ) -> None:
        for name, value in (("per_source", per_source), ("votes", votes)):
            if value < 1:
                raise UsageError(f"{name} is {value}; it must be at least 1")
        check_dimensions(store, encoder)
        self.store = store
        self.encoder = encoder
        self.per_source = per_source
        self.votes = votes
        self._source_of = source or (lambda passage: passage.source)
        self._claim_of = claim or _text_itself

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        """What is kept of the k nearest by source, best first; `certify` without the proof.

        Raises:
            UsageError: the question is empty or k < 1.
        """
        return self.certify(question, k).retrieval

    def certify(self, question: str, k: int = 10) -> CertifiedRetrieval:
        """What is kept, and how many sources an attacker needs to displace it.

        Raises:
            UsageError: the question is empty or k < 1.
        """
        check_question(question, k)
        vector = self.encoder.encode([question])[0]
        context, sources = self._context(question, vector, k)
        claims = [self._claim_of(question, hit.passage) for hit in context]
        saying: dict[str, dict[str | None, None]] = {}
        for claim, source in zip(claims, sources, strict=True):
            saying.setdefault(claim, {})[source] = None
        kept = [i for i, claim in enumerate(claims) if len(saying[claim]) >= self.votes]
        certificate = Certificate(
            question=question,
            k=k,
            per_source=self.per_source,
            votes=self.votes,
            n_candidates=len(context),
            claims=tuple(
                CertifiedClaim(
                    claim=claim,
                    passage_ids=tuple(context[i].id for i in kept if claims[i] == claim),
                    sources=tuple(saying[claim]),
                    sources_to_displace=_sources_for(
                        len(saying[claim]) - self.votes + 1, k - len(context), self.per_source
                    ),
                )
                for claim in dict.fromkeys(claims[i] for i in kept)
            ),
            n_outvoted=len(context) - len(kept),
            exact=self.per_source == 1,
        )
        return CertifiedRetrieval(context.select(kept), certificate)

    def _context(self, question: str, vector: Vector, k: int) -> tuple[Retrieval, list[str | None]]:
        """The k nearest passages with at most `per_source` of each source."""
        depth = 4 * k
        while True:
            found = self.store.search(vector, depth)
            rows: list[int] = []
            sources: list[str | None] = []
            for row, source in self._admitted(found.hits):
                rows.append(row)
                sources.append(source)
                if len(rows) == k:
                    break
            # Fewer hits than asked for do not say that the store has no more: an
            # approximate index may give up early.
            if len(rows) == k or depth >= self.store.count():
                whole = Retrieval(question, found.hits, found.vectors, vector)
                return whole.select(rows), sources
            depth *= 2

    def _admitted(self, hits: tuple[Hit, ...]) -> Iterator[tuple[int, str | None]]:
        taken: Counter[str | None] = Counter()
        for row, hit in enumerate(hits):
            source = self._source_of(hit.passage)
            if source is not None and not isinstance(source, str):
                raise InputError(
                    f"passage '{hit.id}': source() gave {source!r}; it must give a text or None"
                )
            # An empty label names nobody, as None does; two nobodies must not be two.
            source = source or None
            if taken[source] < self.per_source:
                taken[source] += 1
                yield row, source


def _sources_for(n_votes: int, n_free: int, per_source: int) -> int:
    """Least number of sources that can take `n_votes` votes away.

    A source takes its own vote away by falling silent, and others' by filling slots;
    before a slot is taken from anybody, the free ones are filled.
    """
    return min(n_votes, -(-(n_votes + n_free) // per_source))


def _text_itself(_question: str, passage: Passage) -> str:
    # Nothing more is folded: a lost minus sign or decimal point is another claim.
    return " ".join(passage.text.split())


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
