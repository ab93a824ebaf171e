"""An image-text encoder, randomly initialised: shapes, gradients, storing and reading."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.clip import IMAGE, ImageTextEncoder, as_address, image_of
from ragshield.errors import InputError, UsageError
from ragshield.records import Passage

Images = pytest.importorskip("PIL.Image", reason="images need pillow: pip install -e .[multimodal]")
pytestmark = pytest.mark.model


@pytest.fixture
def encoder(tiny_clip) -> ImageTextEncoder:
    return ImageTextEncoder("test", tiny_clip)


def noise(seed: int, width: int = 50, height: int = 40):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Images.fromarray(values)


def test_texts_and_images_are_unit_rows_of_one_space(encoder) -> None:
    texts = encoder.encode(["who founded the mills", "where is the red river"])
    images = encoder.encode_images([noise(0), noise(1, 20, 90)])
    assert texts.shape == images.shape == (2, encoder.dim)
    assert texts.dtype == images.dtype == np.float32
    assert np.allclose(np.linalg.norm(np.vstack([texts, images]), axis=1), 1.0, atol=1e-5)
    assert encoder.encode([]).shape == encoder.encode_images([]).shape == (0, encoder.dim)
    assert encoder.encode(["the mills " * 500]).shape == (1, encoder.dim)


def test_an_image_survives_being_stored_as_text(encoder) -> None:
    image = noise(3)
    passage = Passage("p", "A caption.", meta={IMAGE: as_address(image)})
    assert np.array_equal(np.asarray(image_of(passage)), np.asarray(image))
    assert image_of(Passage("q", "No image.")) is None
    with pytest.raises(InputError, match="passage 'r' has an image that cannot be read"):
        image_of(Passage("r", "", meta={IMAGE: "data:image/png;base64,AAAA"}))


def test_a_store_gets_the_images_vector_or_else_the_texts(encoder) -> None:
    image = noise(4)
    rows = encoder.encode_passages(
        [Passage("p", "the town", meta={IMAGE: as_address(image)}), Passage("q", "the town")]
    )
    assert np.allclose(rows[0], encoder.encode_images([image])[0], atol=1e-5)
    assert np.allclose(rows[1], encoder.encode(["the town"])[0], atol=1e-5)


def test_pixels_become_the_same_image_again(encoder) -> None:
    image = noise(5, encoder.size, encoder.size)
    again = encoder.image(encoder.pixels(image))
    assert np.array_equal(np.asarray(again), np.asarray(image))


def test_what_is_no_such_model_is_refused(linear, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"^test: needs an image-text model like CLIP: give clip"):
        ImageTextEncoder("test", None)
    with pytest.raises(UsageError, match="a Linear does not embed texts and images"):
        ImageTextEncoder("test", linear, object())
    with pytest.raises(InputError, match=r"^test: cannot load model '[^']+': "):
        ImageTextEncoder("test", str(tmp_path))


@pytest.fixture
def linear():
    import torch

    return torch.nn.Linear(2, 2)
