"""Planting in a store, and taking everything out again, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ragshield.encoders
from ragshield.cli.main import run
from ragshield.plant import mark, state_of
from ragshield.records import Batch, Passage
from ragshield.stores.chroma import create_chroma
from ragshield.stores.sqlite import create_sqlite
from ragshield.stores.url import open_store

ROWS = [
    {"id": "q1", "question": "Who founded Ash Mill?", "answers": ["Ida"], "wrong_answer": "Per"},
    {"id": "q2", "question": "Who runs Elm Mill?", "answers": ["Ada"], "wrong_answer": "Ole"},
]
CLEAN = (Passage("c1", "Ida founded Ash Mill."), Passage("c2", "Ada runs Elm Mill.", "wiki"))


@pytest.fixture
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "targets.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture(params=["chroma", "jsonl", "memory", "sqlite"])
def url(request, tmp_path: Path, word_encoder, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of two passages, not marked."""
    monkeypatch.setattr(
        ragshield.encoders, "open_encoder", lambda name, cache=None, device=None: word_encoder
    )
    batch = Batch(CLEAN, word_encoder.encode([p.text for p in CLEAN]))
    if request.param == "chroma":
        create_chroma(tmp_path / "db", "docs", batch).close()
        return f"chroma:{tmp_path / 'db'}#docs"
    if request.param == "sqlite":
        create_sqlite(tmp_path / "docs.sqlite", "docs", batch).close()
        return f"sqlite:{tmp_path / 'docs.sqlite'}#docs"
    if request.param == "jsonl":
        (tmp_path / "docs.jsonl").touch()
    place = tmp_path.name if request.param == "memory" else tmp_path / "docs.jsonl"
    with open_store(f"{request.param}:{place}", writable=True) as store:
        store.add(batch)
    return f"{request.param}:{place}"


def attack(*arguments: object) -> int:
    return run(["attack", *map(str, arguments)])


def poison(url: str, targets: Path, *more: object) -> int:
    return attack("naive", "--store", url, "--targets", targets, *more)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def ids(url: str) -> list[str]:
    with open_store(url) as store:
        return sorted(p.id for batch in store.batches() for p in batch.passages)


def state(url: str):
    with open_store(url) as store:
        return state_of(store)


def test_without_plant_it_is_only_shown_what_would_be_done(
    url: str, targets: Path, tmp_path: Path, capsys
) -> None:
    before = state(url)
    assert poison(url, targets) == 0
    shown = said(capsys)
    assert f"Would plant 2 passages among 2 in {url}" in shown
    assert "Nothing was changed. Add --plant to plant." in shown
    assert ("It would be refused" in shown) is not url.startswith("memory")
    assert state(url) == before
    assert not (tmp_path / "naive.planted.json").exists()


def test_a_store_that_is_no_marked_test_copy_is_refused_until_told_in_full_words(
    url: str, targets: Path, tmp_path: Path, capsys
) -> None:
    before = state(url)
    if not url.startswith("memory"):
        assert poison(url, targets, "--plant", "-o", tmp_path / "p.jsonl") == 2
        assert "is not marked as a test copy; make one with" in said(capsys)
        assert state(url) == before
        assert not (tmp_path / "p.jsonl").exists()
    assert poison(url, targets, "--plant", "--i-may-poison-this-store") == 0
    assert len(ids(url)) == 4


def test_planted_poison_is_retrieved_and_a_clean_up_proves_that_it_is_out(
    url: str, targets: Path, tmp_path: Path, word_encoder, capsys
) -> None:
    before = state(url)
    if not url.startswith("memory"):
        mark(url)
    assert poison(url, targets, "--plant") == 0
    manifest = tmp_path / "naive.planted.json"
    listed = json.loads(manifest.read_text())
    assert listed["before"] == {"n_passages": 2, "sha256": before.sha256}
    assert [entry["made_as"] for entry in listed["passages"]] == ["naive/q1/0", "naive/q2/0"]
    planted = [entry["id"] for entry in listed["passages"]]
    assert all(i.startswith("ragshield-canary-") for i in planted)
    assert ids(url) == sorted(["c1", "c2", *planted])
    with open_store(url) as store:
        [question] = word_encoder.encode(["Who runs Elm Mill? The answer is Ole."])
        hit = store.search(question, 1).hits[0]
    assert (hit.id, hit.passage.meta["attack"]) == (planted[1], "naive")

    assert attack("--clean-up", manifest) == 0
    assert state(url) == before
    shown = said(capsys)
    assert "Took 2 of 2 planted passages out" in shown
    assert f"Before: 2 passages, SHA-256 {before.sha256}" in shown
    assert f"Now: 2 passages, SHA-256 {before.sha256}" in shown
    assert "The store is as it was" in shown
    assert json.loads(manifest.read_text())["after"] == listed["before"]
    # Finished, it may be replaced; and a second clean-up does no harm.
    assert attack("--clean-up", manifest) == 0
    assert poison(url, targets, "--plant") == 0


