"""From a name to a reader."""

from __future__ import annotations

from typing import cast

from ragshield import registry
from ragshield.protocols import Reader
from ragshield.records import Spec

DEFAULT = "extractive"


def open_reader(name: str = DEFAULT) -> Reader:
    """Build a reader by name.

    Args:
        name: `extractive`, or `openai:URL#MODEL` for any server that speaks OpenAI's
            chat protocol, for example `openai:http://localhost:8000/v1#tiny`.

    Raises:
        UsageError: no such reader, or the URL or the model is missing.
        MissingExtraError: its library is not installed.
    """
    kind, _, model = name.partition(":")
    params = {"model": model} if model or kind == "openai" else {}
    return cast("Reader", registry.build(Spec("reader", kind, params)))
