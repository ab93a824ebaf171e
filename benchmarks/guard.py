"""Measures the guard: what it finds, what it costs, on what it was not fitted on.

Usage: python benchmarks/guard.py [--out benchmarks/results] [--cache FILE]

Regimes: (a) ten really retrieved passages and 0, 1, 2 or 5 poisoned ones (a-short: the
same, clean passages cut to 28 words); (b) the labelled evidence and five poisoned ones;
(c) the top 10 of an honest store of 25,000 passages with poison planted; `lone` and
`lone-near`: the evidence among nine passages that answer other questions; `answers` and
`faq`: stores of short passages that answer directly; `world`: the bundled corpus.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import guard_heldout as heldout
import numpy as np
from guard_data import DevData, data_folder, embedder
from guard_families import poison_texts, without_markup
from guard_fit import Scored, fit, scored
from guard_report import markdown
from guard_timing import timing
from guard_trials import DOSES, Builder, Trial, all_trials

from ragshield.defenders.none import NoDefence
from ragshield.defenders.ragdefender import RAGDefender
from ragshield.files import check_writable, writing
from ragshield.protocols import Defender

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "guard-vectors.sqlite")
    args = parser.parse_args()
    check_writable(args.out / "guard.json")
    result = measure(args.cache)
    with writing(args.out / "guard.json") as file:
        json.dump(result, file, indent=1)
    with writing(args.out / "guard.md") as file:
        file.write(markdown(result))


def measure(cache: Path) -> dict[str, Any]:
    """Every table of the report."""
    trials = all_trials(cache)
    rows = scored(trials)
    by_family = heldout.leave_one_family_out(rows)
    by_dataset = heldout.leave_one_dataset_out(rows)
    published = [t for t in trials if t.family in ("", "poisonedrag") and t.regime in "abc"]
    baselines: dict[str, Defender] = {
        "none": NoDefence(),
        **{
            f"ragdefender {mode} {hop}": RAGDefender(mode, hop)
            for mode in ("paper", "released")
            for hop in ("single", "multi")
        },
    }
    compared = {name: _run(d, published) for name, d in baselines.items()}
    compared["fused, family held out"] = [
        *(x for x in by_family if x[0].family == "poisonedrag" and x[0].regime in "abc"),
        *(x for x in by_dataset if not x[0].family and x[0].regime in "abc"),
    ]
    compared["fused, dataset held out"] = [
        x for x in by_dataset if x[0].family in ("", "poisonedrag") and x[0].regime in "abc"
    ]
    alone = heldout.single_signals(
        rows, lambda t: t.family in ("", "poisonedrag") and t.regime in "abc"
    )
    compared |= {f"signal {name}": judged for name, judged in alone.items()}
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "n_retrievals": len(trials),
        "n_signals": len(alone),
        "compared": {name: _cells(judged) for name, judged in compared.items()},
        "clean": _grouped(
            [x for x in by_dataset if not x[0].family], lambda t: f"{t.regime} / {t.dataset}"
        ),
        "evidence": _grouped(
            [_evidence_only(x) for x in by_dataset if x[0].evidence.any()],
            lambda t: f"{t.regime} / {t.dataset} / {_attacked(t)}",
        ),
        "families": _grouped(by_family, _family_cell),
        "datasets": _grouped([x for x in by_dataset if x[0].family], _dataset_cell),
        "train_on_one": {
            d: _grouped(
                [x for x in heldout.train_on_one(rows, d) if not x[0].prefixed],
                lambda t: f"{t.regime} / {t.family or 'no attack'}",
            )
            for d in heldout.ATTACKED
        },
        "stripped": _stripped(cache, rows),
        "timing": timing(trials),
    }


def _run(defender: Defender, trials: Sequence[Trial]) -> heldout.Judged:
    out: heldout.Judged = []
    for trial in trials:
        kept = set(defender.inspect(trial.retrieval).kept_ids)
        out.append((trial, np.array([hit.id not in kept for hit in trial.retrieval.hits])))
    return out


def _cells(judged: Iterable[tuple[Trial, Any]]) -> dict[str, Any]:
    return _grouped(
        judged,
        lambda t: (
            f"{t.regime}{t.n_poison if t.family else 0}{'+q' if t.prefixed else ''}"
            if t.regime != "b" or t.family
            else "b0"
        ),
    )


def _grouped(judged: Iterable[tuple[Trial, Any]], key: Any) -> dict[str, Any]:
    groups: dict[str, heldout.Judged] = defaultdict(list)
    for trial, dropped in judged:
        groups[key(trial)].append((trial, dropped))
    return {name: heldout.measured(group) for name, group in sorted(groups.items())}


def _evidence_only(judged: tuple[Trial, Any]) -> tuple[Trial, Any]:
    """What was dropped of the evidence and of the poison, the other passages left out."""
    trial, dropped = judged
    seen = trial.evidence | trial.poisoned
    return replace(trial, poisoned=trial.poisoned[seen]), dropped[seen]


def _attacked(trial: Trial) -> str:
    if not trial.family:
        return "no attack"
    return f"{trial.family}{' with question' if trial.prefixed else ''} / {trial.n_poison}"


def _family_cell(trial: Trial) -> str:
    prefix = " with question" if trial.prefixed else ""
    dose = "5" if trial.regime == "b" else str(trial.n_poison)
    return f"{trial.family}{prefix} / {trial.regime} / {dose}"


def _dataset_cell(trial: Trial) -> str:
    prefix = "with question" if trial.prefixed else "text alone"
    return f"{trial.dataset} / {trial.regime} / {trial.family} / {prefix}"


def _stripped(cache: Path, rows: Sequence[Scored]) -> dict[str, Any]:
    """(a) again with quotes and Markdown taken from the poison: label caveat 5."""
    builder = Builder(embedder(cache))
    plain: list[Trial] = []
    for case in DevData(data_folder()).cases():
        for family in ("poisonedrag", "gpt4", "blind"):
            bad = [without_markup(t) for t in poison_texts(case, family)]
            plain += [
                builder.trial("a", case, family, case.contexts, bad[:n])
                for n in DOSES
                if case.contexts and len(bad) >= n
            ]
    tested = scored(plain)
    judged: heldout.Judged = []
    for family in ("poisonedrag", "gpt4", "blind"):
        kin = next(k for k in heldout.KIN if family in k)
        for half in (0, 1):
            model = fit(
                [r for r in rows if r.trial.family not in kin and heldout.fold(r.trial) != half],
                budgets=(0.01,),
            )
            judged += [
                (r.trial, model.dropped(r))
                for r in tested
                if r.trial.family == family and heldout.fold(r.trial) == half
            ]
    return _grouped(judged, _family_cell)


if __name__ == "__main__":
    main()
