import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np
import pytest

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.quarantine import Quarantine
from ragshield.records import Action, Finding, Passage


def finding(passage_id, **evidence):
    return Finding(passage_id, 0.9, "test", Action.DROP, "looks planted", "g1", evidence)


def hold(quarantine, *ids, text="a planted text", vectors=None):
    passages = [Passage(x, text, "https://example.org", {"page": 3}) for x in ids]
    quarantine.hold(passages, {x: [finding(x)] for x in ids}, vectors)


@pytest.fixture
def quarantine(tmp_path):
    return Quarantine(tmp_path / "quarantine.jsonl")


def listed(quarantine):
    return [(held.passage.id, held.passage.text) for held in quarantine.list()]


def test_what_is_held_comes_back_whole_in_another_process(quarantine):
    passage = Passage("p1", "line\nbreak ü \udcff", "wiki", {"page": 3, "draft": True, "x": None})
    evidence = {"similarity": np.float32(0.5), "ids": np.array([1, 2]), "words": {"b", "a"}}
    reason = Finding("p1", None, "test", Action.DROP, "why", None, MappingProxyType(evidence))
    quarantine.hold([passage], {"p1": [reason]}, np.array([[0.1, -2.5]], dtype=np.float32))
    (held,) = Quarantine(quarantine.path).list()
    assert held.passage == passage
    assert held.findings == (
        Finding(
            "p1",
            None,
            "test",
            Action.DROP,
            "why",
            None,
            {"similarity": 0.5, "ids": [1, 2], "words": ["a", "b"]},
        ),
    )
    assert held.time.endswith("+00:00")
    np.testing.assert_array_equal(held.vector, np.array([0.1, -2.5], dtype=np.float32))


def test_nothing_is_written_before_the_first_rejection(quarantine):
    assert quarantine.list() == []
    quarantine.hold([], {})
    assert not quarantine.path.exists()


def test_release_gives_the_passages_in_the_order_asked_and_strikes_them_off(quarantine):
    hold(quarantine, "a", "b", "c", vectors=np.eye(3, dtype=np.float32))
    batch = quarantine.release(["c", "a", "c"])
    assert [passage.id for passage in batch.passages] == ["c", "a"]
    np.testing.assert_array_equal(batch.vectors, [[0, 0, 1], [1, 0, 0]])
    assert listed(quarantine) == [("b", "a planted text")]
    lines = [json.loads(line) for line in quarantine.path.read_text().splitlines()]
    assert [line.get("event") for line in lines] == [None, *["held"] * 3, *["released"] * 2]


def test_released_without_all_vectors_means_without_vectors(quarantine):
    hold(quarantine, "a", vectors=np.ones((1, 2), dtype=np.float32))
    hold(quarantine, "b")
    assert quarantine.release(["a", "b"]).vectors is None


def test_releasing_what_is_not_held_releases_nothing(quarantine):
    hold(quarantine, "a")
    with pytest.raises(UsageError, match="passage 'x' is not held in"):
        quarantine.release(["a", "x"])
    assert listed(quarantine) == [("a", "a planted text")]
    quarantine.release("a")
    with pytest.raises(UsageError, match="passage 'a' is not held"):
        quarantine.release(["a"])


def test_no_text_of_a_purged_passage_stays_in_the_file(quarantine):
    hold(quarantine, "a", text="an older planted text")
    hold(quarantine, "a", "b", vectors=np.full((2, 2), 0.123456, dtype=np.float32))
    quarantine.release(["b"])
    hold(quarantine, "b")
    assert quarantine.purge(["a"]) == 2
    assert listed(quarantine) == [("b", "a planted text")]
    left = [json.loads(line) for line in quarantine.path.read_text().splitlines()]
    assert "older" not in quarantine.path.read_text()
    assert [(line.get("event"), line.get("id")) for line in left if "passage" not in line][-1] == (
        "purged",
        "a",
    )
    assert {line["passage"]["id"] for line in left if "passage" in line} == {"b"}
    with pytest.raises(UsageError, match="passage 'a' is not held"):
        quarantine.purge(["a"])


def test_a_purge_that_the_disk_refuses_leaves_the_file_as_it_was(quarantine, monkeypatch):
    hold(quarantine, "a")
    before = quarantine.path.read_bytes()

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ragshield.files.os.fsync", refuse)
    with pytest.raises(IncompleteError, match="as it was"):
        quarantine.purge(["a"])
    monkeypatch.undo()
    assert quarantine.path.read_bytes() == before
    assert listed(quarantine) == [("a", "a planted text")]


