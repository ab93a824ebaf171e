"""Drift between a store and what LangChain and LlamaIndex note about it."""

from ragshield.doctor.checks import ADVICE, MEANINGS, Diagnosis, Drift, DriftKind, diagnose
from ragshield.doctor.ledgers import Ledger, LedgerKind, ledger

__all__ = [
    "ADVICE",
    "MEANINGS",
    "Diagnosis",
    "Drift",
    "DriftKind",
    "Ledger",
    "LedgerKind",
    "diagnose",
    "ledger",
]
