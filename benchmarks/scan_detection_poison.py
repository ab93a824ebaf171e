"""What the detection benchmark plants: campaigns by family, each as an attacker would."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from guard_data import Case, DevData
from guard_families import poison_texts
from scan_detection_triggers import trigger_campaigns

from ragshield import registry
from ragshield.attacks.edits import Edit, fact_edit
from ragshield.errors import RagshieldError
from ragshield.protocols import Attack, Encoder
from ragshield.records import Batch, Passage, Question, Spec, Target
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore

Kind = Literal["five", "one", "few", "gradient", "injection", "trigger", "edited", "hidden"]

_HIDDEN = ("zero-width", "homoglyph", "tags", "html-hidden", "base64")
_OWN_METADATA = ("author", "publisher", "date", "title", "section", "tags")
_PRODUCT_FIVE: dict[str, dict[str, Any]] = {
    "poisonedrag": {"texts": "template"},
    "flooding": {"n": 5},
    "minja": {},
    "multi-answer": {},
    "slow-drip": {},
}
_PRODUCT_FEW: dict[str, dict[str, Any]] = {"contradiction-blocker": {}, "split-payload": {}}
_PRODUCT_ONE: dict[str, dict[str, Any]] = {
    "naive": {},
    "authchain": {},
    "corruptrag": {},
    "refusal-blocker": {},
    "forged-source": {},
    "synonyms": {"n": 1},
    "garag": {},
}
_PRODUCT_INJECTING: dict[str, dict[str, Any]] = {"hijackrag": {}, "injection": {}}


@dataclass(frozen=True)
class Campaign:
    """The passages planted against one question, or for one trigger."""

    key: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Family:
    """One way to poison, with all campaigns that a draw chooses from."""

    name: str
    kind: Kind
    campaigns: tuple[Campaign, ...] = field(repr=False)


def infected_carriers(data: DevData) -> list[dict[str, Any]]:
    """Every second BIPIA carrier: planted with a payload, so not in the honest store."""
    return data.injections()[1][::2]


def families(
    data: DevData, encoder: Encoder, honest: Sequence[Passage], spare: Sequence[str]
) -> list[Family]:
    """Every family; `spare` are honest texts that the store does not hold."""
    return [
        *_published(data),
        *_optimised(data),
        *_product(data, encoder),
        *_injections(data),
        Family("trigger clusters", "trigger", tuple(_as_campaigns(trigger_campaigns(spare)))),
        *_edited(honest),
    ]


def draw(family: Family, n_poisoned: int, rng: np.random.Generator) -> list[Campaign]:
    """Campaigns of about `n_poisoned` passages, at least one."""
    order = rng.permutation(len(family.campaigns))
    chosen: list[Campaign] = []
    for at in order:
        if chosen and sum(len(c.passages) for c in chosen) >= n_poisoned:
            break
        chosen.append(family.campaigns[at])
    return chosen


def disguised(
    chosen: Sequence[Campaign],
    honest: Sequence[Passage],
    rng: np.random.Generator,
    *,
    split: bool = False,
) -> list[Passage]:
    """The passages as they are stored: neutral ids, sources that the store knows.

    With `split` a campaign's passages are the numbered chunks of one document.

    Every passage comes from another source, so that sources give nothing away; metadata
    is what the attacker wrote (`forged-source`), nothing that the attack notes.
    """
    out: list[Passage] = []
    for campaign in chosen:
        for i, passage in enumerate(campaign.passages):
            name = rng.bytes(8).hex()
            source = honest[int(rng.integers(len(honest)))].source
            if split and i:
                name, source = f"{out[-1].id.rpartition('-')[0]}-{i}", out[-1].source
            elif split:
                name += "-0"
            meta = {k: v for k, v in passage.meta.items() if k in _OWN_METADATA}
            out.append(replace(passage, id=name, source=source, meta=meta))
    return out


def _as_campaigns(texts: Mapping[str, Sequence[str]]) -> Iterator[Campaign]:
    for key, given in texts.items():
        if given:
            unique = list(dict.fromkeys(given))
            yield Campaign(key, tuple(Passage(f"{key}-{i}", t) for i, t in enumerate(unique)))


def _published(data: DevData) -> Iterator[Family]:
    cases = {
        **{name: data.cases() for name in ("poisonedrag", "gpt4", "blind", "garag")},
        "counterfact": data.counterfact_cases(),
    }
    for name, own in cases.items():
        for prefixed in (True, False):
            label = f"{name} + question" if prefixed else name
            five = {c.key: poison_texts(c, name, prefixed=prefixed) for c in own}
            enough = {key: texts for key, texts in five.items() if len(texts) >= 4}
            yield Family(label, "five", tuple(_as_campaigns(enough)))
            # Which of the five is planted alone goes round, not always the first.
            one = {
                key: [texts[i % len(texts)]] for i, (key, texts) in enumerate(five.items()) if texts
            }
            yield Family(label, "one", tuple(_as_campaigns(one)))


def _optimised(data: DevData) -> Iterator[Family]:
    own = data.optimised_cases()
    hotflip = {c.key: c.poison["hotflip"] for c in own if "hotflip" in c.poison}
    yield Family("hotflip, five", "gradient", tuple(_as_campaigns(hotflip)))
    one = {key: [texts[i % len(texts)]] for i, (key, texts) in enumerate(hotflip.items())}
    yield Family("hotflip, one", "gradient", tuple(_as_campaigns(one)))
    phantom = list(dict.fromkeys(t for c in own for t in c.poison.get("phantom", ())))
    yield Family("phantom", "gradient", tuple(_as_campaigns({"phantom": phantom})))


def _target(case: Case) -> Target:
    answers = (case.right,) if case.right else ()
    texts = tuple(case.poison.get("poisonedrag", ()))
    return Target(Question(case.key, case.question, answers), case.wrong, texts)


def _product(data: DevData, encoder: Encoder) -> Iterator[Family]:
    targets = [_target(case) for case in data.cases() if case.wrong]
    texts = list(dict.fromkeys(data.clean_passages()))
    golden = Batch(
        tuple(Passage(f"true-{i}", text) for i, text in enumerate(texts)), encoder.encode(texts)
    )
    retriever = StoreRetriever(MemoryStore("memory:", golden), encoder)
    given: dict[Kind, dict[str, dict[str, Any]]] = {
        "five": _PRODUCT_FIVE,
        "few": _PRODUCT_FEW,
        "one": _PRODUCT_ONE,
        "injection": _PRODUCT_INJECTING,
        "edited": {"edited-fact": {}},
    }
    for kind, attacks in given.items():
        for name, params in attacks.items():
            context = {"retriever": retriever} if name in ("edited-fact", "garag") else {}
            attack: Attack = registry.build(Spec("attack", name, params), **context)
            yield Family(f"attack {name}", kind, tuple(_attacked(attack, targets)))
    for disguise in _HIDDEN:
        attack = registry.build(Spec("attack", "composed", {"disguise": disguise, "n": 1}))
        yield Family(f"hidden: {disguise}", "hidden", tuple(_attacked(attack, targets)))


def _attacked(attack: Attack, targets: Sequence[Target]) -> Iterator[Campaign]:
    for i, target in enumerate(targets):
        try:
            made = attack.craft(target, rng=np.random.default_rng([11, i]))
        except RagshieldError:
            continue
        if made:
            yield Campaign(target.question.id, tuple(made))


def _injections(data: DevData) -> Iterator[Family]:
    payloads, _ = data.injections()
    rng = np.random.default_rng(3)
    places = ("start", "middle", "end")
    found = {}
    for number, row in enumerate(infected_carriers(data)):
        payload = payloads[int(rng.integers(len(payloads)))]
        found[f"carrier-{number}"] = [_infected(row["context"], payload, places[number % 3])]
    yield Family("BIPIA payloads", "injection", tuple(_as_campaigns(found)))


def _infected(context: str, payload: str, place: str) -> str:
    lines = context.splitlines() or [""]
    at = {"start": 0, "middle": len(lines) // 2, "end": len(lines)}[place]
    return "\n".join([*lines[:at], payload, *lines[at:]])


def _edited(honest: Sequence[Passage]) -> Iterator[Family]:
    """Copies of honest passages of the store, one value changed in each."""
    edits: tuple[Edit, ...] = ("number", "date", "name", "negation")
    for edit in edits:
        rng = np.random.default_rng([5, len(edit)])
        found: dict[str, list[str]] = {}
        for at in rng.permutation(len(honest)):
            text = honest[at].text
            if len(text.split()) < 12 or len(found) >= 120:
                continue
            changed = fact_edit(text, edit, [], rng)
            if changed is not None and re.sub(r"\W", "", changed) != re.sub(r"\W", "", text):
                found[honest[at].id] = [changed]
        if found:
            yield Family(f"edited {edit}", "edited", tuple(_as_campaigns(found)))
