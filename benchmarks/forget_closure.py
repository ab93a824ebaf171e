"""What a plan to forget finds and what it leaves alone, on data that was not made for it.

    python benchmarks/forget_closure.py [--quick]

Writes benchmarks/results/forget_closure.json and .md. Data: `RAGSHIELD_DATA`, by default
`../shared/data`; without it nothing is measured, and the reason is said.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from forget_closure_data import (
    Base,
    data_folder,
    dusk,
    name_of,
    near_copy,
    paraphrased,
    person_of,
    rechunked,
    reworded,
    tofu,
)
from forget_closure_report import report

from ragshield import registry
from ragshield.encoders import open_encoder
from ragshield.errors import UsageError
from ragshield.forget import ForgetPlan, plan_forget
from ragshield.forget.matching.mentions import Mentions
from ragshield.intervals import Counts, clustered_rate
from ragshield.records import Passage, Spec
from ragshield.stores.memory import MemoryStore
from ragshield.text import states, words

RESULTS = Path(__file__).parent / "results" / "forget_closure.json"
CACHE = Path(".cache/forget-vectors.sqlite")
NOBODY = ForgetPlan("", "", None, (), (), (), 0, (), ())


class Tally:
    """Shares of passages, clustered by request."""

    def __init__(self, experiment: str, data: str) -> None:
        self.experiment, self.data = experiment, data
        self.counts: dict[str, list[Counts]] = {}
        self.n_requests = 0
        self.seconds = 0.0

    def add(self, **shares: tuple[int, int]) -> None:
        """Count one request."""
        self.n_requests += 1
        for name, (k, n) in shares.items():
            self.counts.setdefault(name, []).append(Counts(k, n))

    def row(self) -> dict[str, Any]:
        """What the report prints."""
        found = {}
        for name, counts in self.counts.items():
            rate = clustered_rate(counts)
            found[name] = {
                "successes": rate.successes,
                "n": rate.n,
                "value": rate.value,
                "low": rate.low,
                "high": rate.high,
            }
        return {
            "experiment": self.experiment,
            "data": self.data,
            "requests": self.n_requests,
            "seconds_each": round(self.seconds / max(1, self.n_requests), 2),
            "rates": found,
        }


def planned(tally: Tally, store: MemoryStore, **request: Any) -> ForgetPlan:
    start = time.perf_counter()
    try:
        return plan_forget(store, **request)
    except UsageError as error:
        if "nothing planned" not in str(error):
            raise
        return NOBODY
    finally:
        tally.seconds += time.perf_counter() - start


def judged(
    plan: ForgetPlan, carriers: Iterable[str], stays: Callable[[str], bool]
) -> dict[str, tuple[int, int]]:
    """Shares of carriers selected and listed, and of what is listed that has to stay."""
    wanted = set(carriers)
    selected = {i.passage_id for i in plan.selected}
    every = selected | {i.passage_id for i in plan.review}
    return {
        "selected": (len(wanted & selected), len(wanted)),
        "listed": (len(wanted & every), len(wanted)),
        "wrongly selected": (sum(stays(x) for x in selected - wanted), max(1, len(selected))),
        "wrongly listed": (sum(stays(x) for x in every - wanted), max(1, len(every))),
    }


def documents_of(base: Base) -> Base:
    """The same with what a pipeline writes down: the file, and the chunk's number."""
    passages = tuple(
        replace(p, source=f"{base.group[p.id]}.txt", meta={"chunk": int(p.id.split("#")[1])})
        for p in base.passages
    )
    return replace(base, passages=passages)


def dusk_documents(base: Base, documents: Sequence[dict[str, Any]], encoder: Any) -> list[Tally]:
    """Single documents by their text, without and with metadata."""
    found = []
    forget = [d for d in documents if d["set"] == "forget"][::STEP]
    for name, known in (("no metadata", base), ("files known", documents_of(base))):
        tally = Tally("a document, by its text", f"DUSK, {name}")
        store = known.store(encoder)
        for document in forget:
            carriers = {x for x, group in base.group.items() if group == document["id"]}
            plan = planned(tally, store, texts=[document["text"]], scope="document")
            tally.add(**judged(plan, carriers, lambda _: True))
        found.append(tally)
    return found


