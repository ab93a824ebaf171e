from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ragshield.encoders import open_encoder
from ragshield.encoders.cache import CachedEncoder
from ragshield.encoders.minilm import check_weights
from ragshield.errors import InputError, MissingExtraError, UsageError


def test_a_text_is_embedded_once_and_then_read_from_the_cache(tmp_path: Path, word_encoder) -> None:
    path = tmp_path / "sub" / "vectors.sqlite"
    first = CachedEncoder(word_encoder, path).encode(["one", "two", "one"])
    assert word_encoder.n_texts == 2
    again = CachedEncoder(word_encoder, path).encode(["two", "one"])
    assert word_encoder.n_texts == 2
    assert np.array_equal(first[[1, 0]], again)
    assert np.array_equal(first[0], first[2])


def test_two_encoders_do_not_share_vectors(tmp_path: Path, word_encoder) -> None:
    path = tmp_path / "vectors.sqlite"
    CachedEncoder(word_encoder, path).encode(["one"])
    other = type(word_encoder)(dim=16)
    other.name = "other"
    assert CachedEncoder(other, path).encode(["one"]).shape == (1, 16)


def test_progress_of_the_cache_adds_up_to_the_number_of_texts(tmp_path: Path, word_encoder) -> None:
    cached = CachedEncoder(word_encoder, tmp_path / "vectors.sqlite")
    cached.encode(["a b", "c d"])
    steps: list[int] = []
    cached.encode(["a b", "e f", "e f", "g h"], progress=steps.append)
    assert sum(steps) == 4


def test_no_texts_give_no_rows(tmp_path: Path, word_encoder) -> None:
    assert CachedEncoder(word_encoder, tmp_path / "v.sqlite").encode([]).shape == (0, 64)


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path, word_encoder) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database, and long enough to be sure" * 50)
    with pytest.raises(InputError, match="is no vector cache"):
        CachedEncoder(word_encoder, path)
    assert path.read_text().startswith("these are notes")


def test_weights_that_are_not_upstreams_are_refused(tmp_path: Path) -> None:
    fake = tmp_path / "model.safetensors"
    fake.write_bytes(b"not the model")
    with pytest.raises(InputError, match="not loaded: reinstall"):
        check_weights(fake)
    with pytest.raises(InputError, match="is missing"):
        check_weights(tmp_path / "none.safetensors")


def test_unknown_encoder_and_missing_model_are_clear(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'minilm'"):
        open_encoder("minilmm")
    with pytest.raises(InputError, match="cannot load encoder"):
        open_encoder(f"sentence-transformers:{tmp_path}/nothing")


def test_without_its_library_the_error_names_the_pip_command(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ragshield\[local\]'"):
        open_encoder("sentence-transformers:x")


@pytest.mark.model
def test_minilm_gives_unit_rows_that_rank_a_paraphrase_first(minilm) -> None:
    rows = minilm.encode(
        ["Who founded the firm?", "The company was started by Ada.", "Bread needs yeast and flour."]
    )
    assert rows.shape == (3, minilm.dim) == (3, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2


@pytest.mark.model
def test_minilm_does_not_depend_on_the_order_or_number_of_texts(minilm) -> None:
    texts = [f"Passage {i} " + "word " * i for i in range(40)]
    together = minilm.encode(texts)
    assert np.allclose(together[7], minilm.encode([texts[7]])[0], atol=1e-5)
    assert np.allclose(together[::-1], minilm.encode(texts[::-1]), atol=1e-5)
    assert minilm.encode([]).shape == (0, 384)


def test_a_device_is_handed_on_only_where_one_is_asked_for(monkeypatch) -> None:
    given: list[dict[str, object]] = []

    def with_device(*, device: str | None = "cpu") -> str:
        given.append({"device": device})
        return "encoder"

    monkeypatch.setattr("ragshield.registry.load", lambda kind, name: with_device)
    for device in ("cpu", "cuda:1", None):
        assert open_encoder("minilm", device=device) == "encoder"
    assert given == [{"device": "cpu"}, {"device": "cuda:1"}, {"device": None}]
    monkeypatch.setattr("ragshield.registry.load", lambda kind, name: lambda: "without")
    assert open_encoder("minilm", device="cuda:1") == "without"
