"""`ragshield forget plan`, `forget apply` and `undo`: a dry run first, and a way back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ragshield.cli.console import err, out, progress
from ragshield.cli.forget_plan import TrustConfig, plan, plan_page
from ragshield.errors import UsageError

app = typer.Typer(
    help="Plan what to forget, then delete it.\n\n"
    "A snapshot is made first: ragshield undo leads back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

IncludeReview = Annotated[
    bool,
    typer.Option("--include-review", help="Take the uncertain ones, too.", show_default=False),
]


app.command("plan")(plan)


@app.command("apply")
def apply(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="File from forget plan.")],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Delete without asking.", show_default=False)
    ] = False,
    snapshot: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the snapshot. [default: beside the plan]", show_default=False
        ),
    ] = None,
    include_review: IncludeReview = False,
    trust_collection_config: TrustConfig = False,
) -> None:
    """Delete what the plan selects, after a snapshot; ragshield undo PLAN leads back.

    Takes passages out of the store's answers. It does not erase the bytes on disk yet:
    Chroma keeps them in its files, and the snapshot holds every deleted passage. After a
    crash the same command finishes the work.
    """
    from ragshield.forget.applying import apply_plan
    from ragshield.forget.plan import read_plan

    made = read_plan(plan_file)
    n = len(made.items if include_review else made.selected)
    if not yes:
        for line in plan_page(made, out.width):
            typer.echo(line)
        if not sys.stdin.isatty():
            raise UsageError(f"{n} passages would go from {made.store_url}; add --yes to delete")
        if not typer.confirm(f"Delete {n} passages from {made.store_url}?", err=True):
            raise UsageError("nothing was deleted")
    with progress("Deleting", n) as advance:
        done = apply_plan(
            made,
            snapshot_dir=snapshot,
            include_review=include_review,
            trust_collection_config=trust_collection_config,
            on_progress=advance,
        )
    for note in done.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)
    what = "were deleted before" if done.already else "deleted"
    typer.echo(f"{done.n_deleted} passages {what}, {done.n_left} left in {made.store_url}")
    typer.echo(f"snapshot: {done.snapshot}")
    typer.echo(f"to take it back: ragshield undo {plan_file}")


def undo(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="File that was applied.")],
    trust_collection_config: TrustConfig = False,
) -> None:
    """Add again what a plan deleted.

    Texts, metadata and vectors come back as they were.
    """
    from ragshield.forget.plan import read_plan
    from ragshield.forget.undoing import undo as undo_plan

    made = read_plan(plan_file)
    done = undo_plan(made, trust_collection_config=trust_collection_config)
    if done.already:
        typer.echo(f"undone before: all {done.n_present} passages are in {made.store_url}")
        return
    there = f", {done.n_present} were there already" if done.n_present else ""
    typer.echo(f"{done.n_restored} passages restored{there}; {done.n_left} in {made.store_url}")
    if done.n_rounded:
        what = f"the store normalises vectors: {done.n_rounded} differ in the last bits"
        err.print(f"note: {what}", markup=False, soft_wrap=True)
    typer.echo(f"the snapshot still holds them: {done.snapshot}")
