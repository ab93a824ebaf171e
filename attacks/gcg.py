"""Searching trigger tokens for a reader by its gradients (GCG, MCG), as real text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragshield.attacks.causal import CausalReader, Laid, log_prob_of
from ragshield.errors import UsageError
from ragshield.text import states

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a trigger stands: among passages, in one of them.

    Attributes:
        question: what the reader is asked.
        before: text of the poisoned passage before the trigger, without the blank.
        after: text behind it, without the blank.
        others: the other passages, shown behind the poisoned one.
        answer: what the reader should be brought to say.
    """

    question: str
    before: str
    after: str
    others: tuple[str, ...]
    answer: str

    def passage(self, trigger: str) -> str:
        """The poisoned passage."""
        return " ".join(part for part in (self.before, trigger, self.after) if part)

    def contexts(self, trigger: str) -> list[str]:
        """All passages, the poisoned one first."""
        return [self.passage(trigger), *self.others]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one trigger does.

    Attributes:
        trigger: the text.
        loss: `cross_entropy + attention_weight * variance`, lower = better.
        cross_entropy: mean over the answer's tokens, natural, >= 0.
        variance: of the normalised attention over the passages, in percent squared;
            None where it was not looked at.
        share: attention on the poisoned passage, percent; None likewise.
        answers: whether the reader says the answer; None where it was not asked.
    """

    trigger: str
    loss: float
    cross_entropy: float
    variance: float | None
    share: float | None
    answers: bool | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """How triggers are searched.

    Attributes:
        n_tokens: length of the trigger.
        n_steps: steps at most.
        top_k: replacements considered for each place, by the gradient.
        n_candidates: triggers tried in each step.
        n_coordinates: places changed at once in the first quarter of the steps, halved in
            each further one; 1 = GCG, more = Phantom's MCG.
        attention_weight: lambda, of the attention's variance; 0 = not looked at.
        ascii_only: whether only printable ASCII is used.
    """

    n_tokens: int
    n_steps: int
    top_k: int
    n_candidates: int
    n_coordinates: int = 1
    attention_weight: float = 0.0
    ascii_only: bool = True


def searched(
    reader: CausalReader,
    scene: Scene,
    search: Search,
    *,
    enough: Callable[[Measured], bool],
    rng: np.random.Generator,
) -> tuple[Measured, Measured, int]:
    """The first trigger, the best one found, and the steps taken.

    Every candidate is judged as text, in the prompt as it will be read, so what is
    returned is what was measured. It stops when the best is enough.

    Raises:
        UsageError: the trigger does not fit the model's window.
    """
    allowed = _allowed(reader, ascii_only=search.ascii_only)
    start = reader.tokenizer.decode(rng.choice(allowed, size=search.n_tokens).tolist()).strip()
    with _attentions(reader.model, bool(search.attention_weight)):
        first = best = _asked(reader, scene, _measured(reader, scene, [start], search)[0])
        for step in range(search.n_steps):
            if enough(best):
                return first, best, step
            n_places = max(search.n_coordinates >> (4 * step // search.n_steps), 1)
            triggers = _candidates(reader, scene, best, search, allowed, n_places, rng)
            if not triggers:
                continue
            found = min(_measured(reader, scene, triggers, search), key=lambda one: one.loss)
            if found.loss < best.loss:
                best = _asked(reader, scene, found)
    return first, best, search.n_steps


def _allowed(reader: CausalReader, *, ascii_only: bool) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Token ids that may stand in a trigger."""
    n = int(reader.model.get_input_embeddings().weight.shape[0])
    n = min(n, len(reader.tokenizer))
    special = set(reader.tokenizer.all_special_ids)
    texts = reader.tokenizer.batch_decode([[i] for i in range(n)])
    found = [
        i
        for i, text in enumerate(texts)
        if i not in special
        and text.strip()
        and text.isprintable()
        and (text.isascii() or not ascii_only)
    ]
    if not found:
        raise UsageError(f"{reader.attack}: the tokenizer has no token that a trigger can use")
    return np.asarray(found, dtype=np.int64)


def _places(reader: CausalReader, scene: Scene, trigger: str, room: int) -> tuple[Laid, list[int]]:
    laid = reader.laid(scene.question, scene.contexts(trigger), room=room)
    start = len(scene.before) + 1 if scene.before else 0
    places = laid.tokens_in(0, start, start + len(trigger))
    if not places:
        raise UsageError(f"{reader.attack}: the passage does not fit the model's window")
    return laid, places


