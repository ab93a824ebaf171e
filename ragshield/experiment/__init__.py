"""Experiments: what is tried on what, run over shared retrievals, logged and summed up."""

from ragshield.experiment.experiment import Experiment

__all__ = ["Experiment"]
