"""Plugins by name: entry points, read without importing any plugin.

A new attack is one file, one test and one line under
`[project.entry-points."ragshield.attacks"]` in pyproject.toml; other packages
register theirs under the same group.
"""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from ragshield.errors import UsageError
from ragshield.records import Kind, Spec

KINDS: tuple[Kind, ...] = get_args(Kind)
_PLURALS: Mapping[Kind, str] = {
    kind: ("corpora" if kind == "corpus" else f"{kind}s") for kind in KINDS
}


def plural(kind: Kind) -> str:
    """The word used for a kind in entry-point groups and on the command line."""
    return _PLURALS[kind]


@cache
def _plugins(kind: Kind) -> Mapping[str, EntryPoint]:
    found = entry_points(group=f"ragshield.{plural(kind)}")
    return {point.name: point for point in sorted(found, key=lambda point: point.name)}


def names(kind: Kind) -> tuple[str, ...]:
    """Registered names of one kind, sorted. Imports none of them."""
    return tuple(_plugins(kind))


def summary(kind: Kind, name: str) -> str:
    """First line of a plugin's docstring, read from its source, not by importing it."""
    point = _point(kind, name)
    spec = find_spec(point.module)  # imports the parent packages only, which are light
    if spec is None or spec.origin is None:
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").split("\n", 1)[0]
    return ""


def load(kind: Kind, name: str) -> Any:
    """The registered class or function itself.

    Raises:
        UsageError: no such name; the message suggests the nearest one.
        MissingExtraError: the plugin needs an optional dependency.
    """
    return _point(kind, name).load()


def build(spec: Spec, /, **context: Any) -> Any:
    """Build the object that a spec describes.

    Args:
        spec: kind, registry name and parameters.
        context: objects that a plugin may ask for by parameter name (`encoder`,
            `reader`); those it does not ask for are left out.

    Raises:
        UsageError: unknown name, or a parameter the plugin does not take or allow.
    """
    factory = load(spec.kind, spec.name)
    accepted = inspect.signature(factory).parameters
    unknown = sorted(set(spec.params) - set(accepted))
    if unknown:
        allowed = ", ".join(sorted(set(accepted) - set(context))) or "none"
        raise UsageError(
            f"{spec.kind} '{spec.name}' takes no parameter '{unknown[0]}'; it takes: {allowed}"
        )
    given = {key: value for key, value in context.items() if key in accepted}
    try:
        return factory(**{**given, **spec.params})
    except (TypeError, ValueError) as error:
        raise UsageError(f"{spec.kind} '{spec.name}': {error}") from error


def _point(kind: Kind, name: str) -> EntryPoint:
    plugins = _plugins(kind)
    if name in plugins:
        return plugins[name]
    near = difflib.get_close_matches(name, plugins, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    raise UsageError(f"unknown {kind} '{name}'{hint} See: ragshield list {plural(kind)}")
