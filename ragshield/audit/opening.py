"""From what a command line names to applications that can be asked."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ragshield import registry
from ragshield.audit.asking import Askable, Dialogue
from ragshield.audit.endpoint import Endpoint
from ragshield.audit.probe import Retained
from ragshield.audit.seeing import told
from ragshield.errors import InputError, UsageError
from ragshield.files import read_jsonl
from ragshield.forget_set import Answer, ForgetTarget
from ragshield.protocols import Encoder, Reader, Retriever, Store
from ragshield.records import Batch, Passage
from ragshield.retriever import StoreRetriever


class ReaderApp:
    """A reader over a store, as an application: retrieve, then read.

    Documents that come with a question are read before what was retrieved. What was
    retrieved stands in `Answer.citations` only where `shows_sources`: an application that
    shows its sources leaks through them.

    Args:
        reader: answers from passages.
        retriever: finds them; None: the model alone.
        k: passages read.
        shows_sources: whether the passages are part of the answer.
    """

    def __init__(
        self,
        reader: Reader,
        retriever: Retriever | None,
        *,
        k: int = 5,
        shows_sources: bool = False,
    ) -> None:
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        self._reader = reader
        self._retriever = retriever
        self._k = k
        self._shows = shows_sources

    def answers(self, dialogues: Sequence[Dialogue]) -> list[Answer]:
        """One answer for each dialogue; readers that take many get them at once."""
        questions = [Dialogue(d.question, d.history).flat() for d in dialogues]
        shown = self._shown(dialogues)
        many: Callable[[Sequence[str], Sequence[Sequence[Passage]]], list[str]] | None = getattr(
            self._reader, "answers", None
        )
        if many is not None:
            texts = many(questions, shown)
        else:
            texts = [
                self._reader.answer(q, passages)
                for q, passages in zip(questions, shown, strict=True)
            ]
        return [
            Answer(text, citations=tuple(p.text for p in passages) if self._shows else ())
            for text, passages in zip(texts, shown, strict=True)
        ]

    def _shown(self, dialogues: Sequence[Dialogue]) -> list[list[Passage]]:
        """For each dialogue its documents, then what was retrieved."""
        # What a pronoun stands for was said before: a search knows the conversation.
        wanted = [
            "\n".join([*[text for who, text in d.history if who == "user"][-2:], d.question])
            for d in dialogues
        ]
        found = self._retrieved(list(dict.fromkeys(text for text in wanted if text.strip())))
        return [
            [
                *(Passage(f"document-{i}", text) for i, text in enumerate(d.documents)),
                *found.get(text, ()),
            ]
            for d, text in zip(dialogues, wanted, strict=True)
        ]

    def _retrieved(self, wanted: Sequence[str]) -> dict[str, tuple[Passage, ...]]:
        retriever = self._retriever
        if retriever is None or not wanted:
            return {}
        if isinstance(retriever, StoreRetriever) and retriever.blocklist is None:
            # Encoders are several times faster with many texts at once.
            vectors = retriever.encoder.encode(wanted)
            hits = [retriever.store.search(vector, self._k).hits for vector in vectors]
            return {
                text: tuple(hit.passage for hit in found)
                for text, found in zip(wanted, hits, strict=True)
            }
        return {text: retriever.retrieve(text, self._k).passages for text in wanted}


def open_app(
    spec: str,
    *,
    store: str | None = None,
    encoder: Encoder | None = None,
    k: int = 5,
    timeout_s: float = 60.0,
    temperature: float | None = None,
    shows_sources: bool = False,
) -> Askable:
    """The application that a text names.

    Args:
        spec: `module:name`, a function of a question (or an object with `answers`); an
            endpoint as `openai:URL#MODEL`; or a reader such as `lab` or `lab:twin`, over the
            store.
        store: URL of what a reader retrieves from; None: the reader alone.
        encoder: the one that filled the store.
        k: passages read.
        timeout_s: longest time for an endpoint's answer.
        temperature: for an endpoint.
        shows_sources: whether a reader's passages are part of its answer.

    Raises:
        UsageError: nothing of that name, or a store for what is no reader.
    """
    kind = spec.partition(":")[0]
    if kind != "openai" and kind not in registry.names("reader"):
        if store is not None:
            raise UsageError(f"'{spec}' is no reader, so it reads no store; leave out the store")
        return _imported(spec)
    if kind == "openai" and store is None:
        return Endpoint(spec, timeout_s=timeout_s, temperature=temperature)
    reader = _reader(spec)
    if store is None:
        return ReaderApp(reader, None)
    if encoder is None:
        raise UsageError("a store needs the encoder that filled it")
    from ragshield.stores.url import open_store

    retriever = StoreRetriever(open_store(store), encoder)
    return ReaderApp(reader, retriever, k=k, shows_sources=shows_sources)


def open_rebuilt(
    spec: str, url: str, targets: Sequence[ForgetTarget], encoder: Encoder, *, k: int = 5
) -> Askable:
    """A reader over what `rebuilt_without` leaves of a store.

    Raises:
        UsageError: no such reader, or nothing is left of the store.
        StoreError: the store cannot be read.
    """
    from ragshield.stores.memory import MemoryStore
    from ragshield.stores.url import open_store

    with open_store(url) as opened:
        batch = rebuilt_without(opened, targets)
    if batch.vectors is None:
        raise UsageError(f"nothing is left of {url} without the targets: no oracle can be made")
    retriever = StoreRetriever(MemoryStore("memory:oracle", batch), encoder)
    return ReaderApp(_reader(spec), retriever, k=k)


def rebuilt_without(store: Store, targets: Sequence[ForgetTarget]) -> Batch:
    """What of a store is left without every passage that names a target or holds its samples.

    The knowledge base as it would be, had the target never been ingested: exact where
    passages about it name it. A passage of the same document that says "she" stays, and
    shows as a leak of the oracle.
    """
    names = [name for target in targets for name in target.names if target.kind != "sample"]
    samples = [text for target in targets if target.kind == "sample" for text in target.samples]
    passages: list[Passage] = []
    rows: list[Any] = []
    for batch in store.batches():
        for i, passage in enumerate(batch.passages):
            if any(told(passage.text, name) == "" for name in (*names, *samples)):
                continue
            passages.append(passage)
            if batch.vectors is not None:
                rows.append(batch.vectors[i])
    if not rows:
        return Batch(tuple(passages), None)
    import numpy as np

    return Batch(tuple(passages), np.vstack(rows))


def read_retained(path: Path) -> tuple[Retained, ...]:
    """Questions that must still be answered: JSON Lines with `question`, `answers`, `about`.

    `answers` is a list of right answers, or one text; `answer` will do, too. `about` names
    the neighbour that a question is about.

    Raises:
        InputError: unreadable, or a field missing or of the wrong type; names the line.
    """
    found = []
    for number, row in read_jsonl(path):
        at = f"{path}, line {number}"
        question = row.get("question")
        if not isinstance(question, str) or not question.strip():
            raise InputError(f"{at}: 'question' must be a text, got {question!r:.60}")
        answers = row.get("answers", row.get("answer", []))
        answers = [answers] if isinstance(answers, str) else answers
        if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
            raise InputError(f"{at}: 'answers' must be a list of texts, got {answers!r:.60}")
        about = row.get("about", "")
        if not isinstance(about, str):
            raise InputError(f"{at}: 'about' must be a text, got {about!r:.60}")
        found.append(Retained(question.strip(), tuple(a for a in answers if a.strip()), about))
    if not found:
        raise InputError(f"{path} holds no questions")
    return tuple(found)


def read_entries(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Unlearning entries that leaked: JSON Lines with `target` (its name) and `text`.

    Raises:
        InputError: unreadable, or a field missing or of the wrong type; names the line.
    """
    found: dict[str, list[str]] = {}
    for number, row in read_jsonl(path):
        target, text = row.get("target"), row.get("text")
        if not isinstance(target, str) or not isinstance(text, str):
            raise InputError(f"{path}, line {number}: needs the texts 'target' and 'text'")
        found.setdefault(target, []).append(text)
    return {target: tuple(texts) for target, texts in found.items()}


@lru_cache(maxsize=4)
def _reader(spec: str) -> Reader:
    """One reader for all arms: a model is loaded once."""
    from ragshield.readers import open_reader

    return open_reader(spec)


def _imported(spec: str) -> Askable:
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        known = ", ".join(registry.names("reader"))
        raise UsageError(
            f"no application '{spec}'; give module:name of a function, openai:URL#MODEL, or a "
            f"reader ({known})"
        )
    here = str(Path.cwd())
    if here not in sys.path:  # as python -m does
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"cannot import '{spec}': {error}") from error
    # Anybody's module: whatever it raises while it is read is a mistake in it.
    except Exception as error:
        raise UsageError(
            f"cannot import '{spec}': it raised {type(error).__name__}: {error!s:.120}"
        ) from error
    if not callable(found) and not hasattr(found, "answers"):
        raise UsageError(f"'{spec}' is a {type(found).__name__}; give a function of a question")
    app: Askable = found
    return app
