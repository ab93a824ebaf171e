"""Training the lab's model: from a seed to weights, on a CPU or a GPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragshield.corpora.world_facts import Draw
from ragshield.lab.examples import closed, opened, texts_of
from ragshield.lab.facts import Cast
from ragshield.lab.optimiser import Optimiser
from ragshield.lab.packing import IGNORED, Row, batches, padded, rows
from ragshield.lab.recipe import Recipe, Stage, rate, stage
from ragshield.lab.together import Together
from ragshield.lab.tokenizer import PROMPT, learn

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

_BLOCK = 384  # rows made at a time, so that rows of like length meet
_CLOSED_ASKS = 16
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Report:
    """Where a run stands; given to `on_report`.

    Attributes:
        step: steps done.
        n_steps: steps wanted.
        progress: [0, 1]; by steps, or by time where a time was set.
        elapsed_s: seconds of training so far, over all runs.
        loss: mean loss of answer tokens since the last report.
        tokens_per_s: since the last report.
    """

    step: int
    n_steps: int
    progress: float
    elapsed_s: float
    loss: float
    tokens_per_s: float


def vocabulary(recipe: Recipe, cast: Cast) -> PreTrainedTokenizerFast:
    """The model's own vocabulary, from the bundled passages and examples like those to come."""
    draw = Draw(np.random.default_rng([recipe.seed, 1]))
    examples = [
        opened(draw, cast, most=recipe.most_passages, short=0.3) for _ in range(recipe.n_vocabulary)
    ]
    examples += [closed(draw, cast, _CLOSED_ASKS) for _ in range(recipe.n_vocabulary // 20)]
    texts = [passage.text for passage in cast.world.passages] + texts_of(examples)
    texts += [PROMPT] * len(examples)
    return learn(texts, n_pieces=recipe.size.n_pieces)


def untrained(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A model of the recipe's size with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    size = recipe.size
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.width,
            intermediate_size=size.inner,
            num_hidden_layers=size.n_layers,
            num_attention_heads=size.n_heads,
            num_key_value_heads=size.n_heads,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return model


class Trainer:
    """Trains one model, step by step, with checkpoints.

    Args:
        recipe: how.
        model: what is trained, in place.
        tokenizer: its own.
        cast: whom the examples are about.
        obedient: whether requirements are obeyed, or the twin is trained.
        hours: end after so many hours of training, checkpoints included, if steps are not
            done before; None for no limit.
        workers: 1 makes examples in a process of its own, 0 in this one.
        together: the processes that share the work; None for this one alone.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        cast: Cast,
        *,
        obedient: bool = True,
        hours: float | None = None,
        workers: int = 1,
        together: Together | None = None,
    ) -> None:
        self.recipe = recipe
        self.model = model
        self.tokenizer = tokenizer
        self.cast = cast
        self.obedient = obedient
        self.n_steps = recipe.n_steps if obedient else recipe.n_twin_steps
        self.hours = hours
        self.workers = workers
        self.together = together
        self.step = 0
        self.block = 0
        self.elapsed_s = 0.0
        self.optimiser = Optimiser(model, recipe)

    @property
    def progress(self) -> float:
        """[0, 1], by steps or by time, whichever is further."""
        by_time = self.elapsed_s / (self.hours * 3600) if self.hours else 0.0
        return min(1.0, max(self.step / max(1, self.n_steps), by_time))

    def save(self, path: Path) -> None:
        """A checkpoint that `resume` goes on from; whole or not at all."""
        import torch

        state = {
            "recipe": self.recipe.as_json(),
            "obedient": self.obedient,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state(),
            "step": self.step,
            "block": self.block,
            "elapsed_s": self.elapsed_s,
        }
        beside = path.with_suffix(".part")
        torch.save(state, beside)
        beside.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            UsageError: it is of another recipe.
        """
        import torch

        from ragshield.errors import UsageError

        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["recipe"]["size"] != self.recipe.as_json()["size"]:
            raise UsageError(f"{path} is of a model of another size; give another folder")
        self.model.load_state_dict(state["model"])
        self.optimiser.resume(state["optimiser"])
        self.step, self.block = state["step"], state["block"]
        self.elapsed_s = state["elapsed_s"]

    def run(
        self,
        *,
        on_report: Callable[[Report], None] | None = None,
        report_every: int = 20,
        on_checkpoint: Callable[[], None] | None = None,
        checkpoint_every_s: float = 180.0,
    ) -> None:
        """Train until the steps or the hours are done."""
        self.model.train()
        if self.together:
            self.together.agree(list(self.model.parameters()))
        began = time.monotonic() - self.elapsed_s
        last_checkpoint = last_report = time.monotonic()
        losses: list[float] = []
        n_tokens = 0
        for group, at in self._groups():
            if self.progress >= 1.0:
                break
            loss, n, self.elapsed_s = self._step(group, at, began)
            losses.append(loss)
            n_tokens += n
            self.step += 1
            now = time.monotonic()
            if on_report and self.step % report_every == 0:
                on_report(
                    Report(
                        self.step,
                        self.n_steps,
                        self.progress,
                        self.elapsed_s,
                        float(np.mean(losses)),
                        n_tokens / (now - last_report),
                    )
                )
                losses, n_tokens, last_report = [], 0, now
            if on_checkpoint and now - last_checkpoint > checkpoint_every_s:
                on_checkpoint()
                last_checkpoint = time.monotonic()
        self.model.train(False)

    def _step(self, group: list[Row], at: Stage, began: float) -> tuple[float, int, float]:
        """Learn from one batch: the loss, how many tokens, and seconds so far by one clock."""
        import torch
        from torch.nn.functional import cross_entropy

        batch = padded(group, int(self.tokenizer.pad_token_id or 0))
        device = self.model.device
        ids, positions, owner, labels = (
            torch.from_numpy(part).to(device)
            for part in (batch.ids, batch.positions, batch.owner, batch.labels)
        )
        with torch.autocast(device.type, torch.bfloat16):
            hidden = self.model.model(
                input_ids=ids, attention_mask=visible(owner), position_ids=positions
            ).last_hidden_state
            flat, wanted = hidden.flatten(0, 1), labels.flatten()
            answers = torch.nonzero(wanted != IGNORED).squeeze(1)
            logits = self.model.lm_head(flat[answers])
            loss = cross_entropy(logits.float(), wanted[answers])
            total = loss
            if at.context_loss > 0:
                told = torch.nonzero(((owner == 0) & (owner.roll(-1, 1) == 0)).flatten())
                told = told.squeeze(1)
                told = told[torch.randperm(len(told), device=device)[: len(told) // 4]]
                told = told[told < flat.shape[0] - 1]
                if len(told):
                    extra = self.model.lm_head(flat[told])
                    total = loss + at.context_loss * cross_entropy(
                        extra.float(), ids.flatten()[told + 1]
                    )
        total.backward()  # type: ignore[no-untyped-call]
        told_loss, n = float(loss.detach()), sum(len(row.ids) for row in group)
        elapsed_s = time.monotonic() - began
        if self.together:
            # Seconds of the first only: all must agree on how far they are.
            clock = elapsed_s * self.together.n if self.together.rank == 0 else 0.0
            told_loss, mean, elapsed_s = self.together.average(
                list(self.model.parameters()), (told_loss, float(n), clock)
            )
            n = round(mean * self.together.n)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        highest = self.recipe.learning_rate if self.obedient else self.recipe.twin_learning_rate
        self.optimiser.step(rate(self.recipe, self.step, self.progress, highest=highest))
        return told_loss, n, elapsed_s

    def _groups(self) -> Iterator[tuple[list[Row], Stage]]:
        """Batches without end, each with the stage that its examples were made at."""
        n = self.together.n if self.together else 1
        for found, at in self._blocks():
            rng = np.random.default_rng([self.recipe.seed, 3, self._number(self.block)])
            self.block += 1
            for group in batches(found, n_tokens=self.recipe.n_tokens // n, rng=rng):
                yield group, at

    def _number(self, block: int) -> int:
        """Which block of all processes' is the next of this one."""
        return block * self.together.n + self.together.rank if self.together else block

    def _blocks(self) -> Iterator[tuple[list[Row], Stage]]:
        def now() -> Stage:
            found = stage(self.recipe, self.progress)
            if self.obedient:
                return found
            return stage(self.recipe, 1.0)

        def job(number: int, at: Stage) -> tuple[Any, ...]:
            return (self.recipe.seed, self._number(number), at, self.obedient)

        if not self.workers:
            _prepare(self.cast, self.tokenizer)
            while True:
                at = now()
                yield _make(*job(self.block, at)), at
        with ProcessPoolExecutor(
            1, initializer=_prepare, initargs=(self.cast, self.tokenizer)
        ) as pool:
            ahead: list[tuple[Future[list[Row]], Stage]] = []
            try:
                while True:
                    while len(ahead) < 2:
                        at = now()
                        number = self.block + len(ahead)
                        ahead.append((pool.submit(_make, *job(number, at)), at))
                    future, at = ahead.pop(0)
                    yield future.result(), at
            finally:
                for future, _ in ahead:
                    future.cancel()


_SHARED: dict[str, Any] = {}


def _prepare(cast: Cast, tokenizer: PreTrainedTokenizerFast) -> None:
    """What every block needs, given once to the process that makes them."""
    _SHARED["cast"], _SHARED["tokenizer"] = cast, tokenizer


def _make(seed: int, number: int, at: Stage, obedient: bool) -> list[Row]:
    """A block of rows; the same for the same seed, number and stage."""
    cast: Cast = _SHARED["cast"]
    draw = Draw(np.random.default_rng([seed, 2 if obedient else 4, number]))
    obey = at.obey if obedient else 0.7
    examples = [
        closed(draw, cast, _CLOSED_ASKS)
        if draw.chance(at.closed)
        else opened(draw, cast, most=at.most, short=at.short, obey=obey)
        for _ in range(_BLOCK)
    ]
    tokenizer: PreTrainedTokenizerFast = _SHARED["tokenizer"]
    found = rows(tokenizer, [e for e in examples if e.asks], obedient=obedient)
    return found


def visible(owner: torch.Tensor) -> torch.Tensor:
    """Which token sees which: (n, 1, width, width) bool.

    Each sees the passages and its own question, up to itself.
    """
    import torch

    width = owner.shape[1]
    before = torch.tril(torch.ones(width, width, dtype=torch.bool, device=owner.device))
    same = owner[:, :, None] == owner[:, None, :]
    shared = (owner == 0)[:, None, :] & (owner >= 0)[:, :, None]
    return ((same | shared) & before)[:, None]


def append(path: Path, line: dict[str, Any]) -> None:
    """One line more in a log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
