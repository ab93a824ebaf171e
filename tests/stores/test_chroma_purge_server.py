from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Recipe
from ragshield.records import Batch, Passage, Spec
from ragshield.registry import build
from ragshield.stores import chroma_purge_server
from ragshield.stores.chroma_purge_server import ChromaServerPurge, ChromaTlsServerPurge

pytestmark = pytest.mark.server

DIM = 16


def _docs(n: int) -> Batch:
    rng = np.random.default_rng(4)
    passages = tuple(
        Passage(f"doc-{i}", f"row {i}: {rng.bytes(25).hex()}", f"s{i % 3}", {"n": i})
        for i in range(n)
    )
    return Batch(passages, rng.standard_normal((n, DIM)).astype(np.float32))


def _fill(server: Any, docs: Batch) -> str:
    import chromadb

    client = chromadb.HttpClient("127.0.0.1", server.port)
    client.create_collection(
        "docs",
        embedding_function=None,
        metadata={"owner": "library"},
        configuration={"hnsw": {"space": "l2", "ef_search": 77, "max_neighbors": 20}},
    )
    client.close()
    url: str = server.url("docs")
    with open_store(url, writable=True) as store:
        store.add(docs)
    return url


def _settings(server: Any) -> tuple[Any, ...]:
    import chromadb

    client = chromadb.HttpClient("127.0.0.1", server.port)
    model = client.get_collection("docs", embedding_function=None).get_model()
    names = sorted(c.name for c in client.list_collections())
    client.close()
    return names, model.metadata, model.configuration_json, model.serialized_schema


def _rows(url: str) -> dict[str, tuple[Passage, bytes]]:
    with open_store(url) as store:
        return {
            p.id: (p, v.tobytes())
            for part in store.batches()
            for p, v in zip(part.passages, part.vectors, strict=True)
        }


def _bytes(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", ["chroma+http", "chroma+https"])
def test_both_schemes_are_registered_and_unreachable_files_are_said_to_be(name) -> None:
    recipe = build(Spec("recipe", name))
    assert isinstance(recipe, Recipe)
    url = f"{name}://127.0.0.1:1#docs"
    assert (recipe.files(url), recipe.surfaces(url)) == ((), ())
    assert "every file of the server" in recipe.untested(url)[0]
    assert recipe.describe(url)["server"] == "not running"
    assert ChromaTlsServerPurge.name == "chroma+https"


def test_without_its_folder_live_rows_are_copied_and_the_collection_stays_the_same(
    own_chroma_server, tmp_path
) -> None:
    docs = _docs(1200)
    url = _fill(own_chroma_server, docs)
    before, settings = _rows(url), _settings(own_chroma_server)
    purged = ChromaServerPurge().purge(url, ["doc-5", "doc-1199"])
    assert purged.how == "copy"
    assert any("?files=FOLDER" in note for note in purged.notes)
    del before["doc-5"], before["doc-1199"]
    assert _rows(url) == before
    assert _settings(own_chroma_server) == settings
    # What the notes say stays, does stay, and goes once the server is stopped.
    folder = tmp_path / "chroma-server"
    assert docs.vectors[5].tobytes() in _bytes(folder)
    own_chroma_server.stop()
    inner = f"{url.replace('#', f'?files={folder}#')}"
    assert ChromaServerPurge().surfaces(inner)
    assert "folders of deleted collections, removed: 1" in " ".join(
        ChromaServerPurge().purge(inner, []).notes
    )
    everything = _bytes(folder)
    for i in (5, 1199):
        assert docs.vectors[i].tobytes() not in everything
        assert docs.passages[i].text[-30:].encode() not in everything
    assert _rows(f"chroma:{folder}#docs") == before


def test_with_its_folder_the_server_must_be_stopped(own_chroma_server, tmp_path) -> None:
    url = _fill(own_chroma_server, _docs(30))
    folder = tmp_path / "chroma-server"
    inner = url.replace("#", f"?files={folder}#")
    assert len(_rows(inner)) == 30  # the store takes the same URL
    pid = own_chroma_server.process.pid
    with pytest.raises(StoreError, match=f"process {pid} serves"):
        ChromaServerPurge().purge(inner, ["doc-1"])
    assert ChromaServerPurge().describe(inner)["server"] != "not running"
    own_chroma_server.stop()
    assert ChromaServerPurge().purge(inner, ["doc-1"]).how == "in place"
    assert len(_rows(f"chroma:{folder}#docs")) == 29


@pytest.mark.parametrize("step", ["copying", "first name", "second name", "deleting"])
def test_interrupted_at_any_step_the_next_call_finishes(
    own_chroma_server, monkeypatch, step
) -> None:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

    url = _fill(own_chroma_server, _docs(50))
    before, settings = _rows(url), _settings(own_chroma_server)
    calls = 0

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def second_is_cut_off(self: Collection, **given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        whole(self, **given)

    whole = Collection.modify
    with monkeypatch.context() as patch:
        if step == "copying":
            patch.setattr(chroma_purge_server.np, "asarray", cut_off)
        elif step == "first name":
            patch.setattr(Collection, "modify", cut_off)
        elif step == "second name":
            patch.setattr(Collection, "modify", second_is_cut_off)
        else:
            patch.setattr(Client, "delete_collection", cut_off)
        with pytest.raises(KeyboardInterrupt):
            ChromaServerPurge().purge(url, ["doc-7"])
    ChromaServerPurge().purge(url, ["doc-7"])
    del before["doc-7"]
    assert _rows(url) == before
    assert _settings(own_chroma_server) == settings


def test_a_writer_in_between_is_noticed_and_nothing_is_lost(own_chroma_server) -> None:
    url = _fill(own_chroma_server, _docs(20))

    def write(message: str) -> None:
        if message.startswith("copying"):
            with open_store(url, writable=True) as store:
                store.add(Batch((Passage("late", "a late row"),), np.ones((1, DIM), np.float32)))

    with pytest.raises(IncompleteError, match="while live rows were copied"):
        ChromaServerPurge().purge(url, ["doc-7"], on_progress=write)
    assert set(_rows(url)) == {f"doc-{i}" for i in range(20) if i != 7} | {"late"}
