"""Places that no search reaches: those that nobody answers for, and those that somebody does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ragshield.forget.saved.rounds import Round


def undeclared(rounds: Sequence[Round]) -> tuple[str, ...]:
    """Places of purged stores that nobody could search and nobody answered for, in words.

    That a purge was switched off, or that there is none, is no place to see to.
    """
    return tuple(
        dict.fromkeys(
            row["name"]
            for one in rounds
            for record in _scanned(one)
            for row in record["surfaces"]
            if row["kind"] == "unreachable" and row["verdict"] == "NOT_TESTED"
        )
    )


def declared(rounds: Sequence[Round]) -> tuple[str, ...]:
    """Places that the operator answers for, in words."""
    return tuple(
        dict.fromkeys(
            words for one in rounds for record in _scanned(one) for words in record["exceptions"]
        )
    )


def _scanned(one: Round) -> Iterator[Mapping[str, Any]]:
    """What was found in each store that was purged."""
    purged = one.state.evidence.get("purged", {}).get("places", {})
    for key, record in one.state.evidence.get("scanned", {}).get("places", {}).items():
        if purged.get(key, {}).get("how"):
            yield record
