"""The certificate of an erasure: canonical JSON under an Ed25519 signature.

A certificate says what was looked for, where, and what was found, without saying what it
was: commitments stand for passages, names and addresses. Anybody can check it offline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragshield.errors import InputError
from ragshield.proof.behaviour import check_behaviour
from ragshield.proof.canonical import canonical, parse
from ragshield.proof.signing import SigningKey, key_id, signature_holds
from ragshield.proof.verdicts import VERDICTS, Verdict, overall, place_verdict

SCHEMA = "ragshield-certificate/1"
LIMITS = (
    "It says nothing about what the weights of any language model know or can repeat.",
    "It says nothing about places that are not listed: backups, replicas, caches, logs, "
    "exports, and copies that others made.",
    "Disks may keep old bytes where no program can reach them: spare blocks of SSDs, "
    "copies made by file systems, volume snapshots.",
    "What was to be erased is what the plan selected. A passage that carries the same and was "
    "not found by the plan is not covered.",
    "The signature shows that the holder of the key said this, and that nobody changed it. "
    "Whether the key is the operator's must be known from elsewhere: compare the key id.",
    "It was true at the time stated. What is stored again later is another matter: "
    "ragshield reverify looks again.",
)
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "schema": str,
    "tool": dict,
    "issued": str,
    "operator": dict,
    "requests": list,
    "closure": dict,
    "places": list,
    "comparison": (dict, type(None)),
    "undo": dict,
    "verdict": dict,
    "exceptions": list,
    "limits": list,
    "times": dict,
    "signature": dict,
}
_OPTIONAL = ("behaviour",)
"""`behaviour`: the summary of an audit, where one was made; see `ragshield.proof.behaviour`."""

_PLACE: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "surfaces": list,
    "n_texts": int,
    "n_vectors": int,
    "seen_before": (dict, type(None)),
    "verdict": str,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate whose signature holds.

    Attributes:
        content: all that it says.
        key_id: of the key that signed it.
        known: whether that is the key given; None where none was given, and then only
            the certificate's wholeness is shown, not who made it.
    """

    content: Mapping[str, Any]
    key_id: str
    known: bool | None

    @property
    def overall(self) -> Verdict:
        """The verdict on all places."""
        found: Verdict = self.content["verdict"]["overall"]
        return found


def issue(content: Mapping[str, Any], key: SigningKey) -> bytes:
    """The bytes of a certificate, to be written as they are.

    Args:
        content: all fields but `schema`, `operator`, `limits`, `verdict` and `signature`;
            `behaviour` may be left out.
        key: signs it.

    Raises:
        InputError: a field is missing.
        UsageError: something that JSON cannot hold.
    """
    places = [{**place, "verdict": place_verdict(place)} for place in content["places"]]
    stores = [place for place in places if place["kind"] != "copy"]
    whole = {
        **content,
        "schema": SCHEMA,
        "operator": {"key_id": key_id(key.public), "public_key": key.public.hex()},
        "places": places,
        "limits": list(LIMITS),
        "verdict": {"stores": overall(stores), "overall": overall(places)},
    }
    signature = key.sign(canonical(whole)).hex()
    whole["signature"] = {"algorithm": "Ed25519", "value": signature}
    _check_parts(whole)
    _check_places(whole)
    return canonical(whole) + b"\n"


def check(data: bytes, trusted: bytes | None = None) -> Checked:
    """Check a certificate: its form, its signature, and that its verdicts add up.

    Args:
        data: the file as it is, byte for byte.
        trusted: the operator's public key, 32 bytes, known from elsewhere.

    Raises:
        InputError: it is not valid; the message says why.
    """
    if not data.endswith(b"\n"):
        raise InputError("not a whole certificate: its last byte is missing")
    content = parse(data[:-1])
    _check_parts(content)
    signed = {key: value for key, value in content.items() if key != "signature"}
    public = _bytes_of(content["operator"].get("public_key"), 32, "the public key")
    signature = _bytes_of(content["signature"].get("value"), 64, "the signature")
    if set(content["signature"]) != {"algorithm", "value"}:
        raise InputError("the signature has fields that nothing vouches for")
    if content["signature"]["algorithm"] != "Ed25519":
        raise InputError("signed by another algorithm than Ed25519")
    if not signature_holds(public, signature, canonical(signed)):
        raise InputError("the signature does not belong to this content: it was changed")
    if content["operator"].get("key_id") != key_id(public):
        raise InputError("the key id does not belong to the key")
    _check_places(content)
    known = None if trusted is None else trusted == public
    if known is False:
        given = key_id(trusted or b"")
        raise InputError(f"signed by another key than the one given: {key_id(public)}, not {given}")
    return Checked(content, key_id(public), known)


def read_certificate(path: Path, trusted: bytes | None = None) -> Checked:
    """Read and check a certificate file.

    Raises:
        InputError: unreadable or not valid.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return check(data, trusted)
    except InputError as error:
        raise InputError(f"{path} is not valid: {error}") from error


def _check_parts(content: Any) -> None:
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"no certificate: its schema is not {SCHEMA}")
    _check_fields(content, _TYPES, "")
    if "behaviour" in content:
        check_behaviour(content["behaviour"])


def _check_places(content: Mapping[str, Any]) -> None:
    for i, place in enumerate(content["places"]):
        if not isinstance(place, dict):
            raise InputError(f"places[{i}] is no object")
        _check_fields(place, _PLACE, f"places[{i}].")
        for surface in place["surfaces"]:
            if not isinstance(surface, dict) or surface.get("verdict") not in VERDICTS:
                raise InputError(f"places[{i}] has a surface without one of the five verdicts")
        if place["verdict"] != place_verdict(place):
            raise InputError(f"places[{i}] claims {place['verdict']}; its surfaces say otherwise")
    stores = [place for place in content["places"] if place.get("kind") != "copy"]
    said = {"stores": overall(stores), "overall": overall(content["places"])}
    if content["verdict"] != said:
        raise InputError(f"it claims {content['verdict']!s:.60}; its places say {said}")


def _check_fields(
    record: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]], where: str
) -> None:
    for name, kind in types.items():
        if name not in record:
            raise InputError(f"'{where}{name}' is missing")
        if not isinstance(record[name], kind):
            raise InputError(f"'{where}{name}' is of the wrong type")
    if where == "" and (extra := set(record) - set(types) - set(_OPTIONAL)):
        raise InputError(f"unknown field '{min(extra)}'")


def _bytes_of(value: Any, n: int, what: str) -> bytes:
    try:
        raw = bytes.fromhex(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is not hexadecimal") from error
    if len(raw) != n or raw.hex() != value:
        raise InputError(f"{what} is not {n} bytes in lower-case hexadecimal")
    return raw
