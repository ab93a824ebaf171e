"""The plan as a record and as a JSON file that a person may read and edit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ragshield.errors import InputError, UsageError
from ragshield.files import read_text, writing
from ragshield.records import Passage

SCHEMA = "ragshield-forget-plan"
VERSION = 1
EXCERPT_CHARS = 160
LIMITS = (
    "Deleting takes passages out of retrieval. It does not erase the bytes on disk yet "
    "(Chroma keeps deleted texts and vectors in its files), the snapshot made first holds "
    "every deleted passage, and this plan quotes them. No model's weights forget anything."
)


@dataclass(frozen=True, slots=True)
class PlanItem:
    """A passage that would go, or that a person should look at.

    Attributes:
        passage_id: its id in the store.
        selected: whether `apply` deletes it; edit the plan file to change that.
        confidence: that it carries what is to be forgotten, (0, 1].
        reason: why it is here.
        related_to: ids of passages it was found through.
        sha256: of its text, source and metadata when planned; `apply` refuses if it has changed.
        text: its first 160 characters.
    """

    passage_id: str
    selected: bool
    confidence: float
    reason: str
    related_to: tuple[str, ...]
    sha256: str
    text: str


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A near neighbour that stays: what answers about it rest on may come closer to going.

    Attributes:
        passage_id: its id.
        similarity: cosine to the nearest passage that would go, [-1, 1].
        near: that passage's id.
        text: its first 160 characters.
    """

    passage_id: str
    similarity: float
    near: str
    text: str


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """What would go and why. Making one changes nothing.

    Attributes:
        store_url: the store it was made for.
        created: when, ISO 8601, UTC.
        subject: name to be forgotten; None for a plan by ids.
        aliases: other names of the subject.
        ids: ids asked for; empty for a plan by subject.
        unknown_ids: ids asked for that the store does not hold.
        n_passages: passages in the store.
        items: selected passages first, then those for review, most certain first.
        at_risk: nearest neighbours that stay, nearest first.
        path: the file it was written to or read from; None if neither.
    """

    store_url: str
    created: str
    subject: str | None
    aliases: tuple[str, ...]
    ids: tuple[str, ...]
    unknown_ids: tuple[str, ...]
    n_passages: int
    items: tuple[PlanItem, ...]
    at_risk: tuple[AtRisk, ...]
    path: Path | None = None

    @property
    def selected(self) -> tuple[PlanItem, ...]:
        """What `apply` deletes."""
        return tuple(item for item in self.items if item.selected)

    @property
    def review(self) -> tuple[PlanItem, ...]:
        """What is uncertain and stays unless a person selects it."""
        return tuple(item for item in self.items if not item.selected)


def content_hash(passage: Passage) -> str:
    """SHA-256 of a passage's text, source and metadata.

    Not of its vector: stores that normalise give back other last bits after a restore.
    """
    content = [passage.text, passage.source, sorted(passage.meta.items())]
    return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()


def to_json(plan: ForgetPlan) -> str:
    """The plan as indented JSON."""
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "store": plan.store_url,
        "created": plan.created,
        "target": {"subject": plan.subject, "aliases": plan.aliases, "ids": plan.ids},
        "unknown_ids": plan.unknown_ids,
        "counts": {
            "passages": plan.n_passages,
            "selected": len(plan.selected),
            "review": len(plan.review),
            "at_risk": len(plan.at_risk),
        },
        "limits": LIMITS,
        "items": [asdict(item) for item in plan.items],
        "at_risk": [asdict(neighbour) for neighbour in plan.at_risk],
    }
    text = json.dumps(record, indent=2, ensure_ascii=False)
    # A lone surrogate in a broken text cannot be written as UTF-8, only escaped.
    return text if _is_utf8(text) else json.dumps(record, indent=2)