def test_who_waited_for_a_purge_writes_to_the_new_file(quarantine):
    hold(quarantine, "a", "b")
    writers = [threading.Thread(target=hold, args=(quarantine, f"x{i}")) for i in range(8)]
    purger = threading.Thread(target=quarantine.purge, args=(["a"],))
    for thread in [*writers[:4], purger, *writers[4:]]:
        thread.start()
    for thread in [*writers, purger]:
        thread.join()
    assert {item[0] for item in listed(quarantine)} == {"b", *(f"x{i}" for i in range(8))}


def test_two_texts_under_one_id_are_both_kept_and_released_newest_first(quarantine):
    hold(quarantine, "a", text="old")
    hold(quarantine, "a", text="new")
    hold(quarantine, "a", text="new")
    assert listed(quarantine) == [("a", "old"), ("a", "new")]
    assert quarantine.release(["a"]).passages[0].text == "new"
    assert listed(quarantine) == [("a", "old")]


def test_a_rejection_without_a_reason_is_refused(quarantine):
    with pytest.raises(UsageError, match="passage 'a' has no finding"):
        quarantine.hold([Passage("a", "text")], {"a": []})


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_skipped_and_cut_off_by_the_next_write(quarantine, cut, caplog):
    hold(quarantine, "a")
    whole = quarantine.path.read_bytes()
    hold(quarantine, "b")
    quarantine.path.write_bytes(quarantine.path.read_bytes()[: len(whole) + cut])
    assert listed(quarantine) == [("a", "a planted text")]
    assert "half-written" in caplog.text
    hold(quarantine, "c")
    assert listed(quarantine) == [("a", "a planted text"), ("c", "a planted text")]
    assert quarantine.path.read_bytes().startswith(whole)


def test_a_last_line_that_only_lost_its_line_break_counts(quarantine):
    hold(quarantine, "a")
    quarantine.path.write_bytes(quarantine.path.read_bytes()[:-1])
    hold(quarantine, "b")
    assert listed(quarantine) == [("a", "a planted text"), ("b", "a planted text")]


def test_a_torn_first_line_starts_the_file_anew(quarantine):
    quarantine.path.write_bytes(b'{"sche')
    assert quarantine.list() == []
    hold(quarantine, "a")
    assert listed(quarantine) == [("a", "a planted text")]


def test_a_long_torn_line_is_cut_off_too(quarantine):
    hold(quarantine, "a")
    with quarantine.path.open("ab") as file:
        file.write(b'{"event": "held", "passage": {"text": "' + b"x" * 100_000)
    hold(quarantine, "b")
    assert listed(quarantine) == [("a", "a planted text"), ("b", "a planted text")]


def test_damage_in_the_middle_is_reported_with_its_line(quarantine):
    hold(quarantine, "a")
    with quarantine.path.open("a") as file:
        file.write("not json\n")
    with pytest.raises(InputError, match=r"quarantine\.jsonl, line 3: not JSON"):
        quarantine.list()
    quarantine.path.write_text('{"schema": "ragshield-quarantine/1"}\n{"event": "held"}\n')
    with pytest.raises(InputError, match=r"line 2: not a quarantine record"):
        quarantine.list()


def test_another_kind_of_file_is_refused_at_once(tmp_path):
    path = tmp_path / "docs.jsonl"
    path.write_text('{"id": "a", "text": "b"}\n')
    with pytest.raises(InputError, match="expected the schema ragshield-quarantine/1"):
        Quarantine(path)
    with pytest.raises(UsageError, match="it is a folder"):
        Quarantine(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        Quarantine(tmp_path / "missing" / "q.jsonl")


def test_many_threads_append_whole_lines(quarantine):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: hold(quarantine, f"p{i}", text="x" * 5000), range(64)))
    assert sorted(x for x, _ in listed(quarantine)) == sorted(f"p{i}" for i in range(64))


def _hold_in_a_process(path, start):
    quarantine = Quarantine(path)
    for i in range(start, start + 20):
        hold(quarantine, f"p{i}", text="x" * 20_000)


def test_many_processes_append_whole_lines(quarantine):
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_hold_in_a_process, args=(quarantine.path, start))
        for start in (0, 20, 40)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert sorted(x for x, _ in listed(quarantine)) == sorted(f"p{i}" for i in range(60))


def test_a_passage_is_released_to_only_one_of_many(quarantine):
    hold(quarantine, "a")

    def release(_):
        try:
            return len(quarantine.release(["a"]))
        except UsageError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(release, range(8))) == 1
