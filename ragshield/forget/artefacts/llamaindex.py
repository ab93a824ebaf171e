"""LlamaIndex's storage folder: docstore.json, and the index and vector stores beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import writing
from ragshield.forget.artefacts.files import file_surface, json_surface
from ragshield.forget.artefacts.target import Target
from ragshield.forget.closure.chosen import Why
from ragshield.forget.plans.records import EXCERPT_CHARS, Artefact
from ragshield.protocols import Surface

_DATA, _META, _REFS = "docstore/data", "docstore/metadata", "docstore/ref_doc_info"
_VECTORS = ("embedding_dict", "text_id_to_ref_doc_id", "metadata_dict")


class Docstore:
    """Documents and nodes of SimpleDocumentStore, with what refers to them.

    A node that goes, goes from the docstore, from the lists and relationships of others,
    from index_store.json and from the files of SimpleVectorStore in the same folder.
    """

    def find(self, path: Path, target: Target) -> list[Artefact]:
        """Nodes of selected passages, their documents, and nodes that carry the target."""
        main, others = _parts(path)
        found = []
        data = _section(_read(main), _DATA, main)
        for node_id, node in data.items():
            text = _text(node)
            why = target.by_id(node_id)
            by_text = target.by_text(text)
            if by_text is not None and (
                why is None
                or (by_text.selected, by_text.confidence) > (why.selected, why.confidence)
            ):
                why = by_text
            if why is not None:
                found.append(_artefact(path, node_id, why, _digest(node), text))
        for other in others:
            vectors = _read(other).get("embedding_dict", {})
            for node_id in vectors if isinstance(vectors, dict) else ():
                if node_id not in data and node_id in target.ids:
                    why = Why(True, 1.0, f"a vector of a selected passage in {other.name}")
                    found.append(_artefact(path, node_id, why, "", ""))
        return found

    def remove(self, path: Path, artefacts: Sequence[Artefact]) -> tuple[str, ...]:
        """Write every file anew without the nodes; each is replaced whole or not at all."""
        main, others = _parts(path)
        data = _section(_read(main), _DATA, main)
        changed = {
            artefact.key
            for artefact in artefacts
            if artefact.key in data and _digest(data[artefact.key]) != artefact.sha256
        }
        ids = {artefact.key for artefact in artefacts} - changed
        # The docstore last: while a node is in it, another call knows what to finish.
        for file in [*others, main]:
            for left in file.parent.glob(f".{file.name}.*"):
                left.unlink(missing_ok=True)
            value = _read(file)
            rest = _without(value, ids)
            if rest != value:
                try:
                    with writing(file) as out:
                        json.dump(rest, out)
                except (UsageError, OSError) as error:
                    raise IncompleteError(f"{file} could not be changed: {error}") from error
        if not changed:
            return ()
        return (f"{len(changed)} entries of {path} have changed since and were left alone",)

    def surfaces(self, path: Path) -> tuple[Surface, ...]:
        """Each file as it lies there, and its texts without JSON's escapes."""
        main, others = _parts(path)
        found = []
        for file in [main, *others]:
            for part in [file, *sorted(file.parent.glob(f".{file.name}.*"))]:
                found.append(file_surface(part, f"docstore/{part.name}"))
            found.append(json_surface(file, f"docstore/{file.name}"))
        return tuple(found)


def _parts(path: Path) -> tuple[Path, list[Path]]:
    """docstore.json, and the other stores of the folder."""
    if path.is_dir():
        others = [path / "index_store.json", *sorted(path.glob("*vector_store.json"))]
        return path / "docstore.json", [other for other in others if other.is_file()]
    return path, []


def _artefact(path: Path, key: str, why: Why, sha256: str, text: str) -> Artefact:
    return Artefact(
        kind="docstore",
        place=str(path),
        key=key,
        reason=why.reason,
        confidence=round(why.confidence, 2),
        selected=why.selected,
        sha256=sha256,
        text=text[:EXCERPT_CHARS],
    )


def _without(value: dict[str, Any], ids: Collection[str]) -> dict[str, Any]:
    """One file's contents without these nodes."""
    rest = dict(value)
    if _DATA in rest:
        rest[_DATA] = {
            key: _unrelated(node, ids) for key, node in rest[_DATA].items() if key not in ids
        }
        refs = {}
        for key, info in rest.get(_REFS, {}).items():
            nodes = [node for node in info.get("node_ids", []) if node not in ids]
            if key not in ids and (nodes or not info.get("node_ids")):
                refs[key] = {**info, "node_ids": nodes}
        gone = set(ids) | (set(rest.get(_REFS, {})) - set(refs))
        rest[_META] = {
            key: meta
            for key, meta in rest.get(_META, {}).items()
            if key not in gone or (key in rest[_DATA] and key not in ids)
        }
        if _REFS in rest:
            rest[_REFS] = refs
    for section in _VECTORS:
        if isinstance(rest.get(section), dict):
            rest[section] = {k: v for k, v in rest[section].items() if k not in ids}
    if isinstance(rest.get("index_store/data"), dict):
        rest["index_store/data"] = {
            key: _pruned_index(index, ids) for key, index in rest["index_store/data"].items()
        }
    return rest


def _unrelated(node: Any, ids: Collection[str]) -> Any:
    """A node without its relationships to those that go, which quote their metadata."""
    inner = node.get("__data__") if isinstance(node, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("relationships"), dict):
        return node
    kept = {}
    for kind, related in inner["relationships"].items():
        if isinstance(related, list):
            kept[kind] = [
                r for r in related if not (isinstance(r, dict) and r.get("node_id") in ids)
            ]
        elif not (isinstance(related, dict) and related.get("node_id") in ids):
            kept[kind] = related
    return {**node, "__data__": {**inner, "relationships": kept}}


def _pruned_index(index: Any, ids: Collection[str]) -> Any:
    if not isinstance(index, dict) or "__data__" not in index:
        return index
    inner = index["__data__"]
    if isinstance(inner, str):
        try:
            return {**index, "__data__": json.dumps(_pruned(json.loads(inner), ids))}
        except ValueError:
            return index
    return {**index, "__data__": _pruned(inner, ids)}


def _pruned(value: Any, ids: Collection[str]) -> Any:
    """The tables of an index struct hold nothing but ids: every entry with one of them goes."""
    if isinstance(value, dict):
        return {
            key: _pruned(inner, ids)
            for key, inner in value.items()
            if key not in ids and not (isinstance(inner, str) and inner in ids)
        }
    if isinstance(value, list):
        return [_pruned(x, ids) for x in value if not (isinstance(x, str) and x in ids)]
    return value


def _text(node: Any) -> str:
    inner = node.get("__data__", node) if isinstance(node, dict) else {}
    if isinstance(inner, str):
        try:
            inner = json.loads(inner)
        except ValueError:
            return ""
    text = inner.get("text")
    if not text and isinstance(inner.get("text_resource"), dict):
        text = inner["text_resource"].get("text")
    return text if isinstance(text, str) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"docstore: cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"docstore: {path} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"docstore: {path} is no docstore of LlamaIndex")
    return value


def _section(value: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise InputError(f"docstore: {path} holds no '{name}' as LlamaIndex writes it")
    return found


def _digest(node: Any) -> str:
    return hashlib.sha256(json.dumps(node, sort_keys=True).encode("ascii")).hexdigest()
