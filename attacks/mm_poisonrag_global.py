"""MM-PoisonRAG's global attack: one image that many questions find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ragshield.attacks.clip import IMAGE, ClipModel, ImageTextEncoder, as_address
from ragshield.attacks.crafted import check_count, check_target, crafted
from ragshield.attacks.mm_poisonrag import pulled
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.errors import UsageError
from ragshield.records import Passage, Target
from ragshield.vectors import unit_rows


class MMPoisonRAGGlobal:
    """Plant one image that is near to every question, to crowd out answers (MM-PoisonRAG, global).

    Noise is pulled towards the mean of many questions' vectors; its caption claims to be
    relevant to every question, which rerankers that ask for Yes or No believe. Meant to
    lose right answers, not to bring a wrong one.

    Access: gradients of an image-text encoder like CLIP, and questions of the kind attacked.
    Source: MM-PoisonRAG, Ha et al., arXiv 2502.17832, GPA-Rt; `centroid` is the same for texts.
    Differs: GPA-RtRrGen, which adds the losses of a multimodal reranker and reader, is not
    built. Similarity is that of the image as stored, in 8 bits. Captions after the first
    vary it.

    Cost per passage: n_steps passes through the image part and back. Planting needs the
    image's vector: `encoder.encode_passages` gives it.

    Args:
        n: images for each target, each from other noise.
        clip: a `transformers` model like CLIP or SigLIP, or the folder of one.
        tokenizer: its tokenizer; None for the one in the folder.
        questions: those that should all find it; None for the target's own alone.
        n_steps: steps of Adam.
        step_size: its learning rate, in normalised pixels.

    Raises:
        ValueError: a number out of range.
    """

    name: ClassVar[str] = "mm-poisonrag-global"
    needs: ClassVar[tuple[str, ...]] = ("clip",)

    def __init__(
        self,
        *,
        n: int = 1,
        clip: ClipModel = None,
        tokenizer: Any = None,
        questions: Sequence[str] | None = None,
        n_steps: int = 500,
        step_size: float = 0.005,
    ) -> None:
        self._n = check_count("n", n)
        self._n_steps = check_count("n_steps", n_steps)
        if step_size <= 0:
            raise ValueError(f"step_size is {step_size}; it must be above 0")
        self._clip = clip
        self._tokenizer = tokenizer
        self._questions = tuple(questions or ())
        self._step_size = step_size
        self._encoder: ImageTextEncoder | None = None

    @property
    def encoder(self) -> ImageTextEncoder:
        """The image-text encoder, loaded on first use.

        Raises:
            UsageError: there is no model.
        """
        if self._encoder is None:
            self._encoder = ImageTextEncoder(self.name, self._clip, self._tokenizer)
        return self._encoder

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages: captions, the image in the metadata as PNG.

        Also there: `similarity_first` and `similarity`, mean cosine of the stored image to
        the questions, `n_questions`, `n_forward`.

        Raises:
            UsageError: an unusable target, no model, or n above the number of captions.
        """
        check_target(self.name, target, answer=False)
        encoder = self.encoder
        captions = table("mm_poisonrag.toml")["captions"]
        if self._n > len(captions):
            raise UsageError(
                f"{self.name}: there are {len(captions)} captions, n is {self._n}; lower n"
            )
        questions = self._questions or (target.question.text,)
        rows = encoder.encode(questions)
        mean = rows.mean(axis=0)
        aim, length = unit_rows(mean[None])[0], float(np.linalg.norm(mean))
        low, high = encoder.bounds()
        # The paper's own caption first.
        ordered = [captions[0], *shuffled(captions[1:], rng)]
        made = []
        for index, own in enumerate(rng.spawn(self._n)):
            noise = own.random((3, encoder.size, encoder.size), dtype=np.float32)
            image, before, after = pulled(
                encoder,
                low + low.new_tensor(noise) * (high - low),
                aim,
                n_steps=self._n_steps,
                step_size=self._step_size,
                most=None,
            )
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant="GPA-Rt",
                    retrieval_part="",
                    generation_part=filled(ordered[index], target),
                    verified=None,
                    n_encoder_calls=2 + (len(questions) if index == 0 else 0),
                    promised=False,
                    more={
                        IMAGE: as_address(image),
                        # Cosine to the mean's direction, times its length: the mean cosine.
                        "similarity_first": round(before * length, 4),
                        "similarity": round(after * length, 4),
                        "n_questions": len(questions),
                        "n_forward": self._n_steps + 3,
                    },
                )
            )
        return made
