"""Measures what a scan finds among 100,000 honest passages, beside other methods.

python benchmarks/scan_detection.py             the whole, about an hour on four shared cores
python benchmarks/scan_detection.py --quick     10,000 passages, a few families, two minutes
python benchmarks/scan_detection.py --sizes 20 200 --keep scan.json --again engine campaigns
    these draws, and what is named, anew; the rest from an earlier run over the same store
python benchmarks/scan_detection.py --findings folder
    keep the findings of each draw there, and go on with those that are there already
python benchmarks/scan_detection.py --findings folder --known earlier --anew same-length
    judge with this screen alone; what the others find is taken from an earlier folder
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pickle
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from guard_data import DevData, data_folder
from guard_store import honest_passages
from scan_data import embed_all, knowledge_base
from scan_detection_engine import whole_scan
from scan_detection_heldout import candidates, held_out, transferred
from scan_detection_measure import Judge, compact, ranked, ranked_alone
from scan_detection_poison import Family, disguised, draw, families, infected_carriers
from scan_detection_report import report
from scan_detection_tracing import campaigns_followed, traced
from scan_detection_world import Store, honest_store, planted
from scan_peers import MinHash, fit, peers

from ragshield.encoders.open import open_encoder
from ragshield.protocols import Encoder
from ragshield.ranking import Limit, fused, listed
from ragshield.records import Finding, Passage

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
RESULTS = ROOT / "benchmarks" / "results"
BUDGETS = (0.001, 0.002, 0.01)
SIZES = (20, 60, 200)
PEERS_AT = 60
OTHERS = ("engine", "campaigns", "tracing")
"""What is measured beside the draws."""
QUICK = ("poisonedrag + question", "gpt4", "hotflip, one", "BIPIA payloads", "edited number")


@dataclass(frozen=True)
class Draw:
    """What is planted at a time; `keys[i]` is the campaign of passage i."""

    family: str
    kind: str
    size: int
    passages: tuple[Passage, ...]
    keys: tuple[str, ...]
    peers: bool


@dataclass(frozen=True)
class World:
    """All that a draw is measured with; workers inherit it by fork."""

    store: Store
    encoder: Encoder
    judge: Judge
    methods: dict[str, Any]
    draws: list[Draw]
    families: list[Family]
    kept: Path | None
    known: Path | None = None
    anew: tuple[str, ...] = ()

    def findings(self, name: str, store: Store) -> dict[str, list[Finding]]:
        """What each screen finds in a store; from disk, if a run before found it."""
        name = f"{re.sub(r'[^a-z0-9]+', '-', name)}.pkl"
        file = None if self.kept is None else self.kept / name
        if file is not None and file.is_file():
            return _unpickled(file)
        before: dict[str, list[Finding]] = {}
        if self.known is not None and (self.known / name).is_file():
            before = _unpickled(self.known / name)
            before = {screen: fs for screen, fs in before.items() if screen not in self.anew}
        found = self.judge.findings(store, before)
        if file is not None:
            file.write_bytes(pickle.dumps(found))
        return found


def _unpickled(file: Path) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = pickle.loads(file.read_bytes())
    return found


_world: World | None = None


def draws_of(
    found: Sequence[Family], honest: Sequence[Passage], sizes: Sequence[int]
) -> list[Draw]:
    """Every family in every size; a family that has fewer is drawn whole, once."""
    out: list[Draw] = []
    for number, family in enumerate(found):
        most = sum(len(c.passages) for c in family.campaigns)
        for size in sizes if most > SIZES[0] else SIZES[:1]:
            rng = np.random.default_rng([size, number])
            chosen = draw(family, size, rng)
            split = family.name == "attack split-payload"
            passages = disguised(chosen, honest, rng, split=split)
            keys = tuple(c.key for c in chosen for _ in c.passages)
            peers_too = size == min(PEERS_AT, max(sizes)) or most <= size < PEERS_AT
            out.append(Draw(family.name, family.kind, size, tuple(passages), keys, peers_too))
            if size >= most:
                break
    return out


def measure(number: int) -> dict[str, Any]:
    """One draw: for each method how many of each campaign come within each budget."""
    assert _world is not None
    given = _world.draws[number]
    vectors = _world.encoder.encode([p.text for p in given.passages])
    store = planted(_world.store, given.passages, vectors)
    findings = _world.findings(f"{given.family} {given.kind} {given.size}", store)
    every = [f for found in findings.values() for f in found]
    fused_list = ranked(every, store)
    lists = {"ragshield": fused_list.ids}
    lists |= {f"screen {name}": ranked_alone(f, store).ids for name, f in findings.items()}
    if given.peers:
        for name, method in _world.methods.items():
            value = method(store)
            order = np.argsort(-value, kind="stable")[: int(0.02 * len(store))]
            lists[name] = tuple(store.all[i].id for i in order if value[i] > 0)
    place = dict(zip((p.id for p in given.passages), given.keys, strict=True))
    at_half = sum(s >= 0.5 for s in fused_list.suspicion)
    half = fused_list.ids[:at_half]
    return {
        **{k: v for k, v in asdict(given).items() if k in ("family", "kind", "size")},
        "n_planted": len(given.passages),
        "n_store": len(store),
        "peers": given.peers,
        "methods": {name: _found(ids, place, len(store)) for name, ids in lists.items()},
        "at_half": {"poisoned": sum(x in place for x in half), "listed": at_half},
        "findings": compact(every, place),
    }


def _found(ids: Sequence[str], place: dict[str, str], n: int) -> dict[str, Any]:
    sizes: dict[str, int] = {}
    for key in place.values():
        sizes[key] = sizes.get(key, 0) + 1
    out: dict[str, Any] = {"top_50": sum(x in place for x in ids[:50])}
    for budget in BUDGETS:
        hit = dict.fromkeys(sizes, 0)
        for name in ids[: int(budget * n + 1e-9)]:
            if name in place:
                hit[place[name]] += 1
        out[str(budget)] = [[hit[key], sizes[key]] for key in sizes]
    return out


def clean(store: Store, findings: Mapping[str, Sequence[Finding]]) -> dict[str, Any]:
    """How much of the honest store is listed."""
    found = [f for fs in findings.values() for f in fs]
    place = {p.id: i for i, p in enumerate(store.all)}
    ranking = fused(found, len(store), place.__getitem__)
    limits = {
        "threshold 0.5": Limit(0.5),
        **{f"alert budget {b:.1%}": Limit(None, alert_budget=b) for b in BUDGETS},
        **{f"rate {b:.1%}": Limit(None, false_positive_rate=b) for b in BUDGETS},
    }
    shown = {name: len(listed(ranking, len(store), limit)) for name, limit in limits.items()}
    by_screen = {
        name: [sum((f.suspicion or 0) >= t for f in fs) for t in (0.25, 0.5, 0.75)]
        for name, fs in findings.items()
    }
    first: dict[str, int] = {}
    for finding in ranking[: int(0.002 * len(store))]:
        first[finding.detector] = first.get(finding.detector, 0) + 1
    return {"listed": shown, "screens": by_screen, "first": first, "n": len(store)}


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def world_of(
    size: int,
    quick: bool,
    sizes: Sequence[int],
    *,
    with_peers: bool,
    folder: Path | None,
    known: tuple[Path | None, Sequence[str]] = (None, ()),
    only: Sequence[str] = (),
) -> World:
    """The store, the families and the draws, with everything fitted that is fitted once."""
    data = DevData(data_folder())
    encoder = open_encoder("minilm", cache=CACHE / "scan-vectors.sqlite")
    infected = {row["context"] for row in infected_carriers(data)}
    base = [p for p in knowledge_base(data) if p.text not in infected]
    if size < len(base):
        kept = np.sort(np.random.default_rng(7).choice(len(base), size, replace=False))
        base = [base[i] for i in kept]
    _tell(f"embedding {len(base):,} passages where the cache lacks them")
    vectors = embed_all([p.text for p in base], encoder.encode)
    _tell("comparing all pairs, once")
    store = honest_store(base, vectors, CACHE)
    have = {p.text for p in base}
    books = honest_passages(data, per_collection=10**9)
    spare = [t for t in books["gcide"] + books["wordnet"] if t not in have and len(t.split()) >= 20]
    found = families(data, encoder, base, spare[:4000])
    if quick:
        found = [family for family in found if family.name in QUICK]
    draws = [d for d in draws_of(found, base, sizes) if not only or d.family in only]
    _tell(f"embedding what is planted in {len(draws)} draws")
    encoder.encode(list(dict.fromkeys(p.text for d in draws for p in d.passages)))
    judge = Judge(store)
    methods: dict[str, Any] = {}
    if with_peers:
        _tell("fitting the other methods")
        methods = dict(peers(fit(store), MinHash([p.text for p in store.all])))
    return World(store, encoder, judge, methods, draws, found, folder, known[0], tuple(known[1]))


def _engine() -> dict[str, Any]:
    assert _world is not None
    return whole_scan(_world.store, _world.encoder, _world.judge, _world.families)


def _followed(n: int) -> list[dict[str, Any]]:
    assert _world is not None
    return campaigns_followed(_world.store, _world.encoder, _world.families, n=n)


def _traced(n: int) -> list[dict[str, Any]]:
    assert _world is not None
    return traced(_world.store, _world.encoder, DevData(data_folder()), n=n)


def measured(
    world: World, n_workers: int, others: Mapping[str, int]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every draw, the slow part, in processes that share the store; and what else takes long.

    `others`: names of `OTHERS`, with how many campaigns or questions each looks at.
    """
    global _world
    _world = world
    started = time.perf_counter()
    rows = []
    with multiprocessing.get_context("fork").Pool(n_workers) as pool:
        asked = {}
        if "engine" in others:
            asked["engine"] = pool.apply_async(_engine)
        if "campaigns" in others:
            asked["campaigns"] = pool.apply_async(_followed, (others["campaigns"],))
        if "tracing" in others:
            asked["tracing"] = pool.apply_async(_traced, (others["tracing"],))
        for n, row in enumerate(pool.imap(measure, range(len(world.draws))), start=1):
            spent = time.perf_counter() - started
            left = spent / n * (len(world.draws) - n)
            _tell(f"{n} of {len(world.draws)} draws, {left / 60:.0f} min left: {row['family']}")
            rows.append(row)
        return rows, {name: found.get() for name, found in asked.items()}


