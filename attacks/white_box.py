"""A retriever's encoder seen from inside: its gradient at the tokens of a text."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.windowed import Seen, Windowed
from ragshield.errors import MissingExtraError, UsageError
from ragshield.protocols import Encoder
from ragshield.records import Vectors

if TYPE_CHECKING:
    import torch

_BATCH = 32
_MARKS = ("\u0120", "\u2581")
"""What begins a word in byte-level and SentencePiece vocabularies."""


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Tokens that may be put into a text.

    Attributes:
        ids: (v,) token ids.
        pieces: how each is written.
        continues: whether it is glued to the word before it.
    """

    ids: NDArray[np.int64]
    pieces: tuple[str, ...]
    continues: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """First-order gain of putting any token at any place of a text.

    Attributes:
        spans: characters of each of the p tokens that can be replaced.
        ids: (p,) the tokens there now.
        gains: (p, v) expected change of the objective, v as in the vocabulary.
        places: (p, h) which token each is in each of h hosts; -1 where that is cut off.
    """

    spans: tuple[tuple[int, int], ...]
    ids: NDArray[np.int64]
    gains: NDArray[np.float32]
    places: NDArray[np.intp]


class WhiteBox:
    """A sentence-transformers model as an attacker with its weights sees it.

    Texts go in and unit vectors come out, the same as the encoder's. Nothing of the model is
    changed: gradients are taken at the output of the word embeddings only.

    Args:
        attack: registry name, for messages.
        encoder: one with a sentence-transformers `model`, bare or behind a cache.
        screening: on a CPU, let `screened` use bfloat16 where the processor has it, and
            `swapped` work out a part of a BERT only.

    Attributes:
        n_embedded: texts embedded so far, exactly or for screening.
        n_gradients: texts whose gradient was taken.

    Raises:
        UsageError: no encoder, or one whose inside cannot be seen.
        MissingExtraError: torch or sentence-transformers is not installed.
    """

    def __init__(self, attack: str, encoder: Encoder | None, *, screening: bool = True) -> None:
        if encoder is None:
            raise UsageError(
                f"{attack}: needs the weights of the encoder it attacks: give encoder, "
                "a sentence-transformers model (minilm)"
            )
        try:
            from sentence_transformers import SentenceTransformer
            from transformers import PreTrainedModel
        except ImportError as error:
            raise MissingExtraError(
                f"{attack}: gradients need torch and sentence-transformers: "
                "pip install 'ragshield[local]'"
            ) from error
        inner: Any = encoder
        while not hasattr(inner, "model") and hasattr(inner, "encoder"):
            inner = inner.encoder
        model: Any = getattr(inner, "model", None)
        inside = (
            [m for m in model.modules() if isinstance(m, PreTrainedModel)]
            if isinstance(model, SentenceTransformer)
            else []
        )
        if not inside or not getattr(model.tokenizer, "is_fast", False):
            raise UsageError(
                f"{attack}: encoder '{encoder.name}' shows no gradients: give encoder as a "
                "sentence-transformers model with a fast tokenizer (minilm)"
            )
        self.n_embedded = 0
        self.n_gradients = 0
        self._model = model.eval()
        self._words: Any = inside[0].get_input_embeddings()
        self._tokenizer = model.tokenizer
        self._prompt = (model.prompts or {}).get(model.default_prompt_name or "", "")
        self._rough = self._roughly() if screening else None
        self._windowed = self._quickly() if screening else None
        self._seen: tuple[tuple[str, ...], list[Seen]] = ((), [])
        self._vocabularies: dict[tuple[bool, bool], Vocabulary] = {}

    @property
    def n_tokens(self) -> int:
        """Most tokens of a text that the model reads."""
        return int(self._model.max_seq_length or self._tokenizer.model_max_length)

    @property
    def screens(self) -> bool:
        """Whether `screened` or `swapped` is faster than `embed`, and less exact."""
        return self._rough is not None or self._windowed is not None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (n, dim), as the encoder itself gives them."""
        return self._embedded(self._model, texts)

    def screened(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors good to about 1e-4 in a cosine, where that is faster; else exact ones."""
        return self._embedded(self._rough or self._model, texts)

    def swapped(
        self, hosts: Sequence[tuple[str, str]], text: str, places: Sequence[int], ids: Sequence[int]
    ) -> Vectors | None:
        """Unit vectors of a text with one token replaced, (n * h, dim), nearly right.

        The text is not read again: where new and old tokens would be split or joined otherwise,
        the vector is that of no text.

        Args:
            hosts: what stands before and after the text.
            text: the text as it is.
            places: which token of each host is replaced; see `Gains.places`.
            ids: the n tokens to put there.

        Returns:
            The vectors, all hosts of the first token first; None where the model is built
            otherwise or a place is cut off.
        """
        if self._windowed is None or min(places, default=-1) < 0:
            return None
        whole = tuple(f"{before}{text}{after}" for before, after in hosts)
        if self._seen[0] != whole:
            rows = [self._features([one])[0]["input_ids"][0].tolist() for one in whole]
            self._seen = whole, [self._windowed.seen(row) for row in rows]
        self.n_embedded += len(ids) * len(hosts)
        found = [
            self._windowed.swapped(seen, at, ids)
            for seen, at in zip(self._seen[1], places, strict=True)
        ]
        vectors: Vectors = np.stack(found, axis=1).reshape(len(ids) * len(hosts), -1)
        return vectors

    def _embedded(self, model: Any, texts: Sequence[str]) -> Vectors:
        import torch

        self.n_embedded += len(texts)
        found = []
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                features = self._tokens(texts[start : start + _BATCH])
                found.append(_unit(model(features)["sentence_embedding"]).cpu().numpy())
        rows: Vectors = np.concatenate(found).astype(np.float32, copy=False)
        return rows

    def spans(self, text: str) -> tuple[tuple[int, int], ...]:
        """Characters of each token of a text, those that the model reads."""
        _, offsets = self._features([text])
        return tuple((a, b) for a, b in offsets[0] if b > a)

    def gains(
        self,
        hosts: Sequence[tuple[str, str]],
        text: str,
        slope: Callable[[Vectors], Vectors],
        vocabulary: Vocabulary,
    ) -> Gains:
        """What each token of the vocabulary would bring at each place of a text.

        Args:
            hosts: what stands before and after the text; gains are summed over them.
            text: whose tokens can be replaced.
            slope: from the hosts' unit vectors, (h, dim), to the objective's derivative by
                them, of the same shape.
            vocabulary: what can be put in.
        """
        import torch

        features, offsets = self._features([f"{a}{text}{b}" for a, b in hosts])
        leaves: list[torch.Tensor] = []

        def detached(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
            leaves.append(output.detach().requires_grad_(True))
            return leaves[-1]

        hook = self._words.register_forward_hook(detached)
        try:
            vectors = _unit(self._model(features)["sentence_embedding"])
        finally:
            hook.remove()
        self.n_gradients += len(hosts)
        towards = torch.from_numpy(slope(vectors.detach().cpu().numpy()).astype(np.float32))
        (slopes,) = torch.autograd.grad((vectors * towards.to(vectors.device)).sum(), leaves[0])
        sums: dict[tuple[int, int], torch.Tensor] = {}
        ids: dict[tuple[int, int], int] = {}
        at: dict[tuple[int, int], list[int]] = {}
        for h, (before, _) in enumerate(hosts):
            for t, (a, b) in enumerate(offsets[h]):
                span = (a - len(before), b - len(before))
                if a < b and span[0] >= 0 and span[1] <= len(text):
                    sums[span] = sums[span] + slopes[h, t] if span in sums else slopes[h, t]
                    ids[span] = int(features["input_ids"][h, t])
                    at.setdefault(span, [-1] * len(hosts))[h] = t
        spans = tuple(sorted(sums))
        if not spans:
            none = np.empty((0, len(vocabulary.ids)), np.float32)
            return Gains((), np.empty(0, np.int64), none, np.empty((0, len(hosts)), np.intp))
        now = torch.tensor([ids[span] for span in spans])
        with torch.inference_mode():
            weight = self._words.weight
            slope_at = torch.stack([sums[span] for span in spans]).to(weight.dtype)
            new = weight[torch.from_numpy(vocabulary.ids).to(weight.device)]
            old = (slope_at * weight[now.to(weight.device)]).sum(dim=1, keepdim=True)
            gains = (slope_at @ new.T - old).float().cpu().numpy()
        return Gains(spans, now.numpy(), gains, np.array([at[span] for span in spans], np.intp))

    def vocabulary(self, *, subwords: bool = False, ascii_only: bool = True) -> Vocabulary:
        """Tokens that stay what they are when their text is read again.

        Special and unused tokens are left out, and those that the tokenizer would split or
        join otherwise.

        Args:
            subwords: also continuations of words; they only stay where they fit.
            ascii_only: leave out other characters.
        """
        if (subwords, ascii_only) not in self._vocabularies:
            self._vocabularies[subwords, ascii_only] = self._allowed(subwords, ascii_only)
        return self._vocabularies[subwords, ascii_only]

    def _allowed(self, subwords: bool, ascii_only: bool) -> Vocabulary:
        tokenizer = self._tokenizer
        size = min(len(tokenizer), int(self._words.weight.shape[0]))
        names = tokenizer.convert_ids_to_tokens(list(range(size)))
        mark = next((m for m in _MARKS if any(n.startswith(m) for n in names)), None)
        special = set(tokenizer.all_special_ids)
        kept: list[tuple[int, str, bool]] = []
        for i, name in enumerate(names):
            if i in special or name in tokenizer.get_added_vocab() or name.startswith("[unused"):
                continue
            glued = name.startswith("##") if mark is None else not name.startswith(mark)
            piece = tokenizer.decode([i]).strip()
            piece = piece.removeprefix("##") if mark is None else piece
            plain = piece.isascii() if ascii_only else "\ufffd" not in piece
            if piece and piece.isprintable() and plain and (subwords or not glued):
                kept.append((i, piece, glued))
        again = tokenizer([f" {piece}" for _, piece, _ in kept], add_special_tokens=False)
        same = [
            row
            for row, read in zip(kept, again["input_ids"], strict=True)
            if row[2] or read == [row[0]]
        ]
        return Vocabulary(
            np.array([i for i, _, _ in same], dtype=np.int64),
            tuple(piece for _, piece, _ in same),
            np.array([glued for _, _, glued in same], dtype=np.bool_),
        )

    def _tokens(self, texts: Sequence[str], **more: Any) -> dict[str, torch.Tensor]:
        given = self._tokenizer(
            [self._prompt + text for text in texts],
            padding=True,
            truncation=True,
            max_length=self.n_tokens,
            return_tensors="pt",
            **more,
        )
        device = self._words.weight.device
        return {key: value.to(device) for key, value in given.items()}

    def _features(
        self, texts: Sequence[str]
    ) -> tuple[dict[str, torch.Tensor], list[list[tuple[int, int]]]]:
        """Model input, and the characters of each token in the text without the prompt."""
        given = self._tokens(texts, return_offsets_mapping=True)
        shift = len(self._prompt)
        offsets = [
            [(a - shift, b - shift) if b > a else (0, 0) for a, b in row]
            for row in given.pop("offset_mapping").tolist()
        ]
        return given, offsets

    def _roughly(self) -> Any:
        """A copy in bfloat16, where the processor computes that fast; else None."""
        import torch

        fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        if self._words.weight.device.type != "cpu" or not fast():
            return None
        return copy.deepcopy(self._model).to(torch.bfloat16)

    def _quickly(self) -> Windowed | None:
        if self._words.weight.device.type != "cpu":
            return None
        return Windowed.over(self._rough or self._model)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1)
