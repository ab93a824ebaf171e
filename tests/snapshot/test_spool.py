"""What is read into a snapshot comes out of it as it went in."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError
from ragshield.records import Batch, Passage
from ragshield.snapshot.disk import DiskSnapshot, opened
from ragshield.snapshot.embedding import embed
from ragshield.snapshot.layout import ALL_ZEROS, NO_TEXT, NO_VECTOR, NOT_FINITE
from ragshield.snapshot.spool import Spool

ODD = (
    Passage("a", "plain"),
    Passage("a/ü\ud800\n", 'line\nbreak "quote" \u2028 \ud83d', "a source", {"page": 3, "x": None}),
    Passage("c", "", None, {"f": 0.1 + 0.2, "yes": True, "name": "ß"}),
    Passage("d", " \t"),
)


def snapshot_of(folder: Path, *batches: Batch) -> DiskSnapshot:
    spool = Spool(folder, "memory:docs")
    for batch in batches:
        spool.add(batch)
    return spool.finish(complete=True, said={})


def test_passages_come_back_whatever_they_hold(tmp_path: Path) -> None:
    disk = snapshot_of(tmp_path, Batch(ODD[:3], None), Batch(ODD[3:], None))
    assert disk.passages(range(4)) == ODD
    assert disk.passages([3, 1, 1]) == (ODD[3], ODD[1], ODD[1])
    assert disk.passages([]) == ()
    assert disk.rows_of([ODD[1].id, "nobody", "a"]) == [1, None, 0]
    assert disk.flags.tolist() == [
        NO_VECTOR,
        NO_VECTOR,
        NO_VECTOR | NO_TEXT,
        NO_VECTOR | NO_TEXT,
    ]


def test_rows_without_a_usable_vector_are_zeros_and_flagged(tmp_path: Path) -> None:
    vectors = np.array([[3, 4], [np.inf, 1], [0, 0]], np.float32)
    passages = tuple(Passage(f"p{i}", "x") for i in range(6))
    disk = snapshot_of(
        tmp_path,
        Batch(passages[:1], None),
        Batch(passages[1:4], vectors),
        Batch(passages[4:5], None),
        Batch(passages[5:], np.full((1, 2), np.nan, np.float32)),
    )
    assert disk.dim == 2
    assert disk.unit(range(6)) == pytest.approx(
        np.array([[0, 0], [0.6, 0.8], [0, 0], [0, 0], [0, 0], [0, 0]])
    )
    assert disk.flags.tolist() == [
        NO_VECTOR,
        0,
        NOT_FINITE,
        ALL_ZEROS,
        NO_VECTOR,
        NO_VECTOR | NOT_FINITE,
    ]


def test_an_id_that_comes_twice_is_read_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "memory:docs")
    spool.add(Batch((Passage("a", "1"), Passage("b", "2"), Passage("a", "3")), None))
    spool.add(Batch((Passage("b", "4"),), None))
    disk = spool.finish(complete=True, said={})
    assert disk.passages(range(len(disk))) == (Passage("a", "1"), Passage("b", "2"))
    assert spool.n_repeated == 2


def test_it_pickles_by_its_place_and_knows_when_it_was_replaced(tmp_path: Path) -> None:
    disk = snapshot_of(tmp_path, Batch(ODD, None))
    packed = pickle.dumps(disk)
    assert len(packed) < 500
    assert pickle.loads(packed).passages([0]) == (ODD[0],)
    opened.cache_clear()
    (tmp_path / "workspace.json").unlink()
    snapshot_of(tmp_path, Batch((Passage("z", "other"),), None))
    with pytest.raises(InputError, match="another scan has used it meanwhile"):
        pickle.loads(packed)


def test_the_digest_changes_with_whatever_was_stored(tmp_path: Path) -> None:
    row = np.ones((1, 2), np.float32)
    kinds = [
        (Passage("a", "x"), row),
        (Passage("a", "y"), row),
        (Passage("a", "x", "s"), row),
        (Passage("a", "x", None, {"k": 1}), row),
        (Passage("a", "x"), row * 2),
        (Passage("a", "x"), None),
    ]
    digests = set()
    for i, (passage, vector) in enumerate(kinds):
        (tmp_path / str(i)).mkdir()
        digests.add(snapshot_of(tmp_path / str(i), Batch((passage,), vector)).digests[0].tobytes())
    (tmp_path / "same").mkdir()
    same = snapshot_of(tmp_path / "same", Batch((Passage("a", "x"),), row))
    assert len(digests) == len(kinds)
    assert same.digests[0].tobytes() in digests


def test_embedding_goes_on_where_it_was_cut_off(tmp_path: Path, word_encoder) -> None:
    passages = tuple(Passage(f"p{i}", f"word{i} and more") for i in range(600))
    disk = snapshot_of(tmp_path, Batch(passages, None))
    encode, calls = word_encoder.encode, []

    def breaking(texts):
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(texts)

    word_encoder.encode = breaking
    with pytest.raises(KeyboardInterrupt):
        embed(disk, word_encoder)
    done: list[int] = []
    disk = embed(disk, word_encoder, done.append)
    assert done == [512, 600]
    assert calls == [256, 256, 256, 88]
    assert disk.dim == 64
    assert not disk.flags.any()
    assert np.allclose(disk.unit(range(600)), encode([p.text for p in passages]), atol=1e-6)
    assert embed(disk, word_encoder) is disk


def test_an_encoder_that_gives_something_else_is_refused(tmp_path: Path, word_encoder) -> None:
    disk = snapshot_of(tmp_path, Batch(ODD, None))
    word_encoder.encode = lambda texts: np.zeros((1, 64), np.float32)
    with pytest.raises(InputError, match=r"word-hash gave vectors of shape \(1, 64\) for 4 texts"):
        embed(disk, word_encoder)
