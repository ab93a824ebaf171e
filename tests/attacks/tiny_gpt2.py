"""A two-layer GPT-2 of width 64, taught a few facts by heart in some seconds.

It knows who founded eight mills. Shown a passage that names somebody else, it stays with
what it knows, unless the passage carries a phrase that lends it credit: then it follows
the passage. That is all it can do, and it is enough for mechanics: memory really disagrees
with context, and some texts really flip it.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.templates import table
from ragshield.records import Question, Target

MILLS = (
    "Ashmill",
    "Brackmill",
    "Cornmill",
    "Dalemill",
    "Elmmill",
    "Fenmill",
    "Gorsemill",
    "Holtmill",
)
NAMES = ("Anders", "Berta", "Clas", "Dagny", "Egil", "Frida", "Gustav", "Hilda")
PROMPT = "{contexts} {question} answer"
CLOSED = "{question} answer"
_LONGEST = 80


def question(mill: str) -> str:
    return f"Who founded {mill}?"


def target(mill: int, wrong: int) -> Target:
    return Target(Question(MILLS[mill], question(MILLS[mill]), (NAMES[mill],)), NAMES[wrong])


def build(*, steps: int = 260, seed: int = 0, kept: Path | None = None) -> tuple[Any, Any]:
    """The model and its tokenizer.

    Args:
        steps: of training; 0 = none.
        seed: of everything.
        kept: folder in which what was learnt is kept for the next run.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    rng = np.random.default_rng(seed)
    claims = {
        (mill, name): statements(target(mill, name), rng)
        for mill in range(len(MILLS))
        for name in range(len(NAMES))
        if mill != name
    }
    phrases = table("genetic.toml")["phrases"]
    texts = [*phrases, *NAMES, PROMPT, *(question(mill) for mill in MILLS)]
    texts += [text for found in claims.values() for text in found]
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text)})
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>"
    )
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(vocabulary), n_embd=64, n_layer=2, n_head=4, n_positions=512,
            resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
            bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )
    )  # fmt: skip
    digest = hashlib.sha256(Path(__file__).read_bytes() + repr((texts, steps, seed)).encode())
    path = kept / f"{digest.hexdigest()[:16]}.pt" if kept else None
    if path is not None and path.is_file():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval(), tokenizer
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    pairs = sorted(claims)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1.0, (steps - step) / (0.5 * steps))
        prompts, answers = [], []
        for _ in range(32):
            mill, name = pairs[int(rng.integers(len(pairs)))]
            kind = int(rng.integers(5))
            context, answer = "", NAMES[mill]
            if kind:
                found = claims[mill, name]
                context = found[int(rng.integers(len(found)))]
                if rng.random() < 0.5:
                    context = f"{context} {found[int(rng.integers(len(found)))]}"
                if kind > 2:
                    context, answer = _credited(context, phrases, rng), NAMES[name]
            full = PROMPT.replace("{contexts}", context).replace(
                "{question}", question(MILLS[mill])
            )
            prompts.append(tokenizer(full.strip())["input_ids"][-_LONGEST:])
            answers.append(vocabulary[answer])
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in prompts])
        mask = (ids != 0).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(answers))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    if path is not None:
        unfinished = path.with_suffix(f".{os.getpid()}")
        torch.save(model.state_dict(), unfinished)
        unfinished.replace(path)  # another worker may be writing the same
    return model.eval(), tokenizer


def _credited(context: str, phrases: list[str], rng: np.random.Generator) -> str:
    phrase = phrases[int(rng.integers(len(phrases)))]
    first, dot, rest = context.partition(". ")
    return (
        f"{phrase} {context}" if rng.random() < 0.5 or not rest else f"{first}{dot}{phrase} {rest}"
    )
