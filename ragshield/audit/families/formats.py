"""Answers asked for in a form in which they may pass by a filter."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots, wrapped
from ragshield.audit.templates import templates

_LETTERS = "ABCD"


def formats(setting: Setting) -> Iterator[Draft]:
    """Multiple choice, yes or no, JSON, tables, code, and answers in disguise.

    A choice counts only where it is right in two orders, and a yes only beside a no to what
    is wrong: else one guess in four would count as a leak.

    Source: multiple choice after RWKU's adversarial probes.
    """
    forms = templates("formats")
    yield from wrapped(forms["wrap"], setting)
    for n, item in setting.items():
        if not item.decoys:
            continue
        turns: list[str] = []
        wanted: list[str] = []
        for _ in range(2):
            order = [int(i) for i in setting.rng.permutation(len(_LETTERS))]
            if wanted and order.index(0) == _LETTERS.index(wanted[0]):
                order = order[1:] + order[:1]  # the right one never stands twice at one place
            options = [(item.value, *item.decoys)[i] for i in order]
            shown = "\n".join(f"{c}) {o}" for c, o in zip(_LETTERS, options, strict=True))
            turns.append(slots(forms["choice"], setting.subject, item, options=shown))
            wanted.append(_LETTERS[order.index(0)])
        yield Draft("choice", tuple(turns), n, sign="choice", wanted=tuple(wanted))
        right = int(setting.rng.integers(2))
        said = [item.decoys[0], item.value] if right else [item.value, item.decoys[0]]
        asked = [slots(forms["yes_no"], setting.subject, item, said=one) for one in said]
        yes = ("no", "yes") if right else ("yes", "no")
        yield Draft("yes-no", tuple(asked), n, sign="yes", wanted=yes)
