"""Scan a stored knowledge base: every screen over every passage, nothing changed."""

from ragshield.scanning.engines import Dask, Engine, EngineName, Processes, Serial
from ragshield.scanning.job import scan
from ragshield.scanning.judging import HEALTH
from ragshield.scanning.report import Progress, ScanReport, Stage

__all__ = [
    "HEALTH",
    "Dask",
    "Engine",
    "EngineName",
    "Processes",
    "Progress",
    "ScanReport",
    "Serial",
    "Stage",
    "scan",
]
