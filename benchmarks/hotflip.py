"""Measures the attacks that use the retriever's gradients or scores: faithful to the papers? fast?

Usage: python benchmarks/hotflip.py [--quick] [--threads 4] [--only SECTION ...]
           [--keep JSON] [--out DIR]

The encoder is the real all-MiniLM-L6-v2; questions and passages are the development data's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from guard_data import DevData, data_folder
from hotflip_report import markdown

from ragshield import registry
from ragshield.attacks.crafted import generation_text
from ragshield.attacks.hotflip import Search, hotflip, replaced
from ragshield.attacks.objectives import Contrast
from ragshield.attacks.question_sets import with_trigger
from ragshield.attacks.white_box import WhiteBox
from ragshield.encoders import open_encoder
from ragshield.files import check_writable, writing
from ragshield.intervals import rate
from ragshield.records import Passage, Question, Spec, Target, Vectors

ROOT = Path(__file__).resolve().parents[1]
SEED = 7
TRIGGER = "iphone"
TOPIC = ("smartphone", "mobile phone", "handset")


class Sizes(NamedTuple):
    """How much is measured."""

    n_white: int = 15
    white_budget: int = 600
    n_pace: int = 5
    pace_budget: int = 400
    n_blocks: int = 10
    corpus: tuple[tuple[int, int], ...] = ((1, 4000), (5, 1500))
    trigger_budget: int = 2000
    centroid_budget: int = 2000


QUICK = Sizes(3, 120, 1, 100, 1, ((1, 150),), 150, 150)


class Bench:
    """The encoder, the data, and a section for each claim."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.encoder = open_encoder("minilm")
        data = DevData(data_folder())
        cases = {c.question: c for c in [*data.cases(), *data.optimised_cases()] if c.golden}
        self.cases = [cases[q] for q in sorted(cases)]
        rng = np.random.default_rng(SEED)
        order = rng.permutation(len(self.cases)).tolist()
        half = len(order) // 2
        self.seen = [self.cases[i].question for i in order[:half]]
        self.unseen = [self.cases[i].question for i in order[half:]]
        self.rivals = {c.question: self._best(c.question, c.golden) for c in self.cases}
        passages = list(dict.fromkeys(text for c in self.cases for text in c.golden))
        self.store = self.encoder.encode(passages)

    def _best(self, question: str, golden: tuple[str, ...]) -> float:
        rows = self.encoder.encode([question, *golden])
        return float((rows[1:] @ rows[0]).max())

    def attack(self, name: str, target: Target, seed: int, **params: Any) -> list[Passage]:
        """Passages of an attack on the real encoder."""
        built = registry.build(Spec("attack", name, params), encoder=self.encoder)
        found: list[Passage] = built.craft(target, rng=np.random.default_rng(seed))
        return found

    def targets(self, n: int) -> list[Target]:
        """The first questions in random order that have published texts, as targets."""
        by_question = {c.question: c for c in self.cases if "poisonedrag" in c.poison}
        chosen = [q for q in [*self.seen, *self.unseen] if q in by_question][:n]
        return [
            Target(
                Question(c.key, c.question, (c.right,)), c.wrong, texts=c.poison["poisonedrag"][:1]
            )
            for c in (by_question[q] for q in chosen)
        ]

    def white_box(self) -> dict[str, Any]:
        """PoisonedRAG white box against its black box, and scores alone at equal evaluations."""
        rows, budget = [], self.sizes.white_budget
        words = [c.golden[0] for c in self.cases]
        for target in self.targets(self.sizes.n_white):
            aim = self.encoder.encode([target.question.text])[0]
            white, search, black = (
                self.attack("poisonedrag-whitebox", target, SEED, n=1, budget=budget),
                self.attack("embedding-search", target, SEED, budget=budget, words=words),
                self.attack("poisonedrag", target, SEED, n=1),
            )
            texts = [p[0].text for p in (white, search, black)] + [generation_text(white[0])]
            near = self.encoder.encode(texts) @ aim
            gold = self.rivals[target.question.text]
            rows.append([float(v) for v in near] + [gold])
        table = np.array(rows)
        names = ("white box", "scores alone", "black box", "text alone", "best golden passage")
        return {
            "n": len(rows),
            "budget": budget,
            "similarity": {n: mean(table[:, i]) for i, n in enumerate(names)},
            "rise over the black box": mean(table[:, 0] - table[:, 2]),
            "rise over scores alone": mean(table[:, 0] - table[:, 1]),
            "raised": share(table[:, 0] > table[:, 2]),
            "beats gold": {n: share(table[:, i] > table[:, 4]) for i, n in enumerate(names[:4])},
        }

    def corpus(self) -> dict[str, Any]:
        """Corpus poisoning: which questions prefer the poison to their golden passages."""
        target = Target(Question("set", self.seen[0], ()), "")
        found = {}
        for n, budget in self.sizes.corpus:
            for aim, name in (("mean", "corpus-poisoning"), ("start", "corpus-poisoning")):
                spent = budget if aim == "mean" else 1
                made = self.attack(name, target, SEED, n=n, questions=self.seen, budget=spent)
                found[f"{n} passages, {'optimised' if aim == 'mean' else 'start'}"] = {
                    "budget": spent,
                    **self._reach(self.encoder.encode([p.text for p in made])),
                }
        wrong = Target(Question("set", self.seen[0], ()), "Per Lund")
        budget = self.sizes.centroid_budget
        made = self.attack("centroid", wrong, SEED, questions=self.seen, budget=budget)
        found["centroid with claim and statement"] = {
            "budget": budget,
            **self._reach(self.encoder.encode([p.text for p in made])),
        }
        return {"n_store": len(self.store), "passages": found}

    def _reach(self, poison: Vectors) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for label, questions in (("seen", self.seen), ("unseen", self.unseen)):
            asked = self.encoder.encode(questions)
            best = (asked @ poison.T).max(axis=1)
            gold = np.array([self.rivals[q] for q in questions])
            out[label] = {
                "similarity": mean(best),
                "beats gold": share(best > gold),
                "in the top 20": share(((asked @ self.store.T) > best[:, None]).sum(axis=1) < 20),
            }
        return out

    def triggers(self) -> dict[str, Any]:
        """Phantom, BadRAG and AgentPoison: found with the trigger, not without."""
        budget, out = self.sizes.trigger_budget, {}
        target = Target(Question("set", self.seen[0], ()), "Per Lund")
        common = {"questions": self.seen, "budget": budget}
        for name, params, words in (
            ("phantom", {"trigger": TRIGGER, "contrast": 1.0}, (TRIGGER,)),
            ("phantom", {"trigger": TRIGGER, "contrast": 0.5}, (TRIGGER,)),
            ("badrag", {"triggers": list(TOPIC), "method": "cop"}, TOPIC),
            ("badrag", {"triggers": list(TOPIC), "method": "mcop", "n": 2}, TOPIC),
            ("agentpoison", {}, ()),
        ):
            made = self.attack(name, target, SEED, **common, **params)
            words = words or (str(made[0].meta["trigger"]),)
            label = ", ".join([name, *(f"{k} {v}" for k, v in params.items() if k != "triggers")])
            poison = self.encoder.encode([p.text for p in made])
            plain = self._found(self.unseen, poison)
            asked = [with_trigger(q, word) for word in words for q in self.unseen]
            triggered = self._found(asked, poison)
            out[label] = {
                "trigger": ", ".join(words),
                **{f"with, top {k}": share(triggered < k) for k in (1, 5, 10)},
                **{f"without, top {k}": share(plain < k) for k in (1, 5, 10)},
            }
        return {"budget": budget, "n_store": len(self.store), "attacks": out}

    def _found(self, questions: list[str], poison: Vectors) -> np.ndarray:
        """Rank of the best poisoned passage for each question, from 0, among the store's."""
        asked = self.encoder.encode(questions)
        best = (asked @ poison.T).max(axis=1)
        ranks: np.ndarray = ((asked @ self.store.T) > best[:, None]).sum(axis=1)
        return ranks

    def pace(self) -> dict[str, Any]:
        """The same searches one candidate at a time and in batches, in turns."""
        blocks: dict[str, list[float]] = {name: [] for name in ("one", "exact", "rough", "swapped")}
        box, plain = WhiteBox("pace", self.encoder), WhiteBox("pace", self.encoder, screening=False)
        targets = self.targets(max(self.sizes.n_pace, 1))
        for block in range(self.sizes.n_blocks):
            drawn = self._candidates(box, targets[block % len(targets)], block)
            first = drawn.texts[:4]
            ways: dict[str, Callable[[], object]] = {
                "one": lambda drawn=drawn: [self.encoder.encode([t]) for t in drawn.texts],
                "exact": lambda drawn=drawn: plain.embed(drawn.texts),
                "rough": lambda drawn=drawn, first=first: (
                    box.screened(drawn.texts), box.embed(first),
                ),
                "swapped": lambda drawn=drawn, first=first: (
                    box.swapped(drawn.hosts, drawn.text, drawn.places, drawn.ids), box.embed(first),
                ),
            }  # fmt: skip
            for name, way in ways.items():
                blocks[name].append(seconds(way) / len(drawn.texts))
        each = {name: float(np.median(found)) for name, found in blocks.items()}
        faster = {
            name: mean(np.array(blocks["one"]) / np.array(found)) for name, found in blocks.items()
        }
        runs = []
        for target in targets[: self.sizes.n_pace]:
            objective = Contrast(box.embed([target.question.text]))
            row: dict[str, float] = {}
            for name, batched in (("one", False), ("batched", True)):
                search = Search(budget=self.sizes.pace_budget, batched=batched)
                began = clock()
                found = hotflip(
                    box,
                    target.question.text,
                    objective,
                    rng=np.random.default_rng(SEED),
                    hosts=(("", f" {target.texts[0]}"),),
                    search=search,
                )
                row |= {f"{name}_s": clock() - began, name: found.value}
            runs.append(row)
        return {
            "ms each": {name: 1000 * value for name, value in each.items()},
            "faster": faster,
            "searches": {
                "n": len(runs),
                "budget": self.sizes.pace_budget,
                "one_s": sum(r["one_s"] for r in runs),
                "batched_s": sum(r["batched_s"] for r in runs),
                "one": mean(np.array([r["one"] for r in runs])),
                "batched": mean(np.array([r["batched"] for r in runs])),
                "rise": mean(np.array([r["batched"] - r["one"] for r in runs])),
            },
        }

    def _candidates(self, box: WhiteBox, target: Target, block: int) -> Drawn:
        """100 candidates of one step, at a place drawn in the question."""
        hosts, text = [("", f" {target.texts[0]}")], target.question.text
        vocabulary = box.vocabulary()
        gains = box.gains(hosts, text, lambda rows: rows, vocabulary)
        rng = np.random.default_rng([SEED, block])
        place = int(rng.integers(len(gains.spans)))
        rows = rng.integers(len(vocabulary.ids), size=100).tolist()
        texts = [
            replaced(text, gains.spans[place], vocabulary.pieces[i]) + hosts[0][1] for i in rows
        ]
        ids = vocabulary.ids[rows].tolist()
        return Drawn(hosts, text, gains.places[place].tolist(), ids, texts)


