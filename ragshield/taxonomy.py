"""Public names for findings: OWASP, MITRE ATLAS and CWE ids, and what to do about each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ragshield.records import Finding


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A public list of threats or weaknesses.

    Attributes:
        key: short name, such as `mitre-atlas`.
        name: full name.
        organization: who publishes it.
        version: the edition that the ids are taken from.
        url: its home.
    """

    key: str
    name: str
    organization: str
    version: str
    url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One id of a catalogue.

    Attributes:
        id: as published, with the year where numbers moved: `LLM08:2025`.
        name: its title; empty for an id that is not known here.
        url: where it is explained; None for an id that is not known here.
        catalogue: the list it belongs to; None if unknown.
    """

    id: str
    name: str
    url: str | None
    catalogue: Catalogue | None

    def __str__(self) -> str:
        return f"{self.id} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a detector's findings mean.

    Attributes:
        title: a few words.
        meaning: what such a passage does.
        advice: what to do about it.
        taxonomy: ids that apply where a finding names none.
        severity: 0 to 10, as code scanning sorts by it: how bad it is if true.
    """

    title: str
    meaning: str
    advice: str
    taxonomy: tuple[str, ...]
    severity: float


def entry(identifier: str) -> Entry:
    """Name, address and list of an id; an unknown id keeps its own text and nothing else."""
    return _entries().get(identifier) or Entry(identifier, "", None, None)


def guidance(detector: str) -> Guidance:
    """What findings of this detector mean, and what to do; a general text for others."""
    told = _data()["detectors"]
    found = told.get(detector, told["default"])
    return Guidance(**{**found, "taxonomy": tuple(found["taxonomy"])})


def is_known(detector: str) -> bool:
    """Whether `guidance` has a text of this detector's own."""
    return detector in _data()["detectors"]


def ids_of(finding: Finding) -> tuple[str, ...]:
    """The ids a finding names in its evidence, else those of its detector."""
    named = finding.evidence.get("taxonomy")
    if isinstance(named, list | tuple) and all(isinstance(item, str) for item in named):
        return tuple(named)
    return guidance(finding.detector).taxonomy


def all_ids_of(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The ids of several findings, each once, in the order of first mention."""
    return tuple(dict.fromkeys(i for finding in findings for i in ids_of(finding)))


@cache
def _data() -> Mapping[str, Any]:
    path = Path(__file__).with_name("taxonomy.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def _entries() -> Mapping[str, Entry]:
    data = _data()
    lists = {key: Catalogue(key, **value) for key, value in data["lists"].items()}
    found = {}
    for key, ids in data["ids"].items():
        for identifier, (name, *url) in ids.items():
            address = url[0] if url else _address(identifier, lists[key])
            found[identifier] = Entry(identifier, name, address, lists[key])
    return found


def _address(identifier: str, catalogue: Catalogue) -> str:
    if catalogue.key == "mitre-atlas":
        return f"{catalogue.url}techniques/{identifier}"
    if catalogue.key == "cwe":
        return f"{catalogue.url}data/definitions/{identifier.removeprefix('CWE-')}.html"
    return catalogue.url