def merged(rows: Sequence[dict[str, Any]], earlier: dict[str, Any]) -> list[dict[str, Any]]:
    """These draws with what other methods found in them, and draws that were not made again.

    Raises:
        ValueError: the earlier run had another store.
    """
    known = {(r["family"], r["kind"], r["n_planted"]): r for r in earlier["draws"]}
    both = []
    for row in rows:
        before = known.get((row["family"], row["kind"], row["n_planted"]))
        if before is not None and before["n_store"] != row["n_store"]:
            raise ValueError(f"{row['family']}: the earlier run had another store")
        if before is not None and before["size"] != row["size"]:
            continue  # a family that is drawn whole, whatever is asked for
        if before is not None:
            row["methods"] = {**before["methods"], **row["methods"]}
            del known[row["family"], row["kind"], row["n_planted"]]
        both.append(row)
    both += known.values()
    order = list(dict.fromkeys((r["family"], r["kind"]) for r in [*earlier["draws"], *rows]))
    return sorted(both, key=lambda r: (order.index((r["family"], r["kind"])), r["size"]))


def _ranking(
    world: World,
    rows: Sequence[dict[str, Any]],
    honest: Mapping[str, Sequence[Finding]],
    given: argparse.Namespace,
) -> dict[str, Any]:
    """The ranking's constants, chosen anew and carried over."""
    _tell("choosing the constants again without each family")
    pool = multiprocessing.get_context("fork").Pool(given.workers)
    largest = max(row["size"] for row in rows)
    found = {
        "held_out": held_out(rows, candidates(quick=given.quick), pool.map),
        "halves": transferred(
            [row for row in rows if row["size"] == min(PEERS_AT, largest)],
            compact([f for fs in honest.values() for f in fs], {})["found"],
            [p.id for p in world.store.all],
            pool.map,
        ),
    }
    pool.terminate()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10,000 passages, a few families")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=None, help="numbers planted")
    parser.add_argument("--keep", type=Path, default=None, help="scan.json of an earlier run")
    parser.add_argument("--again", nargs="+", choices=OTHERS, default=(), help="beside --keep")
    parser.add_argument("--findings", type=Path, default=None, help="folder to keep them in")
    parser.add_argument("--known", type=Path, default=None, help="such a folder, of before")
    parser.add_argument("--anew", nargs="+", default=(), help="screens to judge with again")
    parser.add_argument("--only", nargs="+", default=(), help="families; beside --keep")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    started = time.perf_counter()
    earlier = None if given.keep is None else json.loads(given.keep.read_text(encoding="utf-8"))
    sizes = tuple(given.sizes or ((20,) if given.quick else SIZES))
    world = world_of(
        10_000 if given.quick else 100_000,
        given.quick,
        sizes,
        with_peers=earlier is None,
        folder=given.findings,
        known=(given.known, given.anew),
        only=given.only,
    )
    if given.findings is not None:
        given.findings.mkdir(parents=True, exist_ok=True)
    honest = world.findings("honest", world.store)
    numbers = {"engine": 1, "campaigns": 4, "tracing": 10}
    if not given.quick:
        numbers = {"engine": 1, "campaigns": 12, "tracing": 50}
    if earlier is not None:
        numbers = {name: numbers[name] for name in given.again}
    rows, others = measured(world, given.workers, numbers)
    ranking = _ranking(world, rows, honest, given) if earlier is None or 60 in sizes else {}
    for row in rows:
        del row["findings"], row["peers"]
    result = {
        **(earlier or {}),
        "n_honest": len(world.store),
        "n_cores": os.cpu_count(),
        "seconds": round(time.perf_counter() - started),
        "load": os.getloadavg()[2],
        "kept": None
        if earlier is None
        else {"sizes": sizes, "again": given.again, "anew": given.anew, "only": given.only},
        "clean": clean(world.store, honest),
        "draws": rows if earlier is None else merged(rows, earlier),
        **ranking,
        **others,
    }
    out = given.out or (CACHE / "scan-quick" if given.quick else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    (out / "scan.json").write_text(json.dumps(result) + "\n", encoding="utf-8")
    (out / "scan.md").write_text(report(result), encoding="utf-8")
    _tell(f"written: {out / 'scan.md'}")


if __name__ == "__main__":
    main()
