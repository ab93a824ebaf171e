"""The experiment files in the tree can be read, and say what their comments promise."""

from __future__ import annotations

from pathlib import Path

from ragshield.experiment import Experiment

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_outnumbered_example_looks_deeper_and_filters() -> None:
    read = Experiment.from_toml(EXAMPLES / "outnumbered.toml")
    assert (read.on_majority, read.max_depth, read.depth, read.k) == ("filter", 80, 20, 5)
    assert [spec.params["n"] for label, spec in read.attacks.items() if label != "none"] == [10, 16]
