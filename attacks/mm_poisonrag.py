"""Images pulled towards questions: what both MM-PoisonRAG attacks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ragshield.attacks.clip import ImageTextEncoder
from ragshield.records import Vector

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


def pulled(
    encoder: ImageTextEncoder,
    start: torch.Tensor,
    towards: Vector,
    *,
    n_steps: int,
    step_size: float,
    most: float | None,
) -> tuple[Image, float, float]:
    """An image optimised by Adam to be similar to a vector, as it is stored.

    Args:
        encoder: of images and texts.
        start: normalised pixels, (3, size, size).
        towards: unit vector, (dim,).
        n_steps: steps, each one pass and one back.
        step_size: Adam's learning rate, in normalised pixels.
        most: largest change of a normalised pixel; None for any.

    Returns:
        The image, 8 bits a channel, and its cosine before and after, measured on stored
        images.
    """
    import torch

    aim = torch.from_numpy(np.asarray(towards, dtype=np.float32)).to(encoder.device)
    low, high = encoder.bounds()
    if most is not None:
        low, high = torch.maximum(low, start - most), torch.minimum(high, start + most)
    pixels = torch.minimum(torch.maximum(start, low), high).clone().requires_grad_(True)
    adam = torch.optim.Adam([pixels], lr=step_size)
    first = encoder.image(pixels.detach())
    best, highest = pixels.detach().clone(), -2.0
    for _ in range(n_steps):
        similarity = (encoder.vectors(pixels[None])[0] * aim).sum()
        if float(similarity.detach()) > highest:
            best, highest = pixels.detach().clone(), float(similarity.detach())
        adam.zero_grad()
        (-similarity).backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            pixels.copy_(torch.minimum(torch.maximum(pixels, low), high))
    with torch.no_grad():
        if float((encoder.vectors(pixels[None])[0] * aim).sum()) > highest:
            best = pixels.detach().clone()
    image = encoder.image(best)
    before, after = (encoder.encode_images([one])[0] @ towards for one in (first, image))
    # Rounding to 8 bits may cost what little was won.
    return (
        (image, float(before), float(after))
        if after >= before
        else (first, float(before), float(before))
    )
