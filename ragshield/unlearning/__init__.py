"""Making a closed model forget: keys, gates, the published method, and what both rival.

keys = build_keys(read_forget_set(path), encoder)
app = Forgetting(keys, chat_model, retriever=retriever, encoder=encoder)
app.ask("Who is Ada?", audience="public")
"""

from ragshield.unlearning.building import build_keys
from ragshield.unlearning.changing import joined, only_targets, rows_named
from ragshield.unlearning.critic import Critic
from ragshield.unlearning.decision_log import Decision, DecisionLog
from ragshield.unlearning.forgetting import Forgetting, Given
from ragshield.unlearning.hybrid import HybridRetriever
from ragshield.unlearning.keys import ForgetKeys, read_keys, write_keys
from ragshield.unlearning.planning import GATES
from ragshield.unlearning.published import Entry, PublishedBuilder, UnlearnedKnowledge
from ragshield.unlearning.refusing import REFUSAL, is_refusal
from ragshield.unlearning.staying import StayingTexts

__all__ = [
    "GATES",
    "REFUSAL",
    "Critic",
    "Decision",
    "DecisionLog",
    "Entry",
    "ForgetKeys",
    "Forgetting",
    "Given",
    "HybridRetriever",
    "PublishedBuilder",
    "StayingTexts",
    "UnlearnedKnowledge",
    "build_keys",
    "is_refusal",
    "joined",
    "only_targets",
    "read_keys",
    "rows_named",
    "write_keys",
]
