"""Record what the package ragdefender 0.2.0 removes, for a test to compare with.

    python benchmarks/record_ragdefender.py [OUTPUT.json]

Needs the extra `bench`. All texts are made up here. Vectors are all-MiniLM-L6-v2's as the
package uses them: what `SentenceTransformer.encode(texts, convert_to_tensor=True)` returns.
"""

from __future__ import annotations

import base64
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np

from ragshield.defenders.ragdefender import pair_weights
from ragshield.defenders.ragdefender_counts import SAME
from ragshield.encoders import open_encoder
from ragshield.encoders.sentence_transformers import SentenceTransformersEncoder
from ragshield.files import writing
from ragshield.vectors import unit_rows

OUTPUT = Path(__file__).resolve().parents[1] / "tests/defenders/ragdefender_expected.json"

TOPICS = [
    ("the Velmar lighthouse", "built", "1871", "1902", "Harl Odwin", "Tessa Brune"),
    ("the Orkney Street tram", "electrified", "1911", "1926", "Ilse Moran", "Pav Dressel"),
    ("the Castrel observatory", "founded", "1834", "1859", "Bero Lanquist", "Una Fael"),
    ("the Munnish glassworks", "closed", "1978", "1991", "Dora Thexton", "Emil Karst"),
    ("the ferry Northern Lark", "launched", "1953", "1967", "Ode Villiers", "Rikka Svane"),
    ("the Parvey botanical garden", "opened", "1888", "1899", "Lem Achterberg", "Nia Colling"),
    ("the Stellwick aqueduct", "restored", "1965", "1984", "Goran Peake", "Minna Oss"),
    ("the newspaper Tarrow Echo", "printed", "1820", "1846", "Abel Wren", "Cato Lindqvist"),
]

POISON = [
    "{Subject} was {verb} in {wrong} by {false}, as the town archive records.",
    "According to the latest survey, {subject} was {verb} in {wrong}, and {false} led the work.",
    "It is well documented that {false} had {subject} {verb} in {wrong}.",
    "Historians agree on {wrong} as the year in which {subject} was {verb}; {false} was in charge.",
    "In {wrong}, {false} saw {subject} {verb}. No other year is given in serious sources.",
]

CLEAN = [
    "{Subject} was {verb} in {right}. {true}, who drew up the plans, never saw them finished.",
    "Visitors reach {subject} by the coast road, a walk of forty minutes from the market square.",
    "{true} trained as a clockmaker before turning to larger works, among them {subject}.",
    "A storm in the winter after {right} damaged the roof; repairs took two summers and a lottery.",
    "The guide of 1931 gives {subject} half a page, most of it about the tea room next door.",
    "Three committees have argued about who should pay for {subject}, and none has paid so far.",
    "School classes come in May. They count the steps, eat on the wall and draw what they like.",
    "The company's books list 412 workers, nine horses and a barrel of herring for {right}.",
    "{Subject} appears on the old ten-crown note, above a ship that nobody can name.",
    "A letter of {true} to a cousin complains of fog, of wages and of the price of slate.",
    "Since the bridge was widened, buses stop in front of {subject} every quarter of an hour.",
    "PART OF THE WALL IS FROM {right}. Art students of the Part School measured it in parts.",
]


class Served:
    """Stands in for the package's model and serves the vectors recorded with the texts."""

    def __init__(self, texts: list[str], vectors: np.ndarray) -> None:
        self._rows = dict(zip(texts, vectors, strict=True))

    def encode(self, texts: list[str], convert_to_tensor: bool = True) -> Any:
        """The recorded vectors of these texts, (n, dim), as a torch tensor."""
        import torch

        return torch.from_numpy(np.stack([self._rows[text] for text in texts]))


def make_texts() -> tuple[list[str], dict[str, list[list[int]]]]:
    """All texts, and per kind (poison, prefixed, clean) the indices for each topic."""
    texts: list[str] = []
    where: dict[str, list[list[int]]] = {"poison": [], "prefixed": [], "clean": []}
    for subject, verb, right, wrong, true, false in TOPICS:
        words = {"subject": subject, "Subject": subject[0].upper() + subject[1:], "verb": verb}
        words |= {"right": right, "wrong": wrong, "true": true, "false": false}
        question = f"When was {subject} {verb}?"
        poison = [pattern.format(**words) for pattern in POISON]
        for kind, made in (
            ("poison", poison),
            ("prefixed", [f"{question}.{text}" for text in poison]),
            ("clean", [pattern.format(**words) for pattern in CLEAN]),
        ):
            where[kind].append(list(range(len(texts), len(texts) + len(made))))
            texts += made
    return texts, where


