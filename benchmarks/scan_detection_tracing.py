"""Traceback of wrong answers, and the rest of a campaign from one or two passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from guard_data import DevData
from guard_families import poison_texts
from scan_detection_poison import Family, disguised
from scan_detection_world import Store, planted

from ragshield.campaign import campaign
from ragshield.protocols import Encoder
from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Batch, Passage
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore
from ragshield.tracing import trace

_FOLLOWED = (
    "poisonedrag + question",
    "poisonedrag",
    "gpt4",
    "blind",
    "garag",
    "counterfact",
    "hotflip, five",
    "attack minja",
    "attack flooding",
    "trigger clusters",
)


def traced(store: Store, encoder: Encoder, data: DevData, *, n: int) -> list[dict[str, Any]]:
    """By family: of the wrong answers that the reader gives, what is blamed for them.

    Per question [blamed poison, planted poison, blamed honest, explained].
    """
    cases = data.cases()
    chosen = cases[:: max(1, len(cases) // n)]
    out = []
    for family in ("poisonedrag", "gpt4"):
        for prefixed in (True, False):
            texts = {c.key: poison_texts(c, family, prefixed=prefixed) for c in chosen}
            own = [Passage(f"x{k}-{i}", t) for k, ts in texts.items() for i, t in enumerate(ts)]
            vectors = encoder.encode([p.text for p in own])
            batch = Batch((*store.all, *own), np.vstack([store.vectors, vectors]))
            retriever = StoreRetriever(MemoryStore("memory:", batch), encoder)
            rows, asked = [], 0
            for case in chosen:
                asked += 1
                found = trace(case.question, case.wrong, retriever, ExtractiveReader(), k=5)
                if not found.reproduced:
                    continue
                blamed = [s.hit.id for s in found.blamed]
                hits = sum(x.startswith(f"x{case.key}-") for x in blamed)
                honest = sum(not x.startswith("x") for x in blamed)
                rows.append([hits, len(texts[case.key]), honest, int(found.explained)])
            out.append({"family": family, "question": prefixed, "asked": asked, "questions": rows})
    return out


def campaigns_followed(
    store: Store, encoder: Encoder, found: Sequence[Family], *, n: int
) -> list[dict[str, Any]]:
    """By family and number of confirmed passages: what `--like` finds from 0.5 on.

    Per campaign [found, to be found, honest accused, of other campaigns accused].
    """
    out = []
    for family in found:
        if family.name not in _FOLLOWED or family.kind not in ("five", "gradient", "trigger"):
            continue
        rng = np.random.default_rng(23)
        order = rng.permutation(len(family.campaigns))[:n]
        chosen = [family.campaigns[i] for i in order]
        passages = disguised(chosen, store.all, rng)
        vectors = encoder.encode([p.text for p in passages])
        mixed = planted(store, passages, vectors)
        place = {p.id: i for i, p in enumerate(mixed.all)}
        for n_confirmed in (1, 2):
            rows, start = [], len(store)
            for one in chosen:
                size = len(one.passages)
                own = range(start, start + size)
                start += size
                if size <= n_confirmed:
                    continue
                rest = campaign(mixed, list(own[:n_confirmed]))
                hits = [place[f.passage_id] for f in rest if (f.suspicion or 0) >= 0.5]
                right = sum(row in own for row in hits)
                honest = sum(row < len(store) for row in hits)
                rows.append([right, size - n_confirmed, honest, len(hits) - right - honest])
            out.append({"family": family.name, "confirmed": n_confirmed, "campaigns": rows})
    return out
