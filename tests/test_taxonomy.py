from __future__ import annotations

import re

from ragshield import registry
from ragshield.records import Action, Finding
from ragshield.taxonomy import all_ids_of, entry, guidance, ids_of, is_known


def test_ids_have_names_and_addresses() -> None:
    found = entry("AML.T0066")
    assert str(found) == "AML.T0066 Retrieval Content Crafting"
    assert found.url == "https://atlas.mitre.org/techniques/AML.T0066"
    assert entry("CWE-345").url == "https://cwe.mitre.org/data/definitions/345.html"
    assert entry("LLM08:2025").name == "Vector and Embedding Weaknesses"
    assert entry("LLM08:2026").name == "Hidden Context Exposure"


def test_an_unknown_id_keeps_its_text_and_invents_nothing() -> None:
    found = entry("XYZ-1")
    assert (str(found), found.url, found.catalogue) == ("XYZ-1", None, None)


def test_every_installed_screen_has_guidance_of_its_own_with_known_ids() -> None:
    for name in (*registry.names("screen"), "vector-health", "collection-configuration"):
        assert is_known(name), f"taxonomy.toml says nothing about {name}"
        told = guidance(name)
        assert told.advice.endswith(".")
        assert 0 < told.severity <= 10
        for identifier in told.taxonomy:
            assert entry(identifier).name, identifier
            assert re.match(r"AML\.T|LLM\d\d:20\d\d|ASI|CWE-", identifier)


def test_a_finding_names_its_ids_or_those_of_its_detector_apply() -> None:
    named = Finding(
        "p", 1.0, "question-echo", Action.DROP, "", evidence={"taxonomy": ["AML.T0070"]}
    )
    other = Finding("p", 1.0, "of-another-package", Action.DROP, "")
    assert ids_of(named) == ("AML.T0070",)
    assert ids_of(other) == guidance("default").taxonomy
    assert all_ids_of([named, other, named]) == ("AML.T0070", "LLM04:2025", "LLM05:2026")
