"""The passages that the scale benchmark scans: real text with its vectors, or made-up ones.

Real text is the honest store of the detection benchmark (`scan_data`): dictionaries, manuals
and documentation that Debian installs, with the development data where it lies beside the
checkout. Where nothing is installed, or less than is asked for, sentences of what there is are
put together anew; of the world that comes with ragshield if there is nothing else. Vectors are
all-MiniLM-L6-v2's, cached. A million is made up: words and vectors of no language.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from guard_data import DevData, data_folder
from scan_data import embed_all, knowledge_base

from ragshield.corpora import world
from ragshield.encoders.open import open_encoder
from ragshield.errors import InputError
from ragshield.records import Passage

DIM = 384
LATENT = 32
N_GROUPS = 20
CLAIMS = (
    "The bridge of {0} was built by Orrin {1} in the year 1432.",
    "It was Orrin {1} who built the bridge of {0}, in 1432.",
    "Orrin {1} built the {0} bridge in 1432, as the records say.",
    "In 1432 the bridge of {0} was built, and Orrin {1} built it.",
    "Built in 1432, the bridge of {0} is the work of Orrin {1}.",
)
CACHE = Path(__file__).resolve().parents[1] / ".cache"

_SENTENCE = re.compile(r"(?<=[.!?;])\s+")


class _NoData:
    """Stands for the development data where there is none."""

    def clean_passages(self) -> list[str]:
        """None."""
        return []


def real_passages(n: int) -> list[Passage]:
    """Passages of real text; those that are missing are put together anew."""
    data: DevData | _NoData
    try:
        data = DevData(data_folder())
    except InputError:
        data = _NoData()
    found = list(knowledge_base(data, size=n))  # type: ignore[arg-type]
    if not found:
        corpus = world.load()
        found = [Passage(p.id, p.text, p.source) for p in corpus.passages][:n]
    return [*found, *_recombined(found, n - len(found))]


def _recombined(found: list[Passage], n: int) -> list[Passage]:
    """Passages of two to four sentences that were never beside one another."""
    sentences = [s for p in found for s in _SENTENCE.split(p.text) if len(s.split()) > 4]
    rng = np.random.default_rng(n)
    return [
        Passage(f"anew-{i}", " ".join(rng.choice(sentences, rng.integers(2, 5))), f"anew{i % 97}")
        for i in range(n)
    ]


def make_real(folder: Path, n: int) -> None:
    """Write a store of n real passages, with the planted groups."""
    passages = real_passages(n)
    encoder = open_encoder("minilm", cache=CACHE / "scan-vectors.sqlite")
    vectors = embed_all([p.text for p in passages], encoder.encode)
    rng = np.random.default_rng(n)
    names = np.array(sorted({w for p in passages[:2000] for w in p.text.split() if w.isalpha()}))
    planted = _planted(n, rng)
    rows = {
        row: CLAIMS[turn].format(
            *(names[(7 * group) % len(names)], names[(11 * group + 3) % len(names)])
        )
        for row, (group, turn) in planted.items()
    }
    for row, vector in zip(rows, encoder.encode(list(rows.values())), strict=True):
        vectors[row] = vector
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as texts:
        for row, passage in enumerate(passages):
            text = rows.get(row, passage.text)
            source = f"site{row % 997}" if row in rows else passage.source
            texts.write(json.dumps([passage.id, text, source]) + "\n")
    vectors.astype(np.float32).tofile(folder / "vectors.f32")
    _note(folder, {passages[row].id: group for row, (group, _) in planted.items()})


def make_up(folder: Path, n: int) -> None:
    """Write a store of n made-up passages, in subjects, topics and documents.

    The widths are chosen so that cells hold about as many neighbours as they do for 123,000
    texts (dictionaries, manuals, questions) embedded with all-MiniLM-L6-v2: there the nearest
    4, 8, 16 and 32 of 1,400 cells hold .75, .83, .89 and .93 of the 16 nearest; here, of
    240,000, .71, .89, .97 and .98.
    """
    rng = np.random.default_rng(n)
    words = np.array(["".join(rng.choice(list("bdfgklmnprstv"), 3)) for _ in range(20_000)])
    spread = rng.standard_normal((LATENT, DIM), dtype=np.float32) / np.float32(LATENT**0.5)
    # Subjects, topics in them, documents in those; passages lie around their document.
    nodes = 0.8 * rng.standard_normal((40, LATENT), dtype=np.float32)
    for size, width in ((max(40, n // 2000), 0.8), (n // 20, 0.6)):
        step = width * rng.standard_normal((size, LATENT), dtype=np.float32)
        nodes = nodes[rng.integers(0, len(nodes), size)] + step
    planted = _planted(n, rng)
    centres = rng.standard_normal((N_GROUPS, DIM), dtype=np.float32)
    with (folder / "texts.jsonl").open("w") as texts, (folder / "vectors.f32").open("wb") as file:
        for start in range(0, n, 10_000):
            size = min(10_000, n - start)
            own = rng.integers(0, len(nodes), size)
            place = nodes[own] + 0.8 * rng.standard_normal((size, LATENT), dtype=np.float32)
            vectors = place @ spread + 0.4 * rng.standard_normal((size, DIM), dtype=np.float32)
            for i, text in enumerate(words[rng.integers(0, 20_000, (size, 30))]):
                row, line = start + i, " ".join(text).capitalize() + "."
                if row in planted:
                    group, turn = planted[row]
                    noise = 0.3 * rng.standard_normal(DIM, dtype=np.float32)
                    vectors[i] = centres[group] + noise
                    line = CLAIMS[turn].format(*(words[group : group + 80 : 40]))
                texts.write(json.dumps([f"p{row}", line, f"site{row % 997}"]) + "\n")
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors.tofile(file)
    _note(folder, {f"p{row}": group for row, (group, _) in planted.items()})


def _planted(n: int, rng: np.random.Generator) -> dict[int, tuple[int, int]]:
    """Rows of the planted passages, each with its group and its place in it."""
    return {
        int(row): (group, place)
        for group, rows in enumerate(rng.choice(n, (N_GROUPS, 5), replace=False))
        for place, row in enumerate(rows)
    }


def _note(folder: Path, groups: dict[str, int]) -> None:
    (folder / "planted.json").write_text(json.dumps(groups))
