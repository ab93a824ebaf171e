"""Names and values that nobody knows, in the shape of real ones."""

from __future__ import annotations

import re

import numpy as np

from ragshield.audit.templates import templates


def like_name(name: str, rng: np.random.Generator) -> str:
    """An invented name with as many words, each about as long, capitals where they were."""
    kept = set(templates("inventing")["kept_words"])
    words = [word if word.lower() in kept else _word(word, rng) for word in name.split()]
    return " ".join(words)


def like_value(value: str, rng: np.random.Generator) -> str:
    """An invented value: other numbers near the given ones, other words for names.

    Short values in small letters (professions, colours) become another such word.
    """
    if re.search(r"\d", value):
        return re.sub(r"\d+", lambda m: _number(m.group(), rng), value)
    return like_name(value, rng) if value.strip() else value


def _number(digits: str, rng: np.random.Generator) -> str:
    """Another number of the same size; a year stays in its century or the next to it."""
    number = int(digits)
    spread = max(3, min(number // 10, 40)) if len(digits) <= 4 else max(9, number // 5)
    step = int(rng.integers(1, spread + 1)) * (1 if rng.random() < 0.5 else -1)
    other = number + step if number + step > 0 else number + abs(step)
    return str(other).zfill(len(digits)) if len(str(other)) <= len(digits) else str(other)


def _word(word: str, rng: np.random.Generator) -> str:
    letters = [c for c in word if c.isalpha()]
    if not letters:
        return word
    parts = templates("inventing")
    n_syllables = max(1, min(5, round(len(letters) / 3)))
    made = "".join(
        str(rng.choice(parts["begin"])) + str(rng.choice(parts["vowel"]))
        for _ in range(n_syllables)
    ) + str(rng.choice(parts["end"]))
    made = made.capitalize() if letters[0].isupper() or not letters[0].isascii() else made
    tail = re.search(r"[^\w]+$", word)
    return made + (tail.group() if tail else "")
