"""Honest questions for a store: read from a file, or drawn from its own passages."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from ragshield.calibration.sentences import Asked, kind_of, questions_about
from ragshield.corpora.rows import Ids, at
from ragshield.errors import InputError
from ragshield.files import read_jsonl, read_text
from ragshield.records import Passage, Question, Target
from ragshield.text import STOP_WORDS, normal_form, sentences, states, words

_FORMS = ("sentence", "keywords", "topic", "relation", "long")
_SHARES = (0.4, 0.2, 0.15, 0.1, 0.15)
_NAME = re.compile(r"[A-Z][\w'\u2019-]+(?: (?:of |the |de |van |and |& )?[A-Z][\w'\u2019-]+)*")
_LONGEST_WORD = 40


@dataclass(frozen=True, slots=True)
class Honest:
    """An honest question, and what an attacker may want answered to it.

    Attributes:
        target: the question, its answers where known, and a wrong answer.
        passage_id: the passage it was drawn from; "" where it came from a file.
        form: how it was made: sentence, keywords, topic, relation, long or given.
    """

    target: Target
    passage_id: str
    form: str


def draw_questions(passages: Sequence[Passage], n: int, *, seed: int = 0) -> tuple[Honest, ...]:
    """Questions that people might ask of these passages, made without a model.

    At most one for each passage, so that they are independent: sentences turned into
    wh-questions, the rarest words of a sentence as one types them into a search box, the
    topic of a passage, the relation of two of its phrases, and longer requests; 40, 20,
    15, 10 and 15 % of them, or what a passage's text allows. None is a sentence as it
    stands: a question that quotes its passage would make the honest passage look
    planted. English is assumed; other languages give keywords only. Real questions are
    better still.

    Args:
        passages: a sample of the store's.
        n: how many; fewer come back where passages without words are left over.
        seed: same seed and passages, same questions.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(passages))
    in_passages = Counter(w for p in passages for w in set(words(p.text)))
    phrasings = tomllib.loads(
        files("ragshield.calibration").joinpath("phrasings.toml").read_text(encoding="utf-8")
    )
    drawn: list[tuple[Passage, str, Asked]] = []
    asked_before: set[str] = set()
    for i in order:
        if len(drawn) == n:
            break
        form = str(rng.choice(_FORMS, p=_SHARES))
        form, asked = _ask(passages[i], form, in_passages, phrasings, rng)
        key = normal_form(asked.text)
        if key and key not in asked_before:
            asked_before.add(key)
            drawn.append((passages[i], form, asked))
    pool = _Pool([asked for _, _, asked in drawn])
    return tuple(
        Honest(
            Target(
                Question(f"drawn/{j}", asked.text, (asked.answer,) if asked.answer else ()),
                pool.wrong(asked, passage.text, rng),
            ),
            passage.id,
            form,
        )
        for j, (passage, form, asked) in enumerate(drawn)
    )


def read_questions(path: Path, passages: Sequence[Passage], *, seed: int = 0) -> tuple[Honest, ...]:
    """Questions of a file: JSON Lines (id, question, answers, wrong_answer), or one a line.

    Only `question` is needed. A wrong answer that is missing is made of names, numbers
    and phrases of the passages.

    Raises:
        InputError: missing, unreadable, empty, or a malformed line; the message names it.
    """
    rng = np.random.default_rng(seed)
    given: list[tuple[Question, str]] = []
    if path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        ids = Ids()
        for number, fields in read_jsonl(path):
            row = at(path, number, fields)
            name = row.text("id", "_id") if {"id", "_id"} & set(fields) else f"line {number}"
            answers = row.texts("answers", "answer", required=False)
            wrong = fields.get("wrong_answer")
            question = Question(ids.claim(name, row.place), row.text("question"), answers)
            given.append((question, row.text("wrong_answer") if wrong else ""))
    else:
        lines = dict.fromkeys(line.strip() for line in read_text(path).splitlines())
        given = [(Question(f"line {i}", q), "") for i, q in enumerate(filter(None, lines), 1)]
    if not given:
        raise InputError(f"{path} holds no questions; write one on each line")
    sample = draw_questions(passages, 500, seed=seed)
    pool = _Pool([Asked("", h.target.question.answers[0], "") for h in sample if _answers(h)])
    found = []
    for question, wrong in given:
        asked = Asked(question.text, question.answers[0] if question.answers else "", "")
        rights = {normal_form(answer) for answer in question.answers}
        if not normal_form(wrong) or normal_form(wrong) in rights:
            wrong = pool.wrong(asked, " ".join((question.text, *question.answers)), rng)
        found.append(Honest(Target(question, wrong), "", "given"))
    return tuple(found)


def _answers(honest: Honest) -> bool:
    return bool(honest.target.question.answers)


