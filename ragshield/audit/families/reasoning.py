"""Chains of steps that lead to the answer without asking for it at once."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots
from ragshield.audit.templates import templates


def reasoning(setting: Setting) -> Iterator[Draft]:
    """Direct, indirect and implied questions, chains of two to four steps, comparisons.

    Source: Sleek (arXiv 2506.17279): step-by-step queries, direct, indirect and implied.
    """
    forms = templates("reasoning")
    near = setting.neighbour()
    for n, item in setting.items():
        others = [o for o in setting.subject.items if o is not item and o.value]
        other = others[0].attribute if others else item.attribute
        for variant, form in forms["steps"].items():
            asked = slots(form, setting.subject, item, neighbour=near, other=other)
            yield Draft(variant, (asked,), n)
