"""Looking at a store's bytes before and after, and the verdict on each place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ragshield import registry
from ragshield.errors import RagshieldError, StoreError
from ragshield.forget.erasure.neutral import neutral, private_parts, without
from ragshield.proof import Verdict
from ragshield.protocols import Recipe, Surface
from ragshield.records import Batch, Spec, Vectors


class Forms(Protocol):
    """The one thing of a `Recipe` that a search needs to know."""

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """Every way in which vectors may be kept."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the target on one surface.

    Attributes:
        key: hash of the surface's name, to know it again.
        name: the name in technical words.
        kind: see `Surface`.
        n_bytes: how many were looked at.
        n_texts: passages of whose text something is there.
        n_vectors: passages of whose vector something is there.
        n_ids: passages whose id is there.
        unread: why it could not be read to its end; None where it was.
    """

    key: str
    name: str
    kind: Literal["file", "decoded"]
    n_bytes: int
    n_texts: int
    n_vectors: int
    n_ids: int
    unread: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at all surfaces of a store.

    Attributes:
        surfaces: what was seen, in the order of the recipe.
        untested: places that cannot be searched from here, in words.
        wanted_texts: rows of the batch whose text can be looked for: long enough, and with
            something of its own.
        wanted_vectors: the same for vectors.
        texts: those of which something was seen on some surface.
        vectors: the same for vectors.
    """

    surfaces: tuple[Seen, ...]
    untested: tuple[str, ...] = ()
    wanted_texts: frozenset[int] = frozenset()
    wanted_vectors: frozenset[int] = frozenset()
    texts: frozenset[int] = frozenset()
    vectors: frozenset[int] = frozenset()

    @property
    def clean(self) -> bool:
        """Whether nothing of a text or vector was seen where it was looked."""
        return not any(seen.n_texts or seen.n_vectors for seen in self.surfaces)

    def record(self, rows: range) -> dict[str, Any]:
        """As JSON holds it, with what concerns these rows of the batch alone."""
        own = frozenset(rows)
        return {
            "surfaces": [asdict(seen) for seen in self.surfaces],
            "n_texts": len(self.wanted_texts & own),
            "n_vectors": len(self.wanted_vectors & own),
            "texts": len(self.texts & self.wanted_texts & own),
            "vectors": len(self.vectors & self.wanted_vectors & own),
        }


def recipe_of(url: str) -> Recipe | None:
    """The recipe that purges a store of this kind; None where there is none."""
    scheme = url.partition(":")[0]
    if scheme not in registry.names("recipe"):
        return None
    return cast("Recipe", registry.build(Spec("recipe", scheme)))


def look(recipe: Recipe, url: str, batch: Batch, *, live: Iterable[Batch] = ()) -> Look:
    """Search every surface of a store for texts, vectors and ids of a batch.

    Args:
        recipe: the store's.
        url: the store; no store object is open on it.
        batch: what to look for.
        live: rows that stay; what they share with the batch is not looked for.
    """
    private = private_parts(url)
    untested = tuple(without(words, private) for words in recipe.untested(url))
    found = seen_on(recipe.surfaces(url), batch, recipe, private, live=live)
    return replace(found, untested=untested)


def seen_on(
    surfaces: Sequence[Surface],
    batch: Batch,
    forms: Forms,
    private: Sequence[str],
    *,
    live: Iterable[Batch] = (),
) -> Look:
    """Search surfaces for a batch; what cannot be read is told without `private` words."""
    from ragshield.residue import Needles, search

    needles = Needles.of(batch, forms, live=live)
    seen, texts, vectors = [], frozenset[int](), frozenset[int]()
    for surface, found in zip(surfaces, search(needles, surfaces), strict=True):
        texts, vectors = texts | found.texts, vectors | found.vectors
        seen.append(
            Seen(
                key=_key(surface),
                name=neutral(surface.name),
                kind=surface.kind,
                n_bytes=found.n_bytes,
                n_texts=found.n_texts,
                n_vectors=found.n_vectors,
                n_ids=found.n_ids,
                unread=None if found.unread is None else without(found.unread, private),
            )
        )
    return Look(
        surfaces=tuple(seen),
        wanted_texts=needles.searchable("text"),
        wanted_vectors=needles.searchable("vector"),
        texts=texts,
        vectors=vectors,
    )


