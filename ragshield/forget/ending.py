"""The end of an applied plan: its certificate, and closing the way back for good."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ragshield.errors import UsageError
from ragshield.files import check_writable, writing
from ragshield.forget.erasure.certifying import content_of, copies_of, secret_of, undo_of
from ragshield.forget.plans.file import SCHEMA, VERSION, read_plan
from ragshield.forget.saved.history import State, journal_of, known_state, state_of
from ragshield.forget.saved.rounds import Round, now, selection_of, told_of_disk
from ragshield.forget.saved.sealing import destroy, unfinished
from ragshield.journal import OpenJournal
from ragshield.proof import SigningKey, Verdict, check, issue, write_secret
from ragshield.proof.behaviour import read_behaviour
from ragshield.stores.keeping import keeping_reads

LEFTOVERS = (
    "The snapshot, its key and the plan were overwritten and removed. What an SSD keeps in spare "
    "blocks, and what backups, volume snapshots or copying file systems hold of them, is "
    "beyond the reach of any program."
)


@dataclass(frozen=True, slots=True)
class Ended:
    """What `finish` did.

    Attributes:
        certificate: the file; None if none was asked for.
        secret: the file that goes with it; None if none was written.
        stores: the verdict on the stores.
        overall: the verdict on all places, ragshield's own copies among them.
        destroyed: whether the way back is closed.
    """

    certificate: Path | None
    secret: Path | None
    stores: Verdict | None
    overall: Verdict | None
    destroyed: bool


def finish(
    plans: Sequence[Path],
    *,
    final: bool = False,
    certificate: Path | None = None,
    signing_key: SigningKey | None = None,
    secret: Path | None = None,
    audit: Path | None = None,
) -> Ended:
    """Issue a certificate for applied plans, close the way back, or both.

    Closing: the snapshot's key is overwritten and removed, then the snapshot, then what the
    plan file quotes. From the moment it begins, `undo` refuses; killed on the way, the same
    call finishes it. A certificate issued together says that undo is impossible; one issued
    before lists the snapshot as what it is, a copy.

    Args:
        plans: files of plans that `apply_plan` has finished.
        final: close the way back.
        certificate: file to write.
        signing_key: signs it.
        secret: file for the salt and keyed hashes; `CERTIFICATE.secret` if not given.
        audit: report of `ragshield audit --format json`, made after the plans were applied;
            its rates go into the certificate.

    Raises:
        InputError: `audit` is no such report.
        UsageError: a plan was not applied to its end, or a file cannot be written, or a
            certificate is asked of plans that were made final without one.
        IncompleteError: something could not be destroyed; call again.
    """
    if certificate is not None and signing_key is None:
        raise UsageError("a certificate needs a signing key")
    if audit is not None and certificate is None:
        raise UsageError("an audit goes into a certificate; name a file for one")
    behaviour = None if audit is None else read_behaviour(audit)
    for path in (certificate, secret):
        if path is not None:
            check_writable(path)
    if certificate is not None and secret is None:
        secret = certificate.with_name(f"{certificate.name}.secret")
    with told_of_disk(), keeping_reads(), ExitStack() as stack:
        opened: list[tuple[Path, OpenJournal]] = []
        for path in sorted(plans, key=lambda p: str(p.resolve())):
            opened.append((path, stack.enter_context(journal_of(path).changing())))
        states = [state_of(steps, journal_of(path).path) for path, steps in opened]
        for (path, _), state in zip(opened, states, strict=True):
            if not (state.finished or state.destroyed):
                raise UsageError(f"{path} was not applied to its end; apply it first")
        content, written = _content(opened, states, secret if certificate else None)
        if final:
            for i, (path, steps) in enumerate(opened):
                _close(path, steps, states[i], content if i == 0 else None)
        destroyed = all(state.destroyed for state in states) or final
        if certificate is None or signing_key is None:
            return Ended(None, None, None, None, destroyed)
        if content is not None and behaviour is not None:
            content = {**content, "behaviour": behaviour}
        return _issued(opened, content, certificate, signing_key, written, destroyed)


def _content(
    opened: Sequence[tuple[Path, OpenJournal]], states: Sequence[State], secret: Path | None
) -> tuple[dict[str, Any] | None, Path | None]:
    """What certificates are made of; from the journal where the plans are final already."""
    kept = [s.evidence["finalising"].get("content") for s in states if s.destroyed]
    if known := next((one for one in kept if one), None):
        return known, secret if secret is not None and secret.exists() else None
    if any(state.destroyed for state in states):
        if secret is None:
            return None, None
        raise UsageError(
            "made final without a certificate: the salt it needs was destroyed with the key"
        )
    if secret is None:
        return None, None
    rounds = [Round(selection_of(read_plan(path), include_review=True), s) for path, s in opened]
    made = secret_of(rounds)
    write_secret(made, secret)
    return content_of(rounds, made), secret


def _close(path: Path, steps: OpenJournal, state: State, content: dict[str, Any] | None) -> None:
    """Destroy the key, the snapshot and the plan's quotes, in this order."""
    if state.step == "final":
        return
    if not state.destroyed:
        record: dict[str, Any] = {"step": "finalising", "time": now()}
        steps.append([{**record, "content": content} if content else record])
    for file in (state.key, state.snapshot):
        if file is not None:
            destroy(file)
            destroy(unfinished(file))
    _redact(path)
    steps.append([{"step": "final", "time": now()}])


def _redact(path: Path) -> None:
    """Leave of the plan file that there was one; what it quoted is overwritten."""
    destroy(path)
    record = {
        "schema": SCHEMA,
        "version": VERSION,
        "final": now(),
        "note": "This plan was applied and made final. What it quoted was removed from it.",
    }
    with writing(path) as file:
        file.write(json.dumps(record, indent=2) + "\n")


def _issued(
    opened: Sequence[tuple[Path, OpenJournal]],
    content: dict[str, Any] | None,
    certificate: Path,
    key: SigningKey,
    secret: Path | None,
    destroyed: bool,
) -> Ended:
    if content is None:
        raise UsageError("there is nothing to certify")
    copies = copies_of(content, destroyed=destroyed)
    whole = {
        **content,
        "issued": now(),
        "places": [*content["places"], copies],
        "undo": undo_of(destroyed=destroyed),
    }
    data = issue(whole, key)
    with writing(certificate) as file:
        file.write(data.decode("utf-8"))
    for _, steps in opened:
        digest = sha256(data).hexdigest()
        steps.append([{"step": "certified", "time": now(), "sha256": digest}])
    verdict = check(data).content["verdict"]
    return Ended(certificate, secret, verdict["stores"], verdict["overall"], destroyed)


def is_final(path: Path) -> bool:
    """Whether a plan was made final, or that was begun."""
    journal = path.with_name(f"{path.name}.journal")
    return journal.exists() and known_state(path).destroyed
