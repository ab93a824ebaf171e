"""Making a plan: what carries the target, what may, and what stands near and stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.forget.mentions import CERTAIN, Mentions
from ragshield.forget.plan import EXCERPT_CHARS, AtRisk, ForgetPlan, PlanItem, content_hash, listed
from ragshield.protocols import Store
from ragshield.records import Batch, Passage, Vectors
from ragshield.screens.neighbours import background, lexical_vectors
from ragshield.text import STOP_WORDS, content_words, normal_form
from ragshield.vectors import unit_rows

N_AT_RISK = 10
_MARKS = re.compile(r"\b(?:[^\W\d_a-zß-öø-ÿ]\w+|\d+)\b")
_COMPARED_CHARS = 4000
_DEPTH = 1
_MIN_STORE = 40
_BLOCK_CELLS = 8_000_000


@dataclass(frozen=True, slots=True)
class _Chosen:
    selected: bool
    confidence: float
    reason: str
    related_to: tuple[str, ...] = ()


def plan_forget(
    store: Store,
    *,
    ids: Sequence[str] | None = None,
    subject: str | None = None,
    aliases: Sequence[str] = (),
    allow_large: bool = False,
    skip_unknown: bool = False,
) -> ForgetPlan:
    """Plan what would be deleted; changes nothing.

    By ids: those passages, and what carries the same. By subject: the passages that
    mention the name or an alias, and what carries the same without naming it. Copies and
    nearly literal copies are selected with their original; paraphrases, initials and last
    names alone are listed for review and stay unless a person selects them.

    Deleting does not erase: see `limits` in the plan.

    Args:
        store: an open store; only read, and held in memory while the plan is made.
        ids: passages to forget; either these or a subject.
        subject: name of who or what to forget.
        aliases: other names of the subject.
        allow_large: allow a plan that would delete more than half of the store.
        skip_unknown: leave out ids that the store does not hold, instead of refusing.

    Raises:
        UsageError: neither or both of ids and subject, an empty name, nothing matches, or
            more than half of the store would go.
        InputError: an id that the store does not hold.
        StoreError: the store is empty.
    """
    if (ids is None) == (subject is None):
        raise UsageError("say what to forget: either ids or a subject")
    if ids is not None and aliases:
        raise UsageError("aliases belong to a subject, not to ids")
    if ids is not None and not ids:
        raise UsageError("no ids given: there is nothing to forget")
    mentions = None if subject is None else Mentions(subject, aliases)
    batch = _everything(store)
    position = {p.id: i for i, p in enumerate(batch.passages)}
    wanted = tuple(dict.fromkeys(ids or ()))
    unknown = tuple(x for x in wanted if x not in position)
    if unknown and not (skip_unknown and len(unknown) < len(wanted)):
        raise InputError(
            f"{store.url} does not hold {len(unknown)} of {len(wanted)} ids: "
            f"{listed(unknown)}; correct them" + ("" if skip_unknown else ", or skip unknown ids")
        )
    chosen: dict[int, _Chosen] = {}
    if mentions is not None:
        for i, passage in enumerate(batch.passages):
            mention = mentions.find(passage.text)
            if mention is not None:
                certain = mention.confidence >= CERTAIN
                chosen[i] = _Chosen(certain, mention.confidence, mention.how)
        if not chosen:
            raise UsageError(f"no passage of {store.url} mentions '{subject}'; nothing planned")
    else:
        chosen = {position[x]: _Chosen(True, 1.0, "named by id") for x in wanted if x in position}
    at_risk = _close_over(batch, chosen)
    plan = ForgetPlan(
        store_url=store.url,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        subject=subject,
        aliases=tuple(aliases),
        ids=wanted,
        unknown_ids=unknown,
        n_passages=len(batch),
        items=_items(batch, chosen),
        at_risk=at_risk,
    )
    if not allow_large and 2 * len(plan.selected) > plan.n_passages:
        raise UsageError(
            f"the plan would delete {len(plan.selected)} of {plan.n_passages} passages, more "
            "than half of the store; allow a large plan if that is meant (--allow-large)"
        )
    return plan


def _everything(store: Store) -> Batch:
    passages: dict[str, Passage] = {}
    rows: list[Vectors] = []
    without_vectors = False
    for batch in store.batches():
        new = [i for i, p in enumerate(batch.passages) if p.id not in passages]
        passages.update((batch.passages[i].id, batch.passages[i]) for i in new)
        if batch.vectors is None:
            without_vectors = True
        else:
            rows.append(batch.vectors[new])
    if not passages:
        raise StoreError(f"{store.url} is empty: there is nothing to forget")
    vectors = None if without_vectors or not rows else np.vstack(rows)
    return Batch(tuple(passages.values()), vectors)


def _close_over(batch: Batch, chosen: dict[int, _Chosen]) -> tuple[AtRisk, ...]:
    """Add what carries the same as the selected passages; gives the neighbours that stay."""
    texts = [p.text[:_COMPARED_CHARS] for p in batch.passages]
    unit = _directions(batch)
    seeds = np.array(sorted(i for i, c in chosen.items() if c.selected), dtype=np.intp)
    if not len(seeds):
        return ()
    cut = _cut(unit, has_vectors=batch.vectors is not None)
    others = np.array([i for i in range(len(batch)) if i not in chosen], dtype=np.intp)
    nearest: list[tuple[float, int, int]] = []
    size = max(1, _BLOCK_CELLS // len(seeds))
    copies = {normal_form(texts[s]): int(s) for s in reversed(seeds)}
    for start in range(0, len(others), size):
        part = others[start : start + size]
        similarity = unit[part] @ unit[seeds].T
        for row, i in zip(similarity, part.tolist(), strict=True):
            seed, near = _carried(texts, i, row, seeds, copies, cut)
            if near is not None:
                chosen[i] = _Chosen(
                    near.selected, near.confidence, near.reason, (batch.passages[seed].id,)
                )
            else:
                nearest.append((float(row.max()), i, int(seeds[int(row.argmax())])))
    nearest.sort(key=lambda found: (-found[0], found[1]))
    return tuple(
        AtRisk(
            passage_id=batch.passages[i].id,
            similarity=round(similarity, 4),
            near=batch.passages[seed].id,
            text=texts[i][:EXCERPT_CHARS],
        )
        for similarity, i, seed in nearest[:N_AT_RISK]
        if similarity > 0
    )


def _carried(
    texts: Sequence[str],
    i: int,
    similarity: NDArray[np.float32],
    seeds: NDArray[np.intp],
    copies: dict[str, int],
    cut: float,
) -> tuple[int, _Chosen | None]:
    """The selected passage whose content passage i carries too, and how certainly."""
    if normal_form(texts[i]) in copies and normal_form(texts[i]):
        seed = copies[normal_form(texts[i])]
        return seed, _Chosen(True, 0.99, "the same text as a selected passage")
    words, marks = set(content_words(texts[i])), _marks(texts[i])
    best: tuple[int, _Chosen | None] = (-1, None)
    for column in np.argsort(-similarity, kind="stable")[:3].tolist():
        cosine, seed = float(similarity[column]), int(seeds[column])
        if cosine < cut:
            break
        seed_words, seed_marks = set(content_words(texts[seed])), _marks(texts[seed])
        same_words = len(words & seed_words) / max(1, len(words | seed_words))
        differing = bool(marks - seed_marks and seed_marks - marks)
        if same_words >= 0.8 and not differing:
            how = f"nearly the words of a selected passage ({same_words:.0%} shared)"
            return seed, _Chosen(True, 0.9, how)
        marked = len(seed_marks) >= 2
        carried = len(seed_marks & marks) / len(seed_marks) if marked else same_words * 1.5
        if carried >= 0.5 and best[1] is None:
            confidence = round(min(0.85, 0.5 * cosine + 0.4 * min(carried, 1.0)), 2)
            how = f"may say the same as a selected passage in other words (similarity {cosine:.2f})"
            best = seed, _Chosen(False, confidence, how)
    return best


def _directions(batch: Batch) -> Vectors:
    """Unit rows to compare by; zeros for a passage with no usable vector."""
    if batch.vectors is None:
        return lexical_vectors([p.text for p in batch.passages])
    usable = np.isfinite(batch.vectors).all(axis=1, keepdims=True)
    return unit_rows(np.where(usable, batch.vectors, np.float32(0)))


def _cut(unit: Vectors, *, has_vectors: bool) -> float:
    """Similarity from which two passages may say the same in this store."""
    floor = 0.6 if has_vectors else 0.35
    if unit.shape[0] < _MIN_STORE:
        return floor
    usual = background(unit, depth=_DEPTH)
    # In a store that says everything several ways, the usual nearest is a paraphrase.
    return float(np.clip(usual.median[0] + usual.spread[0], floor, floor + 0.2))


def _marks(text: str) -> set[str]:
    return {mark.lower() for mark in _MARKS.findall(text) if mark.lower() not in STOP_WORDS}


def _items(batch: Batch, chosen: dict[int, _Chosen]) -> tuple[PlanItem, ...]:
    order = sorted(chosen, key=lambda i: (not chosen[i].selected, -chosen[i].confidence, i))
    return tuple(
        PlanItem(
            passage_id=batch.passages[i].id,
            selected=chosen[i].selected,
            confidence=chosen[i].confidence,
            reason=chosen[i].reason,
            related_to=chosen[i].related_to,
            sha256=content_hash(batch.passages[i]),
            text=batch.passages[i].text[:EXCERPT_CHARS],
        )
        for i in order
    )
