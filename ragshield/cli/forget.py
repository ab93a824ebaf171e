"""`ragshield forget plan`, `forget apply` and `undo`: a dry run first, and a way back."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import err, out, progress
from ragshield.cli.forget_plan import TrustConfig, plan
from ragshield.cli.forget_plan_page import plan_page
from ragshield.cli.unsearchable import what_to_do
from ragshield.errors import UsageError
from ragshield.files import check_writable

if TYPE_CHECKING:
    from ragshield.forget.applying import ForgetResult
    from ragshield.forget.ending import Ended
    from ragshield.proof import Verdict

MEANINGS: dict[Verdict, str] = {
    "ERASED": "it was visible in the store's files before, and nothing of it is now",
    "RESIDUAL": "something of it is still in the store's files",
    "NOT_TESTED": "not every place could be looked at",
    "UNSUPPORTED": "this kind of store cannot be purged: deleted bytes stay in its files",
    "NO_BASELINE": "it was not visible before, so that nothing is seen now proves nothing",
}

app = typer.Typer(
    help="Plan what to forget, then erase it.\n\n"
    "An encrypted snapshot is made first: ragshield undo leads back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

IncludeReview = Annotated[
    bool,
    typer.Option("--include-review", help="Take the uncertain ones, too.", show_default=False),
]
Login = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="The plan's store with its password, which plans do not keep.",
        show_default=False,
    ),
]


app.command("plan")(plan)


@app.command("apply")
def apply(
    plan_files: Annotated[
        list[Path], typer.Argument(metavar="PLAN...", help="Files from forget plan.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Erase without asking.", show_default=False)
    ] = False,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", help="Signed certificate to write.", show_default=False),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            "--audit",
            help="Report of ragshield audit (JSON) to put into the certificate.",
            show_default=False,
        ),
    ] = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            help="Ed25519 key; made at first use. [default: ~/.config/ragshield/signing.pem]",
            show_default=False,
        ),
    ] = None,
    final: Annotated[
        bool,
        typer.Option(
            "--final", help="Destroy snapshot, key and plan: no undo.", show_default=False
        ),
    ] = False,
    snapshot: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the snapshot. [default: beside the plan]", show_default=False
        ),
    ] = None,
    blocklist: Annotated[
        Path | None,
        typer.Option(
            help="File that retrievers follow. [default: PLAN.blocked]", show_default=False
        ),
    ] = None,
    reingest: Annotated[
        Path | None,
        typer.Option(
            "--reingest",
            help="File of hashes by which ingest keeps it from coming back.",
            show_default=False,
        ),
    ] = None,
    out_of_scope: Annotated[
        list[str] | None,
        typer.Option(
            "--out-of-scope",
            help="Words for an unsearchable place that you see to; also on a later run, also "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    purge: Annotated[
        bool, typer.Option("--purge/--no-purge", help="Purge the store's files.")
    ] = True,
    include_review: IncludeReview = False,
    store: Login = None,
    trust_collection_config: TrustConfig = False,
) -> None:
    """Erase what plans select, from answers at once and from the files.

    Several plans share one purge for each store. A snapshot is made first, encrypted, with
    its key beside the plan: ragshield undo PLAN leads back until --final. After a crash
    the same command finishes the work.

    Exit codes: 0 erased, 1 something is still in the files, 3 not all could be shown.
    """
    from ragshield.forget.applying import apply_plan
    from ragshield.forget.ending import finish, is_final
    from ragshield.proof import opened_key

    if audit is not None:
        _check_audit(audit, certificate)
    for path in (certificate,) if certificate else ():
        check_writable(path)
    key = None
    if certificate is not None:
        key, made = opened_key(_key_file(signing_key))
        if made:
            what = f"new signing key {_key_file(signing_key)}; give others its .pub file"
            err.print(f"note: {what}", markup=False, soft_wrap=True)
    if final and not (sys.stdin.isatty() or yes):
        raise UsageError("--final cannot be taken back; add --yes to confirm")
    _log_in(store, plan_files)
    done = None
    if all(is_final(path) for path in plan_files):
        if out_of_scope:
            raise UsageError(
                f"{plan_files[0]} was made final, and what it found stands; "
                "give --out-of-scope to ragshield reverify"
            )
    else:
        n = _confirm(plan_files, yes=yes, final=final, include_review=include_review)
        with progress("Erasing", n) as advance:
            done = apply_plan(
                plan_files,
                snapshot_dir=snapshot,
                include_review=include_review,
                trust_collection_config=trust_collection_config,
                purge=purge,
                blocklist=blocklist,
                reingest=reingest,
                out_of_scope=out_of_scope or (),
                on_progress=advance,
            )
        _say_result(done, purge=purge)
        if purge and done.verdict == "NOT_TESTED" and done.untested:
            again = ["ragshield", "forget", "apply", *map(str, plan_files), "--yes"]
            again += ["--include-review"] if include_review else []
            again += [f"--certificate={certificate}"] if certificate else []
            again += [f"--signing-key={signing_key}"] if signing_key else []
            if final:  # the plan is no more; a look from outside may still be told
                again = ["ragshield", "reverify", str(certificate or "CERT"), done.store_url]
            for line in what_to_do(again, done.untested, out.width):
                typer.echo(line)
    ended = None
    if final or certificate is not None:
        ended = finish(
            plan_files, final=final, certificate=certificate, signing_key=key, audit=audit
        )
    _say_end(done, ended, plan_files)
    raise typer.Exit(_code(done, purge=purge))


def _check_audit(audit: Path, certificate: Path | None) -> None:
    """Fail before anything is erased, not after."""
    from ragshield.proof.behaviour import read_behaviour

    if certificate is None:
        raise UsageError("--audit goes into a certificate; name a file with --certificate")
    read_behaviour(audit)


def undo(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="File that was applied.")],
    store: Login = None,
    trust_collection_config: TrustConfig = False,
) -> None:
    """Add again what a plan deleted; impossible once it was made final.

    Texts, metadata and vectors come back as they were.
    """
    from ragshield.forget.saved.history import loaded
    from ragshield.forget.undoing import undo as undo_plan

    made = loaded(plan_file)
    _log_in(store, [plan_file])
    done = undo_plan(made, trust_collection_config=trust_collection_config)
    if done.already:
        typer.echo(f"undone before: all {done.n_present} passages are in {made.store_url}")
        return
    there = f", {done.n_present} were there already" if done.n_present else ""
    typer.echo(f"{done.n_restored} passages restored{there}; {done.n_left} in {made.store_url}")
    for note in done.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)
    if done.n_rounded:
        what = f"the store normalises vectors: {done.n_rounded} differ in the last bits"
        err.print(f"note: {what}", markup=False, soft_wrap=True)
    typer.echo(f"the snapshot still holds them: {done.snapshot}")


def _log_in(url: str | None, plan_files: list[Path]) -> None:
    """Keep the password of a URL that names the store of one of the plans."""
    from ragshield.forget.ending import is_final
    from ragshield.forget.saved.history import loaded
    from ragshield.stores.passwords import masked, remember, without_password

    if url is None:
        return
    made = [loaded(path) for path in plan_files if not is_final(path)]
    named = [one.store_url for one in made] + [o.store_url for one in made for o in one.elsewhere]
    if named and without_password(url) not in named:
        stores = ", ".join(dict.fromkeys(named))
        raise UsageError(f"--store {masked(url)} is none of the plans' stores: {stores}")
    remember(url)


def _confirm(plan_files: list[Path], *, yes: bool, final: bool, include_review: bool) -> int:
    """Show what would go and ask, unless told not to; gives how many passages."""
    from ragshield.forget.saved.history import loaded

    made = [loaded(path) for path in plan_files]
    n = sum(len(one.items if include_review else one.selected) for one in made)
    if yes:
        return n
    stores = ", ".join(dict.fromkeys(one.store_url for one in made))
    for one in made:
        for line in plan_page(one, out.width):
            typer.echo(line)
    if not sys.stdin.isatty():
        raise UsageError(f"{n} passages would go from {stores}; add --yes to delete")
    ever = ", for good" if final else ""
    if not typer.confirm(f"Erase {n} passages from {stores}{ever}?", err=True):
        raise UsageError("nothing was deleted")
    return n


def _key_file(given: Path | None) -> Path:
    if given is not None:
        return given
    folder = Path("~/.config/ragshield").expanduser()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / "signing.pem"


def _say_result(done: ForgetResult, *, purge: bool) -> None:
    for note in done.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)
    what = "were deleted before" if done.already else "deleted"
    typer.echo(f"{done.n_deleted} passages {what}, {done.n_left} left in {done.store_url}")
    if purge:
        line = f"{done.verdict}: {MEANINGS[done.verdict]}"
        for part in wrap(line, out.width):
            typer.echo(part)
        for reason in done.reasons:
            for part in wrap(reason, out.width - 2):
                typer.echo(f"  {part}")
        for words in dict.fromkeys(w for place in done.places for w in place.get("exceptions", ())):
            for part in wrap(f"declared out of scope: {words}", out.width - 2):
                typer.echo(f"  {part}")


def _say_end(done: ForgetResult | None, ended: Ended | None, plan_files: list[Path]) -> None:
    if ended is not None and ended.certificate is not None:
        typer.echo(f"certificate: {ended.certificate} ({ended.overall} over all places)")
        if ended.stores != ended.overall and not ended.destroyed:
            typer.echo(f"  {ended.stores} in the stores; the snapshot for undo is a copy, too")
        if ended.secret is not None:
            typer.echo(f"its secret: {ended.secret}; ragshield reverify needs it")
    if ended is not None and ended.destroyed:
        from ragshield.forget.ending import LEFTOVERS

        for part in wrap(f"Made final. {LEFTOVERS}", out.width):
            typer.echo(part)
    elif done is not None:
        typer.echo(f"snapshot: {', '.join(map(str, done.snapshots))}")
        for path in plan_files:
            typer.echo(f"to take it back: ragshield undo {path}")


def _code(done: ForgetResult | None, *, purge: bool) -> int:
    if done is None or not purge or done.verdict == "ERASED":
        return 0
    return 1 if done.verdict == "RESIDUAL" else 3
