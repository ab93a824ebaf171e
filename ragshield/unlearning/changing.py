"""Taking targets out of keys, and putting keys together, without any of their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError
from ragshield.forget_set import folded
from ragshield.records import Vectors
from ragshield.unlearning.calibrating import with_margins
from ragshield.unlearning.keys import ForgetKeys, KeyedFact, check_encoder
from ragshield.unlearning.marks import OWNED_BY_FACT, UNOWNED, Mark, Marks, Typos
from ragshield.unlearning.samples import PART

_NAMES = (Mark.NAME, Mark.COMMON_NAME)
_SAID = frozenset({Mark.VALUE, Mark.TELLING, Mark.SHARED})


def only_targets(keys: ForgetKeys, keep: Sequence[int]) -> ForgetKeys:
    """The keys of some of the targets, renumbered; what must stay known stays.

    Args:
        keys: of all targets.
        keep: rows of the targets to keep.
    """
    row_of = {old: new for new, old in enumerate(keep)}
    facts = [i for i, fact in enumerate(keys.facts) if fact.owner in row_of]
    fact_of = {old: new for new, old in enumerate(facts)}
    rows = []
    for hash_, mark, length, owner in keys.marks.rows():
        table = fact_of if mark in OWNED_BY_FACT else row_of
        if mark in UNOWNED:
            rows.append((hash_, mark, length, owner))
        elif owner in table:
            rows.append((hash_, mark, length, table[owner]))
    kept = [i for i, owner in enumerate(keys.owners) if owner < 0 or int(owner) in row_of]
    return ForgetKeys(
        secret=keys.secret,
        targets=tuple(keys.targets[i] for i in keep),
        facts=tuple(
            KeyedFact(row_of[keys.facts[i].owner], keys.facts[i].attribute, keys.facts[i].n_pieces)
            for i in facts
        ),
        marks=Marks.of(rows),
        typos=keys.typos.only(row_of),
        attributes=keys.attributes,
        vectors=keys.vectors[kept],
        rows=keys.rows[kept],
        owners=np.array([row_of.get(int(keys.owners[i]), -1) for i in kept], dtype=np.int32),
        encoder=keys.encoder,
        calibration=keys.calibration,
    )


def rows_named(keys: ForgetKeys, names: Sequence[str]) -> list[int]:
    """Rows of the targets with these names, each by its own name, not by an alias.

    Raises:
        InputError: a name is not among the targets.
    """
    row_of = {target.id: row for row, target in enumerate(keys.targets)}
    found = []
    for name in names:
        row = row_of.get(keys.hashes.mark("target", folded(name)))
        if row is None:
            raise InputError(
                f"'{name:.60}' is not among the targets; give the name it was built with"
            )
        found.append(row)
    return found


def joined(first: ForgetKeys, second: ForgetKeys) -> ForgetKeys:
    """The keys of both, with the limits that the neighbours of both give together.

    Args:
        first: what there is.
        second: what is added, built with the same secret and encoder.

    Raises:
        InputError: another secret or encoder; a target in both, or under the other's name
            or alias; or a name that one forgets and the other must keep.
    """
    check_encoder(first, second.encoder)
    if first.secret != second.secret:
        raise InputError("keys made with different secrets cannot be put together")
    _check_apart(first, second)
    n_targets, n_facts = len(first.targets), len(first.facts)
    rows = first.marks.rows()
    for hash_, mark, length, owner in second.marks.rows():
        shift = n_facts if mark in OWNED_BY_FACT else 0 if mark in UNOWNED else n_targets
        rows.append((hash_, mark, length, owner + shift))
    facts = (
        *first.facts,
        *(KeyedFact(f.owner + n_targets, f.attribute, f.n_pieces) for f in second.facts),
    )
    implied = first.hashes.mark("attribute", folded(PART))
    vectors = np.vstack([first.vectors, second.vectors])
    owners = np.concatenate(
        [first.owners, np.where(second.owners < 0, -1, second.owners + n_targets)]
    ).astype(np.int32)
    once = _once(vectors, owners)
    one, other = first.calibration, second.calibration
    attributes = {run: set(ids) for run, ids in first.attributes.items()}
    for run, ids in second.attributes.items():
        attributes.setdefault(run, set()).update(ids)
    return ForgetKeys(
        secret=first.secret,
        targets=(*first.targets, *second.targets),
        facts=facts,
        marks=Marks.of(_said_of_both(_said_of_one(rows), facts, implied)),
        typos=Typos(
            np.concatenate([first.typos.hashes, second.typos.hashes]),
            np.concatenate([first.typos.words, second.typos.words]),
            np.concatenate([first.typos.owners, second.typos.owners + np.int32(n_targets)]),
        ),
        attributes={run: tuple(sorted(ids)) for run, ids in attributes.items()},
        vectors=vectors[once],
        rows=np.concatenate([first.rows, second.rows])[once],
        owners=owners[once],
        encoder=first.encoder,
        # Each of both had its own neighbours; the threshold is that of all of them.
        calibration=with_margins(
            replace(
                one,
                threshold=max(one.threshold, other.threshold),
                sample_threshold=max(one.sample_threshold, other.sample_threshold),
                sentence_threshold=max(one.sentence_threshold, other.sentence_threshold),
                similarity=max(one.similarity, other.similarity),
                lowest=max(one.lowest, other.lowest),
                budget=min(one.budget, other.budget),
            ),
            [*one.margins, *other.margins],
            [*one.sample_margins, *other.sample_margins],
        ),
    )


def _once(vectors: Vectors, owners: NDArray[np.int32]) -> NDArray[np.intp]:
    """Rows without those of what must stay known that are there already, in order."""
    seen: set[bytes] = set()
    kept = []
    for i, owner in enumerate(owners):
        spelled = vectors[i].astype(np.float16).tobytes() if owner < 0 else b""
        if not spelled or spelled not in seen:
            kept.append(i)
        seen.add(spelled)
    return np.array(kept, dtype=np.intp)


def _said_of_one(
    rows: Sequence[tuple[int, Mark, int, int]],
) -> list[tuple[int, Mark, int, int]]:
    """The marks, without runs of words that several targets share, which mean neither."""
    owners: dict[int, set[int]] = {}
    for hash_, mark, _, owner in rows:
        if mark is Mark.PIECE:
            owners.setdefault(hash_, set()).add(owner)
    return [row for row in rows if row[1] is not Mark.PIECE or len(owners[row[0]]) == 1]


def _said_of_both(
    rows: Sequence[tuple[int, Mark, int, int]], facts: Sequence[KeyedFact], implied: str
) -> list[tuple[int, Mark, int, int]]:
    """The marks, with values that several targets have as what is said of others too."""
    owners: dict[int, set[int]] = {}
    for hash_, mark, _, fact in rows:
        if mark in _SAID and facts[fact].attribute != implied:
            owners.setdefault(hash_, set()).add(facts[fact].owner)
    return [
        (hash_, Mark.SHARED, length, fact)
        if mark in _SAID and len(owners.get(hash_, ())) > 1 and facts[fact].attribute != implied
        else (hash_, mark, length, fact)
        for hash_, mark, length, fact in rows
    ]


def _check_apart(first: ForgetKeys, second: ForgetKeys) -> None:
    def hashes(keys: ForgetKeys, *marks: Mark) -> set[int]:
        return {h for h, mark, _, _ in keys.marks.rows() if mark in marks}

    names, others = hashes(first, *_NAMES), hashes(second, *_NAMES)
    same = {t.id for t in first.targets} & {t.id for t in second.targets}
    if names & others or same:
        raise InputError(
            "a target that is added has a name or alias that is forgotten already; restore "
            "that one first, or join the two"
        )
    if names & hashes(second, Mark.NEIGHBOUR) or others & hashes(first, Mark.NEIGHBOUR):
        raise InputError(
            "a name is a neighbour that must stay known and a target to be forgotten; take it "
            "out of one of the two"
        )