def test_a_manifest_that_may_still_be_needed_is_not_replaced(
    url: str, targets: Path, tmp_path: Path, capsys
) -> None:
    manifest = tmp_path / "naive.planted.json"
    manifest.write_text("precious")
    assert poison(url, targets, "--plant", "--i-may-poison-this-store") == 2
    assert "clean up first, or name another with --manifest" in said(capsys)
    assert manifest.read_text() == "precious"
    assert ids(url) == ["c1", "c2"]


def test_a_store_that_something_else_changed_is_not_called_as_it_was(
    url: str, targets: Path, tmp_path: Path, word_encoder, capsys
) -> None:
    poison(url, targets, "--plant", "--i-may-poison-this-store")
    with open_store(url, writable=True) as store:
        store.add(Batch((Passage("new", "News."),), word_encoder.encode(["News."])))
    assert attack("--clean-up", tmp_path / "naive.planted.json") == 3
    assert "something else has changed it since" in said(capsys)
    assert ids(url) == ["c1", "c2", "new"]


def test_a_planted_passage_that_was_edited_since_is_left_alone_and_reported(
    url: str, targets: Path, tmp_path: Path, word_encoder, capsys
) -> None:
    before = state(url)
    poison(url, targets, "--plant", "--i-may-poison-this-store")
    manifest = tmp_path / "naive.planted.json"
    first, second = (entry["id"] for entry in json.loads(manifest.read_text())["passages"])
    with open_store(url, writable=True) as store:
        store.delete([first, second])
        text = "Corrected by an editor: Ida founded it."
        store.add(Batch((Passage(first, text),), word_encoder.encode([text])))
    assert attack("--clean-up", manifest) == 3
    message = said(capsys)
    assert "1 were not there" in message
    assert "1 planted passages were changed since and left alone" in message
    assert ids(url) == ["c1", "c2", first]
    with open_store(url, writable=True) as store:
        store.delete([first])
    assert attack("--clean-up", manifest) == 0
    assert state(url) == before


def test_an_encoder_of_another_width_is_refused(
    url: str, targets: Path, tmp_path: Path, word_encoder, monkeypatch, capsys
) -> None:
    other = type(word_encoder)(32)
    monkeypatch.setattr(
        ragshield.encoders, "open_encoder", lambda name, cache=None, device=None: other
    )
    assert poison(url, targets, "--plant", "--i-may-poison-this-store") == 2
    assert "the encoder gives 32 dimensions" in said(capsys)
    assert ids(url) == ["c1", "c2"]
    assert not (tmp_path / "naive.planted.json").exists()


@pytest.mark.parametrize(
    "copy", ["chroma:copy#docs", "jsonl:copy.jsonl", "sqlite:copy.sqlite#docs"]
)
def test_a_copy_is_marked_and_holds_the_same(url: str, copy: str, targets: Path, capsys) -> None:
    assert attack("--store", url, "--copy-to", copy) == 0
    assert "Copied 2 passages" in said(capsys)
    with open_store(url) as old, open_store(copy) as new:
        for one, other in zip(old.batches(), new.batches(), strict=True):
            assert one.passages == other.passages
            assert one.vectors == pytest.approx(other.vectors, abs=1e-6)
    assert poison(copy, targets, "--plant") == 0
    assert ids(url) == ["c1", "c2"]
    assert len(ids(copy)) == 4
    assert attack("--store", url, "--copy-to", copy) == 2
    assert "exists already" in said(capsys)
    assert len(ids(copy)) == 4


def test_a_moved_test_copy_is_no_test_copy_any_more(targets: Path, tmp_path: Path, capsys) -> None:
    row = {"id": "c1", "text": "Ida founded Ash Mill.", "vector": [1.0, 0.0]}
    (tmp_path / "docs.jsonl").write_text(json.dumps(row) + "\n")
    assert attack("--store", "jsonl:docs.jsonl", "--copy-to", "jsonl:copy.jsonl") == 0
    for name in ("copy.jsonl", "copy.jsonl.ragshield-test-copies.json"):
        (tmp_path / name).rename(tmp_path / name.replace("copy.jsonl", "live.jsonl", 1))
    assert poison("jsonl:live.jsonl", targets, "--plant") == 2
    assert "is not marked as a test copy" in said(capsys)


@pytest.mark.parametrize(
    "target", ["memory:x", "chroma:db", "chroma+http://h:1#x", "docs", "jsonl:", "sqlite:x.db"]
)
def test_a_copy_goes_to_a_new_file_or_folder_only(target: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "A.", "vector": [1.0]}\n')
    assert attack("--store", f"jsonl:{tmp_path / 'docs.jsonl'}", "--copy-to", target) == 2
    assert "write chroma:PATH#COLLECTION, sqlite:FILE#TABLE or jsonl:FILE" in said(capsys)
