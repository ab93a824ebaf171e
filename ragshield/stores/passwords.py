"""Passwords in the URLs of servers: kept in memory for this process, never written down."""

from __future__ import annotations

import re

_USER = re.compile(r"(://[^:/@?]*):[^@/]*@")
_OPTION = re.compile(r"([?&])(?:ssl)?password=[^&]*", re.IGNORECASE)
_OPTION_IN_LINE = re.compile(r"([?&])(?:ssl)?password=[^&#\s]*", re.IGNORECASE)

_given: dict[str, str] = {}


def without_password(url: str) -> str:
    """A store's URL as it may be written down: whatever it says of a password is taken out.

    The user stays. A server's password is then looked for where PostgreSQL's own programs
    look, in `PGPASSWORD` and in `~/.pgpass`; one that this process was given once, it
    remembers.
    """
    place, mark, name = _parts(url)
    if "://" not in place:
        return url
    place = _USER.sub(r"\1@", place)
    place = _OPTION.sub(r"\1", place).replace("?&", "?")
    return f"{re.sub('&+', '&', place).rstrip('?&')}{mark}{name}"


def masked(url: str) -> str:
    """A store's URL, or a line that holds one, as messages may show it."""
    place, mark, name = _parts(url)
    if " " not in place:
        place = _OPTION.sub(_hidden, place)
    return _OPTION_IN_LINE.sub(_hidden, _USER.sub(r"\1:***@", f"{place}{mark}{name}"))


def has_password(url: str) -> bool:
    """Whether a URL says a password."""
    place, _, _ = _parts(url)
    return "://" in place and bool(_USER.search(place) or _OPTION.search(place))


def remember(url: str) -> None:
    """Keep a URL's password, so that this process finds the server without it, too."""
    if has_password(url):
        place, _, _ = _parts(url)
        _given[without_password(place)] = place


def with_password(url: str) -> str:
    """The URL with the password that this process was given for its server, if it was."""
    place, mark, name = _parts(url)
    return f"{_given.get(place, place)}{mark}{name}"


def _parts(url: str) -> tuple[str, str, str]:
    """The server and the table: a password may hold a `#`, a table has none."""
    if "#" not in url:
        return url, "", ""
    return url.rpartition("#")


def _hidden(option: re.Match[str]) -> str:
    return f"{option[0].partition('=')[0]}=***"
