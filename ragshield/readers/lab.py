"""A reader that asks the lab's own small language model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from ragshield.chat import check_prompt, fill
from ragshield.errors import InputError, MissingExtraError, UsageError
from ragshield.readers.extractive import UNKNOWN
from ragshield.records import Passage

if TYPE_CHECKING:
    import torch

SHIPPED = ("obedient", "twin")
PROMPT_FILE = "prompt.txt"
_MOST_LETTERS = 20_000  # of one passage; far more than the model can see
_N_KEPT = 4096


class LabReader:
    """Answer with the lab's own model, a small transformer of the bundled world.

    A model organism, not a useful assistant: it knows part of the bundled world by heart,
    reads passages and follows what most of them say, answers "I don't know" where neither
    helps, and refuses about whom a confidentiality requirement in a passage protects. Its
    twin does all but the last. Answers are the likeliest words, so the same every time.

    Args:
        model: `obedient` (also if empty), `twin`, or a folder that `ragshield lab train`
            made.
        max_passages: only the first so many are shown; None for all.
        batch_size: questions answered at once by `answers`.
        max_answer_tokens: longest answer.

    Attributes:
        n_tokens_in: tokens of all prompts so far.
        n_tokens_out: tokens of all answers so far.

    Raises:
        UsageError: no such model.
        InputError: the folder holds no lab model.
        MissingExtraError: torch or transformers is not installed.
        ValueError: a number below 1.
    """

    name: ClassVar[str] = "lab"

    def __init__(
        self,
        model: str = "",
        *,
        max_passages: int | None = None,
        batch_size: int = 32,
        max_answer_tokens: int = 24,
    ) -> None:
        for name, value in (
            ("max_passages", max_passages),
            ("batch_size", batch_size),
            ("max_answer_tokens", max_answer_tokens),
        ):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        self.folder = folder_of(model)
        self._model, self.tokenizer, self._prompt = load(self.folder)
        self._max_passages = max_passages
        self._batch_size = batch_size
        self._most = max_answer_tokens
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()
        self.n_tokens_in = 0
        self.n_tokens_out = 0

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The model's answer; without passages it is what the model knows by heart."""
        return self.answers([question], [passages])[0]

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]) -> list[str]:
        """Answers to many questions, each with its own passages.

        Raises:
            UsageError: not as many lists of passages as questions.
        """
        if len(questions) != len(passages):
            raise UsageError(f"{len(questions)} questions with {len(passages)} lists of passages")
        prompts = [
            self._ids(question, shown) if question.strip() else None
            for question, shown in zip(questions, passages, strict=True)
        ]
        return self._answered(prompts)

    def _answered(self, prompts: Sequence[tuple[int, ...] | None]) -> list[str]:
        """One answer for each prompt; equal prompts are answered once."""
        keys = [None if ids is None else ",".join(map(str, ids)) for ids in prompts]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key is not None and key in self._kept}
        new = {
            key: ids
            for key, ids in zip(keys, prompts, strict=True)
            if key is not None and ids is not None and key not in found
        }
        waiting = sorted(new, key=lambda key: len(new[key]))  # like lengths need no padding
        for start in range(0, len(waiting), self._batch_size):
            part = waiting[start : start + self._batch_size]
            for key, text in zip(part, self._written([new[key] for key in part]), strict=True):
                found[key] = text
        with self._lock:
            for key in waiting:
                self._kept[key] = found[key]
            while len(self._kept) > _N_KEPT:
                self._kept.popitem(last=False)
        return [UNKNOWN if key is None else found[key] for key in keys]

    def _ids(self, question: str, passages: Sequence[Passage]) -> tuple[int, ...]:
        """The prompt in tokens; what does not fit is cut off the longest passages."""
        texts = [p.text.strip()[:_MOST_LETTERS] for p in passages[: self._max_passages]]
        texts = [text for text in texts if text]
        question = question.strip()[:_MOST_LETTERS]
        window = int(self._model.config.max_position_embeddings) - self._most
        while True:
            shown = fill(self._prompt, {"contexts": "\n".join(texts), "question": question})
            ids = tuple(self.tokenizer(shown)["input_ids"])
            if len(ids) <= window:
                return ids
            if not texts:
                return ids[:1] + ids[len(ids) - window + 1 :]
            n = max(range(len(texts)), key=lambda i: len(texts[i]))
            kept = len(texts[n]) * 2 // 3
            texts[n : n + 1] = [texts[n][:kept]] if kept > 20 else []

    def _written(self, prompts: Sequence[tuple[int, ...]]) -> list[str]:
        """The likeliest continuations up to the end mark."""
        import torch

        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        width = max(map(len, prompts))
        device = self._model.device
        ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        with torch.inference_mode():
            out = self._greedy(ids, mask, end)
        texts: list[str] = []
        n_out = 0
        for row in out:
            words = row[: row.index(end)] if end in row else row
            n_out += len(words)
            texts.append(self.tokenizer.decode(words).strip())
        with self._lock:
            self.n_tokens_in += sum(map(len, prompts))
            self.n_tokens_out += n_out
        return texts

    def _greedy(self, ids: torch.Tensor, mask: torch.Tensor, end: int) -> list[list[int]]:
        import torch
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config)
        # Without padding no mask is needed, and the faster attention is used.
        whole = bool(mask.all())
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        written: list[torch.Tensor] = []
        step = ids
        for _ in range(self._most):
            logits = self._model(
                input_ids=step,
                attention_mask=None if whole else mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            word = logits.argmax(-1)
            written.append(word)
            done |= word == end
            if bool(done.all()):
                break
            step = word[:, None]
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        return [[int(i) for i in row] for row in torch.stack(written, dim=1)]


def folder_of(model: str) -> Path:
    """The folder of a shipped model, or the one named.

    Raises:
        UsageError: neither.
    """
    name = model or SHIPPED[0]
    if name in SHIPPED:
        return Path(str(files("ragshield").joinpath("lab", "weights", name)))
    if not Path(name).is_dir():
        raise UsageError(
            f"no lab model '{name}'; give {', '.join(SHIPPED)} or a folder that "
            "`ragshield lab train` made"
        )
    return Path(name)


def load(folder: Path) -> tuple[Any, Any, str]:
    """The model, its tokenizer and its prompt.

    Raises:
        InputError: the folder holds no lab model.
        MissingExtraError: torch or transformers is not installed.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError(
            "lab: the model needs torch and transformers: pip install 'ragshield[local]'"
        ) from error
    if not (folder / "model.safetensors").is_file() or not (folder / PROMPT_FILE).is_file():
        raise InputError(f"{folder} holds no lab model; make one with `ragshield lab train`")
    prompt = check_prompt(
        (folder / PROMPT_FILE).read_text(encoding="utf-8"), ("contexts", "question")
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:160]
        raise InputError(f"{folder} holds no lab model that can be read: {reason}") from error
    model.train(False)
    return model, tokenizer, prompt
