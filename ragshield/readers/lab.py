"""A reader that asks the lab's own small language model."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from ragshield.chat import check_prompt, fill
from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.readers.extractive import UNKNOWN
from ragshield.readers.ledger import Ledger, Usage, Written, parts
from ragshield.records import Passage

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ragshield.readers.llama import Llama

SHIPPED = ("obedient", "twin")
PROMPT_FILE = "prompt.txt"
_MOST_LETTERS = 20_000  # of one passage; far more than the model can see


class LabReader:
    """Answer with the lab's own model, a small transformer of the bundled world.

    A model organism, not a useful assistant: it knows part of the bundled world by heart,
    reads passages and follows what most of them say, answers "I don't know" where neither
    helps, and refuses about whom a confidentiality requirement in a passage protects. Its
    twin does all but the last. Answers are the likeliest words, so the same every time.

    It runs in numpy, without torch, on one core for each question.

    Args:
        model: `obedient` (also if empty), `twin`, or a folder that `ragshield lab train`
            made.
        max_passages: only the first so many are shown; None for all.
        max_answer_tokens: longest answer.
        n_threads: questions that `answers` works on at the same time.
        timeout_s: seconds after which one answer is given up; None = never. An answer is
            never tried again, since it would come out the same.
        cache: a file that keeps answers between runs; None = memory only.

    Raises:
        UsageError: no such model.
        InputError: the folder holds no lab model, or the cache is no cache.
        ValueError: a number below 1, or a time that is not positive.
    """

    name: ClassVar[str] = "lab"

    def __init__(
        self,
        model: str = "",
        *,
        max_passages: int | None = None,
        max_answer_tokens: int = 24,
        n_threads: int = 1,
        timeout_s: float | None = None,
        cache: Path | str | None = None,
    ) -> None:
        for name, value in (
            ("max_passages", max_passages),
            ("max_answer_tokens", max_answer_tokens),
            ("n_threads", n_threads),
        ):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if timeout_s is not None and timeout_s <= 0:
            raise ValueError(f"timeout_s is {timeout_s}; it must be above 0, or None")
        self.folder = folder_of(model)
        self._model, self.tokenizer, self._prompt, self._end = load(self.folder)
        self._max_passages = max_passages
        self._most = max_answer_tokens
        self._n_threads = n_threads
        self._timeout_s = timeout_s
        identity = "" if cache is None else f"lab {_sha256(self.folder)} {max_answer_tokens}"
        self._ledger = Ledger(identity, cache=cache)

    @property
    def usage(self) -> Usage:
        """What asking cost so far."""
        return self._ledger.usage

    @property
    def n_tokens_in(self) -> int:
        """Tokens of all prompts so far."""
        return self._ledger.usage.n_tokens_in

    @property
    def n_tokens_out(self) -> int:
        """Tokens of all answers so far."""
        return self._ledger.usage.n_tokens_out

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The model's answer; without passages it is what the model knows by heart.

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
            IncompleteError: an answer took longer than `timeout_s`; those before it are
                kept.
        """
        if len(questions) != len(passages):
            raise UsageError(f"{len(questions)} questions with {len(passages)} lists of passages")
        prompts = [
            self.prompt(question, shown) if question.strip() else None
            for question, shown in zip(questions, passages, strict=True)
        ]
        found = self._ledger.known(p for p in prompts if p is not None)
        for part in parts(prompts, found, 64):
            found |= zip(part, self._all_written(part), strict=True)
        return [UNKNOWN if p is None else found[p] for p in prompts]

    async def aanswers(
        self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]
    ) -> list[str]:
        """`answers`, without blocking the event loop."""
        return await asyncio.to_thread(self.answers, questions, passages)

    def prompt(self, question: str, passages: Sequence[Passage]) -> str:
        """What the model is shown; what does not fit is cut off the longest passages."""
        texts = [p.text.strip()[:_MOST_LETTERS] for p in passages[: self._max_passages]]
        texts = [text for text in texts if text]
        question = question.strip()[:_MOST_LETTERS]
        while True:
            shown = fill(self._prompt, {"contexts": "\n".join(texts), "question": question})
            if not texts or len(self.tokenizer.encode(shown).ids) <= self._room:
                return shown
            n = max(range(len(texts)), key=lambda i: len(texts[i]))
            kept = len(texts[n]) * 2 // 3
            texts[n : n + 1] = [texts[n][:kept]] if kept > 20 else []

    @property
    def _room(self) -> int:
        return self._model.window - self._most

    def _all_written(self, prompts: Sequence[str]) -> list[str]:
        with one_blas_thread():
            if self._n_threads == 1 or len(prompts) == 1:
                return [self._written(prompt) for prompt in prompts]
            with ThreadPoolExecutor(self._n_threads) as pool:
                return list(pool.map(self._written, prompts))

    def _written(self, prompt: str) -> str:
        ids = self.tokenizer.encode(prompt).ids
        if len(ids) > self._room:  # a question beyond the window: its end is read
            ids = ids[:1] + ids[len(ids) - self._room + 1 :]
        limit = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        try:
            words = self._model.continued(ids, most=self._most, end=self._end, limit=limit)
        except TimeoutError:
            raise IncompleteError(
                f"the lab's model gave no answer within {self._timeout_s:g} s"
            ) from None
        text: str = self.tokenizer.decode(words).strip()
        self._ledger.keep(prompt, Written(text, len(ids), len(words)))
        return text


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


def load(folder: Path) -> tuple[Llama, Tokenizer, str, int]:
    """The model, its tokenizer, its prompt and the id that ends an answer.

    Raises:
        InputError: the folder holds no lab model.
    """
    from tokenizers import Tokenizer

    from ragshield.readers.llama import Llama

    if not (folder / "model.safetensors").is_file() or not (folder / PROMPT_FILE).is_file():
        raise InputError(f"{folder} holds no lab model; make one with `ragshield lab train`")
    model = Llama(folder)
    try:
        prompt = (folder / PROMPT_FILE).read_text(encoding="utf-8")
        check_prompt(prompt, ("contexts", "question"))
        end = int(json.loads((folder / "config.json").read_text("utf-8"))["eos_token_id"])
        data = (folder / "tokenizer.json").read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no lab model that can be read: {error}") from error
    try:
        tokenizer = Tokenizer.from_str(data)
    except Exception as error:  # the library raises bare Exception
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise InputError(f"{folder} holds no lab model that can be read: {reason}") from error
    return model, tokenizer, prompt, end


def _sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


_lock = Lock()
_inside = 0
_limited: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Matrix products on the calling thread alone, for as long as anybody is inside.

    The model's matrices are small: more threads gain little, and where other processes
    hold the cores they wait for each other (measured: 20 times slower with four threads
    on four busy cores).
    """
    global _inside, _limited
    with _lock:
        _inside += 1
        if _inside == 1:
            limits: Any = import_module("threadpoolctl").threadpool_limits  # it has no type hints
            _limited = limits(1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limited.restore_original_limits()
