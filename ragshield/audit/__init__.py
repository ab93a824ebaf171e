"""The audit of forgetting: thirteen families of attempts to get something back.

found = audit(app, read_forget_set(path), before=old_app, no_retrieval=model_alone)
found.leak, found.worst_family, found.membership
Policy(max_leak=0.02).breaches(found)
"""

from ragshield.audit.asking import AnswersMany, Askable, Dialogue
from ragshield.audit.auditing import Arms, audit
from ragshield.audit.building import ProbeSet, build_probes
from ragshield.audit.judging import Label
from ragshield.audit.membership import Auc
from ragshield.audit.policy import Breach, Policy, read_policy
from ragshield.audit.probe import FAMILIES, Family, Probe, Retained
from ragshield.audit.result import Audit, FamilyResult, Leak

__all__ = [
    "FAMILIES",
    "AnswersMany",
    "Arms",
    "Askable",
    "Auc",
    "Audit",
    "Breach",
    "Dialogue",
    "Family",
    "FamilyResult",
    "Label",
    "Leak",
    "Policy",
    "Probe",
    "ProbeSet",
    "Retained",
    "audit",
    "build_probes",
    "read_policy",
]
