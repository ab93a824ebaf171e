"""Starting is light: what is imported is fixed here, not how long it takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch", "transformers", "sentence_transformers", "chromadb", "sklearn", "scipy",
    "langchain_core", "langchain", "langchain_chroma", "openai", "pandas", "onnxruntime",
}  # fmt: skip

LIGHTEST = HEAVY | {"numpy", "typer", "rich"}


def modules_after(code: str) -> set[str]:
    script = (
        f"import sys\n{code}\nprint('\\n'.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_ragshield_loads_nothing_heavy() -> None:
    assert modules_after("import ragshield") & LIGHTEST == set()


@pytest.mark.parametrize(
    "name", ["judge", "Guard", "open_store", "scan", "plan_forget", "Experiment", "IngestGuard"]
)
def test_naming_a_public_function_loads_nothing_heavy(name: str) -> None:
    assert modules_after(f"import ragshield; ragshield.{name}") & HEAVY == set()


@pytest.mark.parametrize("arguments", ["['--help']", "['list']", "['scan', '--help']"])
def test_help_and_list_load_nothing_heavy(arguments: str) -> None:
    code = (
        "import contextlib, io\n"
        "from ragshield.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    run({arguments})"
    )
    assert modules_after(code) & HEAVY == set()


def test_listing_plugins_imports_none_of_them() -> None:
    code = (
        "from ragshield import registry\n"
        "for kind in registry.KINDS:\n"
        "    for name in registry.names(kind):\n"
        "        registry.summary(kind, name)\n"
        "points = [p for kind in registry.KINDS for p in registry._plugins(kind).values()]\n"
        "plugins = {point.module for point in points}\n"
        "loaded = plugins & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    assert "ragshield" in modules_after(code)


def test_every_public_name_exists() -> None:
    import ragshield

    for name in ragshield.__all__:
        assert getattr(ragshield, name) is not None
    assert set(ragshield.__all__) <= set(dir(ragshield))


def test_no_public_name_is_also_a_module() -> None:
    # Importing ragshield.scan as a module would replace the function of that name.
    import importlib.util

    import ragshield

    for name in ragshield.__all__:
        assert importlib.util.find_spec(f"ragshield.{name}") is None, name
