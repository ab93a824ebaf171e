"""Needles are found wherever they lie, whole or in pieces, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragshield.errors import StoreError
from ragshield.protocols import Surface
from ragshield.records import Batch, Passage
from ragshield.residue import Needles, search
from ragshield.residue.forms import TEXT_BYTES, VECTOR_BYTES, binary_forms

WORDS = "amber birch cedar dune elder fjord grove heron islet juniper kelp larch moss".split()


class EveryForm:
    """A recipe as far as needles need one."""

    def forms(self, vectors):
        return binary_forms(vectors)


def batch(n: int, seed: int = 0, dim: int = 32) -> Batch:
    rng = np.random.default_rng(seed)
    passages = tuple(
        Passage(
            f"row-{seed}-{i:05d}",
            f"{' '.join(rng.choice(WORDS, 6))} met no {rng.integers(10**9)} in "
            f"{' '.join(rng.choice(WORDS, 5))}, {rng.integers(10**9)} times",
        )
        for i in range(n)
    )
    return Batch(passages, rng.standard_normal((n, dim)).astype(np.float32))


def surface(content: bytes, cuts: Sequence[int] = ()) -> Surface:
    def blocks() -> Iterator[bytes]:
        edges = [0, *sorted(cuts), len(content)]
        for start, end in pairwise(edges):
            yield content[start:end]

    return Surface("file", "file", len(content), blocks)


def noise(n: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(n)


def look(needles: Needles, content: bytes, cuts: Sequence[int] = ()):
    (found,) = search(needles, [surface(content, cuts)])
    assert found.n_bytes == len(content)
    assert found.unread is None
    return found


GONE = batch(12)
NEEDLES = Needles.of(GONE, EveryForm())


@pytest.fixture
def small_buffers(monkeypatch):
    monkeypatch.setattr("ragshield.residue.searching._BLOCK", 1)


@settings(max_examples=150, deadline=None)
@given(
    row=st.integers(0, 11),
    before=st.integers(0, 300),
    after=st.integers(0, 300),
    cut=st.floats(0, 1),
    first=st.floats(0, 1),
    share=st.floats(0, 1),
)
def test_a_piece_of_a_text_is_found_anywhere_with_its_bytes(row, before, after, cut, first, share):
    text = GONE.passages[row].text.encode()
    n = TEXT_BYTES + int(share * (len(text) - TEXT_BYTES))
    start = int(first * (len(text) - n))
    content = b"\xff" * before + text[start : start + n] + b"\xff" * after
    found = look(NEEDLES, content, [int(cut * len(content))])
    assert found.texts == {row}
    assert found.text_bytes == n
    assert found.n_whole_texts == (n == len(text))
    assert found.n_vectors == 0


@settings(max_examples=150, deadline=None)
@given(
    row=st.integers(0, 11),
    form=st.integers(0, 30),
    before=st.integers(0, 300),
    cut=st.floats(0, 1),
    first=st.floats(0, 1),
    share=st.floats(0, 1),
)
def test_a_piece_of_a_vector_is_found_in_every_form(row, form, before, cut, first, share):
    forms = binary_forms(GONE.vectors)
    whole = forms[form % len(forms)][row].tobytes()
    n = VECTOR_BYTES + int(share * (len(whole) - VECTOR_BYTES))
    start = int(first * (len(whole) - n))
    content = noise(before) + whole[start : start + n] + noise(99)
    found = look(NEEDLES, content, [int(cut * len(content))])
    assert found.vectors == {row}
    assert n <= found.vector_bytes <= n + 4  # what follows can by chance be what followed
    assert found.n_texts == 0


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 5000), seed=st.integers(0, 2**31))
def test_nothing_is_found_where_nothing_was_planted(n, seed):
    found = look(NEEDLES, noise(n, seed))
    assert (found.n, found.n_ids, found.text_bytes, found.vector_bytes) == (0, 0, 0, 0)


@pytest.mark.parametrize("size", [7, 64, 111, 5000])
def test_borders_of_blocks_hide_nothing_and_count_nothing_twice(small_buffers, size):
    rng = np.random.default_rng(size)
    rows = rng.integers(0, 12, 60).tolist()
    content = b"\xff".join(GONE.passages[row].text.encode() for row in rows)
    content += GONE.vectors[3].tobytes()
    found = look(NEEDLES, content, range(size, len(content), size))
    assert found.texts == set(rows)
    assert found.n_whole_texts == len(set(rows))
    assert found.text_bytes == len(content) - (len(rows) - 1) - 4 * 32
    assert found.vectors == {3}
    assert found.vector_bytes == 4 * 32


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), first=st.floats(0, 1), share=st.floats(0, 1), row=st.integers(0, 19)
)
def test_a_stretch_is_found_if_and_only_if_no_live_row_holds_it(seed, first, share, row):
    rng = np.random.default_rng(seed)
    few = WORDS[:4]  # so that many stretches are in common
    texts = [" ".join(rng.choice(few, int(rng.integers(6, 30)))) for _ in range(40)]
    gone = Batch(tuple(Passage(f"gone-{i:04d}", t) for i, t in enumerate(texts[:20])), None)
    live = Batch(tuple(Passage(f"live-{i:04d}", t) for i, t in enumerate(texts[20:])), None)
    needles = Needles.of(gone, EveryForm(), live=[live])
    text = texts[row]
    n = TEXT_BYTES + int(share * (len(text) - TEXT_BYTES))
    start = int(first * (len(text) - n))
    stretch = text[start : start + n]
    found = look(needles, b"\xff" * 40 + stretch.encode() + b"\xff" * 40)
    if any(stretch in other for other in texts[20:]):
        assert found.n_texts == 0
    elif not any(stretch[8:-8] in other for other in texts[20:]):
        assert row in found.texts
        assert found.text_bytes == n


def test_words_that_very_many_targets_and_live_rows_share_are_no_residue():
    boiler = "This notice of the town office is about the person named below: "
    gone = Batch(
        tuple(Passage(f"gone-{i:05d}", f"{boiler}A. {i * 7919} Example") for i in range(300)), None
    )
    live = Batch(
        tuple(Passage(f"live-{i:05d}", f"{boiler}B. {i * 104729} Sample") for i in range(300)), None
    )
    needles = Needles.of(gone, EveryForm(), live=[live])
    stored = b"\0".join(p.text.encode() for p in live.passages)
    assert look(needles, stored).n_texts == 0
    left = look(needles, stored + gone.passages[299].text.encode())
    assert 299 in left.texts
    assert left.text_bytes == len(gone.passages[299].text)


def test_two_copies_are_twice_the_bytes_and_one_text():
    text = GONE.passages[5].text.encode()
    found = look(NEEDLES, b"a" + text + b"b" * 50 + text)
    assert found.n_texts == 1
    assert found.text_bytes == 2 * len(text)


def test_a_text_torn_over_two_pages_is_found_in_pieces_and_not_as_a_whole():
    text = GONE.passages[0].text.encode()
    found = look(NEEDLES, text[:40] + bytes(4096) + text[40:])
    assert found.texts == {0}
    assert found.n_whole_texts == 0
    assert found.text_bytes == len(text)


def test_less_than_a_stretch_is_nothing():
    text = GONE.passages[0].text.encode()
    vector = GONE.vectors[0].tobytes()
    content = text[: TEXT_BYTES - 1] + b"\xff" + vector[: VECTOR_BYTES - 1] + b"\xfe"
    assert look(NEEDLES, content).n == 0


def test_stretches_that_live_rows_hold_are_no_residue():
    boiler = "Our firm accepts no liability for what is written in this notice, ever. "
    gone = Batch((Passage("gone-row-1", f"{boiler}Ada Example owes 4711 crowns."),), None)
    live = Batch((Passage("live-row-1", f"{boiler}The canteen opens at noon."),), None)
    needles = Needles.of(gone, EveryForm(), live=[live])
    stored = (boiler + "The canteen opens at noon.").encode()
    assert look(needles, stored).n_texts == 0
    assert look(needles, (boiler + "Ada Example").encode()).n_texts == 1
    assert look(needles, b"Ada Example owes 4711 crowns.").n_texts == 1
    assert look(Needles.of(gone, EveryForm()), stored).n_texts == 1


def test_a_row_that_is_also_live_under_another_id_is_no_residue():
    twin = Batch((Passage("twin-of-row", GONE.passages[2].text),), GONE.vectors[2:3])
    needles = Needles.of(GONE, EveryForm(), live=[twin])
    forms = b"".join(form[2].tobytes() for form in binary_forms(GONE.vectors))
    found = look(needles, GONE.passages[2].text.encode() + forms)
    assert (found.n_texts, found.n_vectors) == (0, 0)
    assert 2 not in needles.searchable("text") | needles.searchable("vector")
    assert 3 in needles.searchable("text") & needles.searchable("vector")


def test_a_row_that_is_still_in_the_store_is_residue():
    needles = Needles.of(GONE, EveryForm(), live=[GONE])
    found = look(needles, GONE.passages[2].text.encode())
    assert found.texts == {2}


def test_zeros_and_repetitions_are_nobodys():
    vectors = np.zeros((2, 64), dtype=np.float32)
    vectors[0, 5] = 1.0
    vectors[1] = 0.125
    gone = Batch((Passage("zero-row", "0" * 80), Passage("same-row", "-" * 80)), vectors)
    needles = Needles.of(gone, EveryForm())
    assert needles.searchable("text") == frozenset()
    assert needles.searchable("vector") == frozenset()
    assert look(needles, bytes(9000) + vectors.tobytes() + b"-" * 300).n == 0


def test_short_texts_and_ids_are_found_as_a_whole():
    gone = Batch((Passage("ada-example", "Ada Example"), Passage("b", "Bo")), None)
    needles = Needles.of(gone, EveryForm())
    assert needles.searchable("text") == {0}
    assert look(needles, b"..Ada Example..").texts == {0}
    assert look(needles, b"..Ada Exampl_..").n == 0
    assert look(needles, b"..ada-example..").n_ids == 1


def test_an_id_that_is_part_of_a_live_one_is_not_looked_for():
    gone = Batch((Passage("passage-1", "x" * 9),), None)
    live = Batch((Passage("passage-12", "y" * 9),), None)
    needles = Needles.of(gone, EveryForm(), live=[live])
    assert needles.searchable("id") == frozenset()
    assert look(needles, b"passage-12").n_ids == 0


def test_metadata_and_source_are_told_apart_from_texts():
    passage = Passage(
        "p-000001", "x" * 9, "https://example.org/ada", {"who": "Ada Example", "n": 4}
    )
    needles = Needles.of(Batch((passage,), None), EveryForm())
    found = look(needles, b"\0https://example.org/ada\0Ada Example\0")
    assert (found.n, found.n_metadata, found.metadata_bytes) == (0, 1, 34)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: json.dumps(text).encode(),
        lambda text: json.dumps(json.dumps(text)).encode(),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode(),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "冬のあいだアダ・イグザンプルはオスロに住み、夏になると三週間ほど海辺へ出かける。",
        'She said:\n"no"\n"yes"\n"who"\n"you"\n"and"\n"why"\n"not"\n"now"\n"so"\n"oh"\n"go"',
        "Ada Example lives at 12 Mill Lane since 1987.",
    ],
)
def test_a_text_is_found_as_json_and_other_encodings_write_it(text, encode):
    needles = Needles.of(Batch((Passage("p-000001", text),), None), EveryForm())
    assert look(needles, b"[" + encode(text) + b"]").texts == {0}


@pytest.mark.parametrize(
    "write",
    [
        lambda v: json.dumps([float(x) for x in v]),
        lambda v: json.dumps([float(x) for x in v], separators=(",", ":")),
        lambda v: json.dumps([float(str(x)) for x in v]),
        lambda v: ",".join(map(str, v)),
    ],
)
def test_a_vector_is_found_in_decimals(write):
    found = look(NEEDLES, write(GONE.vectors[4]).encode())
    assert found.vectors == {4}
    assert found.n_whole_vectors == 1


def test_texts_longer_than_a_needle_are_found_whole_and_in_pieces():
    text = " ".join(str(i * 7919) for i in range(40_000))
    needles = Needles.of(Batch((Passage("long-text", text),), None), EveryForm())
    content = text.encode()
    found = look(needles, content, range(100_000, len(content), 100_000))
    assert (found.n_texts, found.n_whole_texts, found.text_bytes) == (1, 1, len(content))
    for start in range(0, len(content) - TEXT_BYTES, 9973):
        assert look(needles, content[start : start + TEXT_BYTES]).n_texts == 1
    assert look(needles, content[:-1]).n_whole_texts == 0


def test_a_surface_that_fails_is_reported_and_the_others_are_searched():
    def broken() -> Iterator[bytes]:
        yield b"x" * (9 << 20)
        raise StoreError("the server went\naway")

    bad = Surface("pages", "decoded", None, broken)
    good = surface(GONE.passages[1].text.encode())
    first, second = search(NEEDLES, [bad, good])
    assert first.unread == "the server went away"
    assert second.texts == {1}


def test_many_needles_among_many_rows_are_counted_exactly():
    many = batch(900, seed=5)
    gone = Batch(many.passages[::3], many.vectors[::3])
    live = Batch(
        tuple(p for i, p in enumerate(many.passages) if i % 3),
        many.vectors[[i for i in range(900) if i % 3]],
    )
    needles = Needles.of(gone, EveryForm(), live=[live])
    rows = [p.text.encode() + many.vectors[i].tobytes() for i, p in enumerate(many.passages)]
    found = look(needles, b"\xff".join(rows))
    assert (found.n_texts, found.n_vectors) == (300, 300)
    assert (found.n_whole_texts, found.n_whole_vectors) == (300, 300)
    assert found.vector_bytes == 300 * 4 * 32
    assert found.text_bytes == sum(len(p.text.encode()) for p in gone.passages)
    kept = [row for i, row in enumerate(rows) if i % 3]
    assert look(needles, b"\xff".join(kept)).n == 0
