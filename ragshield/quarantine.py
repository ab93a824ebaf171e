"""Where rejected passages wait for a person: a file that loses nothing until told to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ragshield.errors import InputError, UsageError
from ragshield.journal import Journal
from ragshield.records import Action, Batch, Finding, Passage, Vector, Vectors

SCHEMA = "ragshield-quarantine/1"

_Key: TypeAlias = tuple[str, str]
_FINDING_FIELDS = tuple(field.name for field in fields(Finding))


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """One passage in quarantine.

    Attributes:
        passage: as it arrived.
        findings: why it was rejected; at least one.
        time: when, ISO 8601 in UTC.
        vector: its embedding, (dim,) float32, where it had one.
        store: url of the store that it was taken out of; None if it never was in one.
    """

    passage: Passage
    findings: tuple[Finding, ...]
    time: str
    vector: Vector | None = None
    store: str | None = None


class Quarantine:
    """Rejected passages in a JSON Lines file, with the reasons for each.

    The file is appended to: a release is one more line. Only `purge` takes text out of
    it. Each change is on disk when the call returns. Many threads and, where the system
    has fcntl, many processes may use one file. A text held twice under one id is listed
    once; another text under the same id is listed beside it.

    Args:
        path: the file; made at the first rejection. Its folder must exist.

    Raises:
        UsageError: the file could not be written.
        InputError: the file exists and is no quarantine.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._journal = Journal(self.path, SCHEMA)
        self.list()  # refuse another kind of file before anything depends on it

    def hold(
        self,
        passages: Sequence[Passage],
        findings: Mapping[str, Sequence[Finding]],
        vectors: Vectors | None = None,
        *,
        store: str | None = None,
    ) -> None:
        """Put passages away, each with the findings under its id.

        Args:
            passages: any number.
            findings: passage id to the reasons; each passage needs at least one.
            vectors: (n, dim), row i belonging to passage i; None to keep none. A row of
                NaN is kept as no vector.
            store: url of the store that they are taken out of, if they are.

        Raises:
            UsageError: a passage without a finding.
            IncompleteError: the disk refused; what the file held before is intact.
        """
        records = []
        for i, passage in enumerate(passages):
            reasons = findings.get(passage.id)
            if not reasons:
                raise UsageError(f"passage '{passage.id}' has no finding; a rejection needs one")
            row = None if vectors is None or np.isnan(vectors[i]).any() else vectors[i]
            vector = None if row is None else [float(x) for x in row]
            records.append(_record(passage, reasons, vector, store))
        if records:
            with self._journal.changing() as journal:
                journal.append(records)

    def list(self) -> list[Held]:
        """What is held and neither released nor discarded, oldest first."""
        with self._journal.reading() as records:
            return list(self._pending(records).values())

    def find(self, ids: Iterable[str]) -> tuple[Held, ...]:
        """What is held under these ids, the newest text of each, in the order asked.

        Raises:
            UsageError: an id that is not held.
        """
        return self._newest(self.list(), ids)

    def release(self, ids: Iterable[str]) -> Batch:
        """Take passages out, to be added to a store after all.

        Where one id holds several texts, the newest is released; the others stay.

        Args:
            ids: ids of held passages.

        Returns:
            The passages in the order of `ids`; with vectors if every one has its own.

        Raises:
            UsageError: an id that is not held; nothing is released then.
        """
        return batch_of(self._end("released", ids))

    def purge(self, ids: Iterable[str]) -> int:
        """Remove passages for good: no text and no vector of theirs stays in the file.

        Every text ever held under these ids goes, released ones too. The file is written
        anew, whole or not at all; what the disk keeps of the old one is up to the disk.

        Returns:
            How many held passages that were.

        Raises:
            UsageError: an id that is not held; nothing is purged then.
            IncompleteError: the disk refused; the file is as it was.
        """
        with self._journal.changing() as journal:
            records = list(journal.records())
            pending = self._pending(iter(records))
            gone = {item.passage.id for item in self._newest(pending.values(), ids)}
            kept = [record for _, record in records if _id_of(record) not in gone]
            kept += [{"event": "purged", "time": _now(), "id": name} for name in sorted(gone)]
            journal.rewrite(kept)
        return sum(key[0] in gone for key in pending)

    def _end(self, event: str, ids: Iterable[str]) -> tuple[Held, ...]:
        with self._journal.changing() as journal:
            ended = self._newest(self._pending(journal.records()).values(), ids)
            journal.append([_end_record(event, held.passage) for held in ended])
        return ended

    def _newest(self, held: Iterable[Held], ids: Iterable[str]) -> tuple[Held, ...]:
        newest = {item.passage.id: item for item in held}
        wanted = tuple(dict.fromkeys([ids] if isinstance(ids, str) else ids))
        for passage_id in wanted:
            if passage_id not in newest:
                raise UsageError(f"passage '{passage_id}' is not held in {self.path}")
        return tuple(newest[passage_id] for passage_id in wanted)

    def _pending(self, records: Iterator[tuple[int, Any]]) -> dict[_Key, Held]:
        pending: dict[_Key, Held] = {}
        for number, record in records:
            try:
                if record["event"] == "held":
                    held = _held(record)
                    pending.pop(_key(held.passage), None)  # so that the newest is last
                    pending[_key(held.passage)] = held
                elif record["event"] != "purged":
                    pending.pop((record["id"], record["text_sha256"]), None)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.path}, line {number}: not a quarantine record ({error!s:.80})"
                ) from error
        return pending


def batch_of(held: Sequence[Held]) -> Batch:
    """Held passages as a batch, with vectors if every one has its own."""
    rows = [item.vector for item in held if item.vector is not None]
    complete = bool(rows) and len(rows) == len(held) and len({len(row) for row in rows}) == 1
    return Batch(tuple(item.passage for item in held), np.stack(rows) if complete else None)


def _record(
    passage: Passage,
    findings: Sequence[Finding],
    vector: Sequence[float] | None,
    store: str | None,
) -> dict[str, Any]:
    return {
        "event": "held",
        "time": _now(),
        "store": store,
        "passage": {
            "id": passage.id,
            "text": passage.text,
            "source": passage.source,
            "meta": dict(passage.meta),
        },
        "findings": [
            {
                **{name: getattr(finding, name) for name in _FINDING_FIELDS},
                "evidence": dict(finding.evidence),
            }
            for finding in findings
        ],
        "vector": vector,
    }


def _end_record(event: str, passage: Passage) -> dict[str, Any]:
    passage_id, text_sha256 = _key(passage)
    return {"event": event, "time": _now(), "id": passage_id, "text_sha256": text_sha256}


def _held(record: Mapping[str, Any]) -> Held:
    findings = tuple(
        Finding(**{**finding, "action": Action(finding["action"])})
        for finding in record["findings"]
    )
    vector = record["vector"]
    row = None if vector is None else np.array(vector, dtype=np.float32)
    return Held(Passage(**record["passage"]), findings, record["time"], row, record.get("store"))


def _id_of(record: Mapping[str, Any]) -> Any:
    passage = record.get("passage")
    return passage["id"] if isinstance(passage, dict) else record.get("id")


def _key(passage: Passage) -> _Key:
    text = passage.text.encode("utf-8", "surrogatepass")
    return passage.id, hashlib.sha256(text).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