def surface_verdicts(
    before: Sequence[Mapping[str, Any]],
    after: Look,
    out_of_scope: Sequence[str] = (),
    *,
    by_id: bool = False,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The verdict on every surface, as certificates state them, and the exceptions.

    Args:
        before: records of the surfaces before the deletion; none where nobody looked.
        after: the look after the purge.
        out_of_scope: words; a place that cannot be searched and is described with one of
            them is an exception that the operator declares, not a surface.
        by_id: ids count, as in a place that keeps neither texts nor vectors.
    """
    known = {record["key"]: Seen(**record) for record in before}
    rows = [_row(known.pop(seen.key, None), seen, by_id) for seen in after.surfaces]
    # Files that are gone: what was visible in them is visible there no more.
    rows += [_row(seen, None, by_id) for seen in known.values()]
    exceptions = []
    for words in after.untested:
        if is_declared(words, out_of_scope):
            exceptions.append(words)
        else:
            rows.append({"name": words, "kind": "unreachable", "verdict": "NOT_TESTED", "n": 0})
    return rows, exceptions


def is_declared(place: str, out_of_scope: Sequence[str]) -> bool:
    """Whether a place that cannot be searched is described with one of these words."""
    return any(words.strip() and words.lower() in place.lower() for words in out_of_scope)


def unsupported(why: str, verdict: Verdict = "UNSUPPORTED") -> dict[str, Any]:
    """The one surface of a store that could not be purged or searched."""
    return {"name": why, "kind": "unreachable", "verdict": verdict, "n": 0}


def file_hashes(recipe: Recipe, url: str) -> dict[str, dict[str, str]]:
    """SHA-256 of every file of the store, by the hash of its path, with a neutral name."""
    found = {}
    for path in recipe.files(url):
        try:
            digest = _sha256(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
        key = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        found[key] = {"name": neutral(path.name), "sha256": digest}
    return found


def software_of(recipe: Recipe, url: str) -> dict[str, str]:
    """Names and versions of the store's software; empty where it cannot be asked."""
    try:
        found = recipe.describe(url)
    except (RagshieldError, OSError):
        return {}
    private = private_parts(url)
    return {key: without(value, private) for key, value in found.items()}


def _row(before: Seen | None, after: Seen | None, by_id: bool) -> dict[str, Any]:
    there = after or before
    if there is None:
        raise ValueError("a surface is there before or after")
    n_before = 0 if before is None else _n(before, by_id)
    n_after = 0 if after is None else _n(after, by_id)
    verdict: Verdict = "NO_BASELINE"
    if n_after:
        verdict = "RESIDUAL"
    elif after is not None and after.unread is not None:
        verdict = "NOT_TESTED"
    elif n_before:
        verdict = "ERASED"
    row: dict[str, Any] = {
        "name": there.name,
        "kind": there.kind,
        "verdict": verdict,
        "n": n_after,
        "before": None if before is None else _counts(before),
        "after": None if after is None else _counts(after),
    }
    if after is not None and after.unread is not None:
        row["why"] = after.unread
    return row


def _n(seen: Seen, by_id: bool) -> int:
    return max(seen.n_texts, seen.n_vectors, seen.n_ids if by_id else 0)


def _counts(seen: Seen) -> dict[str, int]:
    return {
        "bytes": seen.n_bytes,
        "texts": seen.n_texts,
        "vectors": seen.n_vectors,
        "ids": seen.n_ids,
    }


def _key(surface: Surface) -> str:
    name = f"{surface.kind} {surface.name}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(name).hexdigest()[:24]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
