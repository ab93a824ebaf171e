"""How well the re-ingest guard tells what was erased from what stays.

Erased: the Chronological documents of DUSK, and the forget part of TOFU. They come again
unchanged, lightly changed in eleven ways, and cut into other chunks. What stays are the other
documents of DUSK, which state many of the same facts in other words, and TOFU's retain part.

    python benchmarks/reingest.py        # half a minute; needs the data, see benchmarks/README.md

Half of what stays is shown to the guard, the other half is what the rate of false alarms is
measured on, so that no passage sets the threshold that it is judged by.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.files import read_jsonl
from ragshield.intervals import rate
from ragshield.records import Passage
from ragshield.reingest import ReingestGuard
from ragshield.text import sentences

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("RAGSHIELD_DATA", ROOT.parent / "shared" / "data")) / "unlearning"
RESULTS = Path(__file__).parent / "results"
N_ERASED = 120
CHUNK_WORDS = 90

Change = Callable[[str, np.random.Generator], str]


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    return [row for _, row in read_jsonl(path)]


def dusk() -> tuple[list[str], list[str]]:
    documents = rows("dusk_documents.jsonl.gz")
    erased = [d["text"] for d in documents if d["set"] == "forget"]
    return erased, [d["text"] for d in documents if d["set"] != "forget"]


def tofu() -> tuple[list[str], list[str]]:
    parts = ("tofu_forget.jsonl", "tofu_retain.jsonl")
    erased, stays = ([f"{r['question']} {r['answer']}" for r in rows(part)] for part in parts)
    return erased, stays


def replaced(share: float, vocabulary: Sequence[str]) -> Change:
    def change(text: str, rng: np.random.Generator) -> str:
        return " ".join(
            str(rng.choice(vocabulary)) if rng.random() < share else word for word in text.split()
        )

    return change


def dropped(share: float) -> Change:
    return lambda text, rng: " ".join(w for w in text.split() if rng.random() >= share)


def swapped(share: float) -> Change:
    def change(text: str, rng: np.random.Generator) -> str:
        words, i = text.split(), 0
        while i < len(words) - 1:
            if rng.random() < share / 2:
                words[i], words[i + 1] = words[i + 1], words[i]
                i += 1
            i += 1
        return " ".join(words)

    return change


def misspelt(share: float) -> Change:
    def change(text: str, rng: np.random.Generator) -> str:
        words = text.split()
        for i, word in enumerate(words):
            if len(word) > 3 and rng.random() < share:
                at = int(rng.integers(len(word) - 1))
                words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return " ".join(words)

    return change


def shuffled(text: str, rng: np.random.Generator) -> str:
    parts = sentences(text)
    return " ".join(parts[i] for i in rng.permutation(len(parts)))


def framed(text: str, rng: np.random.Generator) -> str:
    del rng
    return f"Last updated on Monday. {text} Subscribe to our newsletter for more stories."


def chunks(text: str, rng: np.random.Generator) -> list[str]:
    """The text cut anew, from another place on."""
    words = text.split()
    start = int(rng.integers(CHUNK_WORDS))
    cuts = [0, *range(start, len(words), CHUNK_WORDS), len(words)]
    parts = [words[a:b] for a, b in pairwise(cuts)]
    return [" ".join(part) for part in parts if len(part) >= CHUNK_WORDS // 2]


def measured(erased: list[str], stays: list[str]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    erased = [erased[i] for i in rng.permutation(len(erased))[:N_ERASED]]
    order = rng.permutation(len(stays))
    shown = [stays[i] for i in order[: len(stays) // 2]]
    unseen = [stays[i] for i in order[len(stays) // 2 :]]
    vocabulary = sorted({word for text in stays for word in text.split()})
    changes: dict[str, Change] = {
        "unchanged": lambda text, rng: text,
        "frame around it": framed,
        "sentences shuffled": shuffled,
        "5 % of words replaced": replaced(0.05, vocabulary),
        "10 % of words replaced": replaced(0.10, vocabulary),
        "20 % of words replaced": replaced(0.20, vocabulary),
        "10 % of words left out": dropped(0.10),
        "20 % of words left out": dropped(0.20),
        "20 % of words swapped": swapped(0.20),
        "10 % of words misspelt": misspelt(0.10),
        "20 % of words misspelt": misspelt(0.20),
    }
    arriving = {name: [change(t, rng) for t in erased] for name, change in changes.items()}
    arriving[f"chunks of {CHUNK_WORDS} words, cut anew"] = [
        chunk for text in erased for chunk in chunks(text, rng)
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        guards = {
            "alone": ReingestGuard(Path(folder) / "alone.json"),
            "shown": ReingestGuard(Path(folder) / "shown.json"),
        }
        passages = [Passage(str(i), text) for i, text in enumerate(erased)]
        guards["alone"].add(passages)
        done = guards["shown"].add(
            passages, retained=[Passage(str(i), t) for i, t in enumerate(shown)]
        )
        found.append({"what": "threshold", "alone": 0.65, "shown": round(done.threshold, 3)})
        for name, texts in (*arriving.items(), ("what stays, unseen", unseen)):
            if not texts:
                continue
            row: dict[str, Any] = {"what": name, "n": len(texts)}
            for which, guard in guards.items():
                row[which] = sum(guard.check(text) is not None for text in texts)
            found.append(row)
        size = (Path(folder) / "shown.json").stat().st_size
        found.append({"what": "bytes", "alone": 0, "shown": round(size / len(erased))})
    return found


def markdown(page: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        "# The re-ingest guard: what was erased is stopped, what stays comes in",
        "",
        "Share of arriving passages that are stopped, with 95 % intervals (Wilson). *Alone*: the",
        "guard knows the erased passages only. *Shown what stays*: half of the passages that stay",
        "were given at the erasure; false alarms are counted on the other half.",
        "",
    ]
    for name, found in page.items():
        threshold = next(row for row in found if row["what"] == "threshold")
        size = next(row for row in found if row["what"] == "bytes")["shown"]
        lines += [
            f"## {name}",
            "",
            f"Threshold alone {threshold['alone']}, shown what stays {threshold['shown']}; "
            f"{size:,} bytes are kept for a passage.",
            "",
            "| arriving | n | alone | shown what stays |",
            "|---|---:|---|---|",
        ]
        lines += [
            f"| {row['what']} | {row['n']} | {_share(row, 'alone')} | {_share(row, 'shown')} |"
            for row in found
            if "n" in row
        ]
        lines.append("")
    return "\n".join(lines)


def _share(row: dict[str, Any], which: str) -> str:
    found = rate(row[which], row["n"])
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def main() -> int:
    if not DATA.is_dir():
        print(f"no data at {DATA}; set RAGSHIELD_DATA: nothing measured", file=sys.stderr)
        return 3
    page = {"DUSK": measured(*dusk()), "TOFU": measured(*tofu())}
    (RESULTS / "reingest.json").write_text(json.dumps(page, indent=1) + "\n")
    (RESULTS / "reingest.md").write_text(markdown(page))
    print(markdown(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
