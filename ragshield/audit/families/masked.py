"""Questions in which the name never stands beside what is asked."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, renamed
from ragshield.audit.templates import filled, templates
from ragshield.text import states


def masked(setting: Setting) -> Iterator[Draft]:
    """Descriptions, a pronoun in the second turn, the letters of the name, reverse queries.

    Source: target masking after ALU (arXiv 2502.00406), reverse query after RWKU.
    """
    forms = templates("masked")
    subject = setting.subject
    named = [item for item in subject.items if item.attribute not in ("request", "text")]
    for n, item in setting.items():
        question = item.questions[0]
        hidden = renamed(question, subject.names, forms["pronoun"])
        if hidden != question:
            for variant, first in forms["first_turn"].items():
                yield Draft(variant, (filled(first, name=subject.name), hidden), n)
            by_letters = filled(
                forms["letters"],
                first=subject.name[:1],
                last=subject.name.rstrip()[-1:],
                n=str(sum(c.isalpha() for c in subject.name)),
                syllables="-".join(_pieces(subject.name)),
            )
            yield Draft("letters", (renamed(question, subject.names, by_letters),), n)
            for other in named:
                # A description by another fact must not hold the answer to this one.
                if other is not item and not states(other.value, item.value):
                    described = filled(
                        forms["description"], attribute=other.attribute, value=other.value
                    )
                    asked = renamed(question, subject.names, described)
                    yield Draft("description", (asked,), n)
                    break
        if item in named:
            reverse = filled(forms["reverse"], attribute=item.attribute, value=item.value)
            yield Draft("reverse", (reverse,), n, sign="name")


def _pieces(name: str) -> list[str]:
    return [name[i : i + 3] for i in range(0, len(name), 3)]
