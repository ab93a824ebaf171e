"""From a name to a reader."""

from __future__ import annotations

from typing import cast

from ragshield import registry
from ragshield.protocols import Reader
from ragshield.records import Spec

DEFAULT = "extractive"
_OF_A_MODEL = ("langchain", "openai", "transformers")  # they say what is missing themselves


def open_reader(name: str = DEFAULT) -> Reader:
    """Build a reader by name.

    Args:
        name: `extractive`; `lab` or `lab:twin`, the lab's own model; `transformers:FOLDER`
            for a causal language model on disk; `openai:URL#MODEL` for any server that
            speaks OpenAI's chat protocol, for example
            `openai:http://localhost:8000/v1#tiny`; `langchain:PROVIDER:MODEL` for any chat
            model that LangChain opens by name.

    Raises:
        UsageError: no such reader, or the URL or the model is missing.
        MissingExtraError: its library is not installed.
    """
    kind, _, model = name.partition(":")
    params = {"model": model} if model or kind in _OF_A_MODEL else {}
    return cast("Reader", registry.build(Spec("reader", kind, params)))