def dusk_source(
    base: Base,
    documents: Sequence[dict[str, Any]],
    questions: Sequence[dict[str, Any]],
    encoder: Any,
) -> list[Tally]:
    """The whole forget set at once, as the benchmark means it; which facts are reported."""
    names = {d["id"]: str(name_of(d["title"])) for d in documents}
    forget = {d["id"] for d in documents if d["set"] == "forget"}
    found = []
    for name, known in (("no metadata", base), ("files known", documents_of(base))):
        tally = Tally("a source of 120 documents, by ids", f"DUSK, {name}")
        ids = [x for x, group in base.group.items() if group in forget]
        plan = planned(tally, known.store(encoder), ids=ids, scope="document", shared="keep")
        shares = judged(plan, ids, lambda x: base.group[x] not in forget)
        for kind in ("shared", "forget_only", "retain_only"):
            asked = [q for q in questions if q["kind"] == kind]
            said = [_reported(plan, q, set(names.values())) for q in asked]
            tally.counts[f"{kind} reported as shared"] = [Counts(int(x), 1) for x in said]
        del shares["wrongly listed"]  # in a set that says everything five times they are related
        tally.add(**shares)
        found.append(tally)
    return found


def _reported(plan: ForgetPlan, question: dict[str, Any], names: set[str]) -> bool:
    person = person_of(question["question"], names) or ""
    answer = question["answer"]
    for fact in plan.shared_facts:
        same = person in fact.about or (fact.about and fact.about in person)
        if same and (states(fact.value, answer) or states(answer, fact.value)):
            return True
    return False


def dusk_facts(
    base: Base,
    documents: Sequence[dict[str, Any]],
    questions: Sequence[dict[str, Any]],
    encoder: Any,
) -> list[Tally]:
    """Single facts as question and answer: their carriers are chunks about the person."""
    names = {d["id"]: str(name_of(d["title"])) for d in documents}
    text = {p.id: p.text for p in base.passages}
    found = []
    for kind, shown in (("forget_only", "unique"), ("shared", "shared")):
        tally = Tally(f"a {shown} fact, as a statement", "DUSK, files known")
        store = documents_of(base).store(encoder)
        asked = [q for q in questions if q["kind"] == kind]
        for question in asked[:: 1 if kind == "forget_only" else STEP]:
            person = str(person_of(question["question"], names.values()))
            about = {x for x, group in base.group.items() if names[group] == person}
            mentions = Mentions(person)
            carriers = {
                x
                for x in about
                if states(text[x], question["answer"]) and mentions.find(text[x]) is not None
            }
            statement = f"{question['question'].rstrip('?')}: {question['answer']}"
            plan = planned(tally, store, texts=[statement], scope="fact")
            tally.add(**judged(plan, carriers, lambda x, about=about: x not in about))
        found.append(tally)
    return found


