from __future__ import annotations

import pytest

from ragshield.attacks.crafted import crafted, generation_text, keywords, retrieval_text


def test_keywords_keep_their_case_and_come_once() -> None:
    question = "Who founded the Mills, the old mills or the Mills?"
    assert keywords(question) == "founded Mills old mills"
    assert keywords("Who was it?") == "Who was it?"
    assert retrieval_text("none", "Who?") == ""
    assert retrieval_text("question-suffix", "Who?") == "Who?"


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("part", ["", "Who?"])
def test_the_generation_part_is_found_again(target, part: str, last: bool) -> None:
    passage = crafted(
        "naive",
        target,
        0,
        variant="v",
        retrieval_part=part,
        generation_part="Per Lund.",
        verified=None,
        joint=" ",
        retrieval_last=last,
    )
    assert generation_text(passage) == "Per Lund."


def test_further_metadata_cannot_overwrite_what_an_attack_must_say(target) -> None:
    passage = crafted(
        "naive",
        target,
        0,
        variant="v",
        retrieval_part="",
        generation_part="Per.",
        verified=None,
        more={"attack": "honest", "canary": "", "colour": "red"},
    )
    assert passage.meta["attack"] == "naive"
    assert str(passage.meta["canary"]).startswith("ragshield-canary-")
    assert passage.meta["colour"] == "red"
