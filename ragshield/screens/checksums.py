"""Tests that tell a number or token that is real in form from one that only looks so."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

_IBAN_LENGTHS: Mapping[str, int] = {
    entry[:2]: int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 "
        "DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 "
        "IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 "
        "MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 "
        "ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
    ).split()
}
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_PLACEHOLDER = re.compile(
    r"example|sample|dummy|fake|placeholder|changeme|change_me|your|xxxx|\*\*\*|\.\.\.|1234|abcd|"
    r"0000|redacted|secret|passw|hunter2|insert|foobar|test",
    re.I,
)
_NO_PASSWORD = frozenset("pass pwd user token key foo bar port none null true false host".split())
_PUBLIC_MAILBOX = re.compile(
    r"^(?:git|noreply|no-reply|info|bugs?|bug-.*|support|help|list|owner-.*|submit|maintainers?|"
    r"announce|devel|users?|you|name|someone|foo|bar|john\.?doe|jane\.?doe)@|"
    r"@(?:\d|.*\b(?:example|localhost|localdomain|domain|lists|invalid|test)\b)|"
    r"\.(?:png|jpe?g|gif|svg|webp|js|css|py|service|socket|target|local|lan|example|test|invalid)$",
    re.I,
)
_FICTIONAL_PHONE = re.compile(r"555[ .-]?01\d\d|(\d)\1{6}|1234567|[01]23[ .-]?456")


def luhn(number: str) -> bool:
    """The Luhn test of card numbers (ISO/IEC 7812-1), and that the digits vary."""
    digits = [int(c) for c in number if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 4:
        return False
    return _luhn_sum(digits) % 10 == 0


def iban(number: str) -> bool:
    """The country's length and the mod-97 test (ISO 13616)."""
    plain = number.replace(" ", "")
    if _IBAN_LENGTHS.get(plain[:2]) != len(plain) or len(set(plain[4:])) < 4:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def national_id(number: str) -> bool:
    """Whether the check digits of some country's identity number agree."""
    plain = re.sub(r"[ .+-]", "", number)
    if re.fullmatch(r"[A-CEGHJ-PR-TW-Z]{2}\d{6}[A-D]", plain):
        return plain[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}  # UK: no check digit
    if re.fullmatch(r"[XYZ\d]\d{7}[A-Z]", plain):  # Spain
        return _DNI_LETTERS[int(plain[:-1].translate(str.maketrans("XYZ", "012"))) % 23] == plain[8]
    if re.fullmatch(r"[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]", plain):  # Italy
        return _codice_fiscale(plain)
    if re.fullmatch(r"[12]\d{4}\d[\dAB]\d{8}", plain):  # France
        body = plain[:13].replace("A", "0").replace("B", "0")
        less = 1_000_000 if "A" in plain else 2_000_000 if "B" in plain else 0
        return 97 - (int(body) - less) % 97 == int(plain[13:])
    digits = [int(c) for c in plain if c.isdigit()]
    if len(digits) != len(plain) or len(set(digits)) < 4:
        return False
    if len(digits) == 9:  # Netherlands
        return (_weighted(digits[:8], range(9, 1, -1)) - digits[8]) % 11 == 0
    if len(digits) == 10:  # Sweden
        return _luhn_sum(digits) % 10 == 0
    if len(digits) == 11:
        poland = (10 - _weighted(digits[:10], (1, 3, 7, 9) * 3) % 10) % 10 == digits[10]
        return poland or _cpf(digits) or _german_tax_id(digits)
    return False


def jwt(token: str) -> bool:
    """Whether the first part of a token decodes to a header that names an algorithm."""
    head = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(header, dict) and "alg" in header


def random(token: str) -> bool:
    """Whether a token is drawn at random and no placeholder: 3 bits a character or more."""
    tail = token[-40:]
    return not _PLACEHOLDER.search(token) and _bits(tail) >= 3.0


def no_example(token: str) -> bool:
    """Whether a token is not one that a manual uses as its example."""
    return not _PLACEHOLDER.search(token) and len(set(token[4:])) >= 6


def password(value: str) -> bool:
    """Whether the password of an address is one, and no placeholder."""
    plain = value.lower()
    return not (_PLACEHOLDER.search(plain) or plain in _NO_PASSWORD or plain.isdigit())


def random_password(value: str) -> bool:
    """Whether an assigned value looks like a password rather than like code or a word."""
    if not password(value) or not re.fullmatch(r"[\w!@#$%^&*+=/?~.:-]+", value):
        return False
    if re.search(r"[a-z_]\.[a-z_]|::|->|://|^[$%@/.]|^--?[a-z]|_[a-z]+_", value):
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", r"\d", r"[^\w]"))
    return kinds >= 3 and bool(re.search(r"\d", value)) and _bits(value) >= 2.75


def mailbox(address: str) -> bool:
    """Whether an e-mail address is a person's rather than a list's, a file's or an example."""
    return not _PUBLIC_MAILBOX.search(address)


def phone(number: str) -> bool:
    """Whether a number has the digits of a telephone number and is not a fictional one."""
    n_digits = sum(c.isdigit() for c in number)
    return 9 <= n_digits <= 15 and not _FICTIONAL_PHONE.search(number)


CHECKS: Mapping[str, Callable[[str], bool]] = {
    check.__name__: check
    for check in (
        luhn, iban, national_id, jwt, random, no_example, password, random_password, mailbox, phone
    )
}  # fmt: skip
"""The tests by the names that `secrets.toml` uses."""


def _luhn_sum(digits: Sequence[int]) -> int:
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return sum(digits[-1::-2]) + sum(doubled)


def _weighted(digits: Sequence[int], weights: Sequence[int]) -> int:
    return sum(d * w for d, w in zip(digits, weights, strict=False))


def _codice_fiscale(plain: str) -> bool:
    odd = (
        1,
        0,
        5,
        7,
        9,
        13,
        15,
        17,
        19,
        21,
        2,
        4,
        18,
        20,
        11,
        3,
        6,
        8,
        12,
        14,
        16,
        10,
        22,
        25,
        24,
        23,
    )
    values = [int(c) if c.isdigit() else ord(c) - 65 for c in plain[:15]]
    total = sum(odd[v] if i % 2 == 0 else v for i, v in enumerate(values))
    return chr(65 + total % 26) == plain[15]


def _cpf(digits: Sequence[int]) -> bool:
    first = _weighted(digits[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(digits[:10], range(11, 1, -1)) * 10 % 11 % 10
    return [first, second] == list(digits[9:])


def _german_tax_id(digits: Sequence[int]) -> bool:
    product = 10
    for digit in digits[:10]:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    return digits[0] != 0 and (11 - product) % 10 == digits[10]


def _bits(text: str) -> float:
    """Shannon entropy in bits a character."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) if text else 0.0
