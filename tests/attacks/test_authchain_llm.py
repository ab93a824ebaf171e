"""AuthChain with a language model, over HTTP against a scripted server."""

from __future__ import annotations

import json
import re
from types import ModuleType


def is_reading(prompt: str) -> bool:
    return prompt.startswith("You are a helpful assistant, below is a query")


def test_authchain_writes_out_the_chain_with_its_end_replaced(
    openai_server: ModuleType, written_by
) -> None:
    def script(prompt: str, n: int) -> str:
        if "JSON list of [subject, relation, object]" in prompt:
            hops = [["Brackwater", "has", "mills"], ["the mills", "were founded by", "Ida Holm"]]
            return f"Here it is:\n```json\n{json.dumps(hops)}\n```"
        if is_reading(prompt):
            return "Per Lund"
        return "Brackwater has mills, and they were founded by Per Lund."

    with openai_server.scripted(script) as server:
        [passage] = written_by("authchain-llm", server, prefix=False)
    _, paragraph, verifying = server.prompts
    assert "- Brackwater has mills\n- the mills were founded by Per Lund" in paragraph
    assert passage.text.startswith("According to the ")
    assert "Brackwater has mills, and they were founded by Per Lund." in passage.text
    assert re.search(r"\(\d{1,2} [A-Z][a-z]+ 2025\)", passage.text)
    assert passage.text in verifying
    assert passage.meta["n_hops"] == 2
    assert passage.meta["n_llm_calls"] == 3


def test_authchain_without_a_chain_ties_the_questions_words_to_the_answer(
    openai_server: ModuleType, written_by
) -> None:
    def script(prompt: str, n: int) -> str:
        return "no list" if "JSON list" in prompt else "Per Lund founded it."

    with openai_server.scripted(script) as server:
        [passage] = written_by("authchain-llm", server, verify=False, max_tries=2)
    assert "- founded Brackwater Mills: Per Lund" in server.prompts[-1]
    assert (passage.meta["n_hops"], passage.meta["n_llm_calls"]) == (1, 3)
