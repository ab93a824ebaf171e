"""The Markdown of the scan's detection benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from guard_tables import table

from ragshield.intervals import Rate, clustered_rate, rate

Row = dict[str, Any]
BUDGETS = ("0.001", "0.002", "0.01")
SHOWN = {"0.001": "0.1 %", "0.002": "0.2 %", "0.01": "1 %"}
KINDS = {
    "five": "five per question",
    "few": "two per question",
    "one": "one per question",
    "gradient": "gradient-optimised",
    "injection": "injections",
    "hidden": "hidden text",
    "trigger": "trigger clusters",
    "edited": "edited facts",
}
TARGETS = {"five": 0.95, "one": 0.80, "gradient": 0.98, "injection": 0.98}
INTRO = """# What a scan finds

`make bench-scan` ({n:,} honest passages, {n_draws} draws; {minutes:.0f} min on {cores} cores
shared with other work, load {load:.1f}).

The honest store is real text: the guard benchmark's passages, WordNet, GCIDE, FOLDOC, the Debian
handbook and policy, manual pages and package documentation. Into it {sizes} poisoned passages of
one family are planted at a time; their sources are drawn from the store's own and their metadata is
removed (but `forged-source`'s), so neither gives them away. Vectors: all-MiniLM-L6-v2. Neighbours
are exact here; the last section repeats one store through `scan()` itself. `secrets` is left out,
since it finds exposure, not poison. Of equally suspicious passages the honest come first.

Recall is the share of the planted passages among the first 0.1, 0.2 or 1 % of the list, with 95 %
intervals clustered by question or trigger. Where 200 are planted, 0.2 % has just room for them.

The screens were improved while these families and the honest passages of this store were looked at;
*held out*, below, is said of the ranking's constants alone.
"""

KEPT = """
`python benchmarks/scan_detection.py --sizes {sizes} --keep scan.json{given}`:
measured last were {last}; all else is of earlier runs over the same store.{only}{anew}{stale}
"""
ONLY = "\nThese families alone were drawn anew: {families}."
NOT_HELD_OUT = """
The ranking's constants were not chosen anew: the column *held out* is empty, and the tables of
the constants are of an earlier state of the screens."""
ANEW = """
Judged anew in these draws: {screens}. What the other screens find in them
was kept from the runs before, of an earlier state of these screens.
"""
_NAMED = {
    "engine": "the whole scan",
    "campaigns": "the rest of a campaign",
    "tracing": "the traceback",
}


def _kept(kept: dict[str, Any] | None) -> str:
    if kept is None:
        return ""
    sizes = [str(size) for size in kept["sizes"]]
    named = " and ".join([", ".join(sizes[:-1]), sizes[-1]]) if len(sizes) > 1 else sizes[0]
    anew, only = kept.get("anew", ()), kept.get("only", ())
    given = {"--again": kept["again"], "--known earlier --anew": anew}
    old = [name for key, name in _NAMED.items() if key not in kept["again"]]
    return KEPT.format(
        sizes=" ".join(sizes),
        given="".join(f" {option} {' '.join(names)}" for option, names in given.items() if names),
        last=", ".join([f"the draws of {named}", *(_NAMED[name] for name in kept["again"])]),
        only=(ONLY.format(families=", ".join(only)) if only else "")
        + ("" if kept.get("held_out", True) else NOT_HELD_OUT),
        anew=ANEW.format(screens=", ".join(f"`{name}`" for name in anew)) if anew else "",
        stale=f"\n**{' and '.join(old).capitalize()}: of an earlier state of the screens.**"
        if old
        else "",
    )


def report(result: dict[str, Any]) -> str:
    """The whole page."""
    draws: list[Row] = result["draws"]
    counts = Counter(row["size"] for row in draws)
    # A family that is drawn whole has a size of its own.
    sizes = sorted(size for size, n in counts.items() if n > 1 or len(counts) == 1)
    intro = INTRO.format(
        n=result["n_honest"],
        n_draws=len(draws),
        minutes=result["seconds"] / 60,
        cores=result["n_cores"],
        load=result["load"],
        sizes=" or ".join(map(str, sizes)),
    )
    parts = [
        intro + _kept(result["kept"]),
        _targets(draws),
        _clean(result["clean"]),
        _families(draws, result["held_out"]["families"]),
        _doses(draws, sizes),
        _beside(draws),
        _screens(draws),
        _held_out(result["held_out"], result["halves"]),
        _tracing(result["tracing"]),
        _campaigns(result["campaigns"]),
        _engine(result["engine"]),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _recall(rows: Iterable[Row], method: str, budget: str) -> Rate | None:
    pairs = [tuple(p) for r in rows if method in r["methods"] for p in r["methods"][method][budget]]
    return clustered_rate(pairs) if pairs else None


def _short(found: Rate | None) -> str:
    return "-" if found is None or found.value is None else f"{found.value:.2f}"


def _names(draws: Sequence[Row]) -> list[tuple[str, str]]:
    seen = dict.fromkeys((row["kind"], row["family"]) for row in draws)
    order = list(KINDS)
    return sorted(seen, key=lambda pair: order.index(pair[0]))


def _of(draws: Sequence[Row], kind: str, family: str | None = None) -> list[Row]:
    return [r for r in draws if r["kind"] == kind and family in (None, r["family"])]


def _usual(rows: Sequence[Row]) -> list[Row]:
    """The draws that peers saw, of 60; of a family too small for them, what there is."""
    return [r for r in rows if "HubScan's hubness" in r["methods"]] or list(rows)


def _targets(draws: Sequence[Row]) -> str:
    lines = []
    for kind, least in TARGETS.items():
        families = list(dict.fromkeys(r["family"] for r in _of(draws, kind)))
        each = {f: _recall(_usual(_of(draws, kind, f)), "ragshield", "0.002") for f in families}
        met = [f for f, r in each.items() if r is not None and (r.value or 0) >= least]
        below = [f"{f} {_short(r)}" for f, r in each.items() if f not in met]
        lines.append([KINDS[kind], f"{least:.2f}", f"{len(met)} of {len(each)}", ", ".join(below)])
    head = ["kind", "target at 0.2 %", "families that meet it", "below"]
    return f"## Targets\n\n{table(head, lines)}\n\n{WHY}"


WHY = """**Why those below are below.** A scan has no question. What it can see of a fluent passage
planted alone is its own wording (a question asked and answered, an answer pressed on the reader, an
order) and its vector, which is that of any passage on the topic. `poisonedrag`, `gpt4`, `blind` and
`counterfact` without the question are plain false statements; planted once, nothing in text or
vector tells them from true ones, and no list of 200 among 100,000 can hold them. Five of them about
one question are several wordings of one claim, made by one prompt: `same-length` finds them by a
length that neighbours in this store do not have in common, the gap around them and the words that
they alone share ([same_length.md](same_length.md): what its weights are worth where they never saw
the family or the data set). An attacker who varies the lengths evades it and is left to
`near-duplicates`. The five of `blind` are written as documents of different kinds and those of
`counterfact` as single sentences of any length, as far from one another as honest texts about one
subject are; many of their sets are found, and ranked behind honest ones. Such poison is found
with a question at hand (`guard`), from one confirmed passage (`--like`, below) or from a wrong
answer (`trace`, below). Questions without a mark that run on into lower case, and misspellings of
two words or fewer, are missed. Of twenty triggers planted at once, made of few words and orders, a
third lie so deep among the others that no set of passages has one trigger alone. An edited copy
and its original accuse each other, so half of what `conflicts` lists is honest."""


def _clean(clean: dict[str, Any]) -> str:
    lines = [[k, str(v), str(rate(v, clean["n"]))] for k, v in clean["listed"].items()]
    lines = [[k, n, f"{100 * int(n) / clean['n']:.3f} %"] for k, n, _ in lines]
    by = [[k, *map(str, v)] for k, v in clean["screens"].items() if v[0]]
    first = ", ".join(f"{k} {v}" for k, v in sorted(clean["first"].items(), key=lambda x: -x[1]))
    return (
        f"## The honest store alone\n\n{table(['limit', 'listed', 'share'], lines)}\n\n"
        "Findings of each screen about honest passages, by its own suspicion:\n\n"
        f"{table(['screen', 'from 0.25', 'from 0.5', 'from 0.75'], by)}\n\n"
        f"The first 0.2 % of the fused list come from: {first}."
    )


def _families(draws: Sequence[Row], out: dict[str, Any]) -> str:
    lines = []
    for kind, family in _names(draws):
        rows = _usual(_of(draws, kind, family))
        found = [_recall(rows, "ragshield", b) for b in BUDGETS]
        n = sum(r["n_planted"] for r in rows)
        top = sum(r["methods"]["ragshield"]["top_50"] for r in rows) / len(rows)
        held = out.get(f"{family} / {kind}")
        lines.append(
            [
                family, KINDS[kind], str(n), _short(found[0]), str(found[1]), _short(found[2]),
                "-" if held is None else f"{held['recall'][1]:.2f}", f"{top / 50:.2f}",
            ]
        )  # fmt: skip
    head = ["family", "kind", "n", "0.1 %", "0.2 %", "1 %", "0.2 % held out", "precision, first 50"]
    return (
        "## By family\n\n60 planted (5 of phantom, 50 carriers). *Held out*: the ranking's "
        "constants chosen without the family and its kin.\n\n" + table(head, lines)
    )


def _doses(draws: Sequence[Row], sizes: Sequence[int]) -> str:
    lines = []
    for kind, name in KINDS.items():
        cells = []
        for size in sizes:
            rows = [r for r in _of(draws, kind) if r["size"] == size]
            cells += [_short(_recall(rows, "ragshield", b)) for b in BUDGETS]
        lines.append([name, *cells])
    head = ["kind", *(f"{s}: {SHOWN[b]}" for s in sizes for b in BUDGETS)]
    return f"## By number planted\n\nAll families of a kind together.\n\n{table(head, lines)}"


def _beside(draws: Sequence[Row]) -> str:
    rows = [r for r in draws if "HubScan's hubness" in r["methods"]]
    names = [n for n in rows[0]["methods"] if not n.startswith("screen ")]
    parts = []
    for budget in BUDGETS:
        lines = []
        for name in names:
            cells = [_short(_recall(_of(rows, kind), name, budget)) for kind in KINDS]
            lines.append([name, *cells])
        parts.append(f"At {SHOWN[budget]}:\n\n{table(['method', *KINDS], lines)}")
    lines = [[name, *(_precision(_of(rows, kind), name) for kind in KINDS)] for name in names]
    parts.append(f"Precision of the first 50:\n\n{table(['method', *KINDS], lines)}")
    return (
        "## Beside other methods\n\nThe same stores, 60 planted, all families of a kind together. "
        "The isolation forest and k-means were fitted without the poison, which helps them.\n\n"
        + "\n\n".join(parts)
    )


def _precision(rows: Sequence[Row], method: str) -> str:
    if not rows:
        return "-"
    return f"{np.mean([r['methods'][method]['top_50'] / 50 for r in rows]):.2f}"


def _screens(draws: Sequence[Row]) -> str:
    rows = _usual(draws)
    names = [n for n in rows[0]["methods"] if n.startswith("screen ")]
    lines = [
        [name.removeprefix("screen "), *(
            _short(_recall(_of(rows, kind), name, "0.002")) for kind in KINDS
        )]
        for name in ("ragshield", *names)
    ]  # fmt: skip
    return (
        "## Each screen alone\n\nRecall at 0.2 % if the whole budget went to one screen, 60 "
        f"planted.\n\n{table(['screen', *KINDS], lines)}"
    )


def _held_out(found: dict[str, Any], halves: Sequence[dict[str, Any]]) -> str:
    lines = [
        [name.strip("[]"), *(f"{v:.3f}" for v in means)]
        for name, means in sorted(found["means"].items(), key=lambda x: -x[1][1])
    ]
    head = ["spike, habitual, damping", *SHOWN.values()]
    unlike = [
        [row["store"], f"{row['n']:,}", row["rates"], *(f"{v:.3f}" for v in row["recall"])]
        for row in halves
    ]
    unlike_head = ["findings of", "passages", "rates of", *SHOWN.values()]
    return (
        "## The ranking's constants\n\n`ragshield/rarity.py` weighs a finding by how rarely the "
        "screen accuses honest text as much; no weight belongs to a family. Mean recall over "
        f"families for other constants (60 planted):\n\n{table(head, lines)}\n\n"
        "The rates of honest text (`ragshield/usual_rates.toml`) are those of this very store, to "
        "one digit. What they are worth in a store that they do not come from: mean recall among "
        "the findings about one half of it, with the rates of that half and of the other, which "
        f"is unlike it:\n\n{table(unlike_head, unlike)}"
    )


def _tracing(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        asked = row["questions"]
        found = clustered_rate([(a, b) for a, b, _, _ in asked])
        right = clustered_rate([(a, a + c) for a, _, c, _ in asked])
        gone = rate(sum(e for *_, e in asked), len(asked))
        name = f"{row['family']}{' + question' if row['question'] else ''}"
        lines.append([name, f"{len(asked)} of {row['asked']}", *map(str, (found, right, gone))])
    head = ["family", "questions answered wrongly", "recall", "precision", "answer gone"]
    return (
        "## Traceback\n\nFive planted per question in the whole store; `trace` with the "
        "extractive reader, k = 5, for each question that it answers as the attacker wants.\n\n"
        + table(head, lines)
    )


def _campaigns(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if row.get("style"):  # of runs that still compared the screens' findings, too
            continue
        given = row["campaigns"]
        found = clustered_rate([(a, b) for a, b, _, _ in given])
        honest = np.mean([c for _, _, c, _ in given]) if given else 0.0
        other = np.mean([d for *_, d in given]) if given else 0.0
        lines.append(
            [
                row["family"], str(row["confirmed"]), str(len(given)), str(found),
                f"{honest:.1f}", f"{other:.1f}",
            ]
        )  # fmt: skip
    head = [
        "family",
        "confirmed",
        "campaigns",
        "rest found",
        "honest accused",
        "other poison",
    ]
    return (
        "## The rest of a campaign\n\n`scan --like`: one or two passages of a campaign are "
        "confirmed; found is what is at least 0.5 alike. Accused: passages per campaign; the "
        "honest among them lie on the topic, or come from a confirmed passage's source. With "
        "constants chosen without the family or data set: [scan_like.md](scan_like.md).\n\n"
        + table(head, lines)
    )


def _engine(found: dict[str, Any]) -> str:
    lines = [
        [SHOWN[b], f"{v['exact']:.3f}", f"{v['engine']:.3f}"] for b, v in found["recall"].items()
    ]
    steps = ", ".join(f"{k} {v:.0f}" for k, v in found["steps"].items())
    return (
        f"## Through the engine\n\n{found['n_planted']} passages of all families at once in "
        f"{found['n_passages']:,}; `scan()` in one process, {found['seconds']:.0f} s ({steps}). "
        f"Recall of its neighbours {found['neighbour_recall']:.3f}; of the first 200 passages "
        f"{found['same_first_200']} are the same as with exact neighbours.\n\n"
        + table(["budget", "exact neighbours", "scan()"], lines)
    )
