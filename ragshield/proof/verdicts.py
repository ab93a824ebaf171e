"""The five verdicts on a place that held what was to be erased, and how they add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, get_args

Verdict: TypeAlias = Literal["ERASED", "RESIDUAL", "NOT_TESTED", "UNSUPPORTED", "NO_BASELINE"]
"""What can be said of one surface.

`ERASED`: it was visible there before, and is not any more. `RESIDUAL`: some of it is
still there. `NOT_TESTED`: nobody could look. `UNSUPPORTED`: nobody knows how to erase
there. `NO_BASELINE`: nothing is visible, and nothing was before, so that proves nothing.
"""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_WORST_FIRST: tuple[Verdict, ...] = (
    "RESIDUAL",
    "UNSUPPORTED",
    "NOT_TESTED",
    "NO_BASELINE",
    "ERASED",
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several; `NO_BASELINE` of none, since nothing was shown."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), "NO_BASELINE")


def place_verdict(place: Mapping[str, Any]) -> Verdict:
    """What the surfaces of one place add up to.

    A surface without a baseline is passed over where every text and every vector of the
    target was visible in other surfaces of the place: it just never held any. Where some
    were visible nowhere, the place has no baseline, whatever its surfaces say.
    """
    verdicts: list[Verdict] = [surface["verdict"] for surface in place["surfaces"]]
    shown = [verdict for verdict in verdicts if verdict != "NO_BASELINE"]
    found = worst(shown)
    return "NO_BASELINE" if found == "ERASED" and not seen_whole(place) else found


def seen_whole(place: Mapping[str, Any]) -> bool:
    """Whether every text and every vector of the target was visible somewhere in a place."""
    seen = place["seen_before"] or {}
    return bool(
        seen.get("texts", -1) >= place["n_texts"] and seen.get("vectors", -1) >= place["n_vectors"]
    )


def overall(places: Iterable[Mapping[str, Any]]) -> Verdict:
    """What all places add up to: `ERASED` only if every one of them is."""
    return worst(place_verdict(place) for place in places)
