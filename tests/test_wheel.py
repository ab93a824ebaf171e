"""The wheel holds what the checkout holds, and passes the tests outside it."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the checkout"),
]

HOMES = {"attacks/", "defenders/", "corpora/"}
DATA = {
    ".toml",
    ".txt",
    ".typed",
    ".npy",
    ".html",
    ".css",
    ".js",
    ".json",
    ".md",
    ".safetensors",
    ".jsonl",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built by way of the sdist from tracked files only."""
    source = tmp_path_factory.mktemp("source") / "ragshield"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if not (ROOT / name).exists() and not (ROOT / name).is_symlink():
            continue  # deleted in the working tree
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(source)],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_every_tracked_module_and_data_file(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "ragshield", "attacks", "defenders", "corpora"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    expected = set()
    for name in tracked:
        if Path(name).suffix in {".py"} | DATA:
            inside = name if name.startswith("ragshield/") else f"ragshield/{name}"
            expected.add(inside)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        built = {n for n in names if not n.split("/")[0].endswith(".dist-info")}
        (top,) = (n for n in names if n.endswith("top_level.txt"))
        assert archive.read(top).decode().split() == ["ragshield"]
    assert built == expected


ROOMS = ("contract", "cli", "corpora", "encoders", "readers", "reports")
"""What a wheel can lack is a module, an entry point or a data file: the contract tests build and
run every plugin, the others read what is packaged. The rest ran in the checkout already."""


def test_the_tests_pass_against_the_wheel_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    packages = next((home / "lib").glob("python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet",
         "--target", str(packages), str(wheel)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    # The dependencies come from the environment that runs this test. A path in a .pth
    # file is searched after site-packages, and .pth files inside it are not read, so
    # the editable install there stays out of sight.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    settings = (ROOT / "pyproject.toml").read_text().split("[tool.pytest.ini_options]")[1]
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]" + settings.split("\n[")[0])
    shutil.move(tmp_path / "pyproject.toml", tmp_path / "tests" / "pyproject.toml")
    chosen = [f"tests/{room}" for room in ROOMS]
    chosen += sorted(f"tests/{path.name}" for path in (ROOT / "tests").glob("test_*.py"))
    script = (
        "import ragshield, pathlib, sys, pytest\n"
        f"assert pathlib.Path(ragshield.__file__).is_relative_to({str(packages)!r})\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-c', 'tests/pyproject.toml',"
        " '--rootdir', 'tests', '-m', 'not wheel and not slow and not server and not model',"
        f" *{chosen!r}]))"
    )
    done = subprocess.run(
        [str(home / "bin" / "python"), "-c", script],
        cwd=tmp_path, capture_output=True, text=True, timeout=900,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
