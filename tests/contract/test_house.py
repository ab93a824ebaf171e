"""The house keeps its order: every plugin is registered, tested, documented."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ragshield import registry

ROOT = Path(__file__).parent.parent.parent
ROOMS = {
    "attack": "attacks",
    "defender": "defenders",
    "corpus": "corpora",
    "screen": "ragshield/screens",
    "reader": "ragshield/readers",
}

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the checkout, not only the wheel"
)


def plugin_classes(folder: Path) -> dict[str, Path]:
    """Values of `name = "..."` in classes of a folder: what ought to be registered."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for item in getattr(node, "body", []) if isinstance(node, ast.ClassDef) else []:
                if (
                    isinstance(item, ast.AnnAssign)
                    and getattr(item.target, "id", "") == "name"
                    and isinstance(item.value, ast.Constant)
                ):
                    found[str(item.value.value)] = path
    return found


@pytest.mark.parametrize("kind", ["attack", "defender", "screen"])
def test_every_class_with_a_name_is_registered(kind: str) -> None:
    classes = plugin_classes(ROOT / ROOMS[kind])
    assert set(classes) == set(registry.names(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", list(ROOMS))
def test_every_registered_plugin_has_a_test_file(kind: str) -> None:
    for name, point in registry._plugins(kind).items():  # type: ignore[arg-type]
        module = point.module.rsplit(".", 1)[1]
        folder = {"screen": "screens", "reader": "readers"}.get(kind, ROOMS[kind])
        tests = ROOT / "tests" / folder
        assert list(tests.glob(f"test_{module}*.py")), f"{kind} '{name}' has no test in {tests}"


def test_no_python_file_is_over_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): n
        for folder in ("ragshield", "attacks", "defenders", "corpora", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


@pytest.mark.parametrize("room", ["attacks", "defenders", "corpora"])
def test_a_room_cannot_be_imported_under_its_folder_name(room: str) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location(room, ROOT / room / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=f"import ragshield.{room}, not {room}"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize("room", ["attacks", "defenders", "corpora"])
def test_a_room_imports_absolutely_and_never_another_room(room: str) -> None:
    others = {"attacks", "defenders", "corpora"} - {room}
    for path in (ROOT / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                module = node.module or ""
                assert not any(module.startswith(f"ragshield.{other}") for other in others), path
