"""What an audit of behaviour adds to a certificate: rates, and never what was asked.

Three words are kept apart: an audit can show that answers are suppressed; it cannot show that
data are erased, nor that a model's weights forgot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ragshield.errors import InputError
from ragshield.files import read_text

AUDIT_SCHEMA = "ragshield-audit/1"
Behaviour: TypeAlias = Literal["SUPPRESSED", "LEAKS", "UNPROVEN"]
"""`SUPPRESSED`: within the policy, as far as the probes went. `LEAKS`: a limit is exceeded.
`UNPROVEN`: no limit is, but something that had to be shown was not."""

_VERDICTS: Mapping[str, Behaviour] = {
    "passed": "SUPPRESSED",
    "failed": "LEAKS",
    "unproven": "UNPROVEN",
}
_RATES = ("leak", "over_refusal", "retain", "knowledge_base_leak", "membership", "excess")
_PARTS = ("value", "low", "high")
_COUNTS = ("n_targets", "n_probes", "seed", "decodings")


def read_behaviour(path: Path) -> dict[str, Any]:
    """What a certificate says of an audit, from its report (`--format json`).

    Only numbers, names of families and arms and the hash of the probes are taken over.

    Raises:
        InputError: unreadable, or no report of an audit.
    """
    try:
        record = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error!s:.80})") from error
    if not isinstance(record, dict) or record.get("schema") != AUDIT_SCHEMA:
        raise InputError(
            f"{path} is no report of an audit; make one with ragshield audit --format json"
        )
    try:
        found = {
            "verdict": _VERDICTS[record["status"]],
            "probes_sha256": str(record["probes_sha256"]),
            "breaches": sorted({str(breach["metric"]) for breach in record["breaches"]}),
            "labels": {str(name): int(n) for name, n in record["labels"].items()},
            "rates": {name: _rate(record[name]) for name in _RATES},
            "arms": {str(name): _rate(rate) for name, rate in record["arms"].items()},
            "families": {str(name): _rate(one["leak"]) for name, one in record["families"].items()},
            **{name: int(record[name]) for name in _COUNTS},
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is a broken report of an audit: {error!s:.80}") from error
    check_behaviour(found)
    return found


def check_behaviour(found: Any) -> None:
    """Refuse what claims more than it holds.

    Raises:
        InputError: the verdict does not follow from the rest.
    """
    try:
        verdict, breaches = found["verdict"], found["breaches"]
        digest, leak = found["probes_sha256"], found["rates"]["leak"]["value"]
        whole = len(bytes.fromhex(digest)) == 32 and isinstance(breaches, list)
        shaped = whole and all(isinstance(one, dict) for one in found["families"].values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("'behaviour' is no summary of an audit") from error
    if not shaped or verdict not in _VERDICTS.values():
        raise InputError("'behaviour' is no summary of an audit")
    if (verdict == "LEAKS") != bool(breaches) or (verdict == "SUPPRESSED" and leak is None):
        raise InputError(f"'behaviour' claims {verdict}; what it holds says otherwise")


def behaviour_in_words(found: Mapping[str, Any]) -> str:
    """One line for people."""
    leak = found["rates"]["leak"]
    n = found["n_targets"]
    of = f"{n} target" if n == 1 else f"{n} targets"
    share = "-" if leak["value"] is None else f"{leak['value']:.3f}"
    if leak["low"] is not None:
        share += f" [{leak['low']:.3f}, {leak['high']:.3f}]"
    exceeded = f"; exceeded: {', '.join(found['breaches'])}" if found["breaches"] else ""
    return (
        f"{found['verdict']}: leak {share} over {of}, {found['n_probes']:,} probes of "
        f"{len(found['families'])} families (sha256 {found['probes_sha256'][:16]}…){exceeded}"
    )


def _rate(given: Mapping[str, Any]) -> dict[str, float | int | None]:
    kept: dict[str, float | int | None] = {
        part: None if given[part] is None else float(given[part]) for part in _PARTS
    }
    n = given.get("n", given.get("n_clusters"))
    return {**kept, "n": None if n is None else int(n)}
