"""A certificate as people read it: lines for a terminal, Markdown, and an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from string import Template
from textwrap import wrap
from typing import Any

from ragshield.proof.behaviour import behaviour_in_words
from ragshield.proof.certificate import Checked
from ragshield.proof.verdicts import Verdict, seen_whole

MEANING: Mapping[Verdict, str] = {
    "ERASED": "It was visible there before the erasure, and nothing of it is visible now.",
    "RESIDUAL": "Something of it is still there.",
    "NOT_TESTED": "This place could not be searched, so nothing is claimed about it.",
    "UNSUPPORTED": "There is no procedure to erase here, so nothing is claimed about it.",
    "NO_BASELINE": "Nothing is visible there, and nothing was before: this proves nothing.",
}
_HEADLINE: Mapping[Verdict, str] = {
    "ERASED": "Erased from the knowledge base",
    "RESIDUAL": "Not erased: something is still there",
    "NOT_TESTED": "Deleted, and not shown to be erased everywhere",
    "UNSUPPORTED": "Deleted from answers, not erased from the files",
    "NO_BASELINE": "Deleted; that it is erased could not be shown",
}


def headline(content: Mapping[str, Any]) -> str:
    """What the certificate says, in one sentence."""
    stores: Verdict = content["verdict"]["stores"]
    head = _HEADLINE[stores]
    if stores == "ERASED" and content["undo"].get("possible"):
        return f"{head}; an encrypted copy for undo is still kept"
    return head


def _tone(content: Mapping[str, Any]) -> str:
    stores: Verdict = content["verdict"]["stores"]
    if stores == "ERASED" and not content["undo"].get("possible"):
        return "good"
    return "bad" if stores == "RESIDUAL" else "open"


def as_text(checked: Checked, width: int, *, every: bool = False) -> list[str]:
    """Lines of at most `width` columns.

    Args:
        checked: the certificate.
        width: columns.
        every: name the places too that showed nothing, before or after; else they are
            counted.
    """
    content = checked.content
    lines = [*wrap(f"VALID. {headline(content)}.", width), ""]
    for name, value in _facts(checked):
        lines += wrap(f"{name}: {value}", width, subsequent_indent="  ")
    for place in content["places"]:
        lines += ["", *wrap(_place_title(place), width)]
        rows = [row for row in place["surfaces"] if every or row["verdict"] != "NO_BASELINE"]
        texts = [f"{_verdict_of(row):<12} {row['name']}{_seen(row)}" for row in rows]
        texts += _without_baseline(place, len(place["surfaces"]) - len(rows))
        for text in texts:
            lines += wrap(text, width, initial_indent="  ", subsequent_indent=" " * 15)
    lines += ["", "What this does not say:"]
    for limit in (*content["exceptions"], *content["limits"]):
        lines += wrap(limit, width, initial_indent="  - ", subsequent_indent="    ")
    return lines


def as_markdown(checked: Checked) -> str:
    """One Markdown document."""
    content = checked.content
    lines = [f"# {headline(content)}", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in _facts(checked)]
    for place in content["places"]:
        lines += ["", f"## {_cell(_place_title(place))}", ""]
        lines += ["| verdict | place | before | after |", "|---|---|---|---|"]
        for row in place["surfaces"]:
            before, after = _side(row.get("before")), _side(row.get("after"))
            verdict = _verdict_of(row)
            lines.append(f"| {verdict} | {_cell(row['name'])} | {before} | {after} |")
    lines += ["", "## What this certificate does not say", ""]
    lines += [f"- {_cell(limit)}" for limit in (*content["exceptions"], *content["limits"])]
    lines += ["", "## Verdicts", ""]
    lines += [f"- `{verdict}`: {meaning}" for verdict, meaning in MEANING.items()]
    return "\n".join(lines) + "\n"


def as_html(checked: Checked) -> str:
    """One page that needs nothing else: no script, no font, no picture from elsewhere."""
    content = checked.content
    limits = (*content["exceptions"], *content["limits"])
    return Template(_part("page.html")).substitute(
        style=_part("page.css"),
        tone=_tone(content),
        headline=escape(headline(content)),
        signature=escape(_signature(checked)),
        facts="".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(checked)
        ),
        undo=escape(content["undo"].get("why", "")),
        places="".join(_place_html(place) for place in content["places"]),
        comparison="".join(_comparison_html(content)),
        limits="".join(f"<li>{escape(limit)}</li>" for limit in limits),
        meanings="".join(
            f"<dt>{_badge(verdict)}</dt><dd>{escape(meaning)}</dd>"
            for verdict, meaning in MEANING.items()
        ),
        files="".join(_files_html(place) for place in content["places"] if place.get("files")),
    )


def _facts(checked: Checked) -> Iterator[tuple[str, str]]:
    content = checked.content
    closure, requests = content["closure"], content["requests"]
    yield "Issued", str(content["issued"])
    yield "Passages erased", f"{closure.get('n_passages')}"
    yield (
        "Requests",
        "; ".join(
            f"scope {one.get('scope')}, facts that others state too: {one.get('shared_facts')}"
            for one in requests[:3]
        )
        + (f"; {len(requests) - 3} more" if len(requests) > 3 else ""),
    )
    yield "Verdict on the stores", content["verdict"]["stores"]
    yield "Verdict on all places", content["verdict"]["overall"]
    if "behaviour" in content:
        yield "Behaviour (audit)", behaviour_in_words(content["behaviour"])
    yield "Can it be undone", "yes" if content["undo"].get("possible") else "no"
    yield "Closure (Merkle root)", str(closure.get("merkle_root"))
    yield "Signing key", checked.key_id
    yield "Made by", f"{content['tool'].get('name')} {content['tool'].get('version')}"


def _signature(checked: Checked) -> str:
    if checked.known:
        return "The signature holds, and it is the key that was given as the operator's."
    return (
        "The signature holds: nobody changed this certificate. Compare the signing key with "
        "the one the operator published."
    )


def _place_title(place: Mapping[str, Any]) -> str:
    kind = f" ({place['scheme']})" if place.get("scheme") else ""
    how = f", purged {place['how']}" if place.get("how") else ""
    return f"{place['name']}{kind}: {place['verdict']}{how}"


def _verdict_of(row: Mapping[str, Any]) -> str:
    return f"RESIDUAL({row['n']})" if row["verdict"] == "RESIDUAL" else str(row["verdict"])


def _without_baseline(place: Mapping[str, Any], n: int) -> Iterator[str]:
    """What it means that `n` places showed nothing, and what to do."""
    if not n:
        return
    where = f"{n} place" if n == 1 else f"{n} places"
    meaning = (
        "all that was to be erased was visible in the others, so nothing need be done"
        if seen_whole(place)
        else "some of it was visible nowhere, so this proves nothing. Where the store keeps "
        "it, ragshield residue can show while it is there: after an undo, or on a copy"
    )
    yield f"{'NO_BASELINE':<12} {where} showed none of it, before or after: {meaning} (--all: list)"


def _side(counts: Mapping[str, Any] | None) -> str:
    if counts is None:
        return "-"
    return f"{counts['texts']} texts, {counts['vectors']} vectors"


def _seen(row: Mapping[str, Any]) -> str:
    if row.get("before") is None and row.get("after") is None:
        return f" ({row['why']})" if row.get("why") else ""
    return f" ({_side(row.get('before'))} → {_side(row.get('after'))})"


def _place_html(place: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{_badge(row['verdict'], _verdict_of(row))}</td><td>{escape(row['name'])}"
        + (f"<small>{escape(row['why'])}</small>" if row.get("why") else "")
        + f"</td><td>{_side(row.get('before'))}</td><td>{_side(row.get('after'))}</td></tr>"
        for row in place["surfaces"]
    )
    software = ", ".join(f"{k} {v}" for k, v in (place.get("software") or {}).items())
    about = " · ".join(
        part
        for part in (
            f"{place['n_passages']} passages erased" if "n_passages" in place else "",
            f"purged {place['how']}" if place.get("how") else "",
            f"recipe {place['recipe']}" if place.get("recipe") is not None else "",
            software,
        )
        if part
    )
    scheme = f" <span class=scheme>{escape(place['scheme'])}</span>" if place.get("scheme") else ""
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in place.get("notes") or ())
    return (
        f"<section class=place><h3>{escape(place['name'])}{scheme} {_badge(place['verdict'])}</h3>"
        f"<p class=about>{escape(about)}</p>{notes}<div class=wide><table><thead><tr><th>Verdict"
        "</th><th>Where</th><th>Seen before</th><th>Seen after</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _comparison_html(content: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, found in (content["comparison"] or {}).items():
        for group, one in found["comparison"]["groups"].items():
            rows.append(
                f"<tr><td>{escape(name)}</td><td>{escape(group)}</td><td>{one['n']}</td>"
                f"<td>{one['rbo']:.4f}</td><td>{one['ks_p']:.3f}</td>"
                f"<td>{one['n_same']} of {one['n']}</td></tr>"
            )
    if not rows:
        yield "<p>The store was not asked questions before and after.</p>"
        return
    yield (
        "<p>Questions were asked before and after. Expected is what the store answered before, "
        "with the erased passages taken out: what it would say if it had never held them. An "
        "overlap (RBO) of 1 means the same passages in the same order; a p above 0.05 means "
        "that the similarities cannot be told apart.</p><div class=wide><table><thead><tr>"
        "<th>Store</th><th>Questions about</th><th>Asked</th><th>Overlap</th><th>p</th>"
        "<th>Same list</th></tr></thead><tbody>" + "".join(rows) + "</tbody></table></div>"
    )


def _files_html(place: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(str(row['name']))}</td><td><code>{escape(str(row['before'] or '-'))}"
        f"</code></td><td><code>{escape(str(row['after'] or '-'))}</code></td></tr>"
        for row in place["files"]
    )
    return (
        f"<details><summary>SHA-256 of the files of {escape(place['name'])}</summary>"
        "<div class=wide><table><thead><tr><th>File</th><th>Before</th><th>After</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div></details>"
    )


def _badge(verdict: str, text: str | None = None) -> str:
    tone = "good" if verdict == "ERASED" else "bad" if verdict == "RESIDUAL" else "open"
    if verdict == "NO_BASELINE":
        tone = "faint"
    return f'<span class="badge {tone}">{escape(text or verdict)}</span>'


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _part(name: str) -> str:
    return (files("ragshield.proof") / name).read_text(encoding="utf-8")
