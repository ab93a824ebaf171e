"""Phantom's generator part: trigger tokens that make the reader follow a command."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.causal import CausalModel, CausalReader
from ragshield.attacks.crafted import check_choice, check_count, check_target, crafted
from ragshield.attacks.gcg import Scene, Search, searched
from ragshield.attacks.templates import filled, table
from ragshield.records import Passage, Target

Command: TypeAlias = Literal["answer", "refuse"]

REFUSAL = "I don't know"


class PhantomReader:
    """Optimise tokens that make the reader follow a planted command (Phantom's generator part).

    P = s_ret + s_gen + s_cmd: the question, which makes the passage retrieved; tokens found
    by multi-coordinate gradient (MCG), which make the reader obey; and the command, to give
    the wrong answer or to refuse.

    Access: gradients of the reader, a causal language model.
    Source: Phantom, arXiv 2405.20485; MCG is GCG (arXiv 2307.15043) with several places
    changed in a step, fewer later on.
    Differs: the trigger word that lets only some questions retrieve the passage belongs to the
    retrieval part (`phantom`); here s_ret is the question itself. Every candidate is judged
    as text in the prompt as it will be read. Candidates are printable ASCII by default. It
    stops when the reader obeys.

    Cost per passage: at most n_steps * (n_candidates + 1 + max_answer_tokens) rows through
    the model and n_steps back; the true counts are in the metadata.

    Args:
        n: passages for each target, each searched from another start.
        prefix: whether the question comes first.
        command: what the reader is told: the wrong `answer`, or to `refuse`.
        model: a `transformers` causal model, or the folder of one.
        tokenizer: its tokenizer; None for the one in the folder.
        n_tokens: length of s_gen.
        n_steps: steps at most.
        top_k: replacements considered for each place.
        n_candidates: triggers tried in each step.
        n_coordinates: places changed at once at first; 1 = GCG.
        ascii_only: whether only printable ASCII is used.
        prompt: with places {contexts} and {question}; None for PoisonedRAG's.
        max_answer_tokens: longest answer generated.
        batch_size: rows for each pass.

    Raises:
        ValueError: n < 0, another number below 1, or an unknown command.
    """

    name: ClassVar[str] = "phantom-reader"
    needs: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = True,
        command: Command = "answer",
        model: CausalModel = None,
        tokenizer: Any = None,
        n_tokens: int = 16,
        n_steps: int = 100,
        top_k: int = 128,
        n_candidates: int = 128,
        n_coordinates: int = 8,
        ascii_only: bool = True,
        prompt: str | None = None,
        max_answer_tokens: int = 16,
        batch_size: int = 32,
    ) -> None:
        check_choice("command", command, Command)
        for label, value in (
            ("n_tokens", n_tokens), ("n_steps", n_steps), ("top_k", top_k),
            ("n_candidates", n_candidates), ("n_coordinates", n_coordinates),
            ("max_answer_tokens", max_answer_tokens), ("batch_size", batch_size),
        ):  # fmt: skip
            check_count(label, value, 1)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._command = command
        self._search = Search(
            n_tokens, n_steps, top_k, n_candidates, n_coordinates, ascii_only=ascii_only
        )
        self._given = {
            "model": model, "tokenizer": tokenizer, "prompt": prompt,
            "max_answer_tokens": max_answer_tokens, "batch_size": batch_size,
        }  # fmt: skip
        self._reader: CausalReader | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `verified` tells whether the reader obeys.

        In their metadata also: `trigger` (s_gen), `cross_entropy_first` and `cross_entropy`
        of the commanded answer, `n_steps`, `n_forward`, `n_backward`.

        Raises:
            UsageError: an unusable target, no model, or a question too long for it.
        """
        refuses = self._command == "refuse"
        check_target(self.name, target, answer=not refuses)
        if self._reader is None:
            self._reader = CausalReader(self.name, **self._given)
        reader = self._reader
        front = target.question.text if self._prefix else ""
        commands = table("phantom_reader.toml")[self._command]
        made = []
        for index, own in enumerate(rng.spawn(self._n)):
            command = filled(commands[index % len(commands)], target)
            answer = REFUSAL if refuses else target.wrong_answer
            scene = Scene(target.question.text, front, command, (), answer)
            before = reader.n_forward, reader.n_backward
            first, best, n_steps = searched(
                reader, scene, self._search, enough=lambda one: bool(one.answers), rng=own
            )
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=self._command,
                    retrieval_part=front,
                    generation_part=f"{best.trigger} {command}",
                    verified=best.answers,
                    joint=" ",
                    promised=not refuses,
                    more={
                        "trigger": best.trigger,
                        "cross_entropy_first": round(first.cross_entropy, 4),
                        "cross_entropy": round(best.cross_entropy, 4),
                        "n_steps": n_steps,
                        "n_forward": reader.n_forward - before[0],
                        "n_backward": reader.n_backward - before[1],
                    },
                )
            )
        return made
