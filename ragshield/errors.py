"""Errors that a user can act on; every message is one line that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragshield.records import Verdict


class RagshieldError(Exception):
    """Base of all errors that ragshield raises on purpose.

    Attributes:
        exit_code: what the command line exits with: 2 for usage and configuration,
            3 for work that could not be completed.
    """

    exit_code = 2


class UsageError(RagshieldError):
    """An argument, option or configuration value that is not allowed."""


class InputError(RagshieldError):
    """Data that cannot be read: malformed JSONL, TOML, a bad plan, a wrong dimension."""


class StoreError(RagshieldError):
    """A store that is missing, corrupt, empty, untrusted or unreachable."""


class MissingExtraError(RagshieldError):
    """An optional dependency is not installed; the message names the pip command."""


class PluginError(RagshieldError):
    """A plugin broke its contract: invented a passage, left one unjudged, returned no verdict."""

    exit_code = 3


class IncompleteError(RagshieldError):
    """Work was started and could not be finished; what was done is kept."""

    exit_code = 3


class MajorityError(RagshieldError):
    """So many passages look planted that honest ones may be the minority (on_majority="refuse").

    Attributes:
        verdict: what was judged and found.
    """

    exit_code = 3

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict

    def __reduce__(self) -> tuple[type[MajorityError], tuple[str, Verdict]]:
        return type(self), (str(self), self.verdict)
