"""`ragshield run`: an experiment from a TOML file, resumable."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import VectorCache, err, progress
from ragshield.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from ragshield.experiment import Experiment
    from ragshield.experiment.log import TrialLog


def run(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="Experiment: a TOML file; see examples/.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Results: a trial a line.", show_default=False
        ),
    ],
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Throw away earlier trials in FILE.", show_default=False),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after this many new trials.", show_default=False),
    ] = None,
    cache: VectorCache = None,
) -> None:
    """Run an experiment: corpora, attacks, defenders, a reader.

    All defenders judge the same retrievals.

    Every trial is in FILE as soon as it is done. Interrupted, the same command goes on
    from there. Vectors are kept between runs in the user's cache folder (or --cache).
    """
    from ragshield.experiment import Experiment
    from ragshield.experiment.log import TrialLog

    experiment = Experiment.from_toml(config)
    cache = cache or default_cache()
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot keep vectors in {cache}: {error.strerror}; name another file with --cache"
        ) from error
    with TrialLog(output, experiment.header(), restart=restart) as log:
        n_before = len(log.trials)
        if n_before:
            err.print(
                f"Going on after {n_before} trials in {output}.", markup=False, soft_wrap=True
            )
        try:
            n_new = _write(experiment, log, limit=limit, cache=cache)
        except KeyboardInterrupt as error:
            raise IncompleteError(
                f"interrupted; finished trials are in {output}; go on with: "
                f"ragshield run {config} -o {output}"
            ) from error
    if limit is not None and n_new == limit:
        err.print(
            f"Stopped after {limit} new trials; the same command goes on.",
            markup=False,
            soft_wrap=True,
        )
    else:
        err.print(f"Done: {n_before + n_new} trials in {output}.", markup=False, soft_wrap=True)
    from ragshield.cli.table import show
    from ragshield.results import read_results

    show(read_results(output), output)


def default_cache() -> Path:
    """Where vectors are kept unless the user names a file: the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "ragshield" / "vectors.sqlite"


def _write(experiment: Experiment, log: TrialLog, *, limit: int | None, cache: Path) -> int:
    n_new = 0
    done = frozenset(trial.key for trial in log.trials)
    with closing(experiment.run(skip=done, cache=cache, progress=progress)) as trials:
        for trial in trials:
            log.write(trial)
            n_new += 1
            if n_new == limit:
                break
    return n_new