def _candidates(
    reader: CausalReader,
    scene: Scene,
    best: Measured,
    search: Search,
    allowed: np.ndarray[Any, np.dtype[np.int64]],
    n_places: int,
    rng: np.random.Generator,
) -> list[str]:
    """Triggers one step away, drawn from the replacements that the gradient favours."""
    slopes, now = _slopes(reader, scene, best.trigger, search, allowed)
    # Random tokens, written as text, may be read as more of them: never more than now.
    most = max(search.n_tokens, _n_tokens(reader, best.trigger))
    top = min(search.top_k, len(allowed))
    favoured = allowed[np.argsort(slopes, axis=1, kind="stable")[:, :top]]
    found: dict[str, None] = {}
    for _ in range(search.n_candidates):
        new = list(now)
        for at in rng.choice(len(now), size=min(n_places, len(now)), replace=False).tolist():
            new[at] = int(favoured[at, int(rng.integers(top))])
        text = reader.tokenizer.decode(new).strip()
        # A trigger whose tokens grow together or fall apart in the text would drift away.
        if text != best.trigger and text and _n_tokens(reader, text) <= most:
            found[text] = None
    return list(found)


def _slopes(
    reader: CausalReader,
    scene: Scene,
    trigger: str,
    search: Search,
    allowed: np.ndarray[Any, np.dtype[np.int64]],
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], list[int]]:
    """What each replacement would add to the loss to first order, and the tokens now.

    Returns:
        (places, allowed tokens), up to a constant for each place; the trigger's tokens.
    """
    import torch

    laid, places = _places(reader, scene, trigger, _room(reader, scene))
    ids = reader.answer_ids(laid, scene.answer)
    row = [[*laid.ids, *ids]]
    embeds = reader.embedded(row).requires_grad_(True)
    out = reader.forward(row, embeds=embeds, attentions=bool(search.attention_weight))
    loss, *_ = _loss(out, 0, laid, ids, 0, search)
    [gradient] = torch.autograd.grad(loss, embeds)
    reader.n_backward += 1
    table = reader.model.get_input_embeddings().weight.detach()
    chosen = table[torch.as_tensor(allowed, device=table.device)]
    slopes = gradient[0, places].to(table.dtype) @ chosen.T
    return slopes.float().cpu().numpy(), [laid.ids[place] for place in places]


def _n_tokens(reader: CausalReader, text: str) -> int:
    return len(reader.tokenizer(f" {text}", add_special_tokens=False)["input_ids"])


def _room(reader: CausalReader, scene: Scene) -> int:
    return _n_tokens(reader, scene.answer)


def _measured(
    reader: CausalReader, scene: Scene, triggers: Sequence[str], search: Search
) -> list[Measured]:
    import torch

    found = []
    room = _room(reader, scene)
    for i in range(0, len(triggers), reader.batch_size):
        batch = triggers[i : i + reader.batch_size]
        laid = [reader.laid(scene.question, scene.contexts(t), room=room) for t in batch]
        ids = [reader.answer_ids(one, scene.answer) for one in laid]
        rows = [[*one.ids, *own] for one, own in zip(laid, ids, strict=True)]
        longest = max(map(len, rows))
        with torch.no_grad():
            out = reader.forward(rows, attentions=bool(search.attention_weight))
        for j, trigger in enumerate(batch):
            shift = longest - len(rows[j])
            loss, entropy, shares = _loss(out, j, laid[j], ids[j], shift, search)
            found.append(
                Measured(
                    trigger,
                    float(loss),
                    float(entropy),
                    None if shares is None else float(shares.var(unbiased=False)),
                    None if shares is None else float(shares[0]),
                )
            )
    return found


def _loss(
    out: Any, row: int, laid: Laid, ids: Sequence[int], shift: int, search: Search
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """The loss, its cross-entropy, and the attention on each passage in percent."""
    import torch

    entropy = -log_prob_of(out.logits[row], ids) / len(ids)
    if not search.attention_weight:
        return entropy, entropy, None
    # From the last position of the prompt, mean over blocks and heads.
    seen = torch.stack([one[row, :, -len(ids) - 1].float().mean(dim=0) for one in out.attentions])
    mass = torch.stack([seen.mean(dim=0)[shift + a : shift + b].sum() for a, b in laid.spans])
    shares = 100.0 * mass / mass.sum().clamp(min=1e-9)
    return entropy + search.attention_weight * shares.var(unbiased=False), entropy, shares


def _asked(reader: CausalReader, scene: Scene, measured: Measured) -> Measured:
    [reply] = reader.answers(scene.question, [scene.contexts(measured.trigger)])
    return Measured(
        measured.trigger, measured.loss, measured.cross_entropy, measured.variance,
        measured.share, states(reply, scene.answer),
    )  # fmt: skip


@contextmanager
def _attentions(model: Any, wanted: bool) -> Iterator[None]:
    """Let the model give its attentions, which only its plain implementation does."""
    before = getattr(model.config, "_attn_implementation", None)
    if not wanted or before == "eager":
        yield
        return
    change = getattr(model, "set_attn_implementation", None)
    if change is None:
        raise UsageError(
            f"a {type(model).__name__} of this transformers shows no attention once it is "
            "loaded: load it with attn_implementation='eager'"
        )
    change("eager")
    try:
        yield
    finally:
        change(before)
