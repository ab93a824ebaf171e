from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragshield.proof.windows import WIDTH, seen, spellings, windows_of

KEY = bytes(range(32))
SECRET = bytes(np.random.default_rng(3).integers(0, 256, 200, dtype=np.uint8))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 137), st.integers(63, 200), st.integers(0, 300), st.integers(1, 90))
def test_a_piece_of_63_bytes_is_found_wherever_blocks_are_cut(start, n, offset, cut) -> None:
    windows = windows_of(KEY, [("vector", SECRET)])
    piece = SECRET[start : start + n]
    noise = bytes(np.random.default_rng(offset).integers(0, 256, 400, dtype=np.uint8))
    stream = noise[:offset] + piece + noise[offset:]
    blocks = [stream[i : i + cut] for i in range(0, len(stream), cut)]
    assert seen(KEY, windows, blocks).any() == (
        len(piece) >= 63 or piece_holds_window(start, piece)
    )


def piece_holds_window(start: int, piece: bytes) -> bool:
    starts = [*range(0, 200 - WIDTH + 1, WIDTH), 200 - WIDTH]
    return any(start <= s and s + WIDTH <= start + len(piece) for s in starts)


def test_nothing_is_found_in_noise_or_under_another_key() -> None:
    windows = windows_of(KEY, [("text", SECRET)])
    noise = [bytes(np.random.default_rng(7).integers(0, 256, 3_000_000, dtype=np.uint8))]
    assert not seen(KEY, windows, noise).any()
    assert not seen(bytes(32), windows, [SECRET]).any()
    assert seen(KEY, windows, [SECRET]).all()


def test_windows_of_few_values_and_short_texts_are_left_out() -> None:
    assert len(windows_of(KEY, [("vector", bytes(400)), ("text", b"short")])) == 0
    assert not seen(KEY, windows_of(KEY, []), [b"x" * 100]).any()


def test_it_is_told_whether_a_text_or_a_vector_was_seen() -> None:
    text = "Zebedee Canary lives in Tannow, near the \u00f8rsted bridge.".encode()
    windows = windows_of(KEY, [("text", text), ("vector", SECRET)])
    found = seen(KEY, windows, [b"..." + text + b"..."])
    assert not windows.is_vector[found].any()
    assert found.sum() == 2


def test_texts_are_looked_for_as_json_writes_them_too() -> None:
    kinds = list(spellings(["plain", "\u00f8 or\n"]))
    assert [content for _, content in kinds] == [b"plain", "ø or\n".encode(), b"\\u00f8 or\\n"]


@pytest.mark.slow
def test_a_hundred_megabytes_take_seconds() -> None:
    import time

    rng = np.random.default_rng(1)
    contents = [("vector", rng.bytes(1536)) for _ in range(300)]
    windows = windows_of(KEY, contents)
    stream = [rng.bytes(8 << 20) for _ in range(12)] + [contents[7][1]]
    start = time.perf_counter()
    assert seen(KEY, windows, stream).sum() == 48
    assert time.perf_counter() - start < 30
