"""MM-PoisonRAG's local attack on a randomly initialised CLIP: mechanics, no meaning."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.clip import ImageTextEncoder, image_of
from ragshield.errors import InputError, UsageError

Images = pytest.importorskip("PIL.Image", reason="images need pillow: pip install -e .[multimodal]")
pytestmark = pytest.mark.model


@pytest.fixture
def poison(craft, tiny_clip):
    return lambda **params: craft("mm-poisonrag-local", clip=tiny_clip, **params)


def test_the_local_image_is_pulled_to_its_question_within_bounds(poison, target, tiny_clip) -> None:
    [plain] = poison(n_steps=0)
    [pulled] = poison(n_steps=40)
    assert (plain.meta["variant"], pulled.meta["variant"]) == ("LPA-BB", "LPA-Rt")
    assert plain.meta["similarity"] == plain.meta["similarity_first"]
    assert pulled.meta["similarity"] > plain.meta["similarity"]
    first, last = (np.asarray(image_of(p)).astype(int) for p in (plain, pulled))
    # .05 in normalised pixels is .05 * .27 * 255 of 255, and rounding.
    assert 0 < np.abs(first - last).max() <= 0.05 * 0.277 * 255 + 1
    assert pulled.meta["states_target"] is True
    encoder = ImageTextEncoder("test", tiny_clip)
    [stored] = encoder.encode_passages([pulled])
    cosine = float(stored @ encoder.encode([target.question.text])[0])
    assert pulled.meta["similarity"] == pytest.approx(cosine, abs=1e-3)


def test_a_wider_bound_takes_the_image_to_the_top_of_its_question(poison, album, target) -> None:
    [passage] = poison(n_steps=150, step_size=0.05, most=5.0)
    assert album([passage]).retrieve(target.question.text, 1).hits[0].id == passage.id
    [shy] = poison(n_steps=0)
    assert album([shy]).retrieve(target.question.text, 61).hits[0].id != shy.id


def test_your_own_image_is_where_it_starts(poison, tmp_path) -> None:
    path = tmp_path / "mine.png"
    Images.new("RGB", (64, 64), (200, 10, 10)).save(path)
    [passage] = poison(n_steps=0, image=str(path))
    assert np.asarray(image_of(passage)).mean(axis=(0, 1)) == pytest.approx([200, 10, 10], abs=1)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match="cannot read image"):
        poison(image=str(tmp_path / "text.png"))


def test_a_language_model_writes_the_caption_and_stops_at_the_first_that_will_do(
    openai_server, poison
) -> None:
    replies = iter(["A mill.", "Per Lund before his mill."])
    with openai_server.scripted(lambda prompt, n: next(replies)) as server:
        [passage] = poison(n_steps=0, llm=f"openai:{server.url}#m")
    assert (passage.text, passage.meta["n_llm_calls"]) == ("Per Lund before his mill.", 2)


def test_what_is_out_of_range_is_refused(poison) -> None:
    with pytest.raises(UsageError, match="both must be above 0"):
        poison(most=0.0)
