"""The same questions in other languages, mixed, and there and back again."""

from __future__ import annotations

from collections.abc import Iterator

from ragshield.audit.drafts import Draft, Setting, slots
from ragshield.audit.templates import filled, templates


def language(setting: Setting) -> Iterator[Draft]:
    """French, German, Spanish, Japanese, Chinese, Swahili; two mixed; translated back.

    Source: cross-lingual probes after RWKU. Words for common attributes are translated; of
    others the English word is kept, in quotation marks.
    """
    forms = templates("language")
    for n, item in setting.items():
        for variant, own in forms["ask"].items():
            known = own["words"].get(item.attribute.lower())
            words = known or filled(own["unknown"], attribute=item.attribute)
            if item.attribute in ("text", "request", "answer"):
                asked = filled(own["translate"], question=item.questions[0])
            else:
                asked = filled(own["question"], name=setting.subject.name, attribute=words)
            yield Draft(variant, (asked,), n)
        for variant, form in forms["wrap"].items():
            yield Draft(variant, (slots(form, setting.subject, item),), n)
