"""What entries beside the store are compared with."""

from __future__ import annotations

from collections.abc import Iterable

from ragshield.forget.closure.chosen import Why
from ragshield.forget.closure.closing import Closed
from ragshield.forget.closure.likeness import alike
from ragshield.forget.closure.seeds import Seed
from ragshield.forget.matching.documents import keys_of
from ragshield.forget.matching.facts import Statement
from ragshield.forget.matching.features import Features
from ragshield.forget.matching.mentions import CERTAIN, Mentions
from ragshield.forget.plans.request import Request

_WHOLE, _HELD = 0.8, 0.3
_LONG = 12


class Target:
    """The target as seen from docstores, record managers and caches.

    Args:
        request: what is to be forgotten.
        closed: what goes from the store.
    """

    def __init__(self, request: Request, closed: Closed) -> None:
        self.scope = request.scope
        self.ids = frozenset(closed.chosen.ids(selected=True))
        self.review_ids = frozenset(closed.chosen.ids(selected=False))
        seeds: tuple[Seed, ...] = () if closed.seeds is None else closed.seeds.seeds
        self._seeds = closed.seeds
        keys = {key for seed in seeds for key in keys_of(seed.passage) if seed.direct}
        self.parents = frozenset(key.value for key in keys if key.group == "parent")
        self.files = frozenset(key.value for key in keys if key.group == "file")
        self._mentions = (
            None if request.subject is None else Mentions(request.subject, request.aliases)
        )
        self._statements = (
            [Statement(text, closed.survey.overview.rarity) for text in request.texts]
            if request.scope == "fact"
            else []
        )

    def by_id(self, entry: str) -> Why | None:
        """What an entry named by this id is to the target."""
        if entry in self.ids:
            return Why(True, 1.0, "the record of a selected passage", (entry,))
        if entry in self.parents:
            sure = self.scope == "document"
            return Why(sure, 0.95 if sure else 0.7, "the document of a selected passage", (entry,))
        if entry in self.review_ids:
            return Why(False, 0.5, "the record of a passage to review", (entry,))
        return None

    def by_text(self, text: str) -> Why | None:
        """What a text is to the target: a copy, one that holds a part of it, or a mention."""
        found = [why for why in self._of_text(text) if why is not None]
        return max(found, key=lambda why: (why.selected, why.confidence), default=None)

    def _of_text(self, text: str) -> Iterable[Why | None]:
        if self._mentions is not None:
            mention = self._mentions.find(text)
            if mention is not None:
                yield Why(mention.confidence >= CERTAIN, mention.confidence, mention.how)
        features = Features(text)
        for statement in self._statements:
            stated = statement.stated(features)
            if stated is not None:
                yield Why(stated[0] >= 0.8, stated[0], "states what is to be forgotten")
        if self._seeds is None or self.scope == "fact":
            return
        seeds = self._seeds
        if features.normal in seeds.by_text:
            yield Why(True, 0.99, "the same text as a selected passage")
            return
        if features.words and seeds.worth_a_signature(features):
            for near in seeds.near.find(features.signature)[:3]:
                yield alike(features, seeds.seeds[int(str(near.name))].features)
        places = seeds.common(features)
        if not len(places):
            return
        counts = seeds.owners(places)
        seed = int(counts.argmax())
        held = counts[seed] / max(1, seeds.n_runs[seed])
        if held >= _WHOLE and seeds.n_runs[seed] >= _LONG:
            yield Why(True, 0.9, "holds the whole of a selected passage")
        elif len(places) >= _LONG or held >= _HELD:
            share = len(places) / max(1, len(features.runs))
            sure = self.scope == "document" and share >= _WHOLE
            how = "cut from selected passages" if sure else "shares a run of words with the target"
            yield Why(sure, 0.9 if sure else 0.6, how)
