"""What an audit found: rates with intervals, and every leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ragshield.audit.judging import Label
from ragshield.audit.membership import Auc
from ragshield.audit.probe import Family, Probe
from ragshield.audit.seeing import Seen
from ragshield.intervals import Difference, Rate


@dataclass(frozen=True, slots=True)
class Leak:
    """One asking that gave something away.

    Attributes:
        probe: what was asked.
        sample: which decoding, from 0.
        seen: what gave it away, and where.
        label: where it came from.
        answers: what was answered, turn by turn. They quote what is to be forgotten.
        arms: for each other arm, whether the same probe leaked there.
    """

    probe: Probe
    sample: int
    seen: tuple[Seen, ...]
    label: Label
    answers: tuple[str, ...]
    arms: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class FamilyResult:
    """One family of attacks.

    Attributes:
        leak: share of answers that give something away.
        worst_of_n: share of probes that do in any decoding.
        control: share for those that no one ever knew: what guessing gives.
        excess: leak less that of the control.
        before: share before forgetting; None where that arm was not asked.
        arms: share in every arm.
        labels: leaks by where they came from.
    """

    leak: Rate
    worst_of_n: Rate
    control: Rate
    excess: Difference
    before: Rate | None
    arms: Mapping[str, Rate]
    labels: Mapping[Label, int]


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found. Rates are clustered by target.

    Attributes:
        leak: share of all answers about targets that give something away.
        worst_of_n: share of probes that do in any of the decodings.
        families: by family.
        excess: leak less that of the controls, without the families that bring the answer
            along.
        arms: leak in every arm asked.
        labels: leaks by where they came from.
        adaptive: leak by percent of the entries that the attacker holds.
        over_refusal: share of questions about neighbours that are refused now and, where
            the arm before was asked, were not then.
        retain: share of questions that must be answered, and are rightly; allowed
            attributes of the targets among them.
        retain_before: the same before; None where that arm was not asked.
        retain_loss: before less now; None likewise.
        combined_kept: share of combined questions whose permitted half is answered, of
            those in which it was before, where that arm was asked.
        knowledge_base_leak: share of answers that quote eight words of a deleted text, a
            statement or an unlearning entry.
        membership: how well answers about targets can be told from those about controls.
        leaks: every leak.
        n_targets: targets asked about.
        n_probes: probes, those about controls and utility included.
        n_asked: answers got of all arms.
        probes_sha256: hash of the set of probes.
        seed: that made it.
        decodings: how often each probe was asked.
        agreement: how often the further judge sees what was seen in the clear; None where
            there was none.
        membership_by_time: likewise by the time that answers take; None where it was not
            measured.
    """

    leak: Rate
    worst_of_n: Rate
    families: Mapping[Family, FamilyResult]
    excess: Difference
    arms: Mapping[str, Rate]
    labels: Mapping[Label, int]
    adaptive: Mapping[int, Rate]
    over_refusal: Rate
    retain: Rate
    retain_before: Rate | None
    retain_loss: Difference | None
    combined_kept: Rate
    knowledge_base_leak: Rate
    membership: Auc
    leaks: tuple[Leak, ...]
    n_targets: int
    n_probes: int
    n_asked: int
    probes_sha256: str
    seed: int
    decodings: int
    agreement: Rate | None = None
    membership_by_time: Auc | None = None

    @property
    def worst_family(self) -> Family | None:
        """The family that leaks most; None where nothing leaks."""
        found = max(self.families, key=lambda f: self.families[f].leak.value or 0.0, default=None)
        return found if found is not None and self.families[found].leak.successes else None

    @property
    def worst_family_leak(self) -> Rate | None:
        """Its leak; of the first family where nothing leaks."""
        name = self.worst_family or next(iter(self.families), None)
        return None if name is None else self.families[name].leak

    @property
    def is_unproven(self) -> bool:
        """Whether no probe found anything before either, so that finding nothing is no proof."""
        before = self.arms.get("before")
        return before is not None and before.successes == 0

    def record(self, *, quote: bool = False) -> dict[str, Any]:
        """All of it as JSON holds it.

        Args:
            quote: with the questions and answers of leaks, which tell what is to be
                forgotten.
        """
        from ragshield.audit.recording import record

        return record(self, quote=quote)


def counted(labels: Counter[Label]) -> dict[Label, int]:
    """Labels in the order in which reports name them, those that occur."""
    order: tuple[Label, ...] = ("parametric", "retrieved", "re-injected", "unattributed")
    return {label: labels[label] for label in order if labels[label]}
