"""From a name to an encoder, with an optional cache on disk."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import cast

from ragshield import registry
from ragshield.encoders.cache import CachedEncoder
from ragshield.protocols import Encoder
from ragshield.records import Spec

DEFAULT = "minilm"


def open_encoder(
    name: str = DEFAULT, *, cache: Path | None = None, device: str | None = "cpu"
) -> Encoder:
    """Build an encoder by name.

    Args:
        name: `minilm` (offline, all-MiniLM-L6-v2), or
            `sentence-transformers:PATH_OR_NAME` for any other model on disk.
        cache: a file that keeps vectors between runs; None for no cache.
        device: torch's name of where it runs; None for the best there is. An encoder that
            does not ask for one runs where it likes.

    Raises:
        UsageError: no such encoder.
        MissingExtraError: its library is not installed.
        InputError: the model cannot be loaded, or its weights are not the published ones.
    """
    kind, _, model = name.partition(":")
    params: dict[str, str | None] = {"model": model} if model else {}
    if device != "cpu" and "device" in signature(registry.load("encoder", kind)).parameters:
        params["device"] = device
    encoder = cast("Encoder", registry.build(Spec("encoder", kind, params)))
    return encoder if cache is None else CachedEncoder(encoder, cache)