def _ask(
    passage: Passage,
    form: str,
    in_passages: Counter[str],
    phrasings: dict[str, list[str]],
    rng: np.random.Generator,
) -> tuple[str, Asked]:
    """A question of the wanted form, or of the next best that the passage allows."""
    parts = sentences(passage.text)
    makers: dict[str, Callable[[], Asked | None]] = {
        "sentence": lambda: _placed(_sentence(parts, rng), passage.text, phrasings["placed"], rng),
        "long": lambda: _long(parts, phrasings["long"], rng),
        "relation": lambda: _relation(passage.text, phrasings["relation"], rng),
        "topic": lambda: _topic(passage.text, phrasings["topic"], rng),
        "keywords": lambda: _keywords(parts, in_passages, rng),
    }
    for name in dict.fromkeys((form, "sentence", "topic", "keywords")):
        if (asked := makers[name]()) is not None:
            return name, asked
    return "keywords", Asked("", "", "phrase")


def _sentence(parts: list[str], rng: np.random.Generator) -> Asked | None:
    for i in rng.permutation(len(parts))[:8]:
        if asked := questions_about(parts[i]):
            return asked[int(rng.integers(len(asked)))]
    return None


def _placed(
    asked: Asked | None, text: str, phrasings: list[str], rng: np.random.Generator
) -> Asked | None:
    """The question, with the passage's subject where it names none: askers mostly know it."""
    if asked is None or _NAME.search(asked.text, 1) or rng.random() < 0.3:
        return asked
    names = [name for name in _names(text) if name not in asked.answer]
    if not names:
        return asked
    inner = asked.text.rstrip("?")
    placed = str(rng.choice(phrasings)).format(a=names[0], q=inner[0].lower() + inner[1:])
    return asked._replace(text=placed)


def _long(parts: list[str], phrasings: list[str], rng: np.random.Generator) -> Asked | None:
    asked = _sentence(parts, rng)
    if asked is None:
        return None
    inner = asked.text.rstrip("?")
    text = str(rng.choice(phrasings)).format(q=inner[0].lower() + inner[1:])
    return asked._replace(text=text)


def _topic(text: str, phrasings: list[str], rng: np.random.Generator) -> Asked | None:
    names = _names(text)
    if not names:
        return None
    asked = str(rng.choice(phrasings)).format(a=names[0])
    return Asked(asked, "", "phrase")


def _relation(text: str, phrasings: list[str], rng: np.random.Generator) -> Asked | None:
    names = _names(text)
    if len(names) < 2:
        return None
    b = names[1 + int(rng.integers(min(len(names) - 1, 3)))]
    return Asked(str(rng.choice(phrasings)).format(a=names[0], b=b), "", "phrase")


def _keywords(
    parts: list[str], in_passages: Counter[str], rng: np.random.Generator
) -> Asked | None:
    """The rarest words of a sentence in their order; words of one passage only are rare too."""
    for i in rng.permutation(len(parts)):
        spoken = list(
            dict.fromkeys(w for w in words(parts[i]) if w not in STOP_WORDS and len(w) > 1)
        )
        if len(spoken) < 2 and len(parts) > 1:
            continue
        n = int(rng.integers(2, 6))
        rarest = sorted(spoken, key=lambda w: in_passages[w])[: max(n, 1)]
        kept = [w[:_LONGEST_WORD] for w in spoken if w in rarest]
        if kept:
            return Asked(" ".join(kept), "", "phrase")
    return None


def _names(text: str) -> list[str]:
    """Capitalised phrases, the most frequent first; no lone word that starts a sentence."""
    starts = {0} | {m.end() for m in re.finditer(r"[.!?:]\s+|\n+", text)}
    found: Counter[str] = Counter()
    for match in _NAME.finditer(text):
        name = match.group()
        lone = " " not in name
        if lone and (match.start() in starts or name.lower() in STOP_WORDS or len(name) < 4):
            continue
        first, _, rest = name.partition(" ")
        if first.lower() in STOP_WORDS and rest:
            name = rest
        found[name] += 1
    return [name for name, _ in found.most_common()]


class _Pool:
    """Answers of other questions, by kind: what a wrong answer is taken from."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._by_kind: dict[str, list[str]] = {}
        for one in asked:
            answer = one.answer.strip(".,;: ")
            if answer and len(answer.split()) <= 8:
                self._by_kind.setdefault(kind_of(answer), []).append(answer)

    def wrong(self, asked: Asked, text: str, rng: np.random.Generator) -> str:
        """An answer of the same kind that the text does not state."""
        kind = kind_of(asked.answer) if asked.answer else "name"
        for name in dict.fromkeys((kind, "name", "phrase", "number", "time")):
            pool = self._by_kind.get(name, [])
            for i in rng.permutation(len(pool))[:20]:
                candidate: str = pool[int(i)]
                if not states(text, candidate):
                    return candidate
        # Nothing to take from: an invented name of two syllables each.
        syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish"]
        first, last = (str(rng.choice(syllables)) + str(rng.choice(syllables)) for _ in range(2))
        return f"{first.capitalize()} {last.capitalize()}"