def write_plan(plan: ForgetPlan, path: Path) -> ForgetPlan:
    """Write the plan file, whole or not at all; gives the plan that knows its file.

    Raises:
        UsageError: the file cannot be written, or holds a plan that was applied.
    """
    journal = path.with_name(f"{path.name}.journal")
    if journal.exists() and journal.stat().st_size:
        raise UsageError(
            f"{path} was applied, and {journal.name} beside it leads back; "
            "write the new plan to another file"
        )
    with writing(path) as file:
        file.write(to_json(plan) + "\n")
    return replace(plan, path=path)


def read_plan(path: Path) -> ForgetPlan:
    """Read a plan file.

    Raises:
        InputError: missing, not JSON, another schema or version, or a field that is
            missing or of the wrong type; the message names it.
    """
    try:
        record = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
    fields = _Fields(record, path, "")
    if fields.get("schema", str) != SCHEMA:
        raise InputError(f"{path}: schema is '{record['schema']}', expected '{SCHEMA}'")
    if fields.get("version", int) != VERSION:
        raise InputError(
            f"{path}: plan version is {record['version']}, this ragshield reads {VERSION}; "
            "plan again"
        )
    target = fields.inner("target")
    items = []
    for item in fields.each("items"):
        items.append(
            PlanItem(
                passage_id=item.get("passage_id", str),
                selected=item.get("selected", bool),
                confidence=float(item.get("confidence", (int, float))),
                reason=item.get("reason", str),
                related_to=item.strings("related_to"),
                sha256=item.get("sha256", str),
                text=item.get("text", str),
            )
        )
    ids = [item.passage_id for item in items]
    if len(set(ids)) < len(ids):
        repeated = next(passage_id for passage_id in ids if ids.count(passage_id) > 1)
        raise InputError(f"{path}: passage '{repeated}' is listed twice; plan again")
    at_risk = tuple(
        AtRisk(
            passage_id=near.get("passage_id", str),
            similarity=float(near.get("similarity", (int, float))),
            near=near.get("near", str),
            text=near.get("text", str),
        )
        for near in fields.each("at_risk")
    )
    return ForgetPlan(
        store_url=fields.get("store", str),
        created=fields.get("created", str),
        subject=target.get("subject", (str, type(None))),
        aliases=target.strings("aliases"),
        ids=target.strings("ids"),
        unknown_ids=fields.strings("unknown_ids"),
        n_passages=fields.inner("counts").get("passages", int),
        items=tuple(items),
        at_risk=at_risk,
        path=path,
    )


class _Fields:
    """A JSON object read field by field, with errors that say where."""

    def __init__(self, record: Any, path: Path, where: str) -> None:
        if not isinstance(record, Mapping):
            raise InputError(f"{path}: {where or 'the file'} must be a JSON object; plan again")
        self.record, self.path, self.where = record, path, where

    def get(self, name: str, kind: type | tuple[type, ...]) -> Any:
        label = f"{self.where}.{name}" if self.where else name
        if name not in self.record:
            raise InputError(f"{self.path}: '{label}' is missing; plan again")
        value = self.record[name]
        # bool is an int to Python, not to a reader of the file.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            wanted = kind[0].__name__ if isinstance(kind, tuple) else kind.__name__
            raise InputError(f"{self.path}: '{label}' is {value!r:.40}, expected {wanted}")
        return value

    def inner(self, name: str) -> _Fields:
        return _Fields(self.get(name, dict), self.path, name)

    def each(self, name: str) -> list[_Fields]:
        values = self.get(name, list)
        return [_Fields(value, self.path, f"{name}[{i}]") for i, value in enumerate(values)]

    def strings(self, name: str) -> tuple[str, ...]:
        values = self.get(name, list)
        if not all(isinstance(value, str) for value in values):
            raise InputError(f"{self.path}: '{name}' must be a list of strings")
        return tuple(values)


def listed(ids: Sequence[str], n: int = 5) -> str:
    """The first ids, for a message."""
    more = f" and {len(ids) - n} more" if len(ids) > n else ""
    return ", ".join(f"'{x}'" for x in ids[:n]) + more


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
