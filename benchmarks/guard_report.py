"""The results of guard.py as Markdown."""

from __future__ import annotations

from typing import Any

BELOW = """\
The targets are clean loss of at most 0.01 in every dataset and recall of at least 0.95.

- **Fluent poison without the question** (poisonedrag, gpt4, the templates, counterfact): short of
  the target at every dose, most of all alone or in the majority (b). Alone, it often has the
  highest sum of its retrieval, but an honest passage that answers in the question's words looks
  the same, so the threshold lies above many of them.
  Needed: a threshold calibrated on the store itself, a second encoder, or a reader that compares
  the claims. In (b) nothing but the poison itself shows what is usual.
- **blind**: untargeted text that reads like a document on the topic; nothing marks it. With the
  question before it, it is found.
- **injection** (BIPIA): harmless requests in tables and e-mails. What speaks to the model is found
  (pia, hijack); a sentence such as a plain question or task is a document's own kind of text.
  Needed: a model that knows who is addressed.
- **garag, hotflip**: found where common words are misspelt or no function word occurs for long;
  lightly perturbed texts pass. With the family left out of the fit its alarm has little or no
  weight, so those rows are a lower limit. Needed: a language model.
- **Evidence that stands alone** (lone): where one passage answers and all others are about
  something else, it is nearest for the best of reasons and looks as a lone poisoned passage does.
  With its dataset held out it is lost in 2 % (hotpotqa), 10 % (nq) and 22 % (msmarco) of the cases
  without any attack, more beside poison. The threshold is a compromise between this and the row
  above; a store like that, small and about many things, needs its own (`ragshield calibrate`).
- **Clean loss above 0.01** otherwise: `dusk` (five documents that repeat each fact in answer to the
  question: an honest campaign) and an FAQ asked in its own words.
- A changed number, date or name in an otherwise true passage is outside what these signals see.

**Held out is not unseen.** Weights and thresholds are fitted without what they are measured on; the
choice of signals, their wordings (the "emphasis" patterns were written after reading texts that had
been missed), the caps and the group rule was made looking at all of this data. The templated
families (corruptrag, pia, hijack, blocker, authority, hidden) and the patterns that catch them have
one author. Expect less on attacks and stores of another make."""

REGIMES = ("a0", "a1", "a2", "a5", "b0", "b5", "c0", "c1", "c2", "c5")


def _published(table: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in table.items() if "no attack" in k or "poisonedrag" in k}


def markdown(result: dict[str, Any]) -> str:
    """The whole report."""
    compared = result["compared"]
    parts = [
        "# The guard, measured",
        f"Made by `python benchmarks/guard.py` ({result['machine']}; {result['n_retrievals']} "
        "retrievals, vectors of all-MiniLM-L6-v2). Every number of `fused` comes from a fit that "
        "never saw what it is measured on. Shares with 95 % intervals clustered by question; n "
        "counts passages (recall, loss) or retrievals (exact).",
        "Regimes: **a** ten retrieved passages (a-short: cut to 28 words) and poison added; **b** "
        "labelled evidence and five poisoned passages, the poison in the majority; **c** top 10 of "
        "an honest store of 25,649 passages with poison planted (what was not retrieved is not "
        "counted); **lone**, **lone-near** the evidence among nine passages that answer other "
        "questions, at random or the nearest, as in a small store; **answers**, **faq**, **world** "
        "stores of short passages that answer directly. "
        "The number after a regime is the poisoned passages offered.",
        "## Where it stays below its targets",
        BELOW,
        "## Beside other defences: PoisonedRAG, the text alone",
        "Cells: poison recall / clean loss / exact. In a0, b0, c0 nothing is poisoned: clean loss.",
        _compared({n: c for n, c in compared.items() if not n.startswith("signal ")}, ""),
        "## The same with the question put before the text",
        _compared({n: c for n, c in compared.items() if not n.startswith("signal ")}, "+q"),
        "## Each signal alone",
        "Threshold by the same rule as the fused one, on the other half of the questions.",
        _compared({n: c for n, c in compared.items() if n.startswith("signal ")}, ""),
        "## Clean loss where nothing is poisoned, dataset held out",
        _rates(result["clean"], ("loss", "exact")),
        "## The evidence itself, alone among other topics, dataset held out",
        "Loss counts the labelled evidence only: where it is lost, so is the answer.",
        _rates(_published(result["evidence"]), ("recall", "loss", "exact")),
        "## By attack family, family and its kin held out",
        _rates(result["families"], ("recall", "loss", "exact")),
        "## By dataset, dataset held out",
        _rates(result["datasets"], ("recall", "loss", "exact")),
    ]
    for dataset, table in result["train_on_one"].items():
        parts += [
            f"## Fitted on {dataset} and the honest-only sets, tested on the other two",
            _rates(table, ("recall", "loss", "exact")),
        ]
    parts += [
        "## Quotes and Markdown taken from the poison (regime a)",
        _rates(result["stripped"], ("recall", "loss", "exact")),
        "## Time for one judgement, milliseconds",
        _table(
            ["defender", "k", "median", "95th percentile"],
            [
                [t["defender"], str(t["k"]), f"{t['median_ms']:.2f}", f"{t['p95_ms']:.2f}"]
                for t in result["timing"]
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _compared(rows: dict[str, Any], suffix: str) -> str:
    lines = []
    for name, cells in rows.items():
        line = [name]
        for regime in REGIMES:
            cell = cells.get(regime if regime.endswith("0") else regime + suffix)
            if cell is None:
                line.append("-")
            elif regime.endswith("0"):
                line.append(_number(cell["loss"], 3))
            else:
                line.append(
                    f"{_number(cell['recall'])} / {_number(cell['loss'], 3)} / "
                    f"{_number(cell['exact'])}"
                )
        lines.append(line)
    return _table(["defender", *(r + (suffix if r[-1] != "0" else "") for r in REGIMES)], lines)


def _rates(table: dict[str, Any], metrics: tuple[str, ...]) -> str:
    lines = []
    for name, cell in table.items():
        line = [name]
        for metric in metrics:
            rate = cell[metric]
            if rate["value"] is None:
                line.append("-")
            else:
                line.append(
                    f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] n={rate['n']}"
                )
        lines.append(line)
    return _table(["set", *metrics], lines)


def _number(rate: dict[str, Any], digits: int = 2) -> str:
    return "-" if rate["value"] is None else f"{rate['value']:.{digits}f}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
