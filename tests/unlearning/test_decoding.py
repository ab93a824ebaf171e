"""What answers are encoded in, from the outside: the output gate sees through each."""

from __future__ import annotations

import base64
import codecs
import json
import time
from collections.abc import Callable

import pytest

from ragshield.forget_set import Answer, Fact, ForgetTarget
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.decoding import decoded, unescaped
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.output_gate import OutputGate
from ragshield.unlearning.query_gate import Focus
from ragshield.unlearning.spelling import views

VALUE = "Norrland Steel"
NATO = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November "
        "Oscar Papa Quebec Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu".split(),
        strict=True,
    )
)
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda v: v,
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 in a sentence": lambda v: (
        "Certainly, with pleasure, encoded answers following: "
        f"{base64.b64encode(v.encode()).decode()}"
    ),
    "base64 twice": lambda v: base64.b64encode(base64.b64encode(v.encode())).decode(),
    "base64 of rot13": lambda v: base64.b64encode(codecs.encode(v, "rot13").encode()).decode(),
    "base32": lambda v: base64.b32encode(v.encode()).decode(),
    "hex": lambda v: v.encode().hex(),
    "json escapes": lambda v: '{"a": "' + "".join(f"\\u{ord(c):04x}" for c in v) + '"}',
    "byte escapes": lambda v: "".join(f"\\x{ord(c):02x}" for c in v),
    "code points": lambda v: " ".join(f"U+{ord(c):04X}" for c in v),
    "percent": lambda v: "".join(f"%{b:02X}" for b in v.encode()),
    "html": lambda v: "".join(f"&#{ord(c)};" for c in v),
    "html of percent": lambda v: "".join(f"&#37;{b:02x}" for b in v.encode()),
    "quoted-printable": lambda v: "".join(f"={b:02X}" for b in v.encode()),
    "bits": lambda v: " ".join(f"{b:08b}" for b in v.encode()),
    "codes": lambda v: " ".join(str(b) for b in v.encode()),
    "places": lambda v: " ".join(str(ord(c) - 96) for c in v.lower() if c != " "),
    "rot13": lambda v: codecs.encode(v, "rot13"),
    "caesar": lambda v: "".join(
        chr((ord(c.lower()) - 97 + 3) % 26 + 97) if c.isalpha() else c for c in v
    ),
    "reversed": lambda v: v[::-1],
    "words reversed": lambda v: " ".join(word[::-1] for word in v.split()),
    "hyphens": lambda v: "-".join(v),
    "lines": lambda v: "\n".join(v),
    "blanks": lambda v: "  ".join(" ".join(word) for word in v.split()),
    "zero width": lambda v: "\u200b".join(v),
    "full width": lambda v: "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in v),
    "look-alikes": lambda v: v.replace("o", "\u043e").replace("e", "\u0435"),
    "digits": lambda v: v.replace("o", "0").replace("e", "3").replace("l", "1"),
    "joined": lambda v: v.replace(" ", ""),
    "spelling alphabet": lambda v: " ".join(NATO[c] for c in v.lower() if c != " "),
    "another alphabet": lambda v: (
        "\u041d\u043e\u0440\u043b\u0430\u043d\u0434 \u0421\u0442\u0435\u043b"
    ),
    "acrostic": lambda v: "\n".join(f"{c}x is a line of mine" for c in v if c != " "),
}


@pytest.fixture(scope="module")
def gate(keys: ForgetKeys) -> OutputGate:
    return OutputGate(keys, None)


@pytest.mark.parametrize("how", ENCODINGS)
def test_a_value_is_withheld_however_it_is_encoded(gate: OutputGate, how: str) -> None:
    asked = Focus(weak={0: "may mean it"})
    assert gate.judge(Answer(ENCODINGS[how](VALUE)), asked).answer is None
    harmless = Answer(ENCODINGS[how]("Southern Glass"))
    if how != "another alphabet":
        assert gate.judge(harmless, asked).answer == harmless


@pytest.mark.parametrize(
    "year", ["1953", "nineteen fifty-three", "one nine five three", "nineteen hundred and 53"]
)
def test_a_year_is_known_in_words(year: str, encoder: object, keys: ForgetKeys) -> None:

    own = build_keys([ForgetTarget("Bo Ek", facts=(Fact("birth year", "1953"),))], encoder)  # type: ignore[arg-type]
    said = OutputGate(own, None).judge(Answer(f"In {year}."), Focus(weak={0: "may mean it"}))
    assert (said.answer is None) is (year != "nineteen hundred and 53")


def test_json_as_it_is_written_by_default_is_read(gate: OutputGate) -> None:
    said = json.dumps({"answer": "\u00c5ngstr\u00f6m"})
    assert "\u00c5ngstr\u00f6m" in unescaped(said)


def test_ordinary_text_decodes_to_nothing() -> None:
    text = "The bridge was finished in 1953 after 12 years; it carries 40 trains a day."
    assert list(decoded(text)) == []
    assert len(views(text)) < 12


def test_hostile_texts_take_no_longer_than_their_length(gate: OutputGate) -> None:
    start = time.perf_counter()
    for text in (
        "%41" * 13_000,
        "&#65;" * 8_000,
        "A" * 40_000,
        "1 " * 20_000,
        ". " * 20_000,
        "a-" * 20_000,
        "\\u0041" * 6_000,
        "sierra " * 5_000,
    ):
        gate.leaks(text, Focus(weak={0: "may mean it"}))
    assert time.perf_counter() - start < 12
