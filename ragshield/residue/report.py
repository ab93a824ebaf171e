"""What a look at a store showed, and what that says beside a look before the deletion."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ragshield.errors import InputError
from ragshield.records import Batch
from ragshield.residue.searching import Found

Verdict: TypeAlias = Literal["ERASED", "RESIDUAL", "NOT_TESTED", "UNSUPPORTED", "NO_BASELINE"]
"""What is said about one place, or about all.

`ERASED`: something of the targets was seen there before and nothing is now. `RESIDUAL`:
something is there. `NOT_TESTED`: it could not be read. `UNSUPPORTED`: nothing is known
about this kind of store. `NO_BASELINE`: nothing is there, but nothing was seen there
before either, so this proves nothing.
"""


@dataclass(frozen=True, slots=True)
class PlaceVerdict:
    """What is said about one place.

    Attributes:
        name: the surface's name, or the place in words where it cannot be read.
        verdict: see `Verdict`.
        n: texts and vectors of which something is there now.
        n_before: of which something was there before; None without a baseline of it.
        reason: one sentence.
    """

    name: str
    verdict: Verdict
    n: int
    n_before: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Target:
    """Which passages were looked for, so that only like is compared with like.

    Attributes:
        salt: 16 random bytes as hexadecimal digits.
        digest: HMAC-SHA256 under the salt over all ids, texts and vectors. Whoever knows
            them all can test that these are the ones; one passage alone cannot be tested.
    """

    salt: str
    digest: str


@dataclass(frozen=True, slots=True)
class Residue:
    """What one look at a store showed; holds counts only, neither texts nor ids.

    Attributes:
        place: the store's URL or the folder, as it was given.
        software: what the store's recipe says about it.
        n_passages: passages looked for.
        n_texts: of whose text a stretch can be looked for (see `Needles.searchable`).
        n_vectors: of whose vector a stretch can be looked for.
        n_seen_texts: of whose text a stretch was seen in at least one place.
        n_seen_vectors: of whose vector a stretch was seen in at least one place.
        found: what was seen in each place.
        untested: places that exist, or may, and could not be searched, in words.
        unsupported: why nothing could be looked at at all; None otherwise.
        target: which passages these were.
        exceptions: such places that the caller declared out of scope.
        notes: what a person should know.
        before: the look before the deletion, where one was given.
    """

    place: str
    software: Mapping[str, str]
    n_passages: int
    n_texts: int
    n_vectors: int
    n_seen_texts: int
    n_seen_vectors: int
    found: tuple[Found, ...]
    untested: tuple[str, ...]
    target: Target
    unsupported: str | None = None
    exceptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    before: Residue | None = field(default=None, repr=False)

    @property
    def n_bytes(self) -> int:
        """Bytes looked at."""
        return sum(found.n_bytes for found in self.found)

    @property
    def text_bytes(self) -> int:
        """Bytes that belong to texts of the targets, in all places together."""
        return sum(found.text_bytes for found in self.found)

    @property
    def vector_bytes(self) -> int:
        """Bytes that belong to vectors of the targets, in all places together."""
        return sum(found.vector_bytes for found in self.found)

    def verdicts(self, baseline: Residue | None = None) -> tuple[PlaceVerdict, ...]:
        """What is said about each place, those that are left first, those that are gone last.

        Args:
            baseline: the look before the deletion; `before` if not given.
        """
        baseline = self.before if baseline is None else baseline
        earlier = {} if baseline is None else {found.name: found for found in baseline.found}
        verdicts = [_judged(found, earlier.pop(found.name, None)) for found in self.found]
        verdicts += [
            PlaceVerdict(found.name, "ERASED", 0, found.n, "the place itself is gone")
            for found in earlier.values()
            if found.n and self.unsupported is None
        ]
        verdicts += [PlaceVerdict(place, "NOT_TESTED", 0, None, place) for place in self.untested]
        if self.unsupported is not None:
            verdicts.append(
                PlaceVerdict(self.place, "UNSUPPORTED", 0, None, self.unsupported),
            )
        return tuple(verdicts)

    def overall(self, baseline: Residue | None = None) -> Verdict:
        """What is said about all places together.

        `ERASED` only if nothing is anywhere, every place could be read, and before the
        deletion every text and every vector that can be looked for was seen somewhere.
        """
        baseline = self.before if baseline is None else baseline
        given = {verdict.verdict for verdict in self.verdicts(baseline)}
        for verdict in ("RESIDUAL", "UNSUPPORTED", "NOT_TESTED"):
            if verdict in given:
                return verdict
        if baseline is None or self.unproven(baseline) or not (self.n_texts or self.n_vectors):
            return "NO_BASELINE"
        return "ERASED"

    def unproven(self, baseline: Residue | None = None) -> int:
        """Texts and vectors that can be looked for now and were not seen before."""
        baseline = self.before if baseline is None else baseline
        if baseline is None:
            return self.n_texts + self.n_vectors
        return max(0, self.n_texts - baseline.n_seen_texts) + max(
            0, self.n_vectors - baseline.n_seen_vectors
        )

    def check_baseline(self, batch: Batch) -> None:
        """Make sure that this is a look for these passages.

        Raises:
            InputError: it was made with others.
        """
        if not hmac.compare_digest(target_of(batch, self.target.salt).digest, self.target.digest):
            raise InputError(
                f"the baseline was made with other targets ({self.n_passages} passages); "
                "give the same targets, with texts and vectors, as before the deletion"
            )


def target_of(batch: Batch, salt: str | None = None) -> Target:
    """Which passages these are, in any order, without a way back to them."""
    salt = secrets.token_hex(16) if salt is None else salt
    rows = []
    for i, passage in enumerate(batch.passages):
        row = hashlib.sha256(passage.id.encode("utf-8", "surrogatepass") + b"\0")
        row.update(passage.text.encode("utf-8", "surrogatepass"))
        if batch.vectors is not None:
            row.update(b"\0" + batch.vectors[i].tobytes())
        rows.append(row.digest())
    digest = hmac.digest(bytes.fromhex(salt), b"".join(sorted(rows)), "sha256")
    return Target(salt, digest.hex())


def _judged(found: Found, earlier: Found | None) -> PlaceVerdict:
    n_before = None if earlier is None else earlier.n
    if found.n:
        what = _counted(found)
        return PlaceVerdict(found.name, "RESIDUAL", found.n, n_before, f"still there: {what}")
    if found.unread is not None:
        return PlaceVerdict(found.name, "NOT_TESTED", 0, n_before, found.unread)
    if n_before:
        seen = f"seen before: {n_before}, now: 0"
        return PlaceVerdict(found.name, "ERASED", 0, n_before, seen)
    why = "nothing was seen here before either" if n_before == 0 else "not looked at before"
    return PlaceVerdict(found.name, "NO_BASELINE", 0, n_before, why)


def _counted(found: Found) -> str:
    parts = []
    if found.n_texts:
        parts.append(f"text of {found.n_texts} ({found.text_bytes:,} bytes)")
    if found.n_vectors:
        parts.append(f"vectors of {found.n_vectors} ({found.vector_bytes:,} bytes)")
    return ", ".join(parts)
