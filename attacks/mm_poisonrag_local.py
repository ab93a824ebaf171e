"""MM-PoisonRAG's local attack: an image and a caption for one question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ragshield.attacks.clip import IMAGE, ClipModel, ImageTextEncoder, as_address
from ragshield.attacks.crafted import check_count, check_target, crafted
from ragshield.attacks.mm_poisonrag import pulled
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.writing import Model, Writer, opened, prompt
from ragshield.errors import InputError, UsageError
from ragshield.records import Passage, Target
from ragshield.text import cut

if TYPE_CHECKING:
    from PIL.Image import Image

_LINE = 24
_SIZE = 336
_MARGIN = 12


class MMPoisonRAGLocal:
    """Plant an image that its question finds, with a caption that lies (MM-PoisonRAG, local).

    A passage is a caption that states the wrong answer and an image, in its metadata as
    `image`. The image is pulled towards the question in the encoder's space, so little
    that an eye sees no difference (LPA-Rt), or left as it is (`n_steps` 0, LPA-BB).

    Access: gradients of an image-text encoder like CLIP (none for LPA-BB); a language model
    for the captions, optionally.
    Source: MM-PoisonRAG, Ha et al., arXiv 2502.17832, LPA-BB and LPA-Rt.
    Differs: the paper paints the image with Stable Diffusion 3.5 from the caption; here it is
    yours, or the caption is written on a plain one, which CLIP reads too. Captions come
    from a model that stops at the first that states the answer (the released loop never
    stops), or from templates. Similarity is that of the image as stored, in 8 bits.

    Cost per passage: n_steps passes through the image part and back; at most max_tries
    calls of the language model. Planting needs the
    image's vector: `encoder.encode_passages` gives it.

    Args:
        n: image-caption pairs for each target, each with another caption.
        clip: a `transformers` model like CLIP or SigLIP, or the folder of one.
        tokenizer: its tokenizer; None for the one in the folder.
        image: file of the image to start from; None to write the caption on one.
        n_steps: steps of Adam; 0 = black box.
        step_size: its learning rate, in normalised pixels.
        most: largest change of a normalised pixel, L-infinity.
        llm: any LangChain chat model, or `openai:URL#MODEL`, for the captions.
        max_words: longest caption asked for.
        max_tries: captions tried for each pair.

    Raises:
        ValueError: a number out of range.
    """

    name: ClassVar[str] = "mm-poisonrag-local"
    needs: ClassVar[tuple[str, ...]] = ("clip",)

    def __init__(
        self,
        *,
        n: int = 1,
        clip: ClipModel = None,
        tokenizer: Any = None,
        image: str | None = None,
        n_steps: int = 50,
        step_size: float = 0.005,
        most: float = 0.05,
        llm: Model = None,
        max_words: int = 25,
        max_tries: int = 3,
    ) -> None:
        self._n = check_count("n", n)
        self._n_steps = check_count("n_steps", n_steps)
        check_count("max_tries", max_tries, 1)
        self._max_words = check_count("max_words", max_words, 1)
        if step_size <= 0 or most <= 0:
            raise ValueError(f"step_size is {step_size}, most is {most}; both must be above 0")
        self._clip = clip
        self._tokenizer = tokenizer
        self._image = image
        self._step_size = step_size
        self._most = most
        self._llm = opened(llm)
        self._writer = Writer(self.name, self._llm, max_tries=max_tries)
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

        Also there: `similarity_first` and `similarity`, cosine of the stored image and the
        question, `caption_similarity`, `n_forward`.

        Raises:
            UsageError: an unusable target, no model, or n above the number of captions.
            InputError: the image cannot be read.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target)
        encoder = self.encoder
        captions = self._captions(target, rng)
        aim = encoder.encode([target.question.text])[0]
        made = []
        for index, (caption, n_calls) in enumerate(captions):
            start = encoder.pixels(self._start(caption))
            image, before, after = pulled(
                encoder,
                start,
                aim,
                n_steps=self._n_steps,
                step_size=self._step_size,
                most=self._most,
            )
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant="LPA-Rt" if self._n_steps else "LPA-BB",
                    retrieval_part="",
                    generation_part=caption,
                    verified=None,
                    n_llm_calls=n_calls,
                    n_encoder_calls=2 + (index == 0),
                    more={
                        IMAGE: as_address(image),
                        "similarity_first": round(before, 4),
                        "similarity": round(after, 4),
                        "caption_similarity": round(float(encoder.encode([caption])[0] @ aim), 4),
                        "n_forward": self._n_steps + 3,
                    },
                )
            )
        return made

    def _captions(self, target: Target, rng: np.random.Generator) -> list[tuple[str, int]]:
        spare = statements(target, rng)
        if self._llm is None:
            if len(spare) < self._n:
                raise UsageError(
                    f"{self.name}: target '{target.question.id}' has {len(spare)} captions, "
                    f"n is {self._n}; lower n"
                )
            return [(caption, 0) for caption in spare[: self._n]]
        request = prompt(
            "caption",
            question=target.question.text,
            answer=target.wrong_answer,
            max_words=str(self._max_words),
        )
        found: list[tuple[str, int]] = []
        for _ in range(self._n):
            written = self._writer.write(target, request, unlike={text for text, _ in found})
            found.append((written.text, written.n_llm_calls))
        return found

    def _start(self, caption: str) -> Image:
        from PIL import Image as Images

        if self._image is None:
            return written_on(caption)
        try:
            return Images.open(self._image).convert("RGB")
        except OSError as error:
            raise InputError(
                f"{self.name}: cannot read image '{self._image}': give a PNG or JPEG file"
            ) from error


def written_on(caption: str) -> Image:
    """A plain image with a caption on it, as much as fits."""
    import textwrap

    from PIL import Image as Images
    from PIL import ImageDraw, ImageFont

    image = Images.new("RGB", (_SIZE, _SIZE), (236, 232, 222))
    lines = textwrap.wrap(cut("".join(c if c.isprintable() else " " for c in caption), 400), _LINE)
    draw = ImageDraw.Draw(image)
    draw.multiline_text(
        (_MARGIN, _MARGIN), "\n".join(lines), fill=(30, 30, 34), font=ImageFont.load_default(22)
    )
    return image