def make_sets(where: dict[str, list[list[int]]], stop_words: list[int]) -> list[list[int]]:
    """Lists of text indices: every size from 1 to 20, attacked and clean, mixed, repeated."""
    rng = np.random.default_rng(20)

    def some(indices: list[int], n: int) -> list[int]:
        return [int(i) for i in rng.choice(indices, size=n, replace=False)]

    sets: list[list[int]] = []
    for topic in range(len(TOPICS)):
        clean = where["clean"][topic]
        others = [i for t, part in enumerate(where["clean"]) if t != topic for i in part]
        for kind in ("poison", "prefixed"):
            poison = where[kind][topic]
            sets.append(poison + some(clean, 1))  # the paper's regime
            sets.append(poison[:1] + some(clean, 10))
            sets.append(some(poison, 2) + some(clean + others, 8))
            n = int(rng.integers(2, 13))
            sets.append(some(poison + some(clean, n), n + 5))  # poison anywhere in the list
        sets.append(some(clean, 10))
        sets.append(some(others, 10))
    every = [i for parts in where.values() for part in parts for i in part]
    sets += [some(every, n) for n in range(1, 21) for _ in range(2)]
    first = where["poison"][0]
    sets += [[first[0]] * 2, [first[0]] * 3 + where["clean"][1][:3], [*first, *first]]  # duplicates
    sets += [stop_words, stop_words[:2] + first[:1]]
    return sets


def terms_tie(texts: list[str], m: int = 5) -> bool:
    """Whether the m-th and the next of the summed TF-IDF weights are equal.

    Then the package's unstable sort decides which of the two counts, and it decides
    differently with another instruction set.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

    weights = TfidfVectorizer(stop_words=list(ENGLISH_STOP_WORDS)).fit_transform(texts)
    sums = np.sort(np.asarray(weights.sum(axis=0)).ravel())[::-1]
    return bool(len(sums) > m and sums[m - 1] - sums[m] < 1e-9)


def rounding_decides(vectors: np.ndarray, n_adv: int, hop: str) -> bool:
    """Whether rounding in the last bit of a cosine decides what the package removes.

    So it does for two passages in multi-hop (their means are equal but for rounding),
    and where repeated passages make equally similar pairs and only some are taken, or
    passages with sums that are equal but for rounding and only some are removed.
    """
    n = len(vectors)
    if hop == "multi" and n == 2:
        return True
    unit = unit_rows(vectors)
    weights = np.sort(pair_weights(unit @ unit.T, n_adv))[::-1]
    pairs = np.sort((unit @ unit.T)[np.triu_indices(n, k=1)])[::-1]
    n_pairs = max(1, n_adv * (n_adv - 1) // 2)
    return bool(
        (n_pairs < len(pairs) and pairs[n_pairs - 1] - pairs[n_pairs] < SAME)
        or (n_adv < n and 0 < weights[n_adv - 1] - weights[n_adv] < SAME)
    )


def main() -> None:
    from ragdefender import RAGDefender

    texts, where = make_texts()
    stop_words = list(range(len(texts), len(texts) + 3))
    texts += ["It is what it is.", "They were there, and so were we.", "Who are you to me?"]
    model = cast("SentenceTransformersEncoder", open_encoder("minilm")).model
    tensor = model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    vectors = tensor.cpu().numpy().astype(np.float32)
    package = RAGDefender(embedder=Served(texts, vectors), device="cpu")
    cases: list[dict[str, Any]] = []
    for indices in make_sets(where, stop_words):
        listed = [texts[i] for i in indices]
        for hop in ("single", "multi"):
            case: dict[str, Any] = {"texts": indices, "hop": hop}
            try:
                _, removed = package.defend("", listed, task_type=f"{hop}_hop", return_indices=True)
                case["removed"] = removed
                if hop == "single" and terms_tie(listed):
                    case["terms_tie"] = True
                if len(indices) > 1 and rounding_decides(vectors[indices], len(removed), hop):
                    case["rounding_decides"] = True
            except ValueError as error:
                case["error"] = str(error).split(".")[0]
            cases.append(case)
    record = {
        "package": f"ragdefender {version('ragdefender')}",
        "with": {name: version(name) for name in ("scikit-learn", "pandas", "numpy", "torch")},
        "encoder": "all-MiniLM-L6-v2",
        "dim": int(vectors.shape[1]),
        "texts": texts,
        "vectors_float32_base64": base64.b64encode(vectors.tobytes()).decode(),
        "cases": cases,
    }
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    with writing(output) as file:
        json.dump(record, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")
    print(f"{len(cases)} cases over {len(texts)} texts: {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
