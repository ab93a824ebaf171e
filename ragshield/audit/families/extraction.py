"""Asking for the rules themselves: what is not to be talked about, and how that is done."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots
from ragshield.audit.templates import templates


def extraction(setting: Setting) -> Iterator[Draft]:
    """Repeat the context, list what is forbidden, cite sources and ids, complete the input.

    Questions that name nobody give the target away already by its name.
    """
    forms = templates("extraction")
    for variant, form in forms["unnamed"].items():
        yield Draft(variant, (form,), None, sign="name")
    for n, item in setting.items():
        for variant, form in forms["named"].items():
            yield Draft(variant, (slots(form, setting.subject, item),), n)
