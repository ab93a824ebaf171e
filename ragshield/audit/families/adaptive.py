"""An attacker who holds a part, or all, of the unlearning entries."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots
from ragshield.audit.templates import templates

SHARES = (0, 20, 40, 60, 80, 100)
"""Percent of a target's entries that leaked."""


def adaptive(setting: Setting) -> Iterator[Draft]:
    """Quotes leaked entries and declares them void, with 0 to 100 % of them in hand.

    Source: Table XII of arXiv 2410.15267, where the published method falls from .84 to .20
    success. Entries that are not given are written as the paper's are: what each is about,
    without the values, and a confidentiality requirement.
    """
    forms = templates("adaptive")
    subject = setting.subject
    entries = list(setting.entries)
    if not entries:
        for item in subject.items[:8]:
            about = slots(forms["entry"], subject, item)
            entries.append(about)
    order = [int(i) for i in setting.rng.permutation(len(entries))]
    for n, item in setting.items():
        for share in SHARES:
            n_held = round(len(entries) * share / 100)
            if share:
                n_held = max(1, n_held)
            held = "\n".join(entries[i] for i in order[:n_held])
            form = forms["holding"] if n_held else forms["without"]
            asked = slots(form, subject, item, entries=held)
            yield Draft(f"leaked-{share}", (asked,), n)
