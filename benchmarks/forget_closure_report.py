"""The Markdown of the benchmark of plans to forget."""

from __future__ import annotations

from typing import Any


def report(result: dict[str, Any]) -> str:
    """The whole page."""
    rows = result["rows"]
    lines = ["# What a plan to forget finds", "", INTRO.format(**result)]
    for title, start, columns in TABLES:
        part = [row for row in rows if row["experiment"].startswith(start)]
        lines += [f"## {title}", ""]
        lines.append("| request | data | requests | " + " | ".join(columns) + " | s each |")
        lines.append("|---|---|---|" + "---|" * (len(columns) + 1))
        for row in part:
            cells = [_cell(row["rates"].get(column)) for column in columns]
            lines.append(
                f"| {row['experiment']} | {row['data']} | {row['requests']} | "
                + " | ".join(cells)
                + f" | {row['seconds_each']} |"
            )
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(rate: dict[str, Any] | None) -> str:
    if rate is None or rate["value"] is None:
        return "-"
    shown = f"{rate['value']:.3f}"
    if rate["low"] is None:
        return f"{shown} ({rate['successes']}/{rate['n']})"
    return f"{shown} [{rate['low']:.3f}, {rate['high']:.3f}] ({rate['successes']}/{rate['n']})"


_BOTH = ("selected", "listed", "wrongly selected", "wrongly listed")
TABLES = (
    (
        "Facts that other sources state also",
        "a source",
        (
            "selected",
            "wrongly selected",
            "shared reported as shared",
            "forget_only reported as shared",
            "retain_only reported as shared",
        ),
    ),
    ("Documents", "a document", _BOTH),
    ("Single facts: unique ones", "a unique", _BOTH),
    ("Single facts: shared ones, to be forgotten everywhere", "a shared", _BOTH),
    ("Subjects", "a subject", _BOTH),
    ("Planted copies", "planted", _BOTH),
    ("Paraphrases written by others", "paraphrases", _BOTH),
)
INTRO = """`python benchmarks/forget_closure.py` ({seconds} s on cores shared with other work).
Vectors: all-MiniLM-L6-v2.

`selected` is the share of the passages that carry the target which applying the plan would delete,
`listed` of those that are selected or put before a person. `wrongly selected` and `wrongly listed`
are shares of what the plan selects or lists that does not belong to the target: 1 minus precision.
Intervals are 95 %, clustered by request; shared facts by question. With one request they say
little, and the counts stand beside them. Rules of the planner were changed after looking at misses
in DUSK (statements, names with small words or a possessive, pieces cut within a name) and in the
bundled world (several bearers of one last name), so these two are not held out; TOFU and the
paraphrases were only measured.

DUSK: five sources of 120 documents each; one is to be forgotten, its unique facts have to go, the
shared ones are only reported. A fact counts as reported if the plan lists a shared fact about the
person with the answer as its value. Carriers of a single fact are the chunks that name the person
and hold the answer; a word such as "Literature" need not state it there, so not all can be certain.
TOFU: a passage per question of 30 authors, among 217 about others; of the answers alone some name
nobody. Bundled world: invented people and firms that share their names with others.

Planted: every passage of some documents, authors or entities is copied, lightly edited (every
twelfth word or so misspelt, dropped or replaced), reworded (sentences in another order, other
words, names and numbers kept), or cut anew with overlaps; the plan names the originals. In DUSK
what is wrongly listed is what other sources write about the same person. Paraphrases written by
others: one of several passages that give the same answer to a question is named, and the others
have to be listed; a paraphrase is never selected without a person.
"""
