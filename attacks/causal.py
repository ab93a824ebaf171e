"""A causal language model seen from inside: prompts as tokens, log-probabilities, answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.chat import check_prompt, fill
from ragshield.errors import InputError, MissingExtraError, UsageError

if TYPE_CHECKING:
    import torch

CausalModel: TypeAlias = Any
"""A `transformers` causal language model, the folder of one, or None."""

_WINDOWS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


@dataclass(frozen=True, slots=True)
class Laid:
    """A prompt as tokens.

    Attributes:
        ids: token ids.
        spans: for each passage, its first token and the one after its last.
        starts: for each passage, its first character in the text.
        offsets: for each token, its first character in the text and the one after its last.
        lead: what stands between the prompt and an answer, a blank or nothing.
        text: the prompt as text.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    lead: str
    text: str

    def tokens_in(self, passage: int, start: int, end: int) -> list[int]:
        """Positions of the tokens that lie in some characters of a passage."""
        low, high = self.starts[passage] + start, self.starts[passage] + end
        return [i for i, (a, b) in enumerate(self.offsets) if b > a and a < high and b > low]


class CausalReader:
    """A model that answers questions from passages, with its gradients at hand.

    A model with a chat template is asked through it. Rows are padded on the left, so that
    the last position is always the end of the prompt.

    Args:
        attack: registry name, for messages.
        model: a loaded `transformers` causal model, or the folder of one; a folder is
            loaded on the GPU if there is one.
        tokenizer: its fast tokenizer; None for the one in the folder.
        prompt: text with the places {contexts} and {question}; None for PoisonedRAG's.
        max_answer_tokens: longest answer generated.
        batch_size: rows for each pass through the model.

    Attributes:
        n_forward: rows passed through the model; an answer counts once for each token.
        n_backward: rows passed back.

    Raises:
        UsageError: a model without a tokenizer, or a tokenizer without offsets.
        InputError: the folder holds no causal model.
        MissingExtraError: torch or transformers is not installed.
        ValueError: the prompt lacks a place.
    """

    def __init__(
        self,
        attack: str,
        model: CausalModel,
        tokenizer: Any = None,
        *,
        prompt: str | None = None,
        max_answer_tokens: int = 16,
        batch_size: int = 32,
    ) -> None:
        if model is None:
            raise UsageError(
                f"{attack}: needs a causal language model: give model as a folder or a loaded "
                "transformers model with its tokenizer"
            )
        if isinstance(model, str):
            model, loaded = _loaded(attack, model)
            tokenizer = loaded if tokenizer is None else tokenizer
        if tokenizer is None:
            raise UsageError(f"{attack}: a loaded model comes with its tokenizer: give tokenizer")
        if not getattr(tokenizer, "is_fast", False):
            raise UsageError(
                f"{attack}: needs a fast tokenizer, which knows where its tokens stand"
            )
        self.attack = attack
        self.model = model
        self.tokenizer = tokenizer
        self.n_forward = 0
        self.n_backward = 0
        self._prompt = check_prompt(prompt or default_prompt(), ("contexts", "question"))
        self._max_answer_tokens = max_answer_tokens
        self.batch_size = batch_size
        model.eval()
        for parameter in model.parameters():  # only inputs are ever differentiated
            parameter.requires_grad_(False)

    @property
    def window(self) -> int | None:
        """Most tokens that the model can see; None if it does not say."""
        config = self.model.config
        found = [getattr(config, name, None) for name in _WINDOWS]
        return next((int(n) for n in found if isinstance(n, int) and n > 0), None)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found: torch.device = next(iter(self.model.parameters())).device
        return found

    def laid(self, question: str, passages: Sequence[str], *, room: int = 0) -> Laid:
        """The prompt over these passages; what does not fit is cut off the longest passage.

        Args:
            question: the question.
            passages: texts, in the order shown.
            room: tokens that must still fit behind the prompt, beside an answer.

        Raises:
            UsageError: the question alone does not fit the model's window.
        """
        texts = list(passages)
        most = self.window
        while True:
            laid = self._laid(question, texts)
            over = 0 if most is None else len(laid.ids) + room + self._max_answer_tokens - most
            if over <= 0:
                return laid
            sizes = [end - start for start, end in laid.spans]
            longest = int(np.argmax(sizes)) if sizes else -1
            if not sizes or sizes[longest] <= 1:
                raise UsageError(
                    f"{self.attack}: the question takes {len(laid.ids)} tokens and the model "
                    f"sees {most}; give a shorter question or a model with a longer window"
                )
            kept = max(sizes[longest] - over, 1) / sizes[longest]
            texts[longest] = texts[longest][
                : min(int(len(texts[longest]) * kept), len(texts[longest]) - 1)
            ]

    def _laid(self, question: str, texts: Sequence[str]) -> Laid:
        before, _, after = self._prompt.partition("{contexts}")
        front = fill(before, {"question": question})
        starts, at = [], len(front)
        for text in texts:
            starts.append(at)
            at += len(text) + 1
        full = front + "\n".join(texts) + fill(after, {"question": question})
        shown, special = full, True
        if getattr(self.tokenizer, "chat_template", None):
            messages = [{"role": "user", "content": full}]
            shown = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            special = False  # the template writes them itself
        shift = shown.find(full.strip())
        if shift < 0:
            raise InputError(f"{self.attack}: the model's chat template changes what it is given")
        shift -= len(full) - len(full.lstrip())
        encoded = self.tokenizer(shown, return_offsets_mapping=True, add_special_tokens=special)
        offsets = tuple((int(a), int(b)) for a, b in encoded["offset_mapping"])
        places = tuple(start + shift for start in starts)
        bare = Laid(tuple(encoded["input_ids"]), (), places, offsets, "", shown)
        inside = [bare.tokens_in(i, 0, len(text)) for i, text in enumerate(texts)]
        spans = tuple((found[0], found[-1] + 1) if found else (0, 0) for found in inside)
        lead = "" if shown[-1:].isspace() else " "
        return Laid(bare.ids, spans, places, offsets, lead, shown)

    def answer_ids(self, laid: Laid, answer: str) -> tuple[int, ...]:
        """The tokens of an answer where it follows the prompt.

        Raises:
            UsageError: the tokenizer gives it none.
        """
        whole = self._plain_ids(laid.text + laid.lead + answer, like=laid)
        n = len(laid.ids)
        ids = whole[n:] if whole[:n] == laid.ids else self._plain_ids(laid.lead + answer)
        if not ids:
            raise UsageError(
                f"{self.attack}: the model has no tokens for the answer '{answer:.60}'"
            )
        return ids

    def _plain_ids(self, text: str, *, like: Laid | None = None) -> tuple[int, ...]:
        special = like is not None and not getattr(self.tokenizer, "chat_template", None)
        ids = tuple(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        # What a tokenizer puts behind every text (an end mark) does not belong to the answer.
        end = self.tokenizer.eos_token_id
        return ids[:-1] if special and ids and ids[-1] == end else ids

    def log_probs(
        self, question: str, contexts: Sequence[Sequence[str]], answer: str
    ) -> NDArray[np.float64]:
        """Log-probability of an answer after each of some contexts, (n,), natural, <= 0."""
        import torch

        room = len(self._plain_ids(f" {answer}"))
        found: list[float] = []
        for batch in self._batches(contexts):
            laid = [self.laid(question, passages, room=room) for passages in batch]
            answers = [self.answer_ids(one, answer) for one in laid]
            rows = [[*one.ids, *ids] for one, ids in zip(laid, answers, strict=True)]
            with torch.no_grad():
                logits = self.forward(rows).logits
            found += [float(log_prob_of(logits[i], ids).item()) for i, ids in enumerate(answers)]
        return np.asarray(found, dtype=np.float64)

    def answers(self, question: str, contexts: Sequence[Sequence[str]]) -> list[str]:
        """The model's likeliest answer from each of some contexts, up to a line end."""
        found: list[str] = []
        for batch in self._batches(contexts):
            found += self._continued(
                [list(self.laid(question, passages).ids) for passages in batch]
            )
        return found

    def completed(self, text: str) -> str:
        """The likeliest continuation of a prompt of any kind, up to a line end."""
        shown = text
        if chat := getattr(self.tokenizer, "chat_template", None):
            messages = [{"role": "user", "content": text}]
            shown = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        row = list(self.tokenizer(shown, add_special_tokens=not chat)["input_ids"])
        if self.window is not None:
            row = row[-max(self.window - self._max_answer_tokens, 1) :]
        return self._continued([row or [self.pad_id]])[0]

    def _continued(self, rows: Sequence[Sequence[int]]) -> list[str]:
        import torch

        ids, mask = self.padded(rows)
        with torch.no_grad():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=self._max_answer_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self.pad_id,
            )
        new = out[:, ids.shape[1] :]
        self.n_forward += len(rows) * int(new.shape[1])
        texts = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        # A model that was not taught to stop goes on with another question.
        return [text.strip().partition("\n")[0].strip() for text in texts]

    def perplexities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Perplexity of each text under this model, (n,), >= 1; NaN for one token or none."""
        import torch

        found: list[float] = []
        most = self.window
        for batch in self._batches(texts):
            rows = [list(self.tokenizer(text)["input_ids"])[:most] for text in batch]
            rows = [row or [self.pad_id] for row in rows]
            with torch.no_grad():
                logits = self.forward(rows).logits
            for i, row in enumerate(rows):
                if len(row) < 2:
                    found.append(float("nan"))
                    continue
                nll = -log_prob_of(logits[i], row[1:]) / (len(row) - 1)
                found.append(float(torch.exp(nll).item()))
        return np.asarray(found, dtype=np.float64)

    @property
    def pad_id(self) -> int:
        """Id that rows are filled with; the mask hides it."""
        for found in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if isinstance(found, int):
                return found
        return 0

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows padded on the left, (n, longest), and the mask of what is real."""
        import torch

        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[i, longest - len(row) :] = 1
        return ids.to(self.device), mask.to(self.device)

    def forward(
        self,
        rows: Sequence[Sequence[int]],
        *,
        embeds: torch.Tensor | None = None,
        attentions: bool = False,
    ) -> Any:
        """One pass over rows of tokens, or over vectors in their place.

        Args:
            rows: token ids; they give lengths and padding.
            embeds: (n, longest, dim) input embeddings to use instead, padded alike.
            attentions: whether the model returns them, which needs `eager` attention.
        """
        ids, mask = self.padded(rows)
        self.n_forward += len(rows)
        given: dict[str, Any] = {"attention_mask": mask, "use_cache": False}
        if _takes_positions(self.model):
            given["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        if attentions:
            given["output_attentions"] = True
        if embeds is None:
            return self.model(input_ids=ids, **given)
        return self.model(inputs_embeds=embeds, **given)

    def embedded(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Input embeddings of padded rows, (n, longest, dim), without a gradient."""
        ids, _ = self.padded(rows)
        found: torch.Tensor = self.model.get_input_embeddings()(ids).detach()
        return found

    def _batches(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        return [items[i : i + self.batch_size] for i in range(0, len(items), self.batch_size)]


def log_prob_of(logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """Log-probability of a row's last tokens, a scalar.

    Args:
        logits: (length, vocabulary), of a row that ends in `ids`.
        ids: those tokens.
    """
    import torch

    n = len(ids)
    wanted = torch.tensor(ids, dtype=torch.long, device=logits.device)
    likely = torch.log_softmax(logits[-n - 1 : -1].float(), dim=-1)
    return likely.gather(1, wanted[:, None]).sum()


def default_prompt() -> str:
    """PoisonedRAG's question-answering prompt."""
    path = files("ragshield.attacks").joinpath("poisonedrag_verify.txt")
    return path.read_text("utf-8").strip()


def _takes_positions(model: Any) -> bool:
    import inspect

    return "position_ids" in inspect.signature(model.forward).parameters


def _loaded(attack: str, folder: str) -> tuple[Any, Any]:
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtraError(
            f"{attack}: a causal model needs torch and transformers: pip install 'ragshield[local]'"
        ) from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{attack}: cannot load model '{folder}': {str(error).splitlines()[0]}; "
            "give the folder of a causal language model"
        ) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer
