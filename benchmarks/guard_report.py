"""The results of guard.py as Markdown: one report to read, one of every number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from guard_report_costs import fresh_stores, overhead, running
from guard_tables import answers, by_family, cells_of, full, place, rates, removal, short, table
from guard_targets import GUARDS, below, met

ALL = ("recall", "loss", "exact", "attack_success", "accuracy")

HELD_OUT = """\
**Held out is not unseen.** Weights and thresholds are fitted without what they are measured on; the
choice of signals, their wordings, the caps and the group rule was made looking at all of this data.
The templated families (corruptrag, pia, hijack, blocker, authority, hidden) and the patterns that
catch them have one author. Expect less on attacks and stores of another make."""

ROWS = """\
Rows. `fused`: the default guard without a calibration; *family held out*: the fit saw neither
the attack family nor its kin nor half of the questions; *dataset held out*: nothing of the
dataset; *both*: neither family, kin nor dataset. `calibrated on the store`: those same weights,
the threshold from 300 questions drawn from the honest store of (c), which holds the passages of
(a) and (b) too; none of them is tested; budget 0.01. `calibrated on like questions`: the threshold
comes from the attack-free retrievals of all other questions of the same regime and dataset, each
question left out in its turn; where they are few the budget in force is larger (see the table of
clean losses). RAGDefender as its paper and as its released code have it, for single- and multi-hop
questions; its ranking with another count (`repaired`); TrustRAG's stage 1; TRIS's
query-similarity layer."""


def markdown(result: dict[str, Any]) -> str:
    """The report."""
    return "\n\n".join(_parts(result)) + "\n"


def _parts(result: dict[str, Any]) -> Iterator[str]:
    yield "# The guard, measured"
    if result["quick"]:
        yield "**A quick run over a few questions: it shows that everything works, not how well.**"
    yield (
        f"Made by `python benchmarks/guard.py` ({result['machine']}; {result['n_retrievals']:,} "
        "retrievals, vectors of all-MiniLM-L6-v2, the extractive reader). Every number of the "
        "guard comes from a fit that never saw what it is measured on. Intervals are 95 %, "
        "clustered by question; the tables here are compact, and "
        "[guard_details.md](guard_details.md) has every cell with interval and n."
    )
    yield (
        "Regimes: **a** ten really retrieved passages and poison added; **b** the labelled "
        "evidence and five poisoned passages, the poison in the majority; **c** the top 10 of an "
        f"honest store of {result['n_passages']:,} passages with poison planted (what was not "
        "retrieved is not counted), **c20** its top 20. The number behind is how many poisoned "
        "passages were offered, `+q` poison with the question put before it. The others: "
        "**a-short**, clean passages cut to 28 words; **lone**, **lone-near**, the evidence among "
        "nine passages that answer other questions, at random or the nearest; **answers**, "
        "**faq**, **world**, stores of short passages that answer directly."
    )
    yield "## Targets\n\n" + met(result)
    yield from _below(result)
    if "compared" in result:
        yield from _compared(result)
    if "families" in result:
        yield from _families(result)
    if result.get("adaptive"):
        yield from _adaptive(result["adaptive"])
    if "clean" in result:
        yield from _clean(result)
    yield from fresh_stores(result)
    yield from running(result)
    yield from overhead(result)
    if "alone" in result:
        yield "## Each signal alone"
        yield (
            "Recall / clean loss / exact; PoisonedRAG, the text alone. The threshold by the same "
            "rule as the fused one, on the other half of the questions."
        )
        yield _grid(result["alone"], removal, prefixed=False)
    yield (
        "## Commands\n\n    make bench-guard                                 # everything\n"
        "    python benchmarks/guard.py --quick               # a few questions, two minutes\n"
        "    python benchmarks/guard.py --only speed          # one section\n"
        "    python benchmarks/guard.py --only speed --keep benchmarks/results/guard.json"
    )


def _below(result: dict[str, Any]) -> Iterator[str]:
    if "families" in result or "clean" in result:
        yield "## Where it stays below its targets"
        yield (
            "Poison recall by regime and dose, fused / calibrated on the store, family, kin and "
            "dataset held out; only what is below .95 (.97 where poison is the majority). A fit "
            "that has not seen an attack's make is what a new attack meets; the weights that "
            "ship have seen these."
        )
        yield below(result)
    if limits := result.get("limits"):
        found, other = limits["fused"], limits["calibrated"]
        yield (
            f"**The limit of embeddings.** A changed number in an otherwise true passage "
            f"({limits['n']} copies of labelled evidence with one number changed, planted in (c)) "
            f"leaves the vector at a median cosine of {limits['median_cosine']:.3f} to the "
            f"original's (5th percentile {limits['low_cosine']:.3f}). Poison recall: fused "
            f"{full(found['recall'], 2)}, calibrated {full(other['recall'], 2)}; exact removal "
            f"{full(found['exact'], 2)} and {full(other['exact'], 2)}. Original and copy look "
            "alike, so where one is found both mostly are. Needed: a source to check against."
        )
    yield HELD_OUT


def _compared(result: dict[str, Any]) -> Iterator[str]:
    rows = result["compared"]
    yield "## Beside other defences: PoisonedRAG"
    yield ROWS
    yield (
        "Cells: poison recall / clean loss / exact removal; clean loss alone where no poison was "
        "retrieved. `ms`: median of one judgement of ten hits with stored vectors, one thread."
    )
    yield "The text alone:"
    times = {name: f"{row['median_ms']:.2f}" for name, row in result["latency"].items()}
    yield _grid(rows, removal, prefixed=False, times=times)
    yield "The question put before the text:"
    yield _grid(rows, removal, prefixed=True, times=times)
    yield "## What the reader then answers: attack success / accuracy"
    yield (
        "The share of answers that state the attacker's answer, and of those that state a right "
        "one; yes/no questions and answers that contain one another are not scored. The row "
        "`none` is before any defence; the columns that end in 0 are the same questions "
        "without an attack. The contexts of (a) lack the answer for a third of the questions."
    )
    yield "The text alone:"
    yield _grid(rows, answers, prefixed=False)
    yield "The question put before the text:"
    yield _grid(rows, answers, prefixed=True)


def _grid(
    rows: dict[str, Any], show: Any, *, prefixed: bool, times: dict[str, str] | None = None
) -> str:
    cells = cells_of(rows, prefixed=prefixed)
    if show is answers:
        cells = [
            c
            for c in cells
            if any(answers(row.get(c)) not in ("-", "- / -") for row in rows.values())
        ]
    head = ["defender", *cells] + (["ms"] if times else [])
    lines = []
    for name, row in rows.items():
        line = [name, *(show(row.get(cell)) for cell in cells)]
        if times:
            line.append(times.get(name) or times.get(re.split("[, ]", name)[0], "-"))
        lines.append(line)
    return table(head, lines)


def _families(result: dict[str, Any]) -> Iterator[str]:
    tables = result["families"]
    for guard in GUARDS:
        name = guard.removesuffix(", both held out")
        yield f"## By attack family: {name}; family, kin and dataset held out"
        yield "Poison recall / clean loss / exact removal."
        yield _family_grid(by_family(tables[guard]), removal)
    yield "## By attack family: attack success before and after"
    yield "No defence > fused > calibrated on the store, where the attacker wants an answer given."
    sides = [by_family(tables[name]) for name in ("none", *GUARDS)]

    def success(family: str, cell: str) -> str:
        found = [side.get(family, {}).get(cell, {}).get("attack_success") for side in sides]
        return (
            "-" if found[0] is None or found[0]["value"] is None else " > ".join(map(short, found))
        )

    lines, cells = [], _columns(sides[0])
    for family in sides[0]:
        line = [success(family, cell) for cell in cells]
        if any(value != "-" for value in line):
            lines.append([family, *line])
    yield table(["family", *cells], lines)


def _family_grid(rows: dict[str, dict[str, Any]], show: Any) -> str:
    cells = _columns(rows)
    lines = [[family, *(show(row.get(cell)) for cell in cells)] for family, row in rows.items()]
    return table(["family", *cells], [line for line in lines if set(line[1:]) != {"-"}])


def _columns(rows: dict[str, dict[str, Any]]) -> list[str]:
    names = {cell for row in rows.values() for cell in row}
    return sorted((n for n in names if place(n)[0] < 4), key=place)


def _adaptive(rows: dict[str, Any]) -> Iterator[str]:
    yield "## Adaptive attackers: poison searched against the guard"
    yield (
        "Poison recall / clean loss / exact removal, then attack success / accuracy. "
        "`fused, as shipped` is what the search tried to pass."
    )
    names = sorted({name for cells in rows.values() for name in cells})
    for show in (removal, answers):
        lines = [[name, *(show(row.get(n)) for n in names)] for name, row in rows.items()]
        yield table(["defender", *names], lines)


def _clean(result: dict[str, Any]) -> Iterator[str]:
    clean, stated = result["clean"], result["stated"]
    store, others = "calibrated on the store", "calibrated on like questions"
    yield "## Clean loss where nothing is poisoned, dataset held out"
    yield (
        "Observed clean loss with its interval beside what the calibration stated: the rate "
        "expected and the interval in which the actual one lies. The questions drawn from the "
        "store stand in for all of these sets at once, so that a set may be above or below. "
        "`budget` is the one in force on like questions: 0.01 needs 99 of them."
    )

    def said(name: str, key: str) -> str:
        found = stated[name].get(key)
        return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else "-"

    lines = [
        [
            key,
            full(clean["fused"][key]["loss"]),
            full(clean[store].get(key, {}).get("loss")),
            said(store, key),
            full(clean[others].get(key, {}).get("loss")),
            said(others, key),
            f"{stated[others][key]['budget']:.3f}" if key in stated[others] else "-",
        ]
        for key in clean["fused"]
    ]
    yield table(["set", "fused", store, "stated", others, "stated", "budget"], lines)
    yield "## The evidence itself, alone among other topics, dataset held out"
    yield "Loss counts the labelled evidence only: where it is lost, so is the answer."
    yield from _evidence(result["evidence"])


def _evidence(tables: dict[str, Any]) -> Iterator[str]:
    """Evidence lost without an attack and beside PoisonedRAG, and the recall there."""
    for guard, found in tables.items():
        sets: dict[str, dict[str, str]] = {}
        for name, cell in found.items():
            regime, dataset, attack, *dose = name.split(" / ")
            if attack == "no attack":
                shown, column = full(cell["loss"], 2), attack
            elif attack in ("poisonedrag", "poisonedrag with question"):
                shown = f"{short(cell['recall'])} / {short(cell['loss'])}"
                column = f"{dose[0]}{'+q' if attack.endswith('question') else ''}"
            else:
                continue
            sets.setdefault(f"{regime} / {dataset}", {})[column] = shown
        columns = ["no attack", *sorted({c for row in sets.values() for c in row} - {"no attack"})]
        yield f"{guard[:1].upper()}{guard[1:]}; PoisonedRAG: recall / loss of the evidence."
        lines = [[name, *(row.get(c, "-") for c in columns)] for name, row in sets.items()]
        yield table(["set", *columns], lines)


def details(result: dict[str, Any]) -> str:
    """Every number with its interval and n."""
    parts = [
        "# The guard, measured: every cell",
        "Belongs to [guard.md](guard.md), which says what is measured. Value, 95 % interval "
        "clustered by question, n: passages (recall, loss) or retrievals (the rest).",
    ]
    for title, tables in (
        ("PoisonedRAG and no attack", result.get("compared", {})),
        ("Signal by itself", result.get("alone", {})),
        ("By attack family", result.get("families", {})),
        ("Adaptive attackers", result.get("adaptive", {})),
        ("Evidence among other topics", result.get("evidence", {})),
    ):
        for name, cells in tables.items():
            ordered = dict(sorted(cells.items(), key=lambda item: _where(item[0])))
            parts += [
                f"## {title}: {name}",
                rates(ordered, [m for m in ALL if m in next(iter(cells.values()))]),
            ]
    if "datasets" in result:
        parts += ["## By dataset, dataset held out", rates(result["datasets"], ALL)]
        for name, cells in result["train_on_one"].items():
            title = f"## Fitted on {name} and the honest-only sets, tested on the other two"
            parts += [title, rates(cells, ALL)]
    if "stripped" in result:
        parts += [
            "## Quotes and Markdown taken from the poison (regime a), both held out",
            rates(result["stripped"], ALL),
        ]
    return "\n\n".join(parts) + "\n"


def _where(name: str) -> tuple[str, tuple[int, int, str]]:
    family, slash, cell = name.rpartition(" / ")
    return (family, place(cell)) if slash else ("", place(name))
