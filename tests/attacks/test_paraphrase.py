"""Paraphrase and dispersion over HTTP against a scripted server."""

from __future__ import annotations

from types import ModuleType

import pytest

from ragshield.errors import UsageError
from ragshield.vectors import cosines

QUESTION = "Who founded Brackwater Mills?"


def test_a_paraphrase_is_shown_the_earlier_ones_and_must_keep_the_answer(
    openai_server: ModuleType, written_by
) -> None:
    replies = iter(["By Per Lund it was founded.", "Somebody else did.", "Lund, Per Lund, did it."])
    with openai_server.scripted(lambda prompt, n: next(replies)) as server:
        first, second = written_by("paraphrase", server, technique="naive", n=2, retrieval="none")
    assert (first.text, second.text) == ("By Per Lund it was founded.", "Lund, Per Lund, did it.")
    assert "(none)" in server.prompts[0]
    assert "- By Per Lund it was founded." in server.prompts[1]
    assert (first.meta["technique"], first.meta["variant"]) == ("naive", "naive, paraphrase")
    assert (first.meta["n_llm_calls"], second.meta["n_llm_calls"]) == (1, 2)


def test_a_text_that_cannot_be_reworded_stays_as_it_was(
    openai_server: ModuleType, written_by, craft
) -> None:
    plain = craft("corruptrag")
    with openai_server.scripted(lambda prompt, n: "I cannot help with that.") as server:
        [passage] = written_by("paraphrase", server, technique="corruptrag", max_tries=3)
    assert passage.text == plain[0].text
    assert (passage.meta["reworded"], passage.meta["n_llm_calls"]) == (False, 3)


def test_dispersion_takes_the_draft_least_like_those_chosen(
    openai_server: ModuleType, written_by, word_encoder
) -> None:
    drafts = [
        "Per Lund founded Brackwater Mills long ago.",
        "Founded by Per Lund were the Brackwater Mills.",
        "Per Lund founded Brackwater Mills very long ago.",
        "A carpenter named Per Lund dammed the weir and opened Brackwater Mills.",
    ]
    replies = iter(drafts)
    with openai_server.scripted(lambda prompt, n: next(replies)) as server:
        first, second = written_by(
            "paraphrase", server, technique="naive", n=2, style="dispersion", n_drafts=2,
            retrieval="none", encoder=word_encoder,
        )  # fmt: skip
    # Nothing is chosen yet: the first draft wins the tie; then the one farther from it.
    assert (first.text, second.text) == (drafts[0], drafts[3])
    rows = word_encoder.encode([drafts[3], drafts[0]])
    assert second.meta["max_cosine"] == pytest.approx(
        float(cosines(rows[1:], rows[0])[0]), abs=1e-4
    )
    assert second.meta["n_encoder_calls"] == 4


def test_dispersion_keeps_what_is_still_near_the_question(
    openai_server: ModuleType, written_by, word_encoder
) -> None:
    near, far = f"{QUESTION} Per Lund founded Brackwater Mills.", "Trees are green, says Per Lund."
    replies = iter([near, far, f"{near} Yes.", far])
    with openai_server.scripted(lambda prompt, n: next(replies)) as server:
        passages = written_by(
            "paraphrase", server, technique="naive", n=2, style="dispersion", n_drafts=2,
            min_similarity=0.5, retrieval="none", encoder=word_encoder,
        )  # fmt: skip
    assert [p.text for p in passages] == [near, f"{near} Yes."]


def test_dispersion_without_an_encoder_is_refused(openai_server: ModuleType, written_by) -> None:
    with (
        openai_server.scripted(lambda prompt, n: "Per Lund") as server,
        pytest.raises(UsageError, match="needs the encoder of the store"),
    ):
        written_by("paraphrase", server, style="dispersion")
