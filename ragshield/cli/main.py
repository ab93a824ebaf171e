"""The `ragshield` command: puts the commands together and turns errors into one line."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from ragshield import __version__
from ragshield.cli import attack as attack_command
from ragshield.cli import audit as audit_command
from ragshield.cli import calibrate as calibrate_command
from ragshield.cli import check as check_command
from ragshield.cli import demo as demo_command
from ragshield.cli import doctor as doctor_command
from ragshield.cli import forget as forget_command
from ragshield.cli import lab as lab_command
from ragshield.cli import list as list_command
from ragshield.cli import purge as purge_command
from ragshield.cli import quarantine as quarantine_command
from ragshield.cli import residue as residue_command
from ragshield.cli import reverify as reverify_command
from ragshield.cli import run as run_command
from ragshield.cli import scan as scan_command
from ragshield.cli import table as table_command
from ragshield.cli import trace as trace_command
from ragshield.cli import unlearn as unlearn_command
from ragshield.cli import verify as verify_command
from ragshield.cli.console import err
from ragshield.errors import RagshieldError

_SIGINT_CODE = 130

app = typer.Typer(
    name="ragshield",
    help="Guard, scan and clean the knowledge base behind a RAG application.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ragshield {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", show_default=False)
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version.",
            callback=_version,
            is_eager=True,
            show_default=False,
        ),
    ] = False,
) -> None:
    """Guard, scan and clean the knowledge base behind a RAG application.

    Exit codes: 0 clean or done, 1 findings, 2 usage or configuration error,
    3 incomplete.
    """
    del debug  # read by `run`, which also sees errors raised before any command starts


# In the order of help: what a newcomer tries first comes first.
app.command("demo")(demo_command.demo)
app.command("scan")(scan_command.scan)
app.command("check")(check_command.check)
app.add_typer(quarantine_command.app, name="quarantine")
app.command("trace")(trace_command.trace)
app.command("calibrate")(calibrate_command.calibrate)
app.add_typer(forget_command.app, name="forget")
app.command("undo")(forget_command.undo)
app.command("verify")(verify_command.verify)
app.command("reverify")(reverify_command.reverify)
app.command("residue")(residue_command.residue)
app.command("purge")(purge_command.purge)
app.command("doctor")(doctor_command.doctor)
app.add_typer(unlearn_command.app, name="unlearn")
app.command("audit")(audit_command.audit)
app.command("attack")(attack_command.attack)
app.command("run")(run_command.run)
app.command("table")(table_command.table)
app.add_typer(lab_command.app, name="lab")
app.command("list")(list_command.list_plugins)


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; every error is one line on stderr."""
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="ragshield")
    except TyperException as error:
        if debug:
            raise
        context = getattr(error, "ctx", None)
        hint = f"; see: {context.command_path} --help" if context else ""
        return _fail(f"{error.format_message().rstrip('.')}{hint}", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        # The reader (head, less) went away: not an error, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except RagshieldError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except Exception as error:
        if debug:
            raise
        return _fail(f"internal error: {type(error).__name__}: {error} (--debug shows where)", 3)
    if code == _SIGINT_CODE:  # typer turns Ctrl-C into this code instead of raising
        return _interrupted()
    return code if isinstance(code, int) else 0


def _interrupted() -> int:
    return _fail("interrupted; what was done is kept, the same command goes on from there", 3)


def _fail(message: str, code: int) -> int:
    err.print(f"ragshield: {' '.join(message.split())}", soft_wrap=True, markup=False)
    return code


def main() -> None:
    """Console entry point."""
    sys.exit(run())
