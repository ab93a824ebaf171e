"""An experiment: a design that can be read from a file and run."""

from __future__ import annotations

from collections.abc import Container, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ragshield.errors import RagshieldError
from ragshield.experiment.config import read_settings
from ragshield.experiment.design import Design
from ragshield.experiment.trials import Progress, run_trials
from ragshield.protocols import Encoder, Reader
from ragshield.results import Trial, TrialKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(Design):
    """What is tried on what; running it gives one trial per question and combination.

    Its attributes are those of `Design`.
    """

    @classmethod
    def from_toml(cls, path: Path | str) -> Self:
        """Read an experiment file; the format is in `ragshield.experiment.config`.

        Raises:
            InputError: the file is missing, not UTF-8 or not TOML (line and column in
                the message).
            UsageError: an unknown key or plugin name, or a value that is not allowed; the
                message names the file.
        """
        settings = read_settings(Path(path))
        try:
            return cls(**settings)
        except RagshieldError as error:
            raise type(error)(f"{path}: {error}") from error

    def run(
        self,
        *,
        skip: Container[TrialKey] = frozenset(),
        cache: Path | None = None,
        encoder: Encoder | None = None,
        reader: Reader | None = None,
        progress: Progress | None = None,
    ) -> Generator[Trial, None, None]:
        """Run it, giving each trial as it is done.

        The order is corpus, seed, attack, question, defender, as written. With the same
        experiment the same trials come out, up to the time taken; an attack or reader
        that asks a language model is as repeatable as that model.

        Args:
            skip: keys of trials that are done and are not run again.
            cache: a file that keeps vectors between runs; None for no cache.
            encoder: used instead of the experiment's; say so in what you report.
            reader: used instead of the experiment's.
            progress: told what is being done; shaped like `ragshield.cli.console.progress`.

        Raises:
            RagshieldError: a plugin refuses its parameters, a corpus cannot be loaded or
                has no targets, or the encoder or reader fails.
        """
        return run_trials(
            self, skip=skip, cache=cache, encoder=encoder, reader=reader, progress=progress
        )
