"""A collection's persisted embedding function is never built; a suspicious one is reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import StoreError
from ragshield.records import Action, Batch, Passage
from ragshield.stores.chroma import create_chroma
from ragshield.stores.chroma_trust import suspicious_settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Tracer:
    """An embedding function that notes when it is built or called."""

    events: list[str] = []  # noqa: RUF012

    def __init__(self) -> None:
        Tracer.events.append("built")

    def __call__(self, input: Any) -> Any:
        Tracer.events.append("called")
        return [np.ones(4, dtype=np.float32) for _ in input]

    embed_query = __call__

    @staticmethod
    def name() -> str:
        return "tracer"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> Tracer:
        return Tracer()

    def get_config(self) -> dict[str, Any]:
        return {}

    def default_space(self) -> str:
        return "cosine"

    def supported_spaces(self) -> list[str]:
        return ["cosine", "l2", "ip"]

    def is_legacy(self) -> bool:
        return False

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        return None

    def validate_config_update(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        return None


@pytest.fixture(params=["chroma", pytest.param("chroma+http", marks=pytest.mark.server)])
def traced(request: pytest.FixtureRequest, tmp_path, monkeypatch) -> Iterator[str]:
    """URL of a collection with three rows that persists the tracer, registered with Chroma."""
    import chromadb
    from chromadb.utils import embedding_functions

    monkeypatch.setitem(embedding_functions.known_embedding_functions, "tracer", Tracer)
    if request.param == "chroma":
        client, url = chromadb.PersistentClient(str(tmp_path / "db")), f"chroma:{tmp_path}/db#docs"
    else:
        server = request.getfixturevalue("chroma_server")
        client, url = chromadb.HttpClient("127.0.0.1", server.port), server.url("docs")
    collection = client.create_collection("docs", embedding_function=Tracer())
    collection.add(ids=["a", "b", "c"], embeddings=np.eye(4)[:3], documents=["x", "y", "z"])
    assert "built" in Tracer.events
    client.close()
    Tracer.events.clear()
    yield url
    if request.param != "chroma":
        client = chromadb.HttpClient("127.0.0.1", server.port)
        client.delete_collection("docs")
        client.close()


def test_nothing_is_built_when_reading_searching_and_deleting(traced) -> None:
    with open_store(traced) as store:
        assert (store.count(), store.dim) == (3, 4)
        assert [p.id for batch in store.batches(2) for p in batch.passages] == ["a", "b", "c"]
        assert store.get(["b"]).passages == (Passage("b", "y"),)
        assert store.search(np.eye(4, dtype=np.float32)[1], 1).hits[0].id == "b"
        store.configuration_findings()
    with open_store(traced, writable=True) as store:
        assert store.delete(["a"]) == 1
    with pytest.raises(StoreError, match="no collection 'docx'; did you mean 'docs'"):
        open_store(traced.replace("#docs", "#docx"))
    assert Tracer.events == []


def test_adding_is_refused_and_builds_nothing_even_when_trusted(traced) -> None:
    new = Batch((Passage("d", "new"),), np.ones((1, 4), dtype=np.float32))
    with open_store(traced, writable=True) as store:
        with pytest.raises(StoreError, match=r"refused to add: .*'tracer'.*trust_collection"):
            store.add(new)
        assert store.count() == 3
    with open_store(traced, writable=True, trust_collection_config=True) as store:
        store.add(new)
        assert store.count() == 4
    assert Tracer.events == []


def test_the_tracer_is_built_by_the_public_call_that_is_avoided(tmp_path, monkeypatch) -> None:
    import chromadb
    from chromadb.utils import embedding_functions

    monkeypatch.setitem(embedding_functions.known_embedding_functions, "tracer", Tracer)
    with chromadb.PersistentClient(str(tmp_path / "db")) as client:
        client.create_collection("docs", embedding_function=Tracer())
        Tracer.events.clear()
        collection = client.get_collection("docs", embedding_function=None)
        collection.add(ids=["a"], embeddings=[[1, 2, 3, 4]], documents=["x"])
    assert "built" in Tracer.events


def test_a_suspicious_function_is_one_finding_about_the_store(traced) -> None:
    with open_store(traced) as store:
        (finding,) = store.configuration_findings()
    assert finding.passage_id == traced
    assert finding.detector == "collection-configuration"
    assert finding.suspicion == 1.0
    assert finding.action is Action.DROP
    assert "named 'tracer', which is none of Chroma's own" in finding.reason


def test_collections_made_here_or_with_chromas_default_are_clean(tmp_path) -> None:
    import chromadb

    batch = Batch((Passage("a", "x"),), np.ones((1, 4), dtype=np.float32))
    with create_chroma(tmp_path / "db", "ours", batch) as store:
        assert store.configuration_findings() == []
    with chromadb.PersistentClient(str(tmp_path / "db")) as client:
        client.create_collection("default")
    with open_store(f"chroma:{tmp_path}/db#default", writable=True) as store:
        assert store.configuration_findings() == []
        store.add(batch)
        assert store.count() == 1


def _known(name: str, **config: object) -> dict[str, object]:
    return {"embedding_function": {"type": "known", "name": name, "config": config}}


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, []),
        (None, []),
        ({"embedding_function": None}, []),
        ({"embedding_function": {"type": "legacy"}}, []),
        ({"embedding_function": {"type": "unknown"}}, []),
        (_known("default"), []),
        (_known("sentence_transformer", model_name="all-MiniLM-L6-v2", kwargs={}), []),
        (_known("sentence_transformer", model_name="BAAI/bge-small-en", kwargs={}), []),
        (_known("jina", kwargs={"trust_remote_code": False}), []),
        (_known("evil"), ["its embedding function is named 'evil', which is none of Chroma's own"]),
        (
            _known("sentence_transformer", kwargs={"trust_remote_code": True}),
            ["its embedding function sets kwargs.trust_remote_code = True"],
        ),
        (
            _known("sentence_transformer", kwargs={"model_kwargs": [{"trust_remote_code": 1}]}),
            ["its embedding function sets kwargs.model_kwargs.0.trust_remote_code = 1"],
        ),
        (
            {"keys": {"#embedding": {"config": _known("open_clip", checkpoint="/tmp/x.pt")}}},
            ["its embedding function loads a model from the path '/tmp/x.pt'"],
        ),
        ({"embedding_function": "evil"}, ["its embedding function is 'evil', not an object"]),
    ],
)
def test_what_counts_as_suspicious(configuration, expected) -> None:
    assert suspicious_settings(configuration) == expected


@pytest.mark.parametrize("path", ["./m", "../m", "~/m", "/m", "a/b/c", "C:\\m", "https://x/m"])
def test_models_named_by_a_place_are_suspicious(path) -> None:
    assert suspicious_settings(_known("instructor", model_name=path)) != []


def test_every_function_that_chroma_ships_is_known() -> None:
    from chromadb.utils import embedding_functions

    shipped = {
        **embedding_functions.known_embedding_functions,
        **embedding_functions.sparse_known_embedding_functions,
    }
    own = [name for name, kind in shipped.items() if kind.__module__.startswith("chromadb.")]
    assert len(own) > 30
    assert [name for name in own if suspicious_settings(_known(name))] == []
