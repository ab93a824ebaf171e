"""Calibrating the guard on a user's own store: threshold, expected loss, detection."""

from ragshield.calibration.calibrating import calibrate
from ragshield.defenders.calibrated_shield import Shield, read_shield, write_shield

__all__ = ["Shield", "calibrate", "read_shield", "write_shield"]
