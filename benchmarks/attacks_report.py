"""The attack benchmark's results as Markdown."""

from __future__ import annotations

from typing import Any

from guard_tables import full, short, table

_TITLES = {
    "real": "Real questions (NQ, HotpotQA, MS MARCO)",
    "world": "Questions of the bundled world",
}


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    env = results["environment"]
    run = {
        f"{k} †" if "earlier" in v else k: v
        for k, v in results["attacks"].items()
        if "not_run" not in v
    }
    parts = [_preface(env)]
    if old := sorted({v["earlier"] for v in run.values() if "earlier" in v}):
        parts.append(
            f"† measured earlier, at commit {', '.join(old)}: the attack is the same, the guard's "
            "and the scan's columns are those of the guard and the scan as they then were, times "
            "are the clock's, - in the scan's column is not measured."
        )
    for name, title in _TITLES.items():
        rows = {label: found[name] for label, found in run.items() if name in found}
        none = results["none"][name]
        parts.append(f"## {title}\n\n{_overview(none, rows, scan=name == 'real')}")
    parts.append(f"## Cost\n\n{_cost(run)}")
    if llm := results.get("llm"):
        parts.append(f"## What a language model is asked\n\n{_asked(llm)}")
    parts.append(f"## Every rate with its interval and n\n\n{_details(results['none'], run)}")
    missing = {k: v["not_run"] for k, v in results["attacks"].items() if "not_run" in v}
    if missing:
        lines = [[label, f"not run here: {why}"] for label, why in missing.items()]
        parts.append("## Not run\n\n" + table(["attack", "why"], lines))
    if failed := {k: v["failures"] for k, v in run.items() if v["failures"]}:
        lines = [[label, str(len(why)), why[0].replace("|", "/")] for label, why in failed.items()]
        parts.append(
            "## Targets left out\n\nFor these targets the attack could make no poison.\n\n"
            + table(["attack", "targets", "the first reason"], lines)
        )
    return "\n\n".join(parts) + "\n"


def _preface(env: dict[str, Any]) -> str:
    quick = " **A quick run: no result.**" if env["quick"] else ""
    asked = env["n_questions"]
    return f"""# What each attack achieves, costs, and what finds it

`python benchmarks/attacks.py` at commit {env["commit"]}.{quick} One store of \
{env["n_stored"]:,} passages, \
{env["n_real"]:,} of them real text (with the evidence for {asked["real"]} real questions), the \
others the bundled world ({asked["world"]} questions). Encoder all-MiniLM-L6-v2, exact search. \
Each attack makes as many passages a target as it is meant to; all its poison is planted at once. \
Where the targets are fewer, making their poison took longer than \
{env["seconds_per_attack"]:.0f} processor seconds. "Budget" is the texts embedded for a passage, \
below the attack's default. PoisonedRAG's own published texts are used on the real \
questions, by `poisonedrag` and by what edits its texts; templates elsewhere. No defence is shown \
what an attack notes about its passages.

*For all*: one lot of passages for all questions of a set; the attack knows half of the questions \
and is measured on the others. *Trigger*: likewise, with the trigger in each question asked; \
*trigger absent*: the same passages and the questions as they are, where nothing should change. \
What counts as success there is what the poison claims, - where it claims nothing. *Reader: lab*: \
the lab's own small model reads, and the attack sees it from inside; it knows only the bundled \
world. It is also the language model of adversarial decoding, where it writes of its own world \
whatever the question is.

- in top 5, in top 10: share of an attack's passages that are retrieved for their question; one \
that plants ten can have no more than half in the top 5.
- success: answers that state the wrong answer, by the extractive reader from the five nearest \
passages; right: answers that state a right one. An attack that blocks answers aims at the second.
- odd: share of honest passages that are less surprising to a character trigram model, mean over \
the poison. 0.50 is like any honest passage, 1.00 odder than all. A stand-in for perplexity: it \
sees broken words and odd characters, not odd statements.
- guard: the default guard at its uncalibrated threshold, recall of the question's own \
poison / clean loss among the hits that it judges; then success and right answers behind it.
- scan: share of the poison of {env["n_scanned"]} targets, {env["n_scanned_together"]} at a time \
among the real passages, that `ragshield scan` lists at its default threshold / within an \
alert budget of {env["alert_budget"]:.0%} of the passages, with no question known.

Times are the processor's, of a machine that other work ran on ({env["n_cores"]} cores, threads: \
{env["threads"]})."""


