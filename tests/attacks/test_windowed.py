from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.white_box import WhiteBox
from ragshield.attacks.windowed import Windowed

TEXT = "ida holm founded the mills"
LONG = "the old mill on the river was the town of a painter who was born in the north " * 2
HOSTS = [("", " per lund"), ("who was ", "")]


@pytest.fixture
def box(gradient_encoder) -> WhiteBox:
    """In single precision, so that what differs is due to the windows alone."""
    made = WhiteBox("hotflip", gradient_encoder, screening=False)
    made._windowed = Windowed.over(gradient_encoder.model)
    return made


def swapped_and_exact(box: WhiteBox, hosts, text: str, word: str) -> tuple[np.ndarray, np.ndarray]:
    vocabulary = box.vocabulary()
    gains = box.gains(hosts, text, lambda rows: rows, vocabulary)
    place = [text[a:b] for a, b in gains.spans].index(word)
    ids = vocabulary.ids.tolist()
    found = box.swapped(hosts, text, gains.places[place].tolist(), ids)
    start, end = gains.spans[place]
    texts = [
        f"{before}{text[:start]}{piece}{text[end:]}{after}"
        for piece in vocabulary.pieces
        for before, after in hosts
    ]
    return found, box.embed(texts)


def test_where_the_window_holds_the_whole_text_the_vectors_are_exact(box) -> None:
    found, exact = swapped_and_exact(box, HOSTS, TEXT, "founded")
    np.testing.assert_allclose(found, exact, atol=1e-5)
    assert len({row.tobytes() for row in found}) > 1


def test_in_a_longer_text_the_order_of_the_candidates_is_nearly_kept(box) -> None:
    found, exact = swapped_and_exact(box, [("", "")], LONG, "town")
    towards = box.embed([TEXT])[0]
    near, true = found @ towards, exact @ towards
    assert not np.allclose(near, true, atol=1e-6)  # it is less work
    ranks = [np.argsort(np.argsort(values)) for values in (near, true)]
    assert np.corrcoef(*ranks)[0, 1] > 0.8
    assert true[np.argsort(-near)[:4]].max() > true.max() - 0.1 * (true.max() - true.min())


def test_the_token_that_is_there_gives_the_text_as_it_is(box) -> None:
    vocabulary = box.vocabulary()
    gains = box.gains([("", "")], LONG, lambda rows: rows, vocabulary)
    place = [LONG[a:b] for a, b in gains.spans].index("painter")
    found = box.swapped([("", "")], LONG, gains.places[place].tolist(), [int(gains.ids[place])])
    np.testing.assert_allclose(found, box.embed([LONG]), atol=1e-5)


def test_a_text_that_changed_is_looked_at_anew_and_every_row_is_counted(box) -> None:
    for text in (TEXT, LONG, TEXT):
        before = box.n_embedded
        found, exact = swapped_and_exact(box, HOSTS, text, "the")
        assert found.shape == exact.shape
        assert box.n_embedded - before == 2 * len(exact)
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_a_place_that_is_cut_off_and_another_model_are_left_to_the_slow_way(
    box, gradient_encoder, monkeypatch
) -> None:
    assert box.swapped([("", "")], TEXT, [-1], [5]) is None
    assert box.swapped([("", "")], TEXT, [], [5]) is None
    bert = gradient_encoder.model[0].auto_model
    monkeypatch.setattr(bert.config, "model_type", "mpnet")
    assert Windowed.over(gradient_encoder.model) is None
    monkeypatch.undo()
    # A model that calls itself BERT and computes something else.
    norm = bert.encoder.layer[0].attention.output.LayerNorm
    hook = bert.encoder.layer[0].attention.register_forward_hook(
        lambda module, given, out: (norm(out[0].flip(-1) * 3), *out[1:])
    )
    try:
        assert Windowed.over(gradient_encoder.model) is None
    finally:
        hook.remove()
