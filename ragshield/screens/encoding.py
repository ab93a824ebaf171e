"""The encoder that a screen was given, as an object or by name."""

from __future__ import annotations

from ragshield import registry
from ragshield.protocols import Encoder
from ragshield.records import Spec


def encoder_of(given: Encoder | str) -> Encoder:
    """The encoder itself; one named is built, which loads its model.

    Raises:
        UsageError: no such name.
        MissingExtraError: the encoder needs an optional dependency.
    """
    if not isinstance(given, str):
        return given
    built: Encoder = registry.build(Spec("encoder", given))
    return built