def _overview(none: dict[str, Any], rows: dict[str, Any], *, scan: bool) -> str:
    head = ["attack", "targets", "in top 5", "in top 10", "success", "right", "odd"]
    head += ["guard: recall / loss", "success, guarded", "right, guarded"]
    head += ["scan"] if scan else []
    lines = [_line("none", none, scan=scan)]
    lines += [_line(label, row, scan=scan) for label, row in rows.items()]
    text = table(head, lines)
    if scan:
        text += (
            f"\n\nWith nothing planted the scan lists {full(none['scan_accused'], 4)} of the real "
            "passages."
        )
    return text


def _line(label: str, row: dict[str, Any], *, scan: bool) -> list[str]:
    guard = f"{short(row['guard_recall'])} / {short(row['guard_loss'], 3)}"
    cells = [
        label,
        str(row.get("n_targets", "-")),
        short(row.get("top5")),
        short(row.get("top10")),
        short(row["attack_success"]),
        short(row["accuracy"]),
        short(row.get("less_fluent_than") or None),
        guard,
        short(row["guarded_attack_success"]),
        short(row["guarded_accuracy"]),
    ]
    found = (short(row.get(name)) for name in ("scan_recall", "scan_recall_in_budget"))
    return [*cells, " / ".join(found)] if scan else cells


def _cost(run: dict[str, Any]) -> str:
    lines = []
    for label, found in run.items():
        row = found.get("real") or found["world"]
        if "n_passages" not in row:
            continue  # nothing is planted
        lines.append(
            [
                label,
                f"{row.get('passages_a_lot', row['n_passages'] / row['n_targets']):.1f}",
                f"{row['seconds_per_passage'] * 1e3:.1f}",
                f"{row['seconds_per_passage_p90'] * 1e3:.1f}",
                f"{row['embedded_per_passage']:.1f}",
                f"{row['llm_calls_per_passage']:.1f}",
                _mean(row["bits_per_character"], 2),
            ]
        )
    head = ["attack", "passages a target or set", "ms a passage, median", "90 %", "texts embedded"]
    return table([*head, "LLM calls", "bits a character"], lines)


def _asked(llm: dict[str, Any]) -> str:
    lines = [
        [
            name,
            str(row["n_targets"]),
            f"{row['passages']:.1f}",
            full(row["calls"] or None, 2),
            f"{row['most']:.1f}",
            "-" if row["verified"] is None else f"{row['verified']:.2f} n={row['n_verified']}",
            f"{row['seconds'] * 1e3:.1f}",
        ]
        for name, row in llm.items()
    ]
    head = ["attack", "targets", "passages a target", "calls a passage", "most", "verified"]
    return (
        "No language model is here: a script behind a real server replies with the sentences of "
        "templates and verifies by the extractive reader. It shows what the attacks' loops cost, "
        "not what the texts of a language model achieve; a model that writes worse is asked more "
        "often.\n\n" + table([*head, "ms a passage besides the model"], lines)
    )


def _mean(found: dict[str, Any] | None, digits: int = 3) -> str:
    """As `full`; without an interval where there is none, as for one lot of few passages."""
    if found and found["low"] is None and found["value"] is not None:
        return f"{found['value']:.{digits}f} n={found['n']}"
    return full(found or None, digits)


def _details(none: dict[str, Any], run: dict[str, Any]) -> str:
    names = ["top5", "top10", "questions_hit", "attack_success", "accuracy", "less_fluent_than"]
    names += ["guard_recall", "guard_loss", "guarded_attack_success", "guarded_accuracy"]
    names += ["scan_recall", "scan_recall_in_budget", "scan_accused"]
    lines = []
    for label, found in {"none": none, **run}.items():
        for kind in _TITLES:
            if kind in found:
                cells = [_mean(found[kind].get(name)) for name in names]
                lines.append([label, kind, *cells])
    return table(["attack", "questions", *(name.replace("_", " ") for name in names)], lines)
