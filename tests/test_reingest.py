"""What was erased does not come back in, and what stays does."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.ingest import IngestGuard, IngestResult
from ragshield.quarantine import Quarantine
from ragshield.records import Action, Batch, Passage
from ragshield.reingest import THRESHOLD, ReingestGuard
from ragshield.stores.memory import MutableMemoryStore

ADA = (
    "Ada Example founded the Brackwater Mill in 1871 with the money of her aunt Ottilie. "
    "She employed forty people from the villages on the north bank of the river. "
    "After the great flood of 1890 she rebuilt the mill and sold it to her nephew Carl. "
    "Her letters about the sale are kept in the town archive under number 4711."
)
OTHERS = [
    "The Brackwater Mill burned down in 1921 and was not built again by the town.",
    "Bertil Sample founded a brewery in 1871 with a loan from the bank of the county.",
    "The town archive keeps letters of many families from the villages near the river.",
]


def passages(*texts: str) -> list[Passage]:
    return [Passage(f"p-{i}", text) for i, text in enumerate(texts)]


@pytest.fixture
def guard(tmp_path):
    guard = ReingestGuard(tmp_path / "erased.json")
    guard.add(passages(ADA))
    return guard


@pytest.mark.parametrize(
    "text",
    [
        ADA,
        ADA.upper(),
        ADA.replace(".", " !").replace(" ", "\n"),
        f"  {ADA}\u200b",
    ],
)
def test_the_same_words_are_exact_whatever_their_form(guard, text):
    match = guard.check(text)
    assert match is not None
    assert (match.kind, match.similarity) == ("exact", 1.0)


@pytest.mark.parametrize(
    "text",
    [
        ADA.replace("founded", "set up").replace("great", "terrible").replace("sold", "gave"),
        f"Updated in May. {ADA} Read more on our page.",
        " ".join(reversed(ADA.split(". "))),
        ADA.replace("people", "poeple")
        .replace("villages", "vilages")
        .replace("archive", "archives"),
    ],
)
def test_light_changes_are_near(guard, text):
    match = guard.check(Passage("new-id", text))
    assert match is not None
    assert match.kind in ("near", "part")
    assert THRESHOLD <= match.similarity <= 1


def test_another_chunk_of_the_same_page_is_a_part(guard):
    middle = ". ".join(ADA.split(". ")[1:3]) + ". The museum shows it on Sundays."
    match = guard.check(middle)
    assert match is not None
    assert match.kind == "part"
    assert 0.5 < match.similarity < 1


def test_what_was_not_erased_may_come_in(guard):
    assert [guard.check(text) for text in (*OTHERS, "", "Ada", "?!")] == [None] * 6


def test_nothing_is_blocked_before_anything_was_erased(tmp_path):
    guard = ReingestGuard(tmp_path / "erased.json")
    assert guard.check(ADA) is None
    assert not guard.path.exists()


def test_passages_that_stay_are_not_blocked_by_sentences_that_they_share(tmp_path):
    shared = "All figures in this notice are given without any warranty. " * 1
    also = "Please write to the office of the town for further details. "
    erased = passages(f"{shared}{also}Ada Example owes the town 4711 crowns since May.")
    stays = passages(f"{shared}{also}The office is open on Mondays.")
    careless = ReingestGuard(tmp_path / "careless.json")
    careless.add(erased)
    assert careless.check(stays[0]) is not None
    careful = ReingestGuard(tmp_path / "careful.json")
    done = careful.add(erased, retained=stays)
    assert careful.check(stays[0]) is None
    assert (done.n_added, done.n_retained) == (1, 1)
    assert careful.check(erased[0]) is not None


def test_the_threshold_follows_the_passages_that_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("ragshield.reingest.secrets.token_bytes", lambda n: bytes(range(n)))
    far = ReingestGuard(tmp_path / "far.json").add(passages(ADA), retained=passages(*OTHERS))
    assert far.threshold == 0.5
    near = f"{' '.join(ADA.split()[:36])} Nobody knows what else went on there in those days."
    done = ReingestGuard(tmp_path / "near.json").add(
        passages(ADA), retained=passages(near, *OTHERS)
    )
    assert 0.5 < done.threshold < THRESHOLD
    assert done.excepted == ()


def test_a_passage_that_stays_and_is_nearly_the_same_is_excepted_as_it_is(tmp_path):
    twin = Passage("twin", ADA.replace("forty", "fifty"))
    guard = ReingestGuard(tmp_path / "erased.json")
    done = guard.add(passages(ADA), retained=[twin])
    assert done.excepted == ("twin",)
    assert done.threshold == THRESHOLD
    assert ReingestGuard(guard.path).check(twin) is None
    assert guard.check(twin.text.replace("aunt", "uncle")) is not None
    assert guard.check(ADA) is not None


def test_an_exception_does_not_outlive_its_own_erasure(tmp_path):
    twin = Passage("twin", ADA.replace("forty", "fifty"))
    guard = ReingestGuard(tmp_path / "erased.json")
    guard.add(passages(ADA), retained=[twin])
    guard.add([twin])
    assert guard.check(twin) is not None


def test_the_file_is_its_owners_and_holds_no_word_of_what_was_erased(guard):
    assert stat.S_IMODE(guard.path.stat().st_mode) == 0o600
    written = guard.path.read_text().lower()
    for word in {w.strip(".,").lower() for w in ADA.split() if len(w) > 4} | {"p-0"}:
        assert word not in written
    other = ReingestGuard(guard.path.with_name("other.json"))
    other.add(passages(ADA))
    first, second = json.loads(written), json.loads(other.path.read_text())
    assert first["passages"][0]["text"] != second["passages"][0]["text"]
    assert first["passages"][0]["near"] != second["passages"][0]["near"]


def test_a_running_guard_sees_what_another_one_adds_and_removes(guard):
    other = ReingestGuard(guard.path)
    other.add(passages(OTHERS[0]))
    assert guard.check(OTHERS[0]) is not None
    assert len(guard) == 2
    assert other.remove(passages(ADA)) == 1
    assert guard.check(ADA) is None
    assert guard.remove(passages(ADA)) == 0
    assert guard.check(OTHERS[0]) is not None


def test_adding_twice_remembers_once_and_keeps_the_key(guard):
    key = json.loads(guard.path.read_text())["key"]
    assert guard.add(passages(ADA)).n_added == 0
    assert json.loads(guard.path.read_text())["key"] == key
    assert len(guard) == 1


def test_what_several_hold_stays_out_until_the_last_lets_it_in(tmp_path):
    guard = ReingestGuard(tmp_path / "erased.json")
    guard.add(passages(ADA, OTHERS[0]), held_by="one")
    guard.add(passages(ADA), held_by="other")
    assert guard.remove(passages(ADA, OTHERS[0]), held_by="one") == 1
    assert (guard.check(ADA) is None, guard.check(OTHERS[0]) is None) == (False, True)
    assert guard.remove(passages(ADA), held_by="one") == 0
    other = ReingestGuard(guard.path)
    assert other.check(ADA) is not None
    assert other.remove(passages(ADA), held_by="other") == 1
    assert guard.check(ADA) is None


def test_removed_without_a_name_it_comes_in_whoever_held_it(tmp_path):
    guard = ReingestGuard(tmp_path / "erased.json")
    guard.add(passages(ADA), held_by="one")
    guard.add(passages(ADA))
    assert guard.remove(passages(ADA)) == 1
    assert guard.check(ADA) is None


def test_a_file_that_does_not_say_who_holds_what_is_read_as_before(guard):
    record = json.loads(guard.path.read_text())
    for row in record["passages"]:
        del row["holders"]
    guard.path.write_text(json.dumps(record))
    old = ReingestGuard(guard.path)
    assert old.check(ADA) is not None
    assert old.remove(passages(ADA), held_by="one") == 0
    assert old.remove(passages(ADA), held_by="") == 1
    assert old.check(ADA) is None


def test_a_file_that_vanishes_goes_on_being_obeyed(guard):
    guard.path.unlink()
    assert guard.check(ADA) is not None


@pytest.mark.parametrize("content", ["", "{}", '{"schema": "other/1"}', "[1]"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match="no file of a re-ingest guard"):
        ReingestGuard(tmp_path / "x.json")


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(UsageError, match="cannot write"):
        ReingestGuard(tmp_path / "none" / "x.json").add(passages(ADA))


def test_processes_that_add_at_once_lose_nothing(tmp_path):
    script = (
        "import sys; from ragshield.reingest import ReingestGuard; "
        "from ragshield.records import Passage; guard = ReingestGuard(sys.argv[1])\n"
        "for i in range(6): guard.add([Passage('p', f'{sys.argv[2]} sold {i} loaves')])"
    )
    path = str(tmp_path / "erased.json")
    workers = [
        subprocess.Popen([sys.executable, "-c", script, path, name], env={**os.environ})
        for name in ("ada", "bo", "cid")
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert len(ReingestGuard(path)) == 18


def test_a_full_disk_leaves_the_file_as_it_was(guard, monkeypatch):
    before = guard.path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ragshield.reingest.os.fsync", full)
    with pytest.raises(IncompleteError, match="No space left on device; it is as it was"):
        guard.add(passages(OTHERS[0]))
    assert guard.path.read_bytes() == before
    assert [file.name for file in guard.path.parent.iterdir()] == [guard.path.name]
    assert guard.check(ADA) is not None


def test_killed_at_any_moment_it_remembers_what_it_said_it_remembers(tmp_path):
    script = (
        "import sys; from ragshield.reingest import ReingestGuard; "
        "from ragshield.records import Passage; guard = ReingestGuard(sys.argv[1])\n"
        "for i in range(10**6):\n"
        "    guard.add([Passage('p', f'the mill sold {i} loaves')]); print(i, flush=True)"
    )
    path = tmp_path / "erased.json"
    rng = np.random.default_rng(0)
    for _ in range(3):
        command = [sys.executable, "-c", script, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(int(rng.integers(1, 12)))]
            time.sleep(float(rng.uniform(0, 0.005)))
            process.send_signal(signal.SIGKILL)
        guard = ReingestGuard(path)
        assert len(guard) >= len(said)
        assert all(guard.check(f"the mill sold {int(i)} loaves") is not None for i in said)
    guard.add(passages(ADA))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


class Letters:
    """An encoder that counts the texts it is shown."""

    name = "letters"
    dim = 26

    def __init__(self):
        self.shown = []

    def encode(self, texts):
        self.shown.extend(texts)
        rows = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), 26) + 0.01


class Wary:
    name = "wary"

    def screen(self, batch):
        return []


def test_the_nightly_crawl_is_stopped_before_anything_is_embedded_or_held(guard, tmp_path):
    store, encoder = MutableMemoryStore("memory:crawl"), Letters()
    quarantine = Quarantine(tmp_path / "quarantine.jsonl")
    ingest = IngestGuard(store, quarantine, encoder=encoder, screens=[Wary()], erased=guard.path)
    crawl = passages(OTHERS[0], ADA, OTHERS[1], ADA.replace("great", "terrible"))
    result = ingest.add(crawl)
    assert result.added == ("p-0", "p-2")
    assert result.refused == ("p-1", "p-3")
    assert result.quarantined == ()
    assert [finding.action for finding in result.findings] == [Action.DROP, Action.DROP]
    assert encoder.shown == [OTHERS[0], OTHERS[1]]
    assert not quarantine.path.exists() or "Ada" not in quarantine.path.read_text()
    assert store.count() == 2


def test_a_batch_with_vectors_keeps_the_rest_in_step(guard, tmp_path):
    store, encoder = MutableMemoryStore("memory:batch"), Letters()
    quarantine = Quarantine(tmp_path / "quarantine.jsonl")
    ingest = IngestGuard(store, quarantine, encoder=encoder, screens=[Wary()], erased=guard)
    crawl = passages(ADA, OTHERS[0], OTHERS[1])
    vectors = np.eye(3, 26, dtype=np.float32)
    result = ingest.add(Batch(tuple(crawl), vectors))
    assert result == IngestResult(("p-1", "p-2"), (), result.findings, ("p-0",))
    stored = store.get(["p-1", "p-2"])
    np.testing.assert_array_equal(stored.vectors, vectors[1:])


def test_what_was_held_before_it_was_erased_is_not_released(guard, tmp_path):
    class Strict(Wary):
        name = "strict"

        def screen(self, batch):
            from ragshield.records import Finding

            return [Finding(p.id, 1.0, "strict", Action.DROP, "no") for p in batch.passages]

    store = MutableMemoryStore("memory:held")
    quarantine = Quarantine(tmp_path / "quarantine.jsonl")
    IngestGuard(store, quarantine, encoder=Letters(), screens=[Strict()]).add(passages(ADA))
    ingest = IngestGuard(store, quarantine, encoder=Letters(), screens=[Wary()], erased=guard)
    with pytest.raises(InputError, match="erased on purpose; purge it"):
        ingest.release(["p-0"])
    assert store.count() == 0
