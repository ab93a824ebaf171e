"""`ragshield list`: what is registered, read without importing any of it."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from ragshield import registry
from ragshield.cli.console import out
from ragshield.errors import UsageError

_PLURALS = {registry.plural(kind): kind for kind in registry.KINDS}


def list_plugins(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[" + "|".join(sorted(_PLURALS)) + "]",
            help="What to list; everything if left out.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List attacks, defenders and the other plugins."""
    if what is not None and what not in _PLURALS:
        near = difflib.get_close_matches(what, _PLURALS, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"cannot list '{what}'; {hint}allowed: {', '.join(sorted(_PLURALS))}")
    from rich.table import Table

    for word in [what] if what is not None else sorted(_PLURALS):
        kind = _PLURALS[word]
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for name in registry.names(kind):
            table.add_row(name, registry.summary(kind, name))
        if what is None:
            out.print(word, style="underline")
        out.print(table)
        if what is None:
            out.print()
