"""What a plan is made of: frozen records, nothing computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ragshield.protocols import Cost

EXCERPT_CHARS = 160

Scope: TypeAlias = Literal["document", "subject", "fact"]
"""What is meant by the target.

`document`: passages and what they were cut from; what others say for themselves stays.
`subject`: everything about somebody or something. `fact`: one statement, wherever it stands.
"""

Shared: TypeAlias = Literal["keep", "forget", "report"]
"""What becomes of a fact that other documents state also.

`keep`: they stay, and the plan lists them. `report`: they are put on the review list.
`forget`: they go too.
"""

ArtefactKind: TypeAlias = Literal["record-manager", "docstore", "parent-store", "langchain-cache"]
"""What may hold the target beside the store; see `forget.artefacts`."""


@dataclass(frozen=True, slots=True)
class PlanItem:
    """A passage that would go, or that a person should look at.

    Attributes:
        passage_id: its id in the store.
        selected: whether `apply` deletes it; edit the plan file to change that.
        confidence: that it carries what is to be forgotten, (0, 1].
        reason: why it is here.
        related_to: ids of passages it was found through.
        sha256: of its text, source and metadata when planned; `apply` refuses if it has changed.
        text: its first 160 characters.
    """

    passage_id: str
    selected: bool
    confidence: float
    reason: str
    related_to: tuple[str, ...]
    sha256: str
    text: str


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A near neighbour that stays: what answers about it rest on may come closer to going.

    Attributes:
        passage_id: its id.
        similarity: cosine to the nearest passage that would go, [-1, 1].
        near: that passage's id.
        text: its first 160 characters.
    """

    passage_id: str
    similarity: float
    near: str
    text: str


@dataclass(frozen=True, slots=True)
class SharedFact:
    """A fact of the target that passages outside it state also.

    Attributes:
        text: the sentence of the target that states it.
        about: who or what it is about; empty where that could not be told.
        value: what it says, in words of the text, such as a year or a name.
        stated_in: id of the selected passage.
        also_in: ids of the passages outside the target that state it, at most 20.
        n_also: how many there are.
    """

    text: str
    about: str
    value: str
    stated_in: str
    also_in: tuple[str, ...]
    n_also: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A passage about the subject that stays, because it only states what is to be kept.

    Attributes:
        passage_id: its id.
        exception: the words of the request that keep it.
        text: its first 160 characters.
    """

    passage_id: str
    exception: str
    text: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What carries the target in another collection of the same store.

    Attributes:
        store_url: that collection.
        n_passages: how many it holds.
        items: as in the plan itself; `apply` deletes the selected ones there.
    """

    store_url: str
    n_passages: int
    items: tuple[PlanItem, ...]

    @property
    def selected(self) -> tuple[PlanItem, ...]:
        """What `apply` deletes there."""
        return tuple(item for item in self.items if item.selected)


@dataclass(frozen=True, slots=True)
class Artefact:
    """An entry of a docstore, record manager, parent-document store or cache.

    Attributes:
        kind: what kind of place it is in.
        place: path of the file or folder.
        key: what names the entry there.
        reason: why it is here.
        confidence: that it carries what is to be forgotten, (0, 1].
        selected: whether `apply` removes it.
        sha256: of the entry when planned; `remove` leaves alone what has changed.
        text: its first 160 characters; empty for entries without a text.
    """

    kind: ArtefactKind
    place: str
    key: str
    reason: str
    confidence: float
    selected: bool
    sha256: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """What would go and why. Making one changes nothing.

    Attributes:
        store_url: the store it was made for.
        created: when, ISO 8601, UTC.
        subject: name to be forgotten; None for a plan without one.
        aliases: other names of the subject.
        ids: ids asked for; empty where the request did not name any.
        unknown_ids: ids asked for that the store does not hold.
        n_passages: passages in the store.
        items: selected passages first, then those for review, most certain first.
        at_risk: nearest neighbours that stay, nearest first.
        path: the file it was written to or read from; None if neither.
        scope: what is meant by the target.
        shared: what becomes of facts that other documents state also.
        request: the request as it was given: personal data, in the plan file only.
        shared_facts: facts of the target that passages outside it state also.
        kept: passages about the subject that the request's exceptions keep.
        elsewhere: carriers in other collections of the same store.
        artefacts: carriers beside the store.
        cost: what purging the selected passages of this collection takes, guessed; None
            where the store has no recipe.
        notes: what a reader should know, such as passages without a usable vector.
    """

    store_url: str
    created: str
    subject: str | None
    aliases: tuple[str, ...]
    ids: tuple[str, ...]
    unknown_ids: tuple[str, ...]
    n_passages: int
    items: tuple[PlanItem, ...]
    at_risk: tuple[AtRisk, ...]
    path: Path | None = None
    scope: Scope = "subject"
    shared: Shared = "keep"
    request: dict[str, Any] = field(default_factory=dict)
    shared_facts: tuple[SharedFact, ...] = ()
    kept: tuple[Kept, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    cost: Cost | None = None
    notes: tuple[str, ...] = ()

    @property
    def selected(self) -> tuple[PlanItem, ...]:
        """What `apply` deletes in the store."""
        return tuple(item for item in self.items if item.selected)

    @property
    def review(self) -> tuple[PlanItem, ...]:
        """What is uncertain and stays unless a person selects it."""
        return tuple(item for item in self.items if not item.selected)
