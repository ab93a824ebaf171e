"""What the documents say is there, is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from ragshield.cli.main import app, run

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    not (ROOT / "README.md").is_file(), reason="needs the checkout, not only the wheel"
)


def commands() -> dict[str, set[str]]:
    """Every command with its options, as typer knows them."""
    found = {}

    def walk(command: object, path: str) -> None:
        inner = getattr(command, "commands", None)
        if inner:
            for name, child in inner.items():
                walk(child, f"{path} {name}".strip())
        else:
            options = {o for p in command.params for o in p.opts}  # type: ignore[attr-defined]
            found[path] = options | {"--help", "-h"}

    walk(typer.main.get_command(app), "")
    return found


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_in_the_readme_exists_with_its_options() -> None:
    known = commands()
    lines = [
        line.split("#  ")[0].split("  #")[0].removeprefix("ragshield ")
        for line in re.findall(r"^    (ragshield [a-z].*)$", readme(), flags=re.MULTILINE)
    ]
    assert len(lines) >= 8
    for line in lines:
        (path,) = [p for p in known if line == p or line.startswith(f"{p} ")]
        for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", line):
            assert option in known[path], f"{option} of `ragshield {path}`"


def test_every_command_is_in_the_readme_and_has_help(capsys) -> None:
    for path in commands():
        assert f"ragshield {path}" in readme() or f"`{path}`" in readme(), path
        assert run([*path.split(), "--help"]) == 0
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80, path
        assert "Usage: " in shown


def test_every_python_block_in_the_readme_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", readme(), flags=re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        compile(block, "README.md", "exec")


def test_files_that_the_documents_name_exist() -> None:
    for document in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (ROOT / target).exists(), f"{document} names {target}"


def test_rooms_in_the_architecture_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = text.split("## The rooms")[1].split("```")[1]
    for line in rooms.splitlines():
        for name in re.findall(r"[a-z_]+(?:\.py|/)", line.split("   ")[0] if line else ""):
            base = ROOT / "ragshield" if line.startswith("  ") else ROOT
            assert (base / name).exists(), name
