"""What the attacks that a language model writes for ask of it, where there is none.

A server on this machine speaks OpenAI's protocol. It writes with the templates of
`poisonedrag` and answers by the extractive reader, so it is a script and no language model:
only the calls are counted, and the time that everything but the model takes.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import mean, median
from typing import Any

import numpy as np
from attacks_fluency import mean_interval
from attacks_store import Aim

from ragshield import registry
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.errors import RagshieldError
from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Passage, Spec, Target

WRITTEN = (
    ("poisonedrag", {"texts": "llm"}),
    ("corruptrag-ak", {}),
    ("authchain-llm", {}),
    ("paraphrase", {}),
    ("persona", {}),
)
"""The attacks and their parameters."""
_VERIFIED = re.compile(r"Contexts: (.*)\n\nQuery: (.*)\n\nAnswer:", re.DOTALL)


def calls(aims: Sequence[Aim]) -> dict[str, Any]:
    """Calls a passage, by attack, and what share of them it could verify."""
    found = {}
    with _Script().serving() as script:
        for name, params in WRITTEN:
            spec = Spec("attack", name, {**params, "llm": f"openai:{script.url}#script"})
            attack = registry.build(spec)
            each, seconds, verified, left_out = [], [], [], 0
            for i, aim in enumerate(aims):
                script.aim_at(aim.target)
                start = time.process_time()
                try:
                    made = attack.craft(aim.target, rng=np.random.default_rng([3, i]))
                except RagshieldError:
                    left_out += 1
                    continue
                seconds.append((time.process_time() - start) / len(made))
                each.append([script.n_calls / len(made)])
                verified += [p.meta.get("verified") for p in made]
            tried = [v for v in verified if v is not None]
            found[name] = {
                "n_targets": len(each),
                "left_out": left_out,
                "passages": len(verified) / max(1, len(each)),
                "calls": mean_interval(each),
                "most": max((row[0] for row in each), default=0.0),
                "verified": mean(tried) if tried else None,
                "n_verified": len(tried),
                "seconds": median(seconds) if seconds else 0.0,
            }
    return found


class _Script:
    """Replies to whatever is asked, with the target at hand in mind."""

    def __init__(self) -> None:
        self.url = ""
        self.n_calls = 0
        self._reader = ExtractiveReader()
        self._texts = [""]
        self._answer = ""

    def aim_at(self, target: Target) -> None:
        """What the next replies are about."""
        self.n_calls = 0
        self._answer = target.wrong_answer
        self._texts = statements(target, np.random.default_rng(1))

    def reply(self, prompt: str) -> str:
        """An answer from the context, a list, or a template's sentence."""
        self.n_calls += 1
        if found := _VERIFIED.search(prompt):
            context, question = found.groups()
            return self._reader.answer(question, [Passage("shown", context)])
        text = self._texts[self.n_calls % len(self._texts)]
        if "triples" in prompt:
            return json.dumps([[text, "is", self._answer]])
        if "JSON list" in prompt:
            return json.dumps([f"reader {i}: {text}" for i in range(4)])
        return text

    @contextmanager
    def serving(self) -> Iterator[_Script]:
        """On a port of this machine until the block ends."""
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = script.reply(asked["messages"][-1]["content"])
                message = {"role": "assistant", "content": text}
                reply = {
                    "id": "script",
                    "object": "chat.completion",
                    "created": 0,
                    "model": asked["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                }
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(reply).encode())

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
