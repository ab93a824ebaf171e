"""The thirteen families of recovery attacks: each module makes the probes of one or two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ragshield.audit.drafts import Draft, Setting
from ragshield.audit.families import (
    adaptive,
    combined,
    context,
    extraction,
    formats,
    language,
    masked,
    plain,
    reasoning,
    surface,
    turns,
)
from ragshield.audit.probe import Family

MAKERS: Mapping[Family, Callable[[Setting], Iterator[Draft]]] = {
    "plain": plain.plain,
    "surface": surface.surface,
    "masked": masked.masked,
    "format": formats.formats,
    "persuasion": plain.persuasion,
    "re-injection": context.context,
    "language": language.language,
    "reasoning": reasoning.reasoning,
    "combined": combined.combined,
    "extraction": extraction.extraction,
    "adaptive": adaptive.adaptive,
    "crowding": combined.crowding,
    "multi-turn": turns.turns,
}