class Drawn(NamedTuple):
    """Candidates of one step, as texts and as one token in the text as it is."""

    hosts: list[tuple[str, str]]
    text: str
    places: list[int]
    ids: list[int]
    texts: list[str]


def clock() -> float:
    """Of the processor where one thread works, so that other work on the machine counts less."""
    import torch

    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(way: Callable[[], object]) -> float:
    began = clock()
    way()
    return clock() - began


def mean(values: np.ndarray) -> dict[str, float]:
    """Mean with a 95 % bootstrap interval over questions."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(2000, len(values)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "n": len(values)}


def share(hits: np.ndarray) -> dict[str, Any]:
    """Share with its Wilson interval."""
    found = rate(int(hits.sum()), len(hits))
    return {"mean": found.value, "low": found.low, "high": found.high, "n": found.n}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few questions: does it all work")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    sections = ("pace", "white_box", "corpus", "triggers")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections)
    parser.add_argument("--keep", type=Path, help="earlier results, for sections not run now")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    for ending in ("md", "json"):
        check_writable(arguments.out / f"hotflip.{ending}")
    import torch

    torch.set_num_threads(arguments.threads)
    sizes = QUICK if arguments.quick else Sizes()
    bench = Bench(sizes)
    results: dict[str, Any] = {}
    if arguments.keep:
        results = json.loads(arguments.keep.read_text(encoding="utf-8"))
        for section in results.values():
            section["kept"] = True  # until it is measured anew
    results["about"] = {
        "cpu": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "seed": SEED,
        "n_seen": len(bench.seen),
        "n_unseen": len(bench.unseen),
    }
    for name in arguments.only:
        began = time.perf_counter()
        results[name] = getattr(bench, name)()
        results[name] |= {"seconds": time.perf_counter() - began, "threads": arguments.threads}
        print(f"{name}: {results[name]['seconds']:.0f} s", flush=True)
    with writing(arguments.out / "hotflip.json") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    with writing(arguments.out / "hotflip.md") as file:
        file.write(markdown(results))


if __name__ == "__main__":
    main()
