"""Forget: a plan that changes nothing, then a snapshot and deletion, and a way back."""

from ragshield.forget.applying import ForgetResult, apply_plan
from ragshield.forget.plan import AtRisk, ForgetPlan, PlanItem, read_plan, write_plan
from ragshield.forget.planning import plan_forget
from ragshield.forget.undoing import UndoResult, undo

__all__ = [
    "AtRisk",
    "ForgetPlan",
    "ForgetResult",
    "PlanItem",
    "UndoResult",
    "apply_plan",
    "plan_forget",
    "read_plan",
    "undo",
    "write_plan",
]
