"""Forget: a plan that changes nothing, then erasure with proof, and a way back until the end."""

from ragshield.forget.applying import ForgetResult, apply_plan
from ragshield.forget.ending import Ended, finish
from ragshield.forget.planning import plan_forget, plan_requests
from ragshield.forget.plans.file import read_plan, write_plan
from ragshield.forget.plans.overlapping import Overlap, overlaps
from ragshield.forget.plans.records import (
    Artefact,
    AtRisk,
    Elsewhere,
    ForgetPlan,
    Kept,
    PlanItem,
    SharedFact,
)
from ragshield.forget.plans.request import Request, asked
from ragshield.forget.purging import StorePurged, SurfacePurged, purge_store
from ragshield.forget.reverifying import Reverified, reverify
from ragshield.forget.undoing import UndoResult, undo

__all__ = [
    "Artefact",
    "AtRisk",
    "Elsewhere",
    "Ended",
    "ForgetPlan",
    "ForgetResult",
    "Kept",
    "Overlap",
    "PlanItem",
    "Request",
    "Reverified",
    "SharedFact",
    "StorePurged",
    "SurfacePurged",
    "UndoResult",
    "apply_plan",
    "asked",
    "finish",
    "overlaps",
    "plan_forget",
    "plan_requests",
    "purge_store",
    "read_plan",
    "reverify",
    "undo",
    "write_plan",
]
