"""ragshield: guard, scan and clean the knowledge base behind a RAG application.

Importing it loads no torch, no chromadb, no scikit-learn and no langchain: each name
below is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragshield.calibration.calibrating import calibrate
    from ragshield.encoders.open import open_encoder
    from ragshield.errors import MajorityError, RagshieldError
    from ragshield.experiment import Experiment
    from ragshield.forget import apply_plan, plan_forget, undo
    from ragshield.guard import Guard, judge
    from ragshield.ingest import IngestGuard
    from ragshield.records import Batch, Finding, Hit, Passage, Question, Retrieval, Target, Verdict
    from ragshield.retriever import StoreRetriever
    from ragshield.scanning import scan
    from ragshield.stores.url import open_store

_HOME = {
    "Batch": "records",
    "Experiment": "experiment",
    "Finding": "records",
    "Guard": "guard",
    "Hit": "records",
    "IngestGuard": "ingest",
    "MajorityError": "errors",
    "Passage": "records",
    "Question": "records",
    "RagshieldError": "errors",
    "Retrieval": "records",
    "StoreRetriever": "retriever",
    "Target": "records",
    "Verdict": "records",
    "apply_plan": "forget",
    "calibrate": "calibration.calibrating",
    "judge": "guard",
    "open_encoder": "encoders.open",
    "open_store": "stores.url",
    "plan_forget": "forget",
    "scan": "scanning",
    "undo": "forget",
}

__all__ = [
    "Batch",
    "Experiment",
    "Finding",
    "Guard",
    "Hit",
    "IngestGuard",
    "MajorityError",
    "Passage",
    "Question",
    "RagshieldError",
    "Retrieval",
    "StoreRetriever",
    "Target",
    "Verdict",
    "apply_plan",
    "calibrate",
    "judge",
    "open_encoder",
    "open_store",
    "plan_forget",
    "scan",
    "undo",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ragshield' has no attribute {name!r}")
    value = getattr(import_module(f"ragshield.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
