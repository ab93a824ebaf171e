"""JUnit XML: findings as failed tests, for the test view of a CI server."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from ragshield.reports.report import Listed, Report, summary
from ragshield.reports.visible import visible
from ragshield.taxonomy import entry, guidance, ids_of

# What XML 1.0 cannot hold at all, written or escaped.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report, *, quote: bool) -> str:
    """One test suite: a failed test for each finding, a passed one for each quiet screen.

    What the baseline holds is skipped, what could not be judged and a scan that broke off
    are errors.

    Args:
        report: what to write.
        quote: False leaves out what is quoted from passages.
    """
    suite = ET.Element("testsuite")
    n_failed = n_errors = n_skipped = 0
    for listed in report.listed:
        case = _case(suite, listed.finding.detector, visible(listed.finding.passage_id, 300))
        reason = listed.reasons(quote=quote)[0]
        if listed.known:
            n_skipped += 1
            ET.SubElement(case, "skipped", message=_xml(f"known from the baseline: {reason}"))
            continue
        judged = listed.finding.suspicion is not None
        n_failed += judged
        n_errors += not judged
        kind = listed.finding.detector if judged else "not judged"
        fault = ET.SubElement(
            case, "failure" if judged else "error", message=_xml(reason), type=_xml(kind)
        )
        fault.text = _xml(_body(listed, report, quote=quote))
    found = {name for listed in report.listed for name in listed.detectors}
    for screen in report.screens:
        if screen not in found:
            _case(suite, screen, "no findings")
    if report.problem is not None:
        n_errors += 1
        case = _case(suite, "scan", "complete")
        problem = visible(report.problem)
        ET.SubElement(case, "error", message=_xml(problem), type="incomplete").text = _xml(problem)
    counts = {
        "tests": str(len(suite)),
        "failures": str(n_failed),
        "errors": str(n_errors),
        "skipped": str(n_skipped),
        "time": f"{report.seconds:.3f}",
    }
    # JUnit's own schema takes the time without a zone.
    stamp = report.made_at.removesuffix("Z").split("+")[0]
    suite.attrib = {"name": _xml(f"ragshield scan {report.url}"), **counts, "timestamp": stamp}
    notes = [summary(report), *report.notes]
    if report.n_findings > len(report.listed):
        notes.append(f"{report.n_findings - len(report.listed)} more findings are not listed")
    ET.SubElement(suite, "system-out").text = _xml("\n".join(visible(note) for note in notes))
    suites = ET.Element("testsuites", {"name": "ragshield", **counts})
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _case(suite: ET.Element, detector: str, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=_xml(f"ragshield.{detector}"), name=_xml(name), time="0"
    )


def _body(listed: Listed, report: Report, *, quote: bool) -> str:
    finding = listed.finding
    about = guidance(finding.detector)
    suspicion = "not judged" if finding.suspicion is None else f"{finding.suspicion:.2f}"
    lines = [
        f"store: {report.url}",
        f"passage: {visible(finding.passage_id)}",
        f"suspicion: {suspicion}",
        f"group: {finding.group or '-'}",
        *(f"reason: {reason}" for reason in listed.reasons(quote=quote)),
        f"meaning: {about.meaning}",
        f"to do: {about.advice}",
        f"ids: {'; '.join(str(entry(i)) for i in ids_of(finding)) or '-'}",
        f"fingerprint: {listed.fingerprint}",
    ]
    if quote and listed.passage is not None:
        lines.append(f"text: {visible(listed.passage.text, 500)}")
    return "\n".join(lines)


def _xml(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
