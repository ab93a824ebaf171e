"""Measures the guard: what it finds, what it costs, on what it was not fitted on.

Usage: python benchmarks/guard.py [--quick] [--only SECTION ...] [--keep JSON] [--out DIR]

Regimes: (a) ten really retrieved passages and 0, 1, 2 or 5 poisoned ones (a-short: the
same, clean passages cut to 28 words); (b) the labelled evidence and five poisoned ones;
(c) the top 10 of an honest store of 25,000 passages with poison planted (c20: the top
20); `lone` and `lone-near`: the evidence among nine passages that answer other
questions; `answers` and `faq`: stores of short passages that answer directly; `world`:
the bundled corpus.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import guard_heldout as heldout
from guard_adaptive import adaptive, searched_trials
from guard_answers import Answers
from guard_calibrated import (
    N_DRAWN,
    Drawn,
    drawn_rows,
    k_of,
    on_others,
    on_store,
    shield_of,
    stated_row,
)
from guard_cells import (
    Cells,
    attacked_cell,
    dataset_cell,
    evidence_only,
    family_cell,
    in_main_table,
    stripped,
)
from guard_data import Case, DevData, data_folder, embedder
from guard_defenders import baselines, latency, run
from guard_fit import Scored, scored
from guard_fresh import fresh, fresh_stores
from guard_langchain import overhead
from guard_limits import limits
from guard_load import load
from guard_models import Models, uncalibrated
from guard_report import details, markdown
from guard_store import honest_passages
from guard_timing import memory, ratios, speed
from guard_trials import Builder, HonestStore, Trial, all_trials

from ragshield.defenders.calibrated_shield import Shield
from ragshield.encoders import open_encoder
from ragshield.files import check_writable, writing

ROOT = Path(__file__).resolve().parents[1]
N_BETWEEN = 5
"""The adaptive attacker takes one question in so many: each search costs seconds."""

YES_NO = frozenset({"yes", "no", "true", "false"})
QUICK_SHARE = 10
"""--quick keeps one question in so many."""


class Bench:
    """What the sections share, each made when it is first needed."""

    def __init__(self, cache: Path, *, quick: bool) -> None:
        self.cache, self.quick = cache, quick
        self.data = DevData(data_folder())
        self.builder = Builder(embedder(cache))

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial whose attack knew nothing of the guard; with --quick of few questions."""
        found = all_trials(self.cache)
        if not self.quick:
            return found
        return [
            t for t in found if zlib.crc32(t.retrieval.question.encode()) // 2 % QUICK_SHARE == 0
        ]

    @cached_property
    def rows(self) -> list[Scored]:
        """The trials with their signals."""
        return scored(self.trials)

    @cached_property
    def models(self) -> Models:
        """Fits by what they have not seen."""
        return Models(self.rows)

    @cached_property
    def cells(self) -> Cells:
        """Measures by cell."""
        return Cells(Answers(self.data), self.trials)

    @property
    def cases(self) -> list[Case]:
        """The published questions; with --quick few of them."""
        return self.data.cases()[:: QUICK_SHARE if self.quick else 1]

    @cached_property
    def collections(self) -> dict[str, list[str]]:
        """The honest passages by where they come from."""
        return honest_passages(self.data)

    @cached_property
    def store(self) -> HonestStore:
        """The large honest store of regime c."""
        every = [text for texts in self.collections.values() for text in texts]
        return HonestStore(self.builder, every)

    @cached_property
    def shield(self) -> Shield:
        """A calibration as a user makes it, with the weights that ship."""
        encoder = open_encoder("minilm", cache=self.cache)
        return shield_of(self.store, encoder, n_questions=100 if self.quick else N_DRAWN)

    @cached_property
    def drawn(self) -> Drawn:
        """Questions drawn from the store, none of them tested, and what they retrieve."""
        asked = {trial.retrieval.question for trial in self.trials}
        n = 120 if self.quick else N_DRAWN
        regimes = {t.regime for t in self.trials if t.regime.startswith("c")}
        return {
            k_of(regime): drawn_rows(self.store, regime, n, asked, k=k_of(regime))
            for regime in sorted({"c", *regimes})
        }


