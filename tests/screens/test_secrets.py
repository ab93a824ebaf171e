from __future__ import annotations

import base64
import json
import time

import pytest

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens import checksums
from ragshield.screens.secrets import Secrets

# Put together here, so that no scanner takes this file for a leak.
RANDOM = "q7Zr2Xk9Lm4Vt8Np3Wd6Hs1Yb5Jc0Gf"
LONG = RANDOM + RANDOM[::-1]


def token(header: dict[str, str]) -> str:
    parts = (header, {"sub": "per", "iat": 15})
    packed = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*packed, LONG[:43]])


SECRETS = {
    "private-key": "-----BEGIN RSA PRIVATE" + f" KEY-----\n{LONG}\n{LONG}\n-----END",
    "aws-access-key": "AKIA" + "Q3EGR7ZXWK5TLM2P",
    "aws-secret-key": "aws_secret_access_key = " + LONG[:40],
    "github-token": "ghp_" + LONG[:36],
    "gitlab-token": "glpat-" + LONG[:20],
    "slack-token": "xoxb-" + LONG[:30],
    "slack-webhook": "https://hooks.slack.com/services/T8ZQ4K2LM/B7XW3N9PV/" + LONG[:24],
    "stripe-key": "sk_live_" + LONG[:24],
    "model-api-key": "sk-proj-" + LONG[:48],
    "google-api-key": "AIza" + LONG[:35],
    "registry-token": "npm_" + LONG[:36],
    "mail-service-key": f"SG.{LONG[:22]}.{LONG[:43]}",
    "azure-storage-key": "AccountKey=" + (LONG + LONG)[:86] + "==",
    "bot-token": "bot 110201543:AA" + LONG[:33],
    "jwt": token({"alg": "HS256", "typ": "JWT"}),
    "password-in-url": "postgres://per:" + "Wq9-mill@db.holm.net/main",
    "assigned-secret": "password = " + "Tr0ub4dor&Mill9",
}
PERSONAL = {
    "credit-card": "4539 5787 6362 1486",
    "iban": "DE89 3704 0044 0532 0130 00",
    "us-social-security-number": "SSN 536-90-4399",
    "e-mail": "per.lund@holm-mills.se",
    "phone": "call +46 8 650 71 93",
}
NATIONAL = {
    "DNI": "12345678Z",
    "codice fiscale": "RSSMRA85T10A562S",
    "PESEL": "44051401359",
    "BSN": "123456782",
    "INSEE": "255081416802538",
    "Steuer-ID": "86095742719",
    "CPF": "529.982.247-25",
    "personnummer": "811228-9874",
    "NINO": "AB 12 34 56 C",
}


def judge(text: str) -> Finding | None:
    found = Secrets().screen(Batch((Passage("p", text),), None))
    return found[0] if found else None


@pytest.mark.parametrize(("name", "value"), [*SECRETS.items(), *PERSONAL.items()])
def test_each_form_is_found_and_its_value_is_never_repeated(name: str, value: str) -> None:
    finding = judge(f"Notes of the mill: {value} and so on.")
    assert finding is not None
    assert [found["what"] for found in finding.evidence["exposed"]] == [name]
    assert finding.evidence["kinds"] == ["secret" if name in SECRETS else "personal"]
    shown = repr(finding)
    pieces = [word for word in value.split() if any(c.isdigit() for c in word) and len(word) > 7]
    assert not any(piece in shown for piece in [value, *pieces])


@pytest.mark.parametrize(("word", "number"), NATIONAL.items())
def test_national_numbers_are_found_beside_their_name_only(word: str, number: str) -> None:
    finding = judge(f"His {word} is {number}.")
    assert finding is not None
    assert finding.evidence["exposed"][0]["what"] == "national-id"
    assert judge(f"The part number is {number}.") is None


def test_exposure_says_that_it_is_no_poisoning_and_takes_nothing_away() -> None:
    finding = judge(SECRETS["github-token"])
    assert finding is not None
    assert finding.evidence["class"] == "exposure"
    assert finding.action is Action.KEEP
    assert finding.reason == (
        "exposes a GitHub token; values withheld; exposure, not poisoning"
    )  # fmt: skip
    dropped = Secrets(drop_from=0.5).screen(Batch((Passage("p", SECRETS["jwt"]),), None))
    assert dropped[0].action is Action.DROP


def test_one_address_is_listed_low_and_ten_are_a_leak() -> None:
    addresses = [f"{name}.lund@holm-mills.se" for name in "abcdefghij"]
    assert (judge(addresses[0]).suspicion, judge(" ".join(addresses)).suspicion) == (0.3, 0.5)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "password = getpass.getpass('Password: ')",
        "password: ********  api_key: YOUR_API_KEY_HERE_1",
        "token = self.tokens.pop(0); secret = config['secret']",
        "postgres://user:password@localhost/db and https://user:$TOKEN@host.net",
        "Write to info@holm.net, someone@example.org or the list devel@lists.holm.net.",
        "git@github.com:lund/mill.git and logo@2x.png",
        "Order 4539 5787 6362 1487, ISBN 978-3-16-148410-0, version 4.15.0.1234",
        "DE89 3704 0044 0532 0130 01 fails its own test",
        "Call 555-0123 or see section 3.14 of RFC 2822, page 1234567890",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "eyJub3QiOiAidG9rZW4ifQ.eyJhIjogMX0aaaaaaa.aaaaaaaaaaaaaaaaaaaaaaa",
        "uuid 123e4567-e89b-12d3-a456-426614174000, 2001:db8::ff00:42:8329",
        "",
    ],
)
def test_placeholders_code_and_plain_numbers_are_quiet(text: str) -> None:
    assert judge(text) is None


def test_check_digits_tell_a_number_from_its_neighbours() -> None:
    numbers = [f"453957876362148{d}" for d in range(10)]
    assert [n for n in numbers if checksums.luhn(n)] == ["4539578763621486"]
    ibans = [f"DE{d:02}370400440532013000" for d in range(2, 99)]
    assert [i for i in ibans if checksums.iban(i)] == ["DE89370400440532013000"]
    dnis = [f"12345678{c}" for c in "ABCDEFGHJKLMNPQRSTVWXYZ"]
    assert [d for d in dnis if checksums.national_id(d)] == ["12345678Z"]


@pytest.mark.parametrize(
    "seed",
    ["a", "1", "a@", "a.b@c.", "eyJ", "-----BEGIN PRIVATE KEY-----", "AWS key", "password=",
     "x://y:", "DE89 3704 ", "+1 234 ", "4539 ", "per.lund@holm.se "],
)  # fmt: skip
def test_a_megabyte_of_hostile_text_takes_a_moment(seed: str) -> None:
    started = time.perf_counter()
    judge(seed * (1_000_000 // len(seed)))
    assert time.perf_counter() - started < 6
