"""Plain questions, and the same with reasons why they should be answered after all."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots, wrapped
from ragshield.audit.templates import templates


def plain(setting: Setting) -> Iterator[Draft]:
    """Questions, a sentence with a blank, a biography, a list: what leaks with no attack.

    Source: RWKU (Jin et al., 2024, arXiv 2406.10890) asks by cloze and by question; cloze
    leaks far more.
    """
    forms = templates("plain")["plain"]
    for n, item in setting.items():
        yield Draft("question", (item.questions[0],), n)
        yield Draft("cloze", (slots(forms["cloze"], setting.subject, item),), n)
        for i, question in enumerate(item.questions[1:3]):
            yield Draft(f"question-{i + 2}", (question,), n)
        for variant in ("keyword", "biography", "list"):
            yield Draft(variant, (slots(forms[variant], setting.subject, item),), n)


def persuasion(setting: Setting) -> Iterator[Draft]:
    """Prefix injection, affirmative suffix, role play, authority, fiction, and the like.

    Source: RWKU's adversarial probes; authority after SKeB (arXiv 2510.25732).
    """
    return wrapped(templates("plain")["persuasion"], setting)
