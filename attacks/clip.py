"""An image-text encoder seen from inside: texts and images in one space, with gradients."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ragshield.errors import InputError, MissingExtraError, UsageError
from ragshield.records import Passage, Vectors
from ragshield.vectors import unit_rows

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

ClipModel: TypeAlias = Any
"""A `transformers` model like CLIP or SigLIP, the folder of one, or None."""

IMAGE = "image"
"""Metadata key of a passage's image, a `data:image/png;base64,` address."""

_START = "data:image/png;base64,"
# What CLIP was trained with; a folder's preprocessor_config.json goes before.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_SPREAD = (0.26862954, 0.26130258, 0.27577711)


class ImageTextEncoder:
    """Texts and images as vectors of one space; an `Encoder` for a store of images.

    Args:
        attack: registry name, for messages.
        model: a loaded model, or the folder of one.
        tokenizer: its tokenizer; None for the one in the folder.
        mean: of each channel that pixels are normalised with; None for the folder's or CLIP's.
        spread: their standard deviations; None likewise.

    Raises:
        UsageError: no model, a model without a tokenizer, or one that embeds no images.
        InputError: the folder holds no such model.
        MissingExtraError: torch, transformers or pillow is not installed.
    """

    def __init__(
        self,
        attack: str,
        model: ClipModel,
        tokenizer: Any = None,
        *,
        mean: Sequence[float] | None = None,
        spread: Sequence[float] | None = None,
    ) -> None:
        if model is None:
            raise UsageError(
                f"{attack}: needs an image-text model like CLIP: give clip as a folder or a "
                "loaded transformers model with its tokenizer"
            )
        _pillow(attack)
        self._name = "image-text"
        settings: dict[str, Any] = {}
        if isinstance(model, str):
            self._name = model
            settings = _settings(Path(model))
            model, loaded = _loaded(attack, model)
            tokenizer = loaded if tokenizer is None else tokenizer
        if tokenizer is None:
            raise UsageError(f"{attack}: a loaded model comes with its tokenizer: give tokenizer")
        if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
            raise UsageError(
                f"{attack}: a {type(model).__name__} does not embed texts and images in one "
                "space; give a model like CLIP or SigLIP"
            )
        self.model = model.eval()
        for parameter in model.parameters():  # only pixels are ever differentiated
            parameter.requires_grad_(False)
        self._tokenizer = tokenizer
        self.size = int(model.config.vision_config.image_size)
        self._mean = tuple(mean or settings.get("image_mean") or _MEAN)
        self._spread = tuple(spread or settings.get("image_std") or _SPREAD)

    @property
    def name(self) -> str:
        """The model's folder, or `image-text`."""
        return self._name

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        return int(self.encode(["width"]).shape[1])

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found: torch.device = next(iter(self.model.parameters())).device
        return found

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: (n, dim) float32, unit rows; what is too long is cut."""
        import torch

        longest = int(self.model.config.text_config.max_position_embeddings)
        rows = []
        for text in texts or [""]:
            encoded = self._tokenizer(
                [text], truncation=True, max_length=longest, return_tensors="pt"
            )
            given = {key: value.to(self.device) for key, value in encoded.items()}
            given.pop("token_type_ids", None)
            with torch.no_grad():
                rows.append(_tensor(self.model.get_text_features(**given)))
        found = unit_rows(torch.cat(rows).float().cpu().numpy().astype(np.float32))
        return found if texts else found[:0]

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """Embed images of any size: (n, dim) float32, unit rows."""
        import torch

        if not images:
            return np.empty((0, self.dim), dtype=np.float32)
        with torch.no_grad():
            rows = [self.vectors(self.pixels(image)[None]) for image in images]
        return torch.cat(rows).float().cpu().numpy().astype(np.float32)

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Vectors for a store: of a passage's image where it has one, else of its text.

        Raises:
            InputError: an image cannot be read.
        """
        rows = [
            self.encode_images([image])
            if (image := image_of(passage)) is not None
            else self.encode([passage.text])
            for passage in passages
        ]
        return np.concatenate(rows) if rows else np.empty((0, self.dim), dtype=np.float32)

    def vectors(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors of normalised pixels (n, 3, size, size), with gradients."""
        import torch

        rows = _tensor(self.model.get_image_features(pixel_values=pixels))
        return torch.nn.functional.normalize(rows, dim=-1)

    def pixels(self, image: Image) -> torch.Tensor:
        """Normalised pixels, (3, size, size): the short side scaled, the middle cut out."""
        import torch
        from PIL import Image as Images

        scale = self.size / min(image.size)
        width, height = (max(round(side * scale), self.size) for side in image.size)
        scaled = image.convert("RGB").resize((width, height), Images.Resampling.BICUBIC)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        cut = scaled.crop((left, top, left + self.size, top + self.size))
        values = np.asarray(cut, dtype=np.float32) / 255.0
        mean, spread = (np.asarray(v, dtype=np.float32) for v in (self._mean, self._spread))
        normal = torch.from_numpy(((values - mean) / spread).transpose(2, 0, 1).copy())
        return normal.to(self.device)

    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised values of black and white, (3, 1, 1) each."""
        import torch

        mean = torch.tensor(self._mean, device=self.device)[:, None, None]
        spread = torch.tensor(self._spread, device=self.device)[:, None, None]
        return (0.0 - mean) / spread, (1.0 - mean) / spread

    def image(self, pixels: torch.Tensor) -> Image:
        """An image of 8 bits a channel from normalised pixels (3, size, size)."""
        from PIL import Image as Images

        low, high = self.bounds()
        values = ((pixels - low) / (high - low)).clamp(0, 1).mul(255).round()
        return Images.fromarray(values.permute(1, 2, 0).cpu().numpy().astype(np.uint8))


def as_address(image: Image) -> str:
    """An image as a `data:` address, PNG, without loss."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return _START + base64.b64encode(file.getvalue()).decode("ascii")


def image_of(passage: Passage) -> Image | None:
    """The image in a passage's metadata; None where there is none.

    Raises:
        InputError: it cannot be read.
    """
    address = passage.meta.get(IMAGE)
    if not isinstance(address, str):
        return None
    _pillow("image_of")
    from PIL import Image as Images

    try:
        data = base64.b64decode(address.removeprefix(_START), validate=True)
        return Images.open(io.BytesIO(data)).convert("RGB")
    except (binascii.Error, OSError) as error:
        raise InputError(f"passage '{passage.id}' has an image that cannot be read") from error


def _tensor(features: Any) -> torch.Tensor:
    """Features, which some versions of transformers wrap."""
    found: torch.Tensor = getattr(features, "pooler_output", features)
    return found


def _pillow(attack: str) -> None:
    from importlib.util import find_spec

    if find_spec("PIL") is None:
        raise MissingExtraError(
            f"{attack}: images need pillow: pip install 'ragshield[multimodal]'"
        )


def _settings(folder: Path) -> dict[str, Any]:
    """The folder's preprocessor_config.json, if it has one."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    found = json.loads(path.read_text("utf-8"))
    return found if isinstance(found, dict) else {}


def _loaded(attack: str, folder: str) -> tuple[Any, Any]:
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtraError(
            f"{attack}: an image-text model needs torch and transformers: "
            "pip install 'ragshield[multimodal]'"
        ) from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: Any = AutoModel.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{attack}: cannot load model '{folder}': {str(error).splitlines()[0]}; "
            "give the folder of a model like CLIP"
        ) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer
