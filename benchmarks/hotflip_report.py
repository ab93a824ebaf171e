"""The results of `hotflip.py` as a page."""

from __future__ import annotations

from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """The whole page; sections that were not run are left out."""
    about = results["about"]
    lines = [
        "# Attacks with the retriever's gradients",
        "",
        f"`python benchmarks/hotflip.py` on all-MiniLM-L6-v2, seed {about['seed']}, torch "
        f"{about['torch']}. Questions: {about['n_seen']} that the attacker has seen, "
        f"{about['n_unseen']} it has not; golden passages of the development data. "
        "Intervals are 95 %: Wilson for shares, bootstrap over questions for means.",
        "",
    ]
    for name, section in (
        ("pace", _pace),
        ("white_box", _white),
        ("corpus", _corpus),
        ("triggers", _triggers),
    ):
        if name in results:
            lines += [*section(results[name]), _cost(results[name]), ""]
    return "\n".join(lines)


def _cost(found: dict[str, Any]) -> str:
    earlier = (
        " Kept from an earlier run, by the engine as it then was." if found.get("kept") else ""
    )
    return (
        f"({found['seconds']:.0f} s with {found['threads']} threads on a shared machine.{earlier})"
    )


def _number(found: dict[str, Any], digits: int = 3) -> str:
    value, low, high = (f"{found[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{value} [{low}, {high}]"


def _pace(found: dict[str, Any]) -> list[str]:
    each, faster, runs = found["ms each"], found["faster"], found["searches"]
    clock = "of the processor" if found["threads"] == 1 else "on the clock"
    names = {
        "one": "one at a time, the encoder's own call",
        "exact": "batches, exact",
        "rough": "batches in bfloat16, the best four exact",
        "swapped": "the token replaced in what was computed before, the best four exact",
    }
    return [
        "## Batches against one candidate at a time",
        "",
        f"Milliseconds {clock} for each candidate, median over blocks of 100, all ways in turns "
        f"in each block; how many times faster is the mean over {faster['one']['n']} blocks. The "
        "last way is what the engine does.",
        "",
        "| way | ms | times faster |",
        "|---|---|---|",
        *(
            f"| {text} | {each[name]:.2f} | {_number(faster[name], 2)} |"
            for name, text in names.items()
        ),
        "",
        f"Whole searches, {runs['n']} questions, {runs['budget']} evaluations each, same seed: "
        f"{runs['one_s']:.1f} s one at a time, similarity {_number(runs['one'])}; "
        f"{runs['batched_s']:.1f} s in batches, similarity {_number(runs['batched'])} "
        f"(higher by {_number(runs['rise'])}): "
        f"{runs['one_s'] / runs['batched_s']:.1f} times faster.",
        "",
    ]


def _white(found: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {_number(value)} | "
        + (_number(found["beats gold"][name]) if name in found["beats gold"] else "")
        + " |"
        for name, value in found["similarity"].items()
    ]
    return [
        "## PoisonedRAG, white box",
        "",
        f"{found['n']} questions, the first published text of each behind; {found['budget']} "
        "evaluations for the white box and for the genetic search with scores alone.",
        "",
        "| text | similarity to the question | beats the best golden passage |",
        "|---|---|---|",
        *rows,
        "",
        f"White box over black box: {_number(found['rise over the black box'])}, raised for "
        f"{_number(found['raised'])} of the questions. Over scores alone at equal evaluations: "
        f"{_number(found['rise over scores alone'])}.",
        "",
        "Published (Contriever, dot product, 30 steps of 100 candidates): retrieval F1 from .96 to "
        "1.0 (NQ), 1.0 to 1.0 (HotpotQA), .89 to .94 (MS MARCO): the same direction. Another "
        "encoder, cosine, and fewer evaluations here; ours never puts in broken words.",
        "",
    ]


def _corpus(found: dict[str, Any]) -> list[str]:
    rows = []
    for name, cells in found["passages"].items():
        for label in ("seen", "unseen"):
            cell = cells[label]
            rows.append(
                f"| {name} | {cells['budget']} | {label} | {_number(cell['similarity'])} "
                f"| {_number(cell['beats gold'])} | {_number(cell['in the top 20'])} |"
            )
    return [
        "## Corpus poisoning and the centroid passage",
        "",
        f"Against the golden passages themselves, and among all {found['n_store']} of them.",
        "",
        "| poison | evaluations each | questions | best similarity | beats gold | in the top 20 |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "Published (Zhong et al.): one passage fools more than 75 % of NQ and MS MARCO questions "
        "on Contriever, ten more than 90 %; 500 passages push DPR and ANCE above 50 %. Those are "
        "dot products, which a long vector wins by itself; a cosine leaves only direction, and "
        "MiniLM was trained with many negatives. There, 5,000 steps of 100 candidates and "
        "thousands of questions; here, the evaluations and questions stated above.",
        "",
    ]


def _triggers(found: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {_number(cells['with, top 1'])} | {_number(cells['with, top 5'])} "
        f"| {_number(cells['with, top 10'])} | {_number(cells['without, top 5'])} "
        f"| {_number(cells['without, top 10'])} |"
        for name, cells in found["attacks"].items()
    ]
    return [
        "## Triggers",
        "",
        f"Unseen questions with the trigger and without, {found['n_store']} golden passages, "
        f"{found['budget']} evaluations for each passage or trigger. AgentPoison's trigger is its "
        "own finding, and its record holds another question with it.",
        "",
        "| attack | with: top 1 | top 5 | top 10 | without: top 5 | top 10 |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "Published: BadRAG, 98.2 % of triggered and 0.15 % of clean questions with 10 passages "
        "(Contriever); AgentPoison 81.2 % retrieval success. Other encoders and stores; one or "
        "two passages here, against the golden passage of each question.",
        "",
    ]