def subjects(name: str, base: Base, encoder: Any, *, mention_counts: bool) -> Tally:
    """Everything about somebody, by the name alone."""
    tally = Tally("a subject, by the name", name)
    store = base.store(encoder)
    text = {p.id: p.text for p in base.passages}
    names = sorted({group for group in base.group.values() if group})
    for subject in names[:: max(1, len(names) // N_SUBJECTS)]:
        carriers = {x for x, group in base.group.items() if group == subject}
        mentions = Mentions(subject)
        if mention_counts:  # others speak of it, too
            carriers |= {x for x, said in text.items() if _certain(mentions, said)}
        plan = planned(tally, store, subject=subject)
        tally.add(**judged(plan, carriers, lambda _: True))
    return tally


def _certain(mentions: Mentions, text: str) -> bool:
    found = mentions.find(text)
    return found is not None and found.confidence >= 0.9


def planted(name: str, base: Base, encoder: Any, kinds: Sequence[str]) -> list[Tally]:
    """Copies of a few passages put beside them: edited, reworded, cut anew."""
    text = {p.id: p.text for p in base.passages}
    groups: dict[str, list[str]] = {}
    for x, group in base.group.items():
        if group:
            groups.setdefault(group, []).append(x)
    chosen = sorted(groups)[:: max(1, len(groups) // N_PLANTED)][:N_PLANTED]
    found = []
    for kind in kinds:
        rng = np.random.default_rng(7)
        extra: list[Passage] = []
        origin: dict[str, str] = {}
        for group in chosen:
            ids = groups[group]
            if kind == "cut anew":
                copies = rechunked(" ".join(text[x] for x in ids))
            else:
                edit = near_copy if kind == "edited" else reworded
                copies = [edit(text[x], rng) for x in ids]
            for i, copy in enumerate(copies):
                extra.append(Passage(f"planted/{group}/{i}", copy))
                origin[extra[-1].id] = group
        tally = Tally(f"planted copies, {kind}", name)
        store = base.store(encoder, extra)
        for group in chosen:
            wanted = {x for x, g in origin.items() if g == group}
            plan = planned(tally, store, ids=groups[group], scope="document", shared="keep")
            asked = set(groups[group])
            home = {**base.group, **origin}
            shares = judged(plan, wanted | asked, lambda x, g=group, home=home: home.get(x) != g)
            # What was asked for by id is found by any plan: only the planted count.
            for share, taken in (("selected", plan.selected), ("listed", plan.items)):
                shares[share] = (sum(i.passage_id in wanted for i in taken), len(wanted))
            tally.add(**shares)
        found.append(tally)
    return found


def paraphrases(base: Base, encoder: Any) -> Tally:
    """One passage is named; the others say the same in words of their own."""
    tally = Tally("paraphrases of one passage", base.name)
    store = base.store(encoder)
    groups: dict[str, list[str]] = {}
    for x, group in base.group.items():
        groups.setdefault(group, []).append(x)
    chosen = [g for g in sorted(groups) if len(groups[g]) > 1]
    for group in chosen[:: max(1, len(chosen) // N_SUBJECTS)]:
        seed, *others = groups[group]
        plan = planned(tally, store, ids=[seed], scope="document", shared="keep")
        shares = judged(plan, [seed, *others], lambda _: True)
        for share, taken in (("selected", plan.selected), ("listed", plan.items)):
            shares[share] = (sum(i.passage_id in others for i in taken), len(others))
        tally.add(**shares)
    return tally


def world() -> Base:
    """The bundled world, without the metadata that would give its entities away."""
    corpus = registry.build(Spec("corpus", "world"))
    group = {p.id: str(p.meta["entity"]) for p in corpus.passages}
    # A name of one word is also an ordinary word of other names there.
    group = {x: name if len(words(name)) > 1 else "" for x, name in group.items()}
    return Base("world", tuple(Passage(p.id, p.text) for p in corpus.passages), group)


KINDS = ("edited", "reworded", "cut anew")
STEP, N_SUBJECTS, N_PLANTED = 10, 15, 8


def write(result: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    page = report(result)
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    parser.add_argument("--only-facts", action="store_true", help="these anew, the rest as it was")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = data_folder()
    if not (folder / "unlearning" / "dusk_documents.jsonl.gz").is_file():
        print(f"skipped: no data at {folder}; name their folder in RAGSHIELD_DATA")
        return
    global STEP, N_SUBJECTS, N_PLANTED
    if options.quick:
        STEP, N_SUBJECTS, N_PLANTED = 30, 5, 4
    encoder = open_encoder("minilm", cache=CACHE)
    start = time.perf_counter()
    base, documents, questions = dusk(folder)
    if options.only_facts:
        result = json.loads(options.output.read_text(encoding="utf-8"))
        new = {
            (row["experiment"], row["data"]): row
            for row in (tally.row() for tally in dusk_facts(base, documents, questions, encoder))
        }
        result["rows"] = [new.get((r["experiment"], r["data"]), r) for r in result["rows"]]
        write(result, options.output)
        return
    with_questions, answers = (tofu(folder, with_question=asked) for asked in (True, False))
    invented = world()
    tallies = [
        *dusk_source(base, documents, questions, encoder),
        *dusk_documents(base, documents, encoder),
        *dusk_facts(base, documents, questions, encoder),
        subjects("TOFU, question and answer", with_questions, encoder, mention_counts=False),
        subjects("TOFU, answers alone", answers, encoder, mention_counts=False),
        subjects("bundled world", invented, encoder, mention_counts=True),
    ]
    for name, one in (("DUSK", base), ("TOFU", with_questions), ("bundled world", invented)):
        tallies += planted(name, one, encoder, KINDS)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    tallies += [paraphrases(one, encoder) for one in paraphrased(folder)]
    result = {
        "seconds": round(time.perf_counter() - start),
        "quick": options.quick,
        "sizes": {one.name: len(one.passages) for one in (base, with_questions, answers, invented)},
        "rows": [tally.row() for tally in tallies],
    }
    write(result, options.output)


if __name__ == "__main__":
    main()
