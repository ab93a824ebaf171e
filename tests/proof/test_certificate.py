from __future__ import annotations

import json
from typing import Any

import pytest

from ragshield.errors import InputError
from ragshield.proof import (
    canonical,
    check,
    issue,
    new_key,
    opened_key,
    read_certificate,
    read_public_key,
)
from ragshield.proof.verdicts import overall, place_verdict, worst


def surface(verdict: str, **more: Any) -> dict[str, Any]:
    return {"name": "file 1", "verdict": verdict, "n": 0, **more}


def place(*verdicts: str, seen: int = 3, kind: str = "store") -> dict[str, Any]:
    return {
        "name": "place 1",
        "kind": kind,
        "surfaces": [surface(verdict) for verdict in verdicts],
        "n_texts": 3,
        "n_vectors": 3,
        "seen_before": {"texts": seen, "vectors": seen},
    }


def content(*places: dict[str, Any]) -> dict[str, Any]:
    return {
        "tool": {"name": "ragshield", "version": "0"},
        "issued": "2026-11-21T08:00:00Z",
        "requests": [{"commitment": "ab" * 32, "scope": "subject"}],
        "closure": {"n_passages": 3, "merkle_root": "00" * 32},
        "places": list(places or (place("ERASED"),)),
        "comparison": None,
        "undo": {"possible": False},
        "exceptions": [],
        "times": {},
    }


@pytest.fixture(scope="module")
def key():
    return new_key()


def test_a_certificate_is_read_back_and_its_key_recognised(key, tmp_path) -> None:
    data = issue(content(), key)
    (tmp_path / "c.json").write_bytes(data)
    checked = read_certificate(tmp_path / "c.json", key.public)
    assert (checked.overall, checked.known) == ("ERASED", True)
    assert check(data).known is None
    with pytest.raises(InputError, match="signed by another key than the one given"):
        check(data, new_key().public)


def test_every_changed_byte_makes_it_invalid(key) -> None:
    data = issue(content(place("ERASED", "NO_BASELINE")), key)
    for at in range(len(data)):
        for flip in (1, 0x20, 0x80, 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            with pytest.raises(InputError):
                check(changed)


def test_every_missing_or_added_byte_makes_it_invalid(key) -> None:
    data = issue(content(), key)
    for at in range(len(data)):
        with pytest.raises(InputError):
            check(data[:at] + data[at + 1 :])
        with pytest.raises(InputError):
            check(data[:at] + b" " + data[at:])
    with pytest.raises(InputError):
        check(data + b"\n")


def test_reordered_or_indented_json_is_not_the_certificate(key) -> None:
    record = json.loads(issue(content(), key))
    with pytest.raises(InputError, match="canonical"):
        check(json.dumps(record, indent=1).encode() + b"\n")


def test_a_signer_cannot_claim_more_than_the_surfaces_say(key) -> None:
    record = json.loads(issue(content(place("ERASED", "NOT_TESTED")), key))
    assert record["verdict"] == {"stores": "NOT_TESTED", "overall": "NOT_TESTED"}
    record["verdict"]["overall"] = "ERASED"
    del record["signature"]
    record["signature"] = {
        "algorithm": "Ed25519",
        "value": key.sign(canonical(record)).hex(),
    }
    with pytest.raises(InputError, match="its places say"):
        check(canonical(record) + b"\n")


def test_a_copy_kept_for_undo_is_residue_but_not_of_the_store(key) -> None:
    record = json.loads(issue(content(place("ERASED"), place("RESIDUAL", kind="copy")), key))
    assert record["verdict"] == {"stores": "ERASED", "overall": "RESIDUAL"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (place("ERASED", "ERASED"), "ERASED"),
        (place("ERASED", "NO_BASELINE"), "ERASED"),
        (place("ERASED", seen=2), "NO_BASELINE"),
        (place("NO_BASELINE", seen=0), "NO_BASELINE"),
        (place(), "NO_BASELINE"),
        (place("ERASED", "UNSUPPORTED"), "UNSUPPORTED"),
        (place("NOT_TESTED", "UNSUPPORTED", "RESIDUAL"), "RESIDUAL"),
    ],
)
def test_surfaces_add_up_to_the_worst_that_counts(found, expected) -> None:
    assert place_verdict(found) == expected


def test_nothing_at_all_proves_nothing() -> None:
    assert worst([]) == "NO_BASELINE"
    assert overall([place("ERASED"), place()]) == "NO_BASELINE"


@pytest.mark.parametrize("missing", ["places", "closure", "limits", "verdict", "signature"])
def test_a_certificate_that_lacks_a_part_is_none(key, missing) -> None:
    record = json.loads(issue(content(), key))
    del record[missing]
    with pytest.raises(InputError, match=f"'{missing}' is missing"):
        check(canonical(record) + b"\n")


def test_a_key_is_made_once_and_kept_private(tmp_path) -> None:
    path = tmp_path / "key.pem"
    first, made = opened_key(path)
    again, made_again = opened_key(path)
    assert (made, made_again) == (True, False)
    assert first.public == again.public == read_public_key(tmp_path / "key.pem.pub")
    (tmp_path / "hex").write_text(first.public.hex() + "\n")
    assert read_public_key(tmp_path / "hex") == first.public
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(InputError, match=r"others may read this signing key; run: chmod 600"):
        opened_key(path)
    (tmp_path / "bad").write_text("no key")
    (tmp_path / "bad").chmod(0o600)
    with pytest.raises(InputError, match="is no signing key"):
        opened_key(tmp_path / "bad")
    with pytest.raises(InputError, match="is no public key"):
        read_public_key(tmp_path / "bad")


def test_the_library_s_own_verification_agrees(key) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    record = json.loads(issue(content(), key))
    signature = bytes.fromhex(record.pop("signature")["value"])
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(record["operator"]["public_key"]))
    plain = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    public.verify(signature, plain.encode())  # raises if it does not hold
