from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

from ragshield.blocklist import Blocklist
from ragshield.errors import InputError, UsageError
from ragshield.guard import Guard
from ragshield.records import Batch, Passage
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MutableMemoryStore

TEXTS = [f"Ship number {i} carried rope and tar to Tannow in the year {1700 + i}" for i in range(9)]
PASSAGES = tuple(Passage(f"p{i}", text) for i, text in enumerate(TEXTS))


@pytest.fixture
def store(word_encoder) -> MutableMemoryStore:
    return MutableMemoryStore("memory:ships", Batch(PASSAGES, word_encoder.encode(TEXTS)))


def test_a_running_retriever_follows_the_file_and_fills_up_what_is_held_back(
    store, word_encoder, tmp_path: Path
) -> None:
    path = tmp_path / "blocked.json"
    retriever = StoreRetriever(store, word_encoder, blocklist=path)
    before = [hit.id for hit in retriever.retrieve(TEXTS[4], 4)]
    assert before[0] == "p4"
    everything = [hit.id for hit in retriever.retrieve(TEXTS[4], 9)]
    blocked = [p for p in PASSAGES if p.id in before[:3]]
    assert Blocklist(path).add(blocked) == 3  # another process, to this one
    found = retriever.retrieve(TEXTS[4], 4)
    assert [hit.id for hit in found] == everything[3:7]
    assert found.vectors.shape == (4, 64)
    assert Blocklist(path).remove(blocked[:1]) == 1
    assert blocked[0].id in [hit.id for hit in retriever.retrieve(TEXTS[4], 9)]


def test_fewer_are_given_only_where_the_store_has_no_more(store, word_encoder, tmp_path) -> None:
    blocklist = Blocklist(tmp_path / "b.json")
    blocklist.add(PASSAGES[:7])
    retriever = StoreRetriever(store, word_encoder, blocklist=blocklist)
    assert {hit.id for hit in retriever.retrieve("rope", 5)} == {"p7", "p8"}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_guard_judges_nothing_that_is_blocked(
    store, word_encoder, tmp_path, asynchronous
) -> None:
    seen: list[str] = []
    guard = Guard(
        StoreRetriever(store, word_encoder),
        "none",
        blocklist=str(tmp_path / "b.json"),
        on_verdict=lambda found, _: seen.extend(hit.id for hit in found),
    )
    Blocklist(tmp_path / "b.json").add([PASSAGES[4]])
    found = await guard.aretrieve(TEXTS[4], 5) if asynchronous else guard.retrieve(TEXTS[4], 5)
    assert len(found) == 5
    assert "p4" not in seen


def test_the_file_is_private_and_quotes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    Blocklist(path).add([Passage("canary-id", "Zebedee Canary lives here")])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "anary" not in path.read_text()
    assert set(json.loads(path.read_text())) == {"schema", "key", "entries"}


def test_the_same_id_with_another_text_is_not_blocked(tmp_path: Path) -> None:
    blocklist = Blocklist(tmp_path / "b.json")
    blocklist.add([Passage("1", "old")])
    assert blocklist.blocks(Passage("1", "old"))
    assert not blocklist.blocks(Passage("1", "new"))


def test_a_file_that_vanishes_leaves_blocked_what_was(tmp_path: Path, caplog) -> None:
    blocklist = Blocklist(tmp_path / "b.json")
    assert len(blocklist) == 0
    blocklist.add(PASSAGES[:2])
    (tmp_path / "b.json").unlink()
    assert blocklist.blocks(PASSAGES[0])
    assert "stays blocked" in caplog.text


@pytest.mark.parametrize("content", ["", "{}", '{"schema": "x"}', "[1]", "\xff\xfe"])
def test_a_file_that_is_no_blocklist_is_an_error_never_an_open_door(
    store, word_encoder, tmp_path, content
) -> None:
    path = tmp_path / "b.json"
    blocklist = Blocklist(path)
    blocklist.add(PASSAGES[:1])
    retriever = StoreRetriever(store, word_encoder, blocklist=blocklist)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"b\.json is no blocklist"):
        retriever.retrieve("rope", 2)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the folder .* does not exist"):
        Blocklist(tmp_path / "no" / "b.json").add(PASSAGES[:1])


def test_many_threads_may_ask_while_it_changes(store, word_encoder, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    retriever = StoreRetriever(store, word_encoder, blocklist=path)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(50):
                assert np.isfinite(retriever.retrieve("rope", 3).vectors).all()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for passage in PASSAGES:
        Blocklist(path).add([passage])
        Blocklist(path).remove([passage])
    for thread in threads:
        thread.join()
    assert failures == []