def compared(bench: Bench) -> dict[str, Any]:
    """Every defence on PoisonedRAG and on nothing, and each signal by itself."""
    chosen = [row for row in bench.rows if in_main_table(row.trial)]
    trials = [row.trial for row in chosen]
    judged = {name: run(defender, trials) for name, defender in baselines().items()}
    by_dataset = list(bench.models.dataset_held_out(chosen))
    by_family = heldout.leave_one_family_out(bench.rows)
    both = list(bench.models.both_held_out(chosen))
    judged["fused, family held out"] = [
        *(x for x in by_family if in_main_table(x[0])),
        *(x for x in uncalibrated(by_dataset) if not x[0].family),
    ]
    judged["fused, dataset held out"] = uncalibrated(by_dataset)
    judged["fused, both held out"] = uncalibrated(both)
    judged["calibrated on the store, both held out"] = on_store(both, bench.drawn)[0]
    judged["calibrated on like questions, both held out"] = on_others(both, bench.rows)[0]
    alone = heldout.single_signals(bench.rows, in_main_table)
    timed = [t.retrieval for t in trials if t.regime == "c" and not t.family]
    return {
        "compared": {name: bench.cells.compared(found) for name, found in judged.items()},
        "alone": {name: bench.cells.compared(found) for name, found in alone.items()},
        "n_signals": len(alone),
        "latency": latency(timed[: 30 if bench.quick else 200], bench.shield),
    }


def families(bench: Bench) -> dict[str, Any]:
    """Each attack family judged by fits without it, its kin and (both) its dataset."""
    attacked = [row for row in bench.rows if row.trial.family]
    both = list(bench.models.both_held_out(attacked))
    judged = {
        "none": run(baselines()["none"], [row.trial for row in attacked]),
        "fused, family held out": heldout.leave_one_family_out(bench.rows),
        "fused, both held out": uncalibrated(both),
        "calibrated on the store": on_store(both, bench.drawn)[0],
    }
    return {
        "families": {name: bench.cells.families(found) for name, found in judged.items()},
        "stripped": bench.cells.grouped(stripped(bench.cache, bench.models), family_cell),
    }


def datasets(bench: Bench) -> dict[str, Any]:
    """Each dataset, attacked or honest, judged by a fit that never saw it; and one for all."""
    groups = list(bench.models.dataset_held_out(bench.rows))
    judged = uncalibrated(groups)
    by_others, stated_others = on_others(groups, bench.rows)
    by_store, stated_store = on_store(groups, bench.drawn)

    def honest(found: heldout.Judged) -> dict[str, Any]:
        clean = [x for x in found if not x[0].family]
        return bench.cells.grouped(clean, lambda t: f"{t.regime} / {t.dataset}")

    def said(stated: Any) -> dict[str, Any]:
        return {f"{r} / {d}": stated_row(*found) for (r, d), found in sorted(stated.items())}

    def evidence(found: heldout.Judged) -> dict[str, Any]:
        lone = [evidence_only(x) for x in found if x[0].evidence.any()]
        return {name: heldout.measured(group) for name, group in _by_cell(lone).items()}

    return {
        "clean": {
            "fused": honest(judged),
            "calibrated on the store": honest(by_store),
            "calibrated on like questions": honest(by_others),
        },
        "stated": {
            "calibrated on the store": said(stated_store),
            "calibrated on like questions": said(stated_others),
        },
        "evidence": {
            "fused": evidence(judged),
            "calibrated on like questions": evidence(by_others),
        },
        "datasets": bench.cells.grouped([x for x in judged if x[0].family], dataset_cell),
        "train_on_one": {
            name: bench.cells.grouped(
                [x for x in heldout.train_on_one(bench.rows, name) if not x[0].prefixed],
                lambda t: f"{t.regime} / {t.family or 'no attack'}",
            )
            for name in heldout.ATTACKED
        },
    }


def _by_cell(judged: heldout.Judged) -> dict[str, heldout.Judged]:
    found: dict[str, heldout.Judged] = {}
    for trial, dropped in judged:
        found.setdefault(attacked_cell(trial), []).append((trial, dropped))
    return dict(sorted(found.items()))


def searched(bench: Bench) -> dict[str, Any]:
    """Attacks searched against the guard."""
    encoder = open_encoder("minilm", cache=bench.cache)
    every = [c for c in bench.data.cases() if c.right and c.wrong.lower() not in YES_NO]
    cases = every[:: 40 if bench.quick else N_BETWEEN]
    attacked = list(searched_trials(bench.store, cases, encoder))
    found = adaptive(attacked, bench.models, bench.drawn, bench.cells.families)
    return {"adaptive": found}


