"""The benchmarks are scripts beside the package: found only in a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

collect_ignore_glob = [] if BENCHMARKS.is_dir() else ["test_*.py"]
if BENCHMARKS.is_dir() and str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))
