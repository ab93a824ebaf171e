"""`ragshield forget plan --requests FILE`: hundreds of requests, planned in a few readings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ragshield.cli.console import err, out
from ragshield.errors import InputError, RagshieldError, UsageError
from ragshield.files import read_jsonl
from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.forget.artefacts.places import Place
    from ragshield.forget.plans.records import ForgetPlan
    from ragshield.forget.plans.request import Request
    from ragshield.protocols import Encoder

_LISTS = ("ids", "texts", "aliases", "exceptions")
_WORDS = ("subject", "sentence", "scope", "shared")
_SCOPES, _SHARED = ("document", "subject", "fact"), ("keep", "report", "forget")


def plan_all(
    url: str,
    requests: Path,
    folder: Path | None,
    *,
    also: Sequence[Place],
    elsewhere: bool,
    encoder: Encoder | None,
    allow_large: bool,
    skip_unknown: bool,
    trust: bool,
) -> None:
    """Plan every line of a file, and write a plan for each into a folder.

    Raises:
        UsageError: no folder, or one that holds plans.
        InputError: a line is no request; the message names it.
    """
    from ragshield.forget.planning import plan_requests
    from ragshield.forget.plans.file import write_plan
    from ragshield.forget.plans.overlapping import overlaps
    from ragshield.stores.url import open_store

    if folder is None:
        raise UsageError("--requests makes a plan for each line: name a folder with -o")
    asked = read_requests(requests)
    paths = [folder / f"plan-{i:0{len(str(len(asked)))}}.json" for i in range(1, len(asked) + 1)]
    if taken := next((path for path in paths if path.exists()), None):
        raise UsageError(f"{taken} exists; name another folder")
    with open_store(url, trust_collection_config=trust) as store:
        made = plan_requests(
            store,
            asked,
            also=also,
            elsewhere=elsewhere,
            encoder=encoder,
            allow_large=allow_large,
            skip_unknown=skip_unknown,
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    written = [write_plan(plan, path) for plan, path in zip(made, paths, strict=True)]
    for plan in written:
        typer.echo(cut(_line(plan), out.width))
    for overlap in overlaps(written):
        err.print(f"note: {overlap}", markup=False, soft_wrap=True)
    what = f"{len(written)} plans written to {folder}; nothing has changed. Next: ragshield forget"
    err.print(f"{what} apply {folder}/*.json --yes", markup=False, soft_wrap=True)


def read_requests(path: Path) -> list[Request]:
    """Requests as JSON objects, one a line, with the names that `forget.asked` knows.

    Raises:
        InputError: an unknown or unusable entry, or what does not go together.
    """
    from ragshield.forget.plans.request import asked

    found = []
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        try:
            found.append(asked(**_checked(row, where)))
        except InputError:
            raise
        except RagshieldError as error:
            raise InputError(f"{where}: {error}") from error
    if not found:
        raise InputError(f'{path} holds no requests; write one a line: {{"subject": "Ada"}}')
    return found


def _checked(row: dict[str, Any], where: str) -> dict[str, Any]:
    known = (*_LISTS, *_WORDS, "where")
    if unknown := [name for name in row if name not in known]:
        raise InputError(f"{where}: unknown entry '{unknown[0]}'; known are {', '.join(known)}")
    for name in _LISTS:
        given = row.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise InputError(f"{where}: '{name}' is no list of strings")
    for name in _WORDS:
        if not isinstance(row.get(name, ""), str):
            raise InputError(f"{where}: '{name}' is no string")
    if not isinstance(row.get("where", {}), dict):
        raise InputError(f"{where}: 'where' is no object")
    for name, allowed in (("scope", _SCOPES), ("shared", _SHARED)):
        if name in row and row[name] not in allowed:
            raise InputError(f"{where}: {name} is '{row[name]}', not one of {', '.join(allowed)}")
    return row


def _line(plan: ForgetPlan) -> str:
    from ragshield.forget.plans.words import target

    name = "" if plan.path is None else plan.path.name
    counts = f"{len(plan.selected):4} selected {len(plan.review):4} to review"
    return f"{name}  {counts}  {visible(target(plan))}"
