"""Fits the weights and thresholds that ship in defenders/fused.toml.

Usage: python benchmarks/fit_fused.py [--check]

Reads the development data (RAGSHIELD_DATA), the Debian packages that guard_store.py
names and the bundled world; vectors are cached in .cache/guard-vectors.sqlite. The
shipped weights are fitted on everything; what is reported comes from benchmarks/guard.py,
which fits without what it tests.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from guard_fit import BUDGETS, FIXED, GROUP, TERMS, Fit, fit, scored
from guard_trials import all_trials

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Weights and thresholds of the fused defender. Written by benchmarks/fit_fused.py:
# do not edit by hand. A weight belongs to a signal of signals.py, "a*b" to the product
# of two; a hit's suspicion is the logistic function of bias + weights . signals. The bias
# is shifted so that suspicion 0.5 is the threshold at budget 0.01.
"""


def as_toml(model: Fit) -> str:
    """The file's text."""
    shift = model.logits[0.01]
    lines = [HEAD, f"bias = {model.bias - shift:.4f}", "", "[weights]"]
    lines += [f'"{n}" = {w:.4f}' for n, w in zip(TERMS, model.weights, strict=True) if w >= 5e-4]
    lines += ["# Not fitted: no development data carries sources or dates."]
    lines += [f'"{name}" = {weight}' for name, weight in FIXED.items()]
    lines += ["", "# What a dropped hit adds to those that say nearly the same.", "[group]"]
    lines += [f"{name} = {getattr(GROUP, name)}" for name in ("lift", "start", "width")]
    lines += ["", "# Largest clean loss of an ordinary honest set, and the sum that met it."]
    lines += ["[thresholds]"]
    # A smaller budget never means a lower threshold, and 0.01 is 0 by definition.
    lines += [f'"{b}" = {model.logits[b] - shift:.4f}' for b in BUDGETS]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    args = parser.parse_args()
    text = as_toml(fit(scored(all_trials(ROOT / ".cache" / "guard-vectors.sqlite"))))
    if args.check:
        print(text)
    else:
        (ROOT / "defenders" / "fused.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
