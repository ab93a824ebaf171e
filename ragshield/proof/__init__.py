"""Proof of an erasure: canonical JSON, Merkle trees, commitments, signatures, certificates."""

from ragshield.proof.canonical import canonical
from ragshield.proof.certificate import Checked, check, issue, read_certificate
from ragshield.proof.commitments import Commitments, Shown, belongs, new_salt, show
from ragshield.proof.merkle import Inclusion, included, inclusion, merkle_root
from ragshield.proof.secret import Secret, make_secret, read_secret, write_secret
from ragshield.proof.signing import SigningKey, key_id, new_key, opened_key, read_public_key
from ragshield.proof.verdicts import VERDICTS, Verdict, overall, place_verdict, worst

__all__ = [
    "VERDICTS",
    "Checked",
    "Commitments",
    "Inclusion",
    "Secret",
    "Shown",
    "SigningKey",
    "Verdict",
    "belongs",
    "canonical",
    "check",
    "included",
    "inclusion",
    "issue",
    "key_id",
    "make_secret",
    "merkle_root",
    "new_key",
    "new_salt",
    "opened_key",
    "overall",
    "place_verdict",
    "read_certificate",
    "read_public_key",
    "read_secret",
    "show",
    "worst",
    "write_secret",
]
