"""A reader that asks any causal language model of the transformers library."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ragshield.chat import check_prompt, fill
from ragshield.errors import IncompleteError, InputError, MissingExtraError, UsageError
from ragshield.readers.extractive import UNKNOWN
from ragshield.readers.ledger import Ledger, Usage, Written, parts
from ragshield.records import Passage

if TYPE_CHECKING:
    import torch

_PROMPT_FILE = "prompt.txt"
_DEFAULT_WINDOW = 2048
_LONGEST_WINDOW = 1_000_000  # some configurations write 10**30 for "no limit"


class TransformersReader:
    """Answer with a causal language model on disk, whatever its architecture.

    The likeliest words, so the same every time. A folder with a file `prompt.txt` (places
    {contexts} and {question}), such as the lab's, is asked with that; another model is
    asked with PoisonedRAG's prompt, in its chat template where it has one.

    Args:
        model: folder of the model and its tokenizer; nothing is fetched from a network.
        prompt: text with the places {contexts} and {question}; None as said above.
        from_memory: whether it is also asked without any passage; else the answer is
            "I don't know" then, so that memory never passes for reading.
        max_passages: only the first so many are shown; None for all.
        batch_size: questions that `answers` puts through the model at once.
        max_answer_tokens: longest answer.
        timeout_s: seconds after which a batch is given up; None = never. It is not tried
            again, since it would come out the same.
        device: torch's name of where it runs; None for the best there is.
        cache: a file that keeps answers between runs; None = memory only.

    Raises:
        InputError: the folder holds no model that can be read, or the cache is no cache.
        MissingExtraError: torch or transformers is not installed.
        ValueError: the prompt lacks a place, or a number is out of range.
    """

    name: ClassVar[str] = "transformers"

    def __init__(
        self,
        model: str,
        *,
        prompt: str | None = None,
        from_memory: bool = False,
        max_passages: int | None = None,
        batch_size: int = 8,
        max_answer_tokens: int = 64,
        timeout_s: float | None = None,
        device: str | None = "cpu",
        cache: Path | str | None = None,
    ) -> None:
        for name, value in (
            ("max_passages", max_passages),
            ("batch_size", batch_size),
            ("max_answer_tokens", max_answer_tokens),
        ):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if timeout_s is not None and timeout_s <= 0:
            raise ValueError(f"timeout_s is {timeout_s}; it must be above 0, or None")
        folder = Path(model)
        if not model or not folder.is_dir():
            raise UsageError(f"no folder '{model}'; write transformers:FOLDER, with a model in it")
        self._model, self.tokenizer = _loaded(folder, device)
        own = folder / _PROMPT_FILE
        self._chat = prompt is None and not own.is_file() and bool(self.tokenizer.chat_template)
        if prompt is None:
            default = files("ragshield.readers").joinpath("chat_prompt.txt")
            prompt = own.read_text("utf-8") if own.is_file() else default.read_text("utf-8").strip()
        self._prompt = check_prompt(prompt, ("contexts", "question"))
        self._from_memory = from_memory
        self._max_passages = max_passages
        self._batch_size = batch_size
        self._most = max_answer_tokens
        self._timeout_s = timeout_s
        identity = f"transformers {folder.resolve()} {max_answer_tokens}"
        self._ledger = Ledger(identity, cache=cache)

    @property
    def usage(self) -> Usage:
        """What asking cost so far."""
        return self._ledger.usage

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The model's answer.

        Raises:
            IncompleteError: it took longer than `timeout_s`.
        """
        return self.answers([question], [passages])[0]

    async def aanswer(self, question: str, passages: Sequence[Passage]) -> str:
        """`answer`, without blocking the event loop."""
        return await asyncio.to_thread(self.answer, question, passages)

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]) -> list[str]:
        """Answers to many questions, each with its own passages; equal ones are asked once.

        Raises:
            UsageError: not as many lists of passages as questions.
            IncompleteError: a batch took longer than `timeout_s`; those before it are kept.
        """
        if len(questions) != len(passages):
            raise UsageError(f"{len(questions)} questions with {len(passages)} lists of passages")
        prompts = [self._shown(q, given) for q, given in zip(questions, passages, strict=True)]
        found = self._ledger.known(p for p in prompts if p is not None)
        for part in parts(prompts, found, self._batch_size):
            for prompt, written in zip(part, self._written(part), strict=True):
                self._ledger.keep(prompt, written)
                found[prompt] = written.text
        return [UNKNOWN if p is None else found[p] for p in prompts]

    async def aanswers(
        self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]
    ) -> list[str]:
        """`answers`, without blocking the event loop."""
        return await asyncio.to_thread(self.answers, questions, passages)

    def _shown(self, question: str, passages: Sequence[Passage]) -> str | None:
        """The prompt; what does not fit is cut off the longest passages."""
        texts = [p.text.strip() for p in passages[: self._max_passages] if p.text.strip()]
        if not question.strip() or not (texts or self._from_memory):
            return None
        while True:
            values = {"contexts": "\n".join(texts), "question": question.strip()}
            shown = fill(self._prompt, values)
            if self._chat:
                shown = str(
                    self.tokenizer.apply_chat_template(
                        [{"role": "user", "content": shown}],
                        tokenize=False,
                        add_generation_prompt=True,
                    )
                )
            if not texts or len(self._ids(shown)) <= self._room:
                return shown
            n = max(range(len(texts)), key=lambda i: len(texts[i]))
            kept = len(texts[n]) * 2 // 3
            texts[n : n + 1] = [texts[n][:kept]] if kept > 20 else []

    @property
    def _room(self) -> int:
        window = int(getattr(self._model.config, "max_position_embeddings", 0) or _DEFAULT_WINDOW)
        return max(min(window, _LONGEST_WINDOW) - self._most, 2)

    def _ids(self, prompt: str) -> list[int]:
        # A chat template writes the marks at the start itself.
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=not self._chat)["input_ids"]
        return ids

    def _written(self, prompts: Sequence[str]) -> list[Written]:
        import torch

        rows = [self._ids(prompt) for prompt in prompts]
        rows = [ids[:1] + ids[len(ids) - self._room + 1 :] if len(ids) > self._room else ids
                for ids in rows]  # fmt: skip
        width = max(map(len, rows))
        pad = self._pad()
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        out = self._generated(ids.to(self._model.device), mask.to(self._model.device), pad)
        ends = self._ends()
        found: list[Written] = []
        for row, written in zip(rows, out[:, width:].tolist(), strict=True):
            stop = next((i for i, word in enumerate(written) if word in ends), len(written))
            text = str(self.tokenizer.decode(written[:stop], skip_special_tokens=True)).strip()
            found.append(Written(text, len(row), stop))
        return found

    def _generated(self, ids: torch.Tensor, mask: torch.Tensor, pad: int) -> torch.Tensor:
        import time

        import torch

        start = time.monotonic()
        with torch.inference_mode():
            out: torch.Tensor = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=self._most,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=pad,
                max_time=self._timeout_s,
            )
        # Generation that ran out of time ends early without saying so.
        if self._timeout_s is not None and time.monotonic() - start > self._timeout_s:
            raise IncompleteError(f"the model gave no answer within {self._timeout_s:g} s")
        return out

    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(next(iter(self._ends()), 0) if pad is None else pad)

    def _ends(self) -> set[int]:
        """Ids that end an answer: chat models have more than one."""
        told = getattr(self._model.generation_config, "eos_token_id", None)
        told = self.tokenizer.eos_token_id if told is None else told
        return set() if told is None else {told} if isinstance(told, int) else set(told)


def _loaded(folder: Path, device: str | None) -> tuple[Any, Any]:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError(
            "transformers: the reader needs torch and transformers: pip install 'ragshield[local]'"
        ) from error
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32 if device == "cpu" else "auto"
        )
        model.to(device)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else "no reason"
        raise InputError(f"{folder} holds no model that can be read: {reason}") from error
    model.train(False)
    return model, tokenizer
