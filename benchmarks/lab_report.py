"""What `benchmarks/lab.py` measured, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attacks_fluency import mean_interval
from lab_curve import PUBLISHED, as_json
from lab_search import PAPER, RANDOM

_MEMORIES = {
    "against": "knows the truth: memory against the poison",
    "none": "knows nothing",
    "for": "knows what the poison says: memory for the poison, the passages newer",
}


def markdown(found: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = [
        "# The lab's language model under attack",
        f"`{found['command']}` on weights `{found['weights'][:12]}` (SHA-256), "
        f"{found['threads']} thread(s), {found['seconds']:.0f} s. Intervals are 95 %: Wilson for "
        "shares, bootstrap over targets for means. The model and what it does without attack: "
        "`ragshield/lab/weights/card.md`. It has a few million parameters and one invented world: "
        "compare the shape of an effect with large models, not its height.",
        _curve(found["curves"]),
        _searches(found["searches"], found["search_settings"]),
        _phantom(found["phantom"]),
        _garag(found["garag"]),
        _times(found["times"]),
    ]
    return "\n\n".join(parts) + "\n"


def _curve(curves: Mapping[str, Any]) -> str:
    rows = ["| poisoned of 5 | published |" + "".join(f" {m} |" for m in curves)]
    rows.append("|---|---|" + "---|" * len(curves))
    for j in range(6):
        published = f"{PUBLISHED[j - 1]:.2f}" if j else ""
        cells = [_interval(curve["points"][j]["success"]) for curve in curves.values()]
        rows.append(f"| {j} | {published} | " + " | ".join(cells) + " |")
    right = [
        f"| {j} | " + " | ".join(_interval(c["points"][j]["right"]) for c in curves.values()) + " |"
        for j in range(6)
    ]
    shapes = [_shape(name, curve) for name, curve in curves.items()]
    return "\n".join(
        [
            "## How many of five passages have to be poisoned",
            "",
            "Attack success by what the model knows by heart, checked by asking "
            "it without passages. "
            "Clean passages are about the subject, the first states the answer "
            "and about half of the "
            "others do; poison is PoisonedRAG's (black box, templates, the "
            "question in front); order "
            "at random.",
            "",
            *rows,
            "",
            *(f"- `{name}` (n = {c['n']}): {_MEMORIES[name]}." for name, c in curves.items()),
            "",
            "Published: PoisonedRAG (arXiv 2402.07867), natural questions, black "
            "box, 1 to 5 poisoned "
            "of 5 passages. The model of that curve is not stated in our "
            "reference; for Llama-2-7B it "
            "gives .97 with five poisoned passages in the store.",
            "",
            *shapes,
            "",
            "Right answers:",
            "",
            "| poisoned of 5 |" + "".join(f" {m} |" for m in curves),
            "|---|" + "---|" * len(curves),
            *right,
        ]
    )


def _shape(name: str, curve: Mapping[str, Any]) -> str:
    if curve["correlation"] is None:
        return f"- Shape, `{name}`: flat; nothing to compare."
    rises = "never falls" if curve["rises"] else "falls once or more"
    return (
        f"- Shape, `{name}`: it {rises} from 1 to 5; correlation with the published curve "
        f"{curve['correlation']:.2f}; each divided by its value at five, they are at most "
        f"{curve['largest_gap']:.2f} apart."
    )


def _searches(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    drawn = found["PoisonedRAG"]
    rows = [
        "| what guides the search | POSR before | POSR after | gain | over chance | overwritten |"
        " texts judged | puts what works first (AUC) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    chance = [row["last"] for row in found["chance"]]
    for name, lines in found.items():
        if name in ("PoisonedRAG", "undone", "random by answer"):
            continue
        last = [line["last"] for line in lines]
        first = [line["first"] for line in lines]
        auc = [line["sorted"] for line in lines if line.get("sorted") is not None]
        rows.append(
            f"| {name} | {_mean(first)} | {_mean(last)} | {_mean_of(last, first)} | "
            f"{'' if name == 'chance' else _mean_of(last, chance)} | "
            f"{_interval(as_json(int(sum(line['any'] for line in lines)), len(lines)))} | "
            f"{sum(line['n_judged'] for line in lines) / len(lines):.0f} | "
            f"{f'{_mean(auc)} (n = {len(auc)})' if auc else ''} |"
        )
    rows.append(
        f"| PoisonedRAG: templates, bred without choosing | {_mean([r['first'] for r in drawn])} | "
        f"{_mean([r['last'] for r in drawn])} | "
        f"{_mean_of([r['last'] for r in drawn], [r['first'] for r in drawn])} | "
        f"{_mean_of([r['last'] for r in drawn], chance)} | "
        f"{_interval(as_json(int(sum(r['any'] for r in drawn)), len(drawn)))} | "
        f"{sum(r['n_judged'] for r in drawn) / len(drawn):.0f} | |"
    )
    kept = [row["kept"] for row in drawn]
    return "\n".join(
        [
            "## NeuroGenPoisoning",
            "",
            f"{settings['n_targets']} questions that the model answers rightly by heart (of "
            f"{settings['n_asked']} asked), each poisoned against its memory; the text alone is "
            "the context. POSR is the share of a population of "
            f"{settings['population']} that makes "
            f"the model give the wrong answer; {settings['n_generations']} "
            "generations from the same "
            f"first population, PoisonedRAG's templates bred up. r = 10 neurons of 3,072.",
            "",
            *rows,
            "",
            f"PoisonedRAG that asks the model about as many texts and keeps those that work fills "
            f"{_mean(kept)} of a population: where success can be seen, trying again is the bar.",
            "",
            *_ablation(found),
            "",
            *_reuse(found),
            "",
            "Published (Llama-2-7B-chat, population 100, 10 generations): POSR "
            ".41 to .94 on SQuAD, "
            "PoisonedRAG .51, a similarity-guided search .40 to .50.",
        ]
    )


def _ablation(found: Mapping[str, Any]) -> list[str]:
    lines = ["### Are poison-responsive neurons better than random ones?", ""]
    own, other = found[PAPER], found[RANDOM]
    gain = _mean_of([r["last"] for r in own], [r["last"] for r in other])
    lines.append(f"- As a guide, by output: POSR over that of 10 random neurons {gain}.")
    for kind, first, second in (
        ("output", own, other),
        ("answer", found["neurons, by answer"], found["random by answer"]),
    ):
        pairs = [
            (a["sorted"], b["sorted"])
            for a, b in zip(first, second, strict=True)
            if a["sorted"] is not None and b["sorted"] is not None
        ]
        if pairs:
            lines.append(
                f"- At putting the first population's texts that work before those that do not, by "
                f"{kind}: AUC over that of 10 random neurons "
                f"{_mean_of([a for a, _ in pairs], [b for _, b in pairs])} (n = {len(pairs)} "
                "targets that have both)."
            )
    names = list(found["undone"][0])
    effects = {name: [row[name] for row in found["undone"]] for name in names}
    lines += [
        "- Put back to what they are without the passage, 10 neurons take from the wrong answer's "
        "lead over the right one, in nats: "
        + "; ".join(f"{name} {_mean(values)}" for name, values in effects.items())
        + f". Over random: by output {_mean_of(effects[names[0]], effects[names[2]])}, by answer "
        f"{_mean_of(effects[names[1]], effects[names[2]])}.",
    ]
    return lines


def _reuse(found: Mapping[str, Any]) -> list[str]:
    lines = ["### Does it help to breed from texts that failed?", ""]
    usual = [row["last"] for row in found[PAPER]]
    for name in ("the best one only", "all"):
        other = [row["last"] for row in found[f"{PAPER}; reused: {name}"]]
        lines.append(
            f"- {PAPER}: POSR with the better half of the failures over {name}: "
            f"{_mean_of(usual, other)}."
        )
    return lines


def _phantom(rows: Sequence[Mapping[str, Any]]) -> str:
    n = len(rows)
    return "\n".join(
        [
            "## Phantom's generator part",
            "",
            f"{n} of the same questions; a planted command to give the wrong "
            "answer, alone and with a "
            "trigger of 12 tokens searched by multi-coordinate gradient.",
            "",
            "| passage | obeyed |",
            "|---|---|",
            f"| command alone | {_count(rows, 'bare')} |",
            f"| command with its trigger | {_count(rows, 'triggered')} |",
            "",
            f"Cross-entropy of the commanded answer, first trigger "
            f"{_mean([r['entropy_first'] for r in rows])}, last "
            f"{_mean([r['entropy_last'] for r in rows])}, fall "
            f"{_mean_of([r['entropy_first'] for r in rows], [r['entropy_last'] for r in rows])}; "
            f"{sum(r['n_steps'] for r in rows) / n:.0f} steps and "
            f"{sum(r['n_forward'] for r in rows) / n:.0f} rows through the model "
            "each (it stops when "
            "the model obeys).",
        ]
    )


def _garag(rows: Sequence[Mapping[str, Any]]) -> str:
    n = len(rows)
    return "\n".join(
        [
            "## GARAG's answer probability",
            "",
            f"{n} true passages that the model reads rightly, about subjects that "
            "it does not know. "
            "GPR is the right answer's probability after the errors over that "
            "before; below 1 = met. "
            "The answer itself is never misspelt.",
            "",
            "| errors | wrong answer | GPR, geometric mean |",
            "|---|---|---|",
            f"| none | {_count(rows, 'before')} | 1 |",
            f"| as many words, drawn blindly | {_count(rows, 'blind')} | "
            f"{_geometric([r['blind_gpr'] for r in rows])} |",
            f"| bred | {_count(rows, 'bred')} | {_geometric([r['gpr'] for r in rows])} |",
            "",
            f"Both objectives met for "
            f"{_interval(as_json(sum(r['gpr'] < 1 and r['rsr'] < 1 for r in rows), n))}; "
            f"{sum(r['n_words'] for r in rows) / n:.1f} words misspelt and "
            f"{sum(r['n_judged'] for r in rows) / n:.0f} variants judged each.",
        ]
    )


def _times(found: Mapping[str, Any]) -> str:
    def told(name: str) -> str:
        low, median, high = found[name]
        return f"median {median:.0f} ms, {low:.0f} to {high:.0f} ms"

    return "\n".join(
        [
            "## Time",
            "",
            f"One answer from five passages ({found['median_tokens']:.0f} tokens), one core, n = "
            f"{found['n']}, between the tenth and the ninetieth percentile: of the processor "
            f"{told('processor_ms')}; of the clock, with whatever else ran on the machine, "
            f"{told('clock_ms')}.",
        ]
    )


def _count(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    return _interval(as_json(sum(bool(row[name]) for row in rows), len(rows)))


def _geometric(values: Sequence[float]) -> str:
    import math

    logs = mean_interval([[math.log(max(v, 1e-12))] for v in values])
    return _three({key: math.exp(logs[key]) for key in ("value", "low", "high")})


def _mean(values: Sequence[float]) -> str:
    return _three(mean_interval([[v] for v in values])) if values else ""


def _mean_of(first: Sequence[float], second: Sequence[float]) -> str:
    """Mean difference, target by target."""
    return _mean([a - b for a, b in zip(first, second, strict=True)])


def _interval(found: Mapping[str, Any]) -> str:
    return "" if found["value"] is None else _three(found)


def _three(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
