"""Measures poisoning on the lab's own language model: the curve, the searches, the time.

Usage: python benchmarks/lab.py [--weights FOLDER] [--minutes M] [--quick] [--out DIR]

FOLDER is what `ragshield lab train` made, or its `obedient` part; without it the shipped
weights. Needs the package's own files only. Runs on one thread unless OMP_NUM_THREADS says
otherwise.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library looks

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from lab_cases import cases, remembered
from lab_curve import curves, times
from lab_generators import garag, phantom
from lab_report import markdown
from lab_search import Scene, searches

from ragshield.attacks.causal import CausalReader
from ragshield.corpora.world import load as load_world
from ragshield.encoders import open_encoder
from ragshield.files import check_writable, writing
from ragshield.lab.facts import Cast
from ragshield.lab.running import OBEDIENT, sha256_of
from ragshield.readers.lab import PROMPT_FILE, LabReader, folder_of
from ragshield.records import Target
from ragshield.text import states

ROOT = Path(__file__).resolve().parents[1]

FULL = {
    "n_curve": 200, "n_targets": 20, "population": 20, "n_generations": 5, "n_phantom": 10,
    "n_steps": 20, "n_garag": 20, "n_bred": 8, "n_timed": 60,
}  # fmt: skip
QUICK = {
    "n_curve": 12, "n_targets": 2, "population": 8, "n_generations": 2, "n_phantom": 2,
    "n_steps": 2, "n_garag": 2, "n_bred": 2, "n_timed": 5,
}  # fmt: skip
SEED = 11


def measured(folder: Path, size: dict[str, int], minutes: float) -> dict[str, Any]:
    """Everything, on the model in one folder; searches end after about so many minutes."""
    began, weights = time.monotonic(), sha256_of(folder)
    reader = LabReader(str(folder), n_threads=int(os.environ["OMP_NUM_THREADS"]))
    cast = Cast.of(0)
    say(began, "curves")
    found: dict[str, Any] = {"curves": curves(reader, cast, n=size["n_curve"], seed=SEED)}
    say(began, "times")
    found["times"] = times(LabReader(str(folder)), cast, n=size["n_timed"], seed=SEED)
    given = {
        "model": str(folder),
        "prompt": (folder / PROMPT_FILE).read_text("utf-8"),
        "max_answer_tokens": 12,
    }
    inside = CausalReader("lab", **given)
    given |= {"model": inside.model, "tokenizer": inside.tokenizer}
    encoder = open_encoder("minilm")
    asked = known_targets(cast)[: 4 * size["n_targets"]]
    targets = remembered(reader, asked)[: size["n_targets"]]
    scenes = (
        Scene(inside, encoder, t, size["population"], SEED + i) for i, t in enumerate(targets)
    )

    def more(scene: Scene) -> bool:
        say(began, scene.target.question.text)
        return time.monotonic() - began < 60 * minutes

    found["searches"] = searches(scenes, size["n_generations"], more)
    targets = targets[: len(found["searches"]["PoisonedRAG"])]
    found["search_settings"] = {
        "n_targets": len(targets),
        "n_asked": asked.index(targets[-1]) + 1,
        "population": size["population"],
        "n_generations": size["n_generations"],
    }
    say(began, "phantom")
    found["phantom"] = phantom(inside, given, targets[: size["n_phantom"]], n_steps=size["n_steps"])
    say(began, "garag")
    read = read_targets(reader, inside, cast, size["n_garag"])
    found["garag"] = garag(inside, given, encoder, read, n_generations=size["n_bred"])
    return found | {
        "weights": weights,
        "threads": os.environ["OMP_NUM_THREADS"],
        "seconds": time.monotonic() - began,
    }


def known_targets(cast: Cast) -> list[Target]:
    """The bundled corpus' questions about what the model was trained to know."""
    corpus = load_world()
    known = {
        i for name, ids in corpus.subjects.items() for i in ids if cast.world.split[name] == "known"
    }
    found = [target for target in corpus.targets if target.question.id in known]
    return [found[i] for i in range(0, len(found), 3)]  # spread over people, firms and places


def read_targets(reader: LabReader, inside: CausalReader, cast: Cast, n: int) -> list[Target]:
    """Questions that the model answers from one true passage and not by heart."""
    found: list[Target] = []
    for case in cases(reader, cast, "none", n=3 * n, seed=SEED + 7):
        question, text = case.target.question, case.clean[0]
        if len(found) < n and states(
            inside.answers(question.text, [[text]])[0], question.answers[0]
        ):
            found.append(Target(question, case.target.wrong_answer, texts=(text,)))
    return found


def say(began: float, what: str) -> None:
    """Where it is."""
    print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="a folder that `ragshield lab train` made")
    parser.add_argument("--quick", action="store_true", help="a few questions, a minute")
    parser.add_argument(
        "--minutes", type=float, default=16.0, help="no further target is searched after these"
    )
    parser.add_argument("--out", type=Path, help="folder for lab.md and lab.json")
    arguments = parser.parse_args()
    folder = folder_of("") if arguments.weights is None else arguments.weights
    if (folder / OBEDIENT).is_dir():
        folder /= OBEDIENT
    # A quick run, or one on other weights, is no result to commit.
    aside = arguments.quick or arguments.weights is not None
    place = ROOT / ".cache" / "lab-results" if aside else ROOT / "benchmarks" / "results"
    place = arguments.out or place
    place.mkdir(parents=True, exist_ok=True)
    check_writable(place / "lab.json")
    found = measured(folder, QUICK if arguments.quick else FULL, arguments.minutes)
    found["command"] = "python benchmarks/lab.py" + (" --quick" if arguments.quick else "")
    with writing(place / "lab.json") as file:
        json.dump(found, file, indent=1)
        file.write("\n")
    text = markdown(found)
    with writing(place / "lab.md") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    main()
