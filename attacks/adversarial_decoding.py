"""Adversarial decoding: a language model writes what the retriever likes, word by word."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.causal import CausalModel, CausalReader
from ragshield.attacks.crafted import check_choice, check_count, check_target, crafted
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.question_sets import Questions, aimed_at, clusters, read_questions
from ragshield.chat import fill
from ragshield.errors import UsageError
from ragshield.protocols import Encoder
from ragshield.records import Passage, Target, Vector
from ragshield.vectors import unit_rows

Fluency: TypeAlias = Literal["judge", "likelihood", "none"]

_MOST_NATURAL = 0.05
"""Above it, being more natural earns nothing: the paper's clamp."""
_WEIGHT = 2.0
_ENDS = (".", "!", "?", '."', '!"', '?"')


class _Beam(NamedTuple):
    """One candidate: its text, what it is worth, and the sum and count of log-likelihoods."""

    text: str
    worth: float
    cosine: float
    logs: float
    n_tokens: int


class AdversarialDecoding:
    """Let a language model write fluent text that the retriever finds near (Adversarial Decoding).

    Beam search over the model's own likely next tokens; what is kept is nearest to the
    questions together with the payload behind it, and natural. No gradients.

    Access: similarity scores of the retriever, and a language model, not the victim's.
    Source: Zhang et al., arXiv 2410.02163. Reimplemented: collinzrj/adversarial_decoding@16f9454
    has no licence.
    Differs: naturalness is a difference of probabilities, p(No) - p(Yes); the released code
    divides raw logits by their sum, which is unstable near zero. Where a model cannot judge,
    `likelihood` takes its mean log-likelihood per token, a tenth of it. No safety model's score.

    Cost per passage: at most n_tokens * beam_width * top_k texts embedded; as many rows through
    the model for `judge`, n_tokens * beam_width otherwise.

    Args:
        n: passages for each target, and clusters of questions.
        questions: the set; None for the target's own question alone.
        fluency: how naturalness is measured.
        beam_width: texts kept at each step.
        n_tokens: steps.
        top_k: next tokens tried for each text.
        top_p: only the likeliest ones that have this probability together, (0, 1].
        encoder: the retriever's; any.
        model: a causal language model of `transformers`, or its folder.
        tokenizer: its tokenizer, where `model` is no folder.

    Raises:
        UsageError: no questions in the set.
        InputError: an unreadable file of questions.
        ValueError: n < 0, top_p outside (0, 1], another number < 1, or an unknown fluency.
    """

    name: ClassVar[str] = "adversarial-decoding"
    needs: ClassVar[tuple[str, ...]] = ("model", "encoder")

    def __init__(
        self,
        *,
        n: int = 1,
        questions: Questions = None,
        fluency: Fluency = "judge",
        beam_width: int = 5,
        n_tokens: int = 20,
        top_k: int = 20,
        top_p: float = 0.95,
        encoder: Encoder | None = None,
        model: CausalModel = None,
        tokenizer: Any = None,
    ) -> None:
        check_choice("fluency", fluency, Fluency)
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1")
        self._n = check_count("n", n)
        self._questions = read_questions(self.name, questions)
        self._fluency = fluency
        self._beam_width = check_count("beam_width", beam_width, 1)
        self._n_tokens = check_count("n_tokens", n_tokens, 1)
        self._top_k = check_count("top_k", top_k, 1)
        self._top_p = top_p
        self._encoder = encoder
        self._model, self._tokenizer = model, tokenizer
        self._reader: CausalReader | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The n passages; `objective_after` is the mean cosine to their questions.

        Raises:
            UsageError: an unusable target, no model, or no encoder.
            MissingExtraError: torch or transformers is not installed.
        """
        check_target(self.name, target)
        reader = self._reader = self._reader or CausalReader(
            self.name, self._model, self._tokenizer
        )
        if self._encoder is None:
            raise UsageError(
                f"{self.name}: needs similarity scores of the store it attacks: give encoder "
                "(ragshield attack --encoder NAME)"
            )
        if not self._n:
            return []
        questions = aimed_at(self._questions, target)
        vectors = self._encoder.encode(list(questions))
        labels = clusters(vectors, self._n, rng)
        texts = statements(target, rng)
        made = []
        for index in range(self._n):
            rows = np.flatnonzero(labels == index % (int(labels.max()) + 1))
            # Passages of one cluster lead with different questions, so that they differ.
            led = questions[int(rows[(index // (int(labels.max()) + 1)) % len(rows)])]
            payload = texts[index % len(texts)]
            towards = unit_rows(vectors[rows]).mean(axis=0)
            first = (reader.n_forward, 0)
            beam, n_embedded = self._decoded(reader, led, payload, towards)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=self._fluency,
                    retrieval_part=beam.text,
                    generation_part=payload,
                    verified=None,
                    n_llm_calls=reader.n_forward - first[0],
                    n_encoder_calls=n_embedded + (len(questions) if index == 0 else 0),
                    joint=" ",
                    more={
                        "objective_after": beam.cosine,
                        "log_likelihood": beam.logs / max(beam.n_tokens, 1),
                        "n_questions": len(rows),
                    },
                )
            )
        return made

    def _decoded(
        self, reader: CausalReader, question: str, payload: str, towards: Vector
    ) -> tuple[_Beam, int]:
        """The best text that ends a sentence, or the best, and how many texts were embedded."""
        beams = [_Beam("", -np.inf, -1.0, 0.0, 0)]
        ended: list[_Beam] = []
        n_embedded = 0
        for _ in range(self._n_tokens):
            grown = [
                _Beam(text, 0.0, 0.0, beam.logs + log, beam.n_tokens + 1)
                for beam, nexts in zip(beams, self._nexts(reader, question, beams), strict=True)
                for text, log in nexts
            ]
            grown = list({beam.text: beam for beam in grown if beam.text.strip()}.values())
            if not grown:
                break
            n_embedded += len(grown)
            judged = self._judged(reader, grown, payload, towards)
            judged.sort(key=lambda beam: -beam.worth)
            ended += [beam for beam in judged if beam.text.rstrip().endswith(_ENDS)]
            ended = sorted(ended, key=lambda beam: -beam.worth)[:1]
            beams = judged[: self._beam_width]
        best = (ended or beams)[0]
        return best._replace(text=" ".join(best.text.split())), n_embedded

    def _nexts(
        self, reader: CausalReader, question: str, beams: Sequence[_Beam]
    ) -> list[list[tuple[str, float]]]:
        """For each text, its likely continuations with their log-probability."""
        import torch

        rows = []
        for beam in beams:
            row = list(reader.tokenizer(f"{question} {beam.text}".rstrip())["input_ids"])
            end = reader.tokenizer.eos_token_id
            row = row[:-1] if len(row) > 1 and row[-1] == end else row
            rows.append(row[-(reader.window or len(row)) :] or [reader.pad_id])
        with torch.no_grad():
            logs = torch.log_softmax(reader.forward(rows).logits[:, -1].float(), dim=-1)
        found = []
        for beam, row, log in zip(beams, rows, logs, strict=True):
            values, ids = log.topk(min(self._top_k, log.shape[0]))
            before = values.exp().cumsum(0) - values.exp()
            kept = int((before < self._top_p).sum())
            decode = reader.tokenizer.decode
            shown = decode(row, skip_special_tokens=True)
            nexts = []
            for value, token in zip(values[:kept].tolist(), ids[:kept].tolist(), strict=True):
                whole = decode([*row, token], skip_special_tokens=True)
                piece = whole[len(shown) :] if whole.startswith(shown) else ""
                if piece:
                    nexts.append((f"{beam.text}{piece}", value))
            found.append(nexts)
        return found

    def _judged(
        self, reader: CausalReader, beams: Sequence[_Beam], payload: str, towards: Vector
    ) -> list[_Beam]:
        if self._encoder is None:  # checked before; for type checkers
            return []
        texts = [" ".join(beam.text.split()) for beam in beams]
        vectors = unit_rows(self._encoder.encode([f"{text} {payload}" for text in texts]))
        cosine = (vectors @ towards).astype(np.float64)
        natural = self._natural(reader, beams, texts)
        worth = np.clip(cosine, 0, 1) + _WEIGHT * np.minimum(natural, _MOST_NATURAL)
        return [
            beam._replace(worth=float(w), cosine=float(c))
            for beam, w, c in zip(beams, worth, cosine, strict=True)
        ]

    def _natural(
        self, reader: CausalReader, beams: Sequence[_Beam], texts: Sequence[str]
    ) -> NDArray[np.float64]:
        if self._fluency == "none":
            return np.zeros(len(beams))
        if self._fluency == "likelihood":
            return np.array([beam.logs / beam.n_tokens / 10 for beam in beams])
        asked = files("ragshield.attacks").joinpath("adversarial_decoding.txt").read_text("utf-8")
        return judged_natural(reader, [fill(asked.rstrip(), {"text": text}) for text in texts])


def judged_natural(reader: CausalReader, prompts: Sequence[str]) -> NDArray[np.float64]:
    """p(No) - p(Yes) as the next token of each prompt, of these two alone, in [-1, 1]."""
    import torch

    chat = getattr(reader.tokenizer, "chat_template", None)
    shown = list(prompts)
    if chat:
        shown = [
            reader.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            for prompt in prompts
        ]
    tokens = [
        reader.tokenizer(word if chat else f" {word}", add_special_tokens=False)["input_ids"]
        for word in ("No", "Yes")
    ]
    if not all(tokens) or tokens[0][0] == tokens[1][0]:
        raise UsageError(
            f"{reader.attack}: the model has no tokens for Yes and No; use fluency 'likelihood'"
        )
    found: list[float] = []
    for start in range(0, len(shown), reader.batch_size):
        rows = []
        for text in shown[start : start + reader.batch_size]:
            row = list(reader.tokenizer(text, add_special_tokens=not chat)["input_ids"])
            rows.append(row[-(reader.window or len(row)) :])
        with torch.no_grad():
            logits = reader.forward(rows).logits[:, -1].float()
        both = torch.softmax(logits[:, [tokens[0][0], tokens[1][0]]], dim=-1)
        found += (both[:, 0] - both[:, 1]).tolist()
    return np.array(found, dtype=np.float64)
