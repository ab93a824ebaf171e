"""The plan as a JSON file that a person may read and edit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

from ragshield.errors import InputError, UsageError
from ragshield.files import read_text, writing
from ragshield.forget.plans.records import (
    Artefact,
    ArtefactKind,
    AtRisk,
    Elsewhere,
    ForgetPlan,
    Kept,
    PlanItem,
    Scope,
    Shared,
    SharedFact,
)
from ragshield.protocols import Cost
from ragshield.records import Passage

SCHEMA = "ragshield-forget-plan"
VERSION = 2
_READ = (1, VERSION)
LIMITS = (
    "A plan changes nothing. It finds what the rules it states can find: look at the review "
    "list. It quotes what is to be forgotten, so remove it too in the end. Deleting from a "
    "store does not erase the bytes on disk by itself, and no model's weights forget anything."
)


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
        "scope": plan.scope,
        "shared": plan.shared,
        "request": plan.request,
        "target": {"subject": plan.subject, "aliases": plan.aliases, "ids": plan.ids},
        "unknown_ids": plan.unknown_ids,
        "counts": {
            "passages": plan.n_passages,
            "selected": len(plan.selected),
            "review": len(plan.review),
            "at_risk": len(plan.at_risk),
            "shared_facts": len(plan.shared_facts),
            "elsewhere": sum(len(other.selected) for other in plan.elsewhere),
            "artefacts": sum(artefact.selected for artefact in plan.artefacts),
        },
        "cost": None if plan.cost is None else plan.cost._asdict(),
        "notes": plan.notes,
        "limits": LIMITS,
        "items": [asdict(item) for item in plan.items],
        "at_risk": [asdict(neighbour) for neighbour in plan.at_risk],
        "shared_facts": [asdict(fact) for fact in plan.shared_facts],
        "kept": [asdict(kept) for kept in plan.kept],
        "elsewhere": [
            {
                "store": other.store_url,
                "passages": other.n_passages,
                "items": [asdict(item) for item in other.items],
            }
            for other in plan.elsewhere
        ],
        "artefacts": [asdict(artefact) for artefact in plan.artefacts],
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
    version = fields.get("version", int)
    if version not in _READ:
        raise InputError(
            f"{path}: plan version is {version}, this ragshield reads "
            f"{' and '.join(map(str, _READ))}; plan again"
        )
    target = fields.inner("target")
    subject = target.get("subject", (str, type(None)))
    plan = ForgetPlan(
        store_url=fields.get("store", str),
        created=fields.get("created", str),
        subject=subject,
        aliases=target.strings("aliases"),
        ids=target.strings("ids"),
        unknown_ids=fields.strings("unknown_ids"),
        n_passages=fields.inner("counts").get("passages", int),
        items=_items(fields, "items"),
        at_risk=tuple(
            AtRisk(
                passage_id=near.get("passage_id", str),
                similarity=float(near.get("similarity", (int, float))),
                near=near.get("near", str),
                text=near.get("text", str),
            )
            for near in fields.each("at_risk")
        ),
        path=path,
        # Version 1 knew subjects and documents, and told facts of neither.
        scope="document" if subject is None else "subject",
    )
    return plan if version == 1 else _second_version(plan, fields)


def _second_version(plan: ForgetPlan, fields: _Fields) -> ForgetPlan:
    cost = fields.inner("cost") if fields.get("cost", (dict, type(None))) else None
    return replace(
        plan,
        scope=fields.one_of("scope", get_args(Scope)),
        shared=fields.one_of("shared", get_args(Shared)),
        request=fields.get("request", dict),
        shared_facts=tuple(
            SharedFact(
                text=fact.get("text", str),
                about=fact.get("about", str),
                value=fact.get("value", str),
                stated_in=fact.get("stated_in", str),
                also_in=fact.strings("also_in"),
                n_also=fact.get("n_also", int),
            )
            for fact in fields.each("shared_facts")
        ),
        kept=tuple(
            Kept(
                passage_id=kept.get("passage_id", str),
                exception=kept.get("exception", str),
                text=kept.get("text", str),
            )
            for kept in fields.each("kept")
        ),
        elsewhere=tuple(
            Elsewhere(
                store_url=other.get("store", str),
                n_passages=other.get("passages", int),
                items=_items(other, "items"),
            )
            for other in fields.each("elsewhere")
        ),
        artefacts=tuple(
            Artefact(
                kind=found.one_of("kind", get_args(ArtefactKind)),
                place=found.get("place", str),
                key=found.get("key", str),
                reason=found.get("reason", str),
                confidence=float(found.get("confidence", (int, float))),
                selected=found.get("selected", bool),
                sha256=found.get("sha256", str),
                text=found.get("text", str),
            )
            for found in fields.each("artefacts")
        ),
        cost=None
        if cost is None
        else Cost(
            seconds=float(cost.get("seconds", (int, float))),
            disk_bytes=cost.get("disk_bytes", int),
            how=cost.get("how", str),
        ),
        notes=fields.strings("notes"),
    )


def _items(fields: _Fields, name: str) -> tuple[PlanItem, ...]:
    items = tuple(
        PlanItem(
            passage_id=item.get("passage_id", str),
            selected=item.get("selected", bool),
            confidence=float(item.get("confidence", (int, float))),
            reason=item.get("reason", str),
            related_to=item.strings("related_to"),
            sha256=item.get("sha256", str),
            text=item.get("text", str),
        )
        for item in fields.each(name)
    )
    seen: set[str] = set()
    for item in items:
        if item.passage_id in seen:
            raise InputError(
                f"{fields.path}: passage '{item.passage_id}' is listed twice; plan again"
            )
        seen.add(item.passage_id)
    return items


class _Fields:
    """A JSON object read field by field, with errors that say where."""

    def __init__(self, record: Any, path: Path, where: str) -> None:
        if not isinstance(record, Mapping):
            raise InputError(f"{path}: {where or 'the file'} must be a JSON object; plan again")
        self.record, self.path, self.where = record, path, where

    def get(self, name: str, kind: type | tuple[type, ...]) -> Any:
        label = self._label(name)
        if name not in self.record:
            raise InputError(f"{self.path}: '{label}' is missing; plan again")
        value = self.record[name]
        # bool is an int to Python, not to a reader of the file.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            wanted = kind[0].__name__ if isinstance(kind, tuple) else kind.__name__
            raise InputError(f"{self.path}: '{label}' is {value!r:.40}, expected {wanted}")
        return value

    def _label(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def one_of(self, name: str, allowed: Sequence[str]) -> Any:
        value = self.get(name, str)
        if value not in allowed:
            raise InputError(
                f"{self.path}: '{self._label(name)}' is '{value}', allowed: {', '.join(allowed)}"
            )
        return value

    def inner(self, name: str) -> _Fields:
        return _Fields(self.get(name, dict), self.path, self._label(name))

    def each(self, name: str) -> list[_Fields]:
        values = self.get(name, list)
        where = self._label(name)
        return [_Fields(value, self.path, f"{where}[{i}]") for i, value in enumerate(values)]

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
