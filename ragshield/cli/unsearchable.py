"""What to do about places that no search reaches: see to them, then say so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from textwrap import wrap
from typing import Annotated

import typer

OutOfScope = Annotated[
    list[str] | None,
    typer.Option(
        "--out-of-scope",
        metavar="WORDS",
        help="Words for an unsearchable place that you see to; repeat for more.",
        show_default=False,
    ),
]

SEE_TO_IT = (
    "No search reaches what is NOT_TESTED here. Once you have seen to it otherwise (programs "
    "restarted, backups expired), say so:"
)
_MERGED = (
    ". That is what the text index has not merged since the last purge, where deleted rows "
    "cannot be told from live ones. Purging merges it and touches no live row; then look again"
)


def how_merged(place: str) -> str:
    """More words on a full-text index, which a purge makes readable; none on other places."""
    return _MERGED if "full-text index" in place else ""


def options(places: Sequence[str]) -> str:
    """`--out-of-scope 'memory of programs'` and so on: the first words of each place."""
    heads = [re.split(r" that |[,:;(]", words, maxsplit=1)[0].strip() for words in places]
    return " ".join(f"--out-of-scope {shlex.quote(head)}" for head in dict.fromkeys(heads))


def what_to_do(command: Sequence[str], places: Sequence[str], width: int) -> list[str]:
    """Lines of at most `width` columns, and the command, whole so that it can be copied."""
    return [*wrap(SEE_TO_IT, width), f"  {shlex.join(command)} {options(places)}"]
