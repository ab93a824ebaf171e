"""From a name to an encoder, with an optional cache on disk."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ragshield import registry
from ragshield.encoders.cache import CachedEncoder
from ragshield.protocols import Encoder
from ragshield.records import Spec

DEFAULT = "minilm"


def open_encoder(name: str = DEFAULT, *, cache: Path | None = None) -> Encoder:
    """Build an encoder by name.

    Args:
        name: `minilm` (offline, all-MiniLM-L6-v2), or
            `sentence-transformers:PATH_OR_NAME` for any other model on disk.
        cache: a file that keeps vectors between runs; None for no cache.

    Raises:
        UsageError: no such encoder.
        MissingExtraError: its library is not installed.
        InputError: the model cannot be loaded, or its weights are not the published ones.
    """
    kind, _, model = name.partition(":")
    params = {"model": model} if model else {}
    encoder = cast("Encoder", registry.build(Spec("encoder", kind, params)))
    return encoder if cache is None else CachedEncoder(encoder, cache)
