"""Any sentence-transformers model that is already on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ragshield.errors import InputError, MissingExtraError
from ragshield.records import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceTransformersEncoder:
    """A sentence-transformers model, loaded from disk, on the CPU unless told otherwise.

    Args:
        model: a folder, or the name of a model in the local Hugging Face cache.
        device: torch device, for example `cpu` or `cuda`; None for the best there is.
        batch_size: texts per forward pass.
        allow_download: let the library fetch a model that is not on disk.
        name: what identifies it in caches and logs; default: `model`.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | None = "cpu",
        batch_size: int = 32,
        allow_download: bool = False,
        name: str | None = None,
    ) -> None:
        if not allow_download:
            # Read by huggingface_hub when it is first imported; a guard must not phone home.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError(
                "this encoder needs sentence-transformers: pip install 'ragshield[local]'"
            ) from error
        quiet_loading()
        try:
            self.model: SentenceTransformer = SentenceTransformer(
                model, device=device, local_files_only=not allow_download
            )
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot load encoder '{model}': {str(error).splitlines()[0]}; "
                "give the folder of a sentence-transformers model"
            ) from error
        self.batch_size = batch_size
        self._name = name or model

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        width = self.model.get_embedding_dimension()
        if width is None:  # a model without a pooling head says nothing
            width = int(self.encode(["width"]).shape[1])
        return int(width)

    def encode(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Embed texts: (n, dim) float32, unit rows.

        Args:
            texts: any number of texts; what is longer than the model's window is cut.
            progress: called with the number of texts just done.
        """
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        # Texts of like length share a batch, so that little is padded: about twice as fast.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = np.empty((len(texts), 0), dtype=np.float32)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            part = self.model.encode(
                [texts[i] for i in chosen],
                batch_size=self.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            if rows.shape[1] == 0:  # the width is known from the first vectors
                rows = np.empty((len(texts), part.shape[1]), dtype=np.float32)
            rows[chosen] = part
            if progress is not None:
                progress(len(chosen))
        return rows


def quiet_loading() -> None:
    """Keep transformers' "Loading weights" bar off the screen of our users."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
