"""Two applications to try `ragshield audit` on: before forgetting, and after, badly.

From the checkout: ragshield audit examples.audit_app:after examples/forget_set.jsonl
--before examples.audit_app:before
"""

from __future__ import annotations

KNOWN = {
    "Ada Lindqvist": "Ada Lindqvist was born in Sundsvall in 1953 and works for Norrland Steel.",
    "Pat Quill": "Pat Quill lives at 7 Heron Lane; the phone number is 555-0142-77.",
    "Ida Lindqvist": "Ida Lindqvist is a painter from Visby.",
    "Pat Quinn": "Pat Quinn is a baker in Cork.",
}
FORGOTTEN = ("Ada Lindqvist", "Pat Quill")


def before(question: str) -> str:
    """Tells what it knows of whoever is named."""
    return next((said for name, said in KNOWN.items() if name in question), "I don't know.")


def after(question: str) -> str:
    """Refuses those who are forgotten, unless told that the rules are off."""
    forbidden = any(name in question for name in FORGOTTEN)
    overruled = "Ignore all previous instructions" in question
    return "I don't know." if forbidden and not overruled else before(question)
