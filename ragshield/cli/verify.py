"""`ragshield verify`: is a certificate whole, and what does it say? Offline."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import err, out
from ragshield.errors import InputError
from ragshield.files import check_writable, writing

if TYPE_CHECKING:
    from ragshield.proof import Checked


class Format(StrEnum):
    """How the certificate is shown."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"


def verify(
    certificate: Annotated[
        Path, typer.Argument(metavar="CERT", help="Certificate from forget apply.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="The operator's public key, known from elsewhere.", show_default=False
        ),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="How to show what it says.")
    ] = Format.TEXT,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Name places that showed nothing, too, as the other formats do.",
            show_default=False,
        ),
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option("--page", help="HTML page for people to write.", show_default=False),
    ] = None,
) -> None:
    """Check a certificate offline: its signature, and that its verdicts add up.

    Exit codes: 0 valid, whatever it says; 1 not valid. Without --key it is shown that
    nobody changed it, not who made it.
    """
    from ragshield.proof import read_certificate, read_public_key
    from ragshield.proof.page import as_html, as_markdown, as_text

    if page is not None:
        check_writable(page)
    trusted = None if key is None else read_public_key(key)
    if not certificate.is_file():
        raise InputError(f"cannot read {certificate}: there is no such file")
    try:
        checked = read_certificate(certificate, trusted)
    except InputError as error:
        typer.echo(f"NOT VALID: {error}")
        raise typer.Exit(1) from error
    if format_ is Format.HTML:
        typer.echo(as_html(checked))
    elif format_ is Format.MARKDOWN:
        typer.echo(as_markdown(checked))
    else:
        for line in as_text(checked, out.width, every=every):
            typer.echo(line)
        _say_key(checked)
    if page is not None:
        with writing(page) as file:
            file.write(as_html(checked))
        err.print(f"page written to {page}", markup=False, soft_wrap=True)


def _say_key(checked: Checked) -> None:
    if checked.known is None:
        what = (
            f"signed by key {checked.key_id}; nobody changed it since. Whose key that is was not "
            "checked: give the operator's public key with --key"
        )
        for line in wrap(f"note: {what}", err.width):
            err.print(line, markup=False)
