"""Experiments: what is tried on what, run over shared retrievals, logged and summed up."""

from ragshield.experiment.design import Experiment

__all__ = ["Experiment"]
