"""Applications of every kind, asked in one way: many dialogues, turn by turn."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ragshield.audit.probe import Probe
from ragshield.errors import IncompleteError, RagshieldError, UsageError
from ragshield.forget_set import Answer

_LONGEST_ANSWER = 200_000


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What an application is asked at once.

    Attributes:
        question: the turn to be answered.
        history: turns before it, as (`user` or `assistant`, text).
        documents: texts that come with it.
        sample: which of several decodings this is, from 0.
    """

    question: str
    history: tuple[tuple[str, str], ...] = ()
    documents: tuple[str, ...] = ()
    sample: int = 0

    def flat(self) -> str:
        """All of it as one text, for applications that take nothing else."""
        lines = [f"Document: {text}" for text in self.documents]
        lines += [
            f"{'User' if who == 'user' else 'Assistant'}: {text}" for who, text in self.history
        ]
        return "\n".join([*lines, f"User: {self.question}"]) if lines else self.question


@runtime_checkable
class AnswersMany(Protocol):
    """An application that takes many dialogues at once."""

    def answers(self, dialogues: Sequence[Dialogue]) -> Sequence[str | Answer]:
        """One answer for each dialogue, in order."""
        ...


Askable: TypeAlias = Callable[..., str | Answer] | AnswersMany
"""A function of a question, which may take `history` and `documents` too, or an object that
answers many dialogues at once."""

Asked: TypeAlias = tuple[Answer, ...]
"""The answers to the turns of one probe."""


def ask_all(
    app: Askable,
    probes: Sequence[Probe],
    *,
    decodings: int = 1,
    name: str = "the application",
    times: dict[tuple[int, int], float] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[tuple[Asked, ...]]:
    """Ask every probe `decodings` times.

    All first turns are asked before all second ones, so that an application that takes many
    at once can. The same dialogue is asked once for each decoding, also where two probes
    have it.

    Args:
        app: what is asked.
        probes: what it is asked.
        decodings: how often.
        name: of the application in messages.
        times: gets, by number of probe and decoding, the seconds that the answers took,
            where the application answers one by one.
        on_progress: called with the number of answers just got.

    Returns:
        For each probe, for each decoding, the answers to its turns.

    Raises:
        UsageError: the application is nothing that can be asked.
        IncompleteError: it failed, or gave something else than a text or an `Answer`.
    """
    speak = _speaker(app, name)
    tell = on_progress or (lambda n: None)
    told: dict[tuple[int, int], list[Answer]] = {
        (i, sample): [] for i in range(len(probes)) for sample in range(decodings)
    }
    for turn in range(max((len(probe.turns) for probe in probes), default=0)):
        waiting = [key for key in told if turn < len(probes[key[0]].turns)]
        wanted = [_dialogue(probes[i], told[i, sample], sample) for i, sample in waiting]
        new = list(dict.fromkeys(wanted))
        found: dict[Dialogue, tuple[Answer, float | None]] = {}
        for start in range(0, len(new), _PART):
            part = new[start : start + _PART]
            found.update(zip(part, speak(part), strict=True))
            tell(len(part))
        for key, dialogue in zip(waiting, wanted, strict=True):
            answer, seconds = found[dialogue]
            told[key].append(answer)
            if times is not None and seconds is not None:
                times[key] = times.get(key, 0.0) + seconds
    return [tuple(tuple(told[i, s]) for s in range(decodings)) for i in range(len(probes))]


_PART = 256


def _dialogue(probe: Probe, before: Sequence[Answer], sample: int) -> Dialogue:
    history: list[tuple[str, str]] = []
    for question, answer in zip(probe.turns, before, strict=False):
        history += [("user", question), ("assistant", answer.text)]
    return Dialogue(probe.turns[len(before)], tuple(history), probe.documents, sample)


_Timed: TypeAlias = tuple[Answer, float | None]


def _speaker(app: Askable, name: str) -> Callable[[Sequence[Dialogue]], list[_Timed]]:
    if isinstance(app, AnswersMany):
        many = app

        timed = getattr(app, "timed", None)

        def all_at_once(dialogues: Sequence[Dialogue]) -> list[_Timed]:
            if timed is not None:
                return list(_tried(partial(timed, dialogues), name))
            given = _tried(partial(many.answers, dialogues), name)
            if not isinstance(given, Sequence) or len(given) != len(dialogues):
                n = len(given) if isinstance(given, Sequence) else 0
                raise IncompleteError(f"{name} gave {n} answers to {len(dialogues)} questions")
            return [(_answer(one, name), None) for one in given]

        return all_at_once
    if not callable(app):
        raise UsageError(
            f"{name} is a {type(app).__name__}; give a function of a question, or an object "
            "with a method answers(dialogues)"
        )
    one_by_one, takes = app, _keywords(app)

    def in_turn(dialogues: Sequence[Dialogue]) -> list[_Timed]:
        given: list[_Timed] = []
        for dialogue in dialogues:
            extra: dict[str, Any] = {}
            rest = dialogue
            if "history" in takes and dialogue.history:
                extra["history"] = dialogue.history
                rest = Dialogue(rest.question, (), rest.documents)
            if "documents" in takes and dialogue.documents:
                extra["documents"] = dialogue.documents
                rest = Dialogue(rest.question, rest.history)
            if "sample" in takes:
                extra["sample"] = dialogue.sample
            text = rest.flat()
            begun = time.perf_counter()
            said = _tried(partial(one_by_one, text, **extra), name)
            given.append((_answer(said, name), time.perf_counter() - begun))
        return given

    return in_turn


def _keywords(app: Callable[..., Any]) -> frozenset[str]:
    """Which of our keywords an application takes."""
    try:
        parameters = inspect.signature(app).parameters
    except (TypeError, ValueError):  # written in C, or says nothing
        return frozenset()
    return frozenset({"history", "documents", "sample"} & set(parameters))


def _tried(call: Callable[[], Any], name: str) -> Any:
    try:
        return call()
    except RagshieldError:
        raise
    # An application is anybody's code, and raises what it likes.
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise IncompleteError(f"{name} failed ({type(error).__name__}: {said})") from error


def _answer(given: Any, name: str) -> Answer:
    if isinstance(given, str):
        return Answer(given[:_LONGEST_ANSWER])
    if isinstance(given, Answer):
        return given
    text = getattr(given, "content", None)  # a LangChain message
    if isinstance(text, str):
        calls = getattr(given, "tool_calls", None) or ()
        arguments = [json.dumps(call.get("args"), ensure_ascii=False) for call in calls]
        return Answer(text, tool_arguments=tuple(arguments))
    raise IncompleteError(
        f"{name} gave a {type(given).__name__} for an answer; it must give a text or an Answer"
    )
