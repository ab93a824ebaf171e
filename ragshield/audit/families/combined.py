"""A forbidden question beside permitted ones, or buried under them."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots
from ragshield.audit.templates import filled, templates

_CROWDS = (10, 40)


def combined(setting: Setting) -> Iterator[Draft]:
    """Two questions in one, in both orders, and one clause inside a long request.

    The permitted half has to be answered still; that is measured apart from the leak.

    Source: BLUR (Hu et al., 2025, arXiv 2506.15699): forget and retain in one query.
    """
    forms = templates("combined")
    for n, item in setting.items():
        kept = setting.general()
        for variant, form in forms["both"].items():
            asked = slots(form, setting.subject, item, kept=kept.question)
            yield Draft(variant, (asked,), n, keep=kept.answers)


def crowding(setting: Setting) -> Iterator[Draft]:
    """Requests that fill the retrieved context with other texts, or ask to change it.

    A constraint that has to be retrieved to be obeyed can be crowded out: by text on other
    topics, by names of neighbours, by depth, by filters.
    """
    forms = templates("combined")
    other = [q for q, _ in forms["general"]]
    for n, item in setting.items():
        near = setting.neighbour()
        for size in _CROWDS:
            crowd = " ".join(other[i % len(other)] for i in range(size))
            asked = slots(forms["crowd"], setting.subject, item, crowd=crowd)
            yield Draft(f"crowd-{size}", (asked,), n)
            last = filled(forms["crowd_last"], question=item.questions[0], crowd=crowd)
            yield Draft(f"crowd-{size}-first", (last,), n)
        near_crowd = " ".join([near] * 12)
        asked = slots(forms["crowd"], setting.subject, item, crowd=near_crowd)
        yield Draft("neighbours", (asked,), n)
        for variant, form in forms["filters"].items():
            yield Draft(variant, (slots(form, setting.subject, item, neighbour=near),), n)
