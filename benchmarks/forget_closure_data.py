"""Knowledge bases to forget from, with what has to go and what has to stay."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.protocols import Encoder
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore
from ragshield.text import sentences, states

ROOT = Path(__file__).resolve().parent.parent
_CHUNK_CHARS = 500
_OTHER_CHARS, _OVERLAP = 380, 90

_SYNONYMS = {
    "also": "too", "born": "delivered", "received": "was given", "known": "noted",
    "work": "labour", "research": "investigation", "university": "university",
    "significant": "notable", "contributions": "additions", "field": "area", "award": "prize",
    "teaches": "lectures on", "currently": "at present", "primary": "chief", "often": "frequently",
    "many": "numerous", "various": "several", "unique": "singular", "influenced": "shaped",
    "writing": "authorship", "books": "volumes", "author": "writer", "father": "dad",
    "mother": "mum", "city": "town", "first": "initial", "novel": "story", "works": "pieces",
    "played": "appeared", "career": "working life", "famous": "renowned", "began": "started",
    "people": "persons", "several": "a number of", "well": "widely", "world": "globe",
    "won": "took", "show": "display", "made": "produced", "during": "in the course of",
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A knowledge base: passages, their vectors, and the group that each belongs to."""

    name: str
    passages: tuple[Passage, ...]
    group: dict[str, str]

    def store(self, encoder: Encoder, extra: Sequence[Passage] = ()) -> MemoryStore:
        """In memory, with vectors."""
        passages = (*self.passages, *extra)
        vectors = encoder.encode([p.text for p in passages])
        return MemoryStore(f"memory:{self.name}", Batch(passages, np.asarray(vectors)))


def data_folder() -> Path:
    return Path(os.environ.get("RAGSHIELD_DATA", ROOT.parent / "shared" / "data"))


def rows(path: Path) -> list[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def dusk(folder: Path) -> tuple[Base, list[dict[str, Any]], list[dict[str, Any]]]:
    """Chunks of DUSK's documents (group: the document), the documents, the questions."""
    documents = rows(folder / "unlearning" / "dusk_documents.jsonl.gz")
    passages, group = [], {}
    for document in documents:
        for i, chunk in enumerate(chunks(document["text"])):
            passage = Passage(f"{document['id']}#{i}", chunk)
            passages.append(passage)
            group[passage.id] = document["id"]
    return (
        Base("dusk", tuple(passages), group),
        documents,
        rows(folder / "unlearning" / "dusk_qa.jsonl"),
    )


def tofu(folder: Path, *, with_question: bool) -> Base:
    """TOFU's authors, a passage per question; others' facts stay (group: the author)."""
    passages, group = [], {}
    for name in ("tofu_forget", "tofu_retain", "tofu_real_authors", "tofu_world_facts"):
        for row in rows(folder / "unlearning" / f"{name}.jsonl"):
            full = with_question or "author" not in row
            text = f"{row['question']} {row['answer']}" if full else row["answer"]
            passages.append(Passage(row["id"], text))
            group[row["id"]] = row.get("author", "")
    return Base("tofu" if with_question else "tofu answers", tuple(passages), group)


def paraphrased(folder: Path) -> list[Base]:
    """Sets in which several people, or one model, said the same: group = what is said."""
    found = []
    passages, group = [], {}
    for row in rows(folder / "poisoned_qa.jsonl.gz"):
        said = [t for t in row["poison"]["gpt4"] if states(t, row["target_answer"])][:6]
        for i, text in enumerate(said):
            passage = Passage(f"{row['dataset']}/{row['id']}/{i}", text.strip('"'))
            passages.append(passage)
            group[passage.id] = f"{row['dataset']}/{row['id']}"
        for i, text in enumerate(row["golden"]):
            passages.append(Passage(f"{row['dataset']}/{row['id']}/golden{i}", text))
    unique = {p.id: p for p in passages}
    found.append(Base("written by GPT-4", tuple(unique.values()), group))
    passages, group = [], {}
    for row in rows(folder / "poisoned_qa.jsonl.gz"):
        said = [t for t in row["poison"]["poisonedrag"] if states(t, row["target_answer"])]
        for i, text in enumerate(said):
            passage = Passage(f"{row['dataset']}/{row['id']}/{i}", text)
            passages.append(passage)
            group[passage.id] = f"{row['dataset']}/{row['id']}"
        for i, text in enumerate([*row["golden"], *row["clean_other"]]):
            passages.append(Passage(f"{row['dataset']}/{row['id']}/golden{i}", text))
    unique = {p.id: p for p in passages}
    found.append(Base("PoisonedRAG's own", tuple(unique.values()), group))
    return found


def chunks(text: str, most: int = _CHUNK_CHARS) -> list[str]:
    """Whole sentences, up to so many characters."""
    found, part = [], ""
    for sentence in sentences(text):
        if part and len(part) + len(sentence) > most:
            found.append(part)
            part = ""
        part = f"{part} {sentence}".strip()
    return [*found, part] if part else found


def rechunked(text: str) -> list[str]:
    """The same text cut by characters, with overlaps, as another pipeline would."""
    step = _OTHER_CHARS - _OVERLAP
    found = [text[start : start + _OTHER_CHARS] for start in range(0, len(text), step)]
    return [part for part in found if len(part) > 120]


def near_copy(text: str, rng: np.random.Generator) -> str:
    """Lightly edited: every twelfth word or so misspelt, doubled, dropped or replaced."""
    words = text.split()
    out = []
    for word in words:
        draw = rng.random()
        if draw < 0.02:
            continue
        if draw < 0.05 and len(word) > 4 and word.islower():
            i = int(rng.integers(1, len(word) - 1))
            word = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        elif draw < 0.08:
            word = _SYNONYMS.get(word, word)
        out.append(word)
    return " ".join(out)


def reworded(text: str, rng: np.random.Generator) -> str:
    """The same facts in another order and with other words, names and numbers kept."""
    parts = sentences(text)
    rng.shuffle(parts)
    out = []
    for part in parts:
        words = [_swap(word) for word in part.rstrip(".").split()]
        middle = next((i for i, word in enumerate(words) if word == "and"), None)
        if middle is not None and 3 < middle < len(words) - 4 and rng.random() < 0.5:
            words = [*words[:middle], "while", *words[middle + 1 :]]
        if rng.random() < 0.5:
            words = [*(["As", "it", "happens,"] if rng.random() < 0.5 else ["Notably,"]), *words]
        out.append(" ".join(words) + ".")
    return " ".join(out)


def _swap(word: str) -> str:
    core = re.sub(r"\W+$", "", word)
    new = _SYNONYMS.get(core.lower())
    return word if new is None else new + word[len(core) :]


def person_of(question: str, names: Iterable[str]) -> str | None:
    """Whom a question of DUSK is about: the longest name that it holds."""
    found = [name for name in names if name in question]
    return max(found, key=len, default=None)


def name_of(title: str) -> str | None:
    """The person in a title of DUSK: `The Life and Work of Dr. Roland Lancaster`."""
    match = re.search(r"(?:Dr\.?|Prof\.?|Professor)\s+(.+?)(?:'s\b|$|:|,)", title)
    return match.group(1).strip() if match else None
