"""Points of Qdrant's local mode: read from their pickles without running anything."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, MissingExtraError, StoreError
from ragshield.records import Passage, Vector, Vectors

OWN_ID = "_ragshield_id"
"""Key of the payload that keeps an id which Qdrant does not allow."""

_NAMESPACE = UUID("6c1c2f5a-6a0b-5a53-8f5e-0c4f6f3d2b11")

_TEXTS = ("page_content", "document", "text", "content", "chunk", "body")

_MODELS = "qdrant_client.http.models.models"
_ALLOWED = frozenset(
    {(_MODELS, "PointStruct"), (_MODELS, "SparseVector"), ("uuid", "UUID"), ("uuid", "SafeUUID")}
)


class Point(NamedTuple):
    """One stored point.

    Attributes:
        id: an integer, or a UUID as text.
        vector: what is stored: a list, lists by name, or None.
        payload: its object.
    """

    id: int | str
    vector: Any
    payload: dict[str, Any]


class Layout(NamedTuple):
    """How a collection's payloads are laid out.

    Attributes:
        text: key of the text; `_node_content` where LlamaIndex keeps it inside.
        metadata: key of the object of metadata; None where everything else is metadata.
    """

    text: str
    metadata: str | None

    def passage(self, point: Point) -> Passage:
        """The passage in a point."""
        payload = dict(point.payload)
        passage_id = str(payload.pop(OWN_ID, point.id))
        if self.text == "_node_content":
            text = _node_text(payload.get(self.text))
        else:
            text = payload.pop(self.text, None)
        if self.metadata is not None:
            inner = payload.pop(self.metadata, None)
            payload |= inner if isinstance(inner, dict) else {}
        source = payload.pop("source") if isinstance(payload.get("source"), str) else None
        return Passage(passage_id, text if isinstance(text, str) else "", source, payload)

    def payload(self, passage: Passage) -> dict[str, Any]:
        """What a point of this layout holds for a passage.

        Raises:
            InputError: metadata that the payload cannot hold.
        """
        meta: dict[str, Any] = dict(passage.meta)
        payload: dict[str, Any]
        if passage.source is not None:
            if "source" in meta:
                raise InputError(
                    f"passage '{passage.id}' has a source and also metadata 'source'; rename "
                    "the latter"
                )
            meta["source"] = passage.source
        if self.text == "_node_content":
            if _node_text(meta.get(self.text)) != passage.text:
                raise InputError(
                    f"passage '{passage.id}' is no node of LlamaIndex, which this collection "
                    "holds; add it with LlamaIndex"
                )
            payload = meta
        elif self.metadata is None:
            payload = {**meta, self.text: passage.text}
        else:
            payload = {self.text: passage.text, self.metadata: meta}
        try:
            json.dumps(payload, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"passage '{passage.id}': metadata is not JSON ({error})") from error
        if (own := point_id(passage.id)) and str(own) != passage.id:
            payload[OWN_ID] = passage.id
        return payload


LANGCHAIN = Layout("page_content", "metadata")
"""What a collection without points is filled by."""


def layout_of(point: Point | None, asked: Mapping[str, str], url: str) -> Layout:
    """How the collection's payloads are laid out, as one of its points shows.

    Raises:
        StoreError: no key is recognisable as the text.
    """
    if point is None:
        return Layout(asked.get("text", LANGCHAIN.text), asked.get("metadata", LANGCHAIN.metadata))
    keys = point.payload
    usual = (key for key in _TEXTS if isinstance(keys.get(key), str))
    text = asked.get("text") or next(usual, None)
    if text is None and "_node_content" in keys:
        text = "_node_content"
    if text is None:
        raise StoreError(
            f"{url}: no key of the payload is recognisable as the text (there are: "
            f"{', '.join(map(repr, keys)) or 'none'}); name it with ?text=KEY"
        )
    inner = "metadata" if isinstance(keys.get("metadata"), dict) else None
    return Layout(text, asked.get("metadata", inner))


def point_id(passage_id: str) -> int | str:
    """The point's id for a passage's: itself where Qdrant allows it, else a UUID made of it."""
    if passage_id.isascii() and passage_id.isdigit():
        number = int(passage_id)
        if str(number) == passage_id and number < 2**64:
            return number
    try:
        if str(UUID(passage_id)) == passage_id:
            return passage_id
    except ValueError:
        pass
    as_bytes = passage_id.encode("utf-8", "surrogatepass")
    return str(uuid5(_NAMESPACE, as_bytes.hex()))


def dense_vector(point: Point, name: str | None) -> Vector | None:
    """A point's vector as (dim,) float32; None where it has none of this name."""
    found = point.vector
    if name is not None:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, list) or not found or isinstance(found[0], list):
        return None
    return np.array(found, dtype=np.float64).astype(np.float32)


