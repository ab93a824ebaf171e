"""The persona attack over HTTP against a scripted server."""

from __future__ import annotations

from types import ModuleType

from ragshield.attacks.crafted import generation_text

QUESTION = "Who founded Brackwater Mills?"


def is_reading(prompt: str) -> bool:
    return prompt.startswith("You are a helpful assistant, below is a query")


def persona_script(prompt: str, n: int) -> str:
    if "Describe" in prompt:
        return '["a pupil", "a tourist"]'
    if "a pupil" in prompt:
        return '["Who built the mills by the weir?", "mills weir founder"]'
    if "a tourist" in prompt:
        return 'Sure: ["Which mills can I visit?"]'
    if "one statement of fact" in prompt:
        return "Brackwater Mills was founded by Per Lund."
    if is_reading(prompt):
        return "Per Lund."
    return f"Visitors of the mills by the weir learn that Per Lund founded them ({n})."


def test_personas_ask_of_the_topic_and_never_see_the_question(
    openai_server: ModuleType, written_by
) -> None:
    with openai_server.scripted(persona_script) as server:
        passages = written_by("persona", server, n=3, n_personas=2, n_queries=2)
    claim, *others = [p for p in server.prompts if not is_reading(p)]
    assert QUESTION in claim
    assert not any(QUESTION in prompt for prompt in others)
    assert passages[0].text.startswith("Who built the mills by the weir? Visitors")
    assert passages[1].text.startswith("Which mills can I visit? Visitors")
    assert [p.meta["persona"] for p in passages] == ["a pupil", "a tourist", "a pupil"]
    assert sum(int(p.meta["n_llm_calls"]) for p in passages) == len(server.prompts)
    assert all("Per Lund founded" in generation_text(p) for p in passages)


def test_with_an_encoder_the_draft_nearest_to_all_questions_is_planted(
    openai_server: ModuleType, written_by, word_encoder
) -> None:
    drafts = iter(["Per Lund. Trees.", "Who built the mills by the weir? Per Lund.", "Per Lund."])

    def script(prompt: str, n: int) -> str:
        wants_passage = prompt.startswith("Write one passage")
        return next(drafts) if wants_passage else persona_script(prompt, n)

    with openai_server.scripted(script) as server:
        [passage] = written_by(
            "persona", server, n=1, n_drafts=3, anchor=False,
            encoder=word_encoder,
        )  # fmt: skip
    assert passage.text == "Who built the mills by the weir? Per Lund."
    assert passage.meta["n_encoder_calls"] == 6
    assert 0.0 < float(passage.meta["similarity"]) <= 1.0
