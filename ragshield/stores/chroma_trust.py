"""Is the embedding function that a Chroma collection persists one that may be built?

A collection carries the name and configuration of an embedding function. Chroma's client
builds it in ordinary calls, such as `add` with explicit vectors, and one that asks for
`trust_remote_code` runs the code of whoever wrote the collection (CVE-2026-45829). Here
it is only read, as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Any

# Written down, not read from chromadb.utils.embedding_functions: that registry is open,
# anything imported can add itself to it. State: chromadb 1.5.9.
_KNOWN_NAMES = frozenset(
    """amazon_bedrock baseten bm25 chroma-cloud-qwen chroma-cloud-splade chroma_bm25
    chroma_langchain cloudflare_workers_ai cohere default fastembed_sparse google_gemini
    google_genai google_generative_ai google_palm google_vertex huggingface
    huggingface_server huggingface_sparse instructor jina mistral morph nomic ollama
    onnx_mini_lm_l6_v2 open_clip openai perplexity roboflow sentence_transformer text2vec
    together_ai voyageai""".split()
)
_MODEL_KEYS = frozenset({"model", "model_name", "model_path", "checkpoint", "model_name_or_path"})


def suspicious_settings(*configurations: Mapping[str, Any] | None) -> list[str]:
    """What is odd about the embedding functions named anywhere in these JSON objects.

    Args:
        configurations: a collection's `configuration_json` and serialised schema.

    Returns:
        One phrase for each oddity, without repeats; empty when all are known and plain.
    """
    found: dict[str, None] = {}
    for configuration in configurations:
        for function in _embedding_functions(configuration):
            found.update(dict.fromkeys(_oddities(function)))
    return list(found)


def _embedding_functions(value: object) -> Iterator[object]:
    """Values of every key `embedding_function`, at any depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "embedding_function" and inner is not None:
                yield inner
            else:
                yield from _embedding_functions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _embedding_functions(inner)


def _oddities(function: object) -> Iterator[str]:
    if not isinstance(function, Mapping):
        yield f"its embedding function is {function!r:.60}, not an object"
        return
    kind = function.get("type")
    if kind in ("legacy", "unknown"):  # Chroma builds nothing for these
        return
    name = function.get("name")
    if kind != "known" or not isinstance(name, str) or name not in _KNOWN_NAMES:
        yield f"its embedding function is named {name!r:.60}, which is none of Chroma's own"
    for path, value in _leaves(function.get("config")):
        key = path.rpartition(".")[2]
        if "trust_remote_code" in key and value not in (False, None):
            yield f"its embedding function sets {path} = {value!r:.60}"
        elif key in _MODEL_KEYS and isinstance(value, str) and _is_path(value):
            yield f"its embedding function loads a model from the path {value!r:.80}"


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{i}")
    else:
        yield path, value


def _is_path(model: str) -> bool:
    """Whether a model is named by a place on disk or a URL, not as `name` or `owner/name`."""
    return (
        model.startswith((".", "~", "/", "\\"))
        or "\\" in model
        or "://" in model
        or model.count("/") > 1
        or bool(PureWindowsPath(model).drive)
    )