class _Recorded:
    """Stands for every object in a pickle: takes what it is given and does nothing."""

    def __init__(self, *given: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _Recorded


def read_point(pickled: bytes, where: str) -> Point:
    """One point, without importing or calling anything that its pickle names.

    Raises:
        StoreError: the pickle is damaged, or names a class that no Qdrant client stores;
            opening such a collection with Qdrant would run it.
    """
    try:
        state = _Reader(io.BytesIO(pickled)).load().state
        fields = state.get("__dict__", state)
        vector, payload = fields["vector"], fields["payload"] or {}
        found = fields["id"]
        point = Point(found if isinstance(found, int) else str(found), vector, dict(payload))
    except Exception as error:  # a damaged pickle may raise anything
        raise StoreError(f"{where}: a point cannot be read ({error!s:.120})") from error
    return point


def foreign_names(pickled: bytes) -> list[str]:
    """Classes and functions named in a pickle that no Qdrant client stores."""
    names: list[str] = []
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in ("GLOBAL", "INST"):
                names.append(str(argument).replace(" ", "."))
            elif isinstance(argument, str):
                texts.append(argument)
            elif opcode.name == "STACK_GLOBAL":
                names.append(".".join(texts[-2:]))
    except ValueError:
        return ["a pickle that cannot be read"]
    allowed = {".".join(pair) for pair in _ALLOWED}
    return sorted(set(names) - allowed)


def write_point(own: int | str, vector: Vector, name: str | None, payload: dict[str, Any]) -> bytes:
    """A point as Qdrant's client pickles it.

    Raises:
        MissingExtraError: qdrant-client is not installed.
    """
    try:
        from qdrant_client.http.models import PointStruct
    except ImportError as error:
        raise MissingExtraError(
            "qdrant: needs qdrant-client: pip install 'ragshield[qdrant]'"
        ) from error
    numbers = [float(number) for number in vector]
    stored: Any = numbers if name is None else {name: numbers}
    return pickle.dumps(PointStruct.model_construct(id=own, vector=stored, payload=payload))


def pickled_vectors(vectors: Vectors) -> NDArray[np.uint8]:
    """The bytes that vectors have inside a pickle of lists of floats, one row each."""
    n, dim = vectors.shape
    numbers = np.empty((n, dim, 9), dtype=np.uint8)
    numbers[:, :, 0] = ord("G")
    numbers[:, :, 1:] = vectors.astype(">f8").view(np.uint8).reshape(n, dim, 8)
    rows = numbers.reshape(n, 9 * dim)
    # A list is written a thousand items at a time, `e(` between.
    cuts = np.repeat(np.arange(9000, 9 * dim, 9000), 2)
    marks = np.tile(np.frombuffer(b"e(", dtype=np.uint8), len(cuts) // 2)
    return np.ascontiguousarray(np.insert(rows, cuts, marks, axis=1)) if len(cuts) else rows


def _node_text(content: object) -> str | None:
    try:
        return str(json.loads(content)["text"]) if isinstance(content, str) else None
    except (ValueError, KeyError, TypeError):
        return None
