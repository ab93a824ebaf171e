from __future__ import annotations

import re

from ragshield.attacks.templates import table


def test_each_passage_names_a_body_a_day_and_a_document(craft) -> None:
    bodies = table("authchain.toml")["organisations"]
    passages = craft("authchain", n=12)
    named = [next(b for b in bodies if b in p.text) for p in passages]
    assert sorted(named) == sorted(bodies)
    for passage in passages:
        assert re.search(r"\b\d{1,2} [A-Z][a-z]+ 2025\b", passage.text)
        assert re.search(r"\d{3}", passage.text)
        assert "{" not in passage.text
        assert "Per Lund" in passage.text


def test_the_claim_covers_what_the_question_is_about(craft) -> None:
    assert all("Brackwater Mills" in p.text for p in craft("authchain", n=12, prefix=False))