def limits_section(bench: Bench) -> dict[str, Any]:
    """What no signal here sees."""
    return {"limits": limits(bench.cases, bench.store, bench.models, bench.drawn)}


def fresh_section(bench: Bench) -> dict[str, Any]:
    """The stated false-positive rate on stores of their own."""
    stores = fresh_stores(bench.data, bench.collections, quick=bench.quick)
    return {"fresh": fresh(stores, bench.builder, bench.models, quick=bench.quick)}


def speed_section(bench: Bench) -> dict[str, Any]:
    """Times, threads, asyncio and memory."""
    rows = speed(bench.trials, bench.shield, quick=bench.quick)
    return {
        "speed": rows,
        "ratios": ratios(rows),
        "memory": memory(bench.trials, quick=bench.quick),
        "load": load(bench.trials, quick=bench.quick),
    }


def langchain_section(bench: Bench) -> dict[str, Any]:
    """The overhead in a LangChain retriever over Chroma."""
    questions = [t.retrieval.question for t in bench.trials if t.regime == "c" and not t.family]
    # By hash, so that the questions of all sets are mixed; every fifth passage likewise.
    mixed = sorted(set(questions), key=lambda question: zlib.crc32(question.encode()))
    passages = bench.store.passages[::5]
    return {"langchain": overhead(bench.builder.vectors, passages, mixed, quick=bench.quick)}


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "compared": compared,
    "families": families,
    "datasets": datasets,
    "adaptive": searched,
    "limits": limits_section,
    "fresh": fresh_section,
    "speed": speed_section,
    "langchain": langchain_section,
}


def measure(
    bench: Bench, sections: list[str], kept: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """The results after each section: those asked for, in place of the same ones kept."""
    start = time.perf_counter()

    def tell(what: str) -> None:
        print(f"[{time.perf_counter() - start:5.0f} s] {what}", file=sys.stderr, flush=True)

    result = dict(kept or {})
    if sections:
        tell("building retrievals")
        result |= {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}",
            "quick": bench.quick,
            "n_retrievals": len(bench.trials),
            "n_passages": len(bench.store.passages),
        }
        tell(f"{len(bench.trials)} retrievals; measuring their signals")
        result["n_scored"] = len(bench.rows)
    for number, name in enumerate(sections, 1):
        tell(f"{number}/{len(sections)} {name}")
        result |= SECTIONS[name](bench)
        yield result
    tell("done")
    yield result


def as_json(result: dict[str, Any]) -> str:
    """Indented, but each innermost record on one line, numbers to six digits."""
    text = json.dumps(_rounded(result), indent=1)
    flat = re.sub(r"\{[^{}\[\]]*\}", lambda found: " ".join(found.group().split()), text)
    return flat + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder of guard.md, guard.json and details")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "guard-vectors.sqlite")
    parser.add_argument("--quick", action="store_true", help="few questions, under two minutes")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, help="sections to measure")
    parser.add_argument("--keep", type=Path, help="guard.json whose other sections are kept")
    args = parser.parse_args()
    # That k differs from the calibration's is what the table over k is for.
    logging.getLogger("ragshield").setLevel(logging.ERROR)
    # A quick or partial run must not replace the full one's committed results.
    full = not args.quick and (args.only is None or args.keep is not None)
    out = args.out or ROOT / ("benchmarks/results" if full else ".cache/guard-results")
    out.mkdir(parents=True, exist_ok=True)
    check_writable(out / "guard.json")
    kept = json.loads(args.keep.read_text(encoding="utf-8")) if args.keep else None
    sections = list(SECTIONS) if args.only is None else args.only
    result: dict[str, Any] = {}
    for result in measure(Bench(args.cache, quick=args.quick), sections, kept):
        # So that a section that fails after an hour does not take the others with it.
        with writing(args.cache.with_name("guard-unfinished.json")) as file:
            file.write(as_json(result))
    with writing(out / "guard.json") as file:
        file.write(as_json(result))
    with writing(out / "guard.md") as file:
        file.write(markdown(result))
    with writing(out / "guard_details.md") as file:
        file.write(details(result))
    print(f"wrote {out / 'guard.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
