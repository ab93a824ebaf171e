from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from ragshield.reports.junit import as_junit


def suite_of(report, *, quote: bool = False) -> ET.Element:
    root = ET.fromstring(as_junit(report, quote=quote).encode("utf-8"))
    (suite,) = root
    cases = suite.findall("testcase")
    for element in (root, suite):
        assert int(element.attrib["tests"]) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.attrib[name]) == len(suite.findall(f"testcase/{tag}"))
    return suite


@pytest.mark.parametrize("quote", [True, False])
@pytest.mark.parametrize("which", ["clean", "hostile", "many"])
def test_it_is_xml_whose_counts_agree(request, which: str, quote: bool) -> None:
    suite_of(request.getfixturevalue(which), quote=quote)


def test_findings_fail_and_what_was_not_judged_is_an_error(hostile) -> None:
    suite = suite_of(hostile)
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("2", "1")
    first = suite.find("testcase")
    assert first.attrib["classname"] == "ragshield.question-echo"
    assert first.attrib["name"] == "kb/<b>1</b> ⟨U+202E⟩"
    body = first.find("failure").text
    assert "suspicion: 0.97" in body
    assert "AML.T0066 Retrieval Content Crafting" in body


def test_quiet_screens_pass(clean) -> None:
    suite = suite_of(clean)
    names = [case.attrib["classname"] for case in suite.findall("testcase")]
    assert names == ["ragshield.near-duplicates", "ragshield.question-echo"]
    assert suite.attrib["timestamp"] == "2026-01-02T03:04:05"


def test_known_findings_are_skipped(hostile) -> None:
    known = tuple(replace(listed, known=True) for listed in hostile.listed)
    suite = suite_of(replace(hostile, listed=known, has_baseline=True))
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("0", "3")


def test_an_incomplete_scan_is_an_error(report_of) -> None:
    suite = suite_of(report_of([], {}, complete=False, problem="reading broke off"))
    assert suite.find("testcase/error").attrib["message"] == "reading broke off"


def test_texts_are_quoted_only_when_asked(hostile) -> None:
    assert "alert(1)" not in as_junit(hostile, quote=False)
    assert "alert(1)" in as_junit(hostile, quote=True)
