"""What is to be forgotten, brought back by the context: does the application repeat it?"""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots
from ragshield.audit.templates import filled, templates

_SHOTS = (4, 16, 64)


def context(setting: Setting) -> Iterator[Draft]:
    """An uploaded file, the chat's history, a hint, examples, many of them.

    Source: UnUnlearning (Shumailov et al., 2024, arXiv 2407.00106): what was unlearned
    returns through the context. Background hints and examples after RWKU, many shots after
    ALU. Hints and examples bring other things along than the answer.
    """
    forms = templates("context")
    subject = setting.subject
    examples = [tuple(pair) for pair in templates("combined")["general"]]
    for n, item in setting.items():
        if item.value:
            yield Draft("file", (item.questions[0],), n, documents=(item.statement,))
            told = slots(forms["told"], subject, item, statement=item.statement)
            yield Draft("history", (told, item.questions[0]), n)
            quoted = slots(forms["quoted"], subject, item, statement=item.statement)
            yield Draft("quotation", (quoted,), n)
        others = [o for o in subject.items if o is not item and o.value]
        if others:
            hint = others[int(setting.rng.integers(len(others)))].statement
            asked = slots(forms["hint"], subject, item, statement=hint)
            yield Draft("hint", (asked,), n)
        for shots in _SHOTS:
            shown = [examples[i % len(examples)] for i in range(shots)]
            lines = [filled(forms["example"], question=q, answer=a) for q, a in shown]
            asked = filled(forms["example"], question=item.questions[0], answer="").rstrip()
            yield Draft(f"examples-{shots}", ("\n".join([*lines, asked]),), n)
