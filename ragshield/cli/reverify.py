"""`ragshield reverify`: has anything come back of what a certificate says was erased?"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import err, out
from ragshield.cli.forget_plan import TrustConfig
from ragshield.cli.unsearchable import OutOfScope, how_merged, what_to_do
from ragshield.stores.passwords import masked
from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.forget.reverifying import Reverified

_SHOWN = 12


class Format(StrEnum):
    """How the result is shown."""

    TEXT = "text"
    JSON = "json"


def reverify(
    certificate: Annotated[
        Path, typer.Argument(metavar="CERT", help="Certificate from forget apply.")
    ],
    url: Annotated[str, typer.Argument(metavar="STORE", help="Store to look at.")],
    secret: Annotated[
        Path | None,
        typer.Option(help="Its secret. [default: CERT.secret]", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The operator's public key.", show_default=False),
    ] = None,
    out_of_scope: OutOfScope = None,
    format_: Annotated[Format, typer.Option("--format", help="text to read, or json.")] = (
        Format.TEXT
    ),
    trust_collection_config: TrustConfig = False,
) -> None:
    """Look again whether erased passages are gone: for cron, and after a restore.

    Needs the certificate and its secret, which holds a salt and keyed hashes: neither a
    text nor a vector. Passages and files of the store are searched, nothing is changed.

    Exit codes: 0 nothing came back, 1 something did, 3 not everything could be searched.
    """
    from ragshield.forget.reverifying import reverify as look_again
    from ragshield.proof import read_certificate, read_public_key, read_secret

    trusted = None if key is None else read_public_key(key)
    checked = read_certificate(certificate, trusted)
    held = read_secret(secret or certificate.with_name(f"{certificate.name}.secret"))
    found = look_again(
        checked,
        held,
        url,
        out_of_scope=out_of_scope or (),
        trust_collection_config=trust_collection_config,
    )
    if format_ is Format.JSON:
        typer.echo(json.dumps({"verdict": found.verdict, **asdict(found)}, indent=2))
    else:
        for line in _lines(found, url):
            typer.echo(line)
        unseen = [words for words in found.untested if not how_merged(words)]
        if found.verdict == "NOT_TESTED" and unseen and found.surfaces:
            again = ["ragshield", "reverify", str(certificate), masked(url)]
            for line in what_to_do(again, unseen, out.width):
                typer.echo(line)
        if len(unseen) < len(found.untested):
            typer.echo(f"  {shlex.join(['ragshield', 'purge', masked(url), '--yes'])}")
    if found.near and format_ is Format.TEXT:
        what = f"{len(found.near)} passages are nearly the words of an erased one; look at them"
        err.print(f"note: {what}", markup=False, soft_wrap=True)
    raise typer.Exit({"ERASED": 0, "RESIDUAL": 1}.get(found.verdict, 3))


def _lines(found: Reverified, url: str) -> list[str]:
    width = out.width
    head = (
        f"{found.verdict}: {found.n_erased} erased passages looked for in {found.n_live:,} "
        f"passages and {len(found.surfaces)} files and decoded places of {visible(masked(url))}"
    )
    lines = wrap(head, width)
    rows = [f"came back: {passage_id}" for passage_id in found.returned]
    rows += [f"nearly the same words ({alike:.2f}): {name}" for name, alike in found.near]
    lines += [cut(f"  {visible(row)}", width) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        lines.append(f"  … and {len(rows) - _SHOWN} more")
    for surface in found.surfaces:
        if surface["verdict"] == "RESIDUAL":
            pieces = (
                f"{surface['text_pieces']} pieces of texts, {surface['vector_pieces']} of vectors"
            )
            lines += _indented(f"RESIDUAL: {surface['name']}: {pieces}", width)
        elif surface["verdict"] == "NOT_TESTED":
            lines += _indented(f"NOT_TESTED: {surface['name']}: {surface['why']}", width)
    for words in found.untested:
        lines += _indented(f"NOT_TESTED: {words}{how_merged(words)}", width)
    if found.ids_taken:
        lines.append(f"  {found.ids_taken} erased ids name a passage again")
    return lines


def _indented(line: str, width: int) -> list[str]:
    return wrap(line, width, initial_indent="  ", subsequent_indent="  ")
