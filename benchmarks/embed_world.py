"""Embed the default world and write what `ragshield.corpora.world_vectors` ships.

Run it when the world's texts have changed: python benchmarks/embed_world.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ragshield.corpora.world import load
from ragshield.corpora.world_vectors import ENCODER, digest
from ragshield.encoders import open_encoder

FOLDER = Path(__file__).parent.parent / "corpora"


def main() -> None:
    passages = load().passages
    encoder = open_encoder("minilm", cache=Path(".cache/vectors.sqlite"))
    if encoder.name != ENCODER:
        raise SystemExit(f"the encoder is {encoder.name}, not {ENCODER}")
    rows = encoder.encode([passage.text for passage in passages])
    np.save(FOLDER / "world_vectors.npy", rows.astype(np.float16))
    (FOLDER / "world_vectors.txt").write_text(digest(passages) + "\n", encoding="ascii")
    print(f"{len(rows)} vectors written to {FOLDER}")


if __name__ == "__main__":
    main()
