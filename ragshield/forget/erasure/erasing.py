"""The steps that plans share, one purge per store: look, purge, look again, ask again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragshield.errors import IncompleteError
from ragshield.forget.erasure.beside import look_beside, verdicts_beside
from ragshield.forget.erasure.looking import (
    file_hashes,
    look,
    recipe_of,
    software_of,
    surface_verdicts,
    unsupported,
)
from ragshield.forget.erasure.neutral import private_parts, without
from ragshield.forget.erasure.probing import all_of, ask_again, rebuilt
from ragshield.forget.saved.rounds import Round, place_key
from ragshield.forget.saved.snapshot import SavedPart
from ragshield.proof.verdicts import Verdict
from ragshield.protocols import Recipe, Store
from ragshield.records import Batch, Passage

GIVEN_OPEN = "the store was given open, so its files were left alone"
NOT_ASKED = "purging was switched off"
NO_RECIPE = "there is no recipe to purge this kind of store"

Opener = Callable[[str], AbstractContextManager[Store]]


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """What several rounds erase from one store.

    Attributes:
        url: the store.
        rounds: those that take something from it, each with its part and its rows of
            `batch`.
        batch: all of it.
    """

    url: str
    rounds: tuple[tuple[Round, SavedPart, range], ...]
    batch: Batch

    @property
    def ids(self) -> list[str]:
        """Ids of all of it."""
        return [passage.id for passage in self.batch.passages]


def joints_of(rounds: Sequence[Round]) -> list[Joint]:
    """The stores that these rounds take something from, in the order of the plans."""
    by_url: dict[str, list[tuple[Round, SavedPart]]] = {}
    for one in rounds:
        for part in one.saved.parts:
            by_url.setdefault(part.url or "", []).append((one, part))
    return [_joint(url, members) for url, members in by_url.items()]


def take_baseline(rounds: Sequence[Round], skip: str | None) -> None:
    """Look at every store while the target is still in it, and note what is visible.

    Args:
        rounds: those that have a snapshot and nothing more.
        skip: why no store is looked at; None to look.
    """
    if not rounds:
        return
    noted: dict[int, dict[str, Any]] = {id(one): {} for one in rounds}
    for joint in joints_of(rounds):
        recipe = recipe_of(joint.url)
        if recipe is None or skip is not None:
            continue
        found = look(recipe, joint.url, joint.batch)
        files = file_hashes(recipe, joint.url)
        for one, _, rows in joint.rounds:
            noted[id(one)][place_key(joint.url)] = {**found.record(rows), "files": files}
    for one in rounds:
        one.note("baseline", places=noted[id(one)], beside=look_beside(one))


def purge(
    rounds: Sequence[Round], skip: str | None, on_step: Callable[[str], None] | None
) -> list[str]:
    """Run the recipe of every store, once for all rounds; gives what its owner should know.

    Raises:
        StoreError: a store is in use, read-only or damaged; nothing counts as purged.
        IncompleteError: a purge could not be finished; the same call goes on.
    """
    if not rounds:
        return []
    noted: dict[int, dict[str, Any]] = {id(one): {} for one in rounds}
    notes: list[str] = []
    for joint in joints_of(rounds):
        recipe = recipe_of(joint.url)
        record: dict[str, Any] = {"how": None, "why": NO_RECIPE if recipe is None else skip}
        if recipe is not None and skip is None:
            done = recipe.purge(joint.url, joint.ids, on_progress=on_step)
            private = private_parts(joint.url)
            record = {
                "how": done.how,
                "n_bytes_written": done.n_bytes_written,
                "notes": [without(note, private) for note in done.notes],
                "recipe": recipe.version,
                "software": software_of(recipe, joint.url),
            }
            notes += done.notes
        for one, _, _ in joint.rounds:
            noted[id(one)][place_key(joint.url)] = record
    for one in rounds:
        one.note("purged", places=noted[id(one)])
    return notes


def scan(rounds: Sequence[Round], opened: Opener, out_of_scope: Sequence[str]) -> None:
    """Look at every store again, and note the verdict on each of its places."""
    if not rounds:
        return
    noted: dict[int, dict[str, Any]] = {id(one): {} for one in rounds}
    for joint in joints_of(rounds):
        recipe = recipe_of(joint.url)
        purged = [one.evidence("purged", joint.url) or {} for one, _, _ in joint.rounds]
        why = next((record["why"] for record in purged if not record.get("how")), None)
        shared: dict[str, Any]
        if recipe is None or why is not None:
            verdict: Verdict = "UNSUPPORTED" if recipe is None else "NOT_TESTED"
            row = unsupported(why or NO_RECIPE, verdict)
            shared = {"surfaces": [row], "exceptions": [], "files": {}}
            own = [{"n_texts": 0, "n_vectors": 0, "seen_before": None} for _ in joint.rounds]
        else:
            shared, own = _scanned(joint, recipe, opened, out_of_scope)
        for (one, _, _), counts in zip(joint.rounds, own, strict=True):
            noted[id(one)][place_key(joint.url)] = {**shared, **counts}
    for one in rounds:
        one.note("scanned", places=noted[id(one)], beside=verdicts_beside(one))


def ask(rounds: Sequence[Round], opened: Opener) -> None:
    """Ask every store again what it was asked before, and note how the answers differ."""
    if not rounds:
        return
    noted: dict[int, dict[str, Any]] = {id(one): {} for one in rounds}
    for joint in joints_of(rounds):
        with opened(joint.url) as store:
            gone = _gone(store, joint)
            n_left, live = store.count(), all_of(store)
            for one, part, _ in joint.rounds:
                record: dict[str, Any] = {"n_left": n_left, "n_before": part.n_before}
                if part.probes:
                    comparison, membership = ask_again(store, part.probes, gone)
                    exactly = rebuilt(store, part.probes, live)
                    record |= {
                        "comparison": comparison.record(),
                        "membership": membership,
                        "rebuilt": None if exactly is None else exactly.record(),
                    }
                noted[id(one)][place_key(joint.url)] = record
    for one in rounds:
        one.note("compared", places=noted[id(one)])


def _scanned(
    joint: Joint, recipe: Recipe, opened: Opener, out_of_scope: Sequence[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = look(recipe, joint.url, joint.batch)
    if not found.clean:
        # What live rows say too is no residue. Reading them all is worth it only now.
        found = look(recipe, joint.url, joint.batch, live=_live(joint, opened))
    before = [one.evidence("baseline", joint.url) for one, _, _ in joint.rounds]
    looked = [record for record in before if record is not None]
    seen = {row["key"]: row for record in looked for row in record["surfaces"]}
    surfaces, exceptions = surface_verdicts(list(seen.values()), found, out_of_scope)
    own = []
    for (_, _, rows), record in zip(joint.rounds, before, strict=True):
        counts = found.record(rows)
        own.append(
            {
                "n_texts": counts["n_texts"],
                "n_vectors": counts["n_vectors"],
                "seen_before": None
                if record is None
                else {"texts": record["texts"], "vectors": record["vectors"]},
            }
        )
    files = {"surfaces": surfaces, "exceptions": exceptions}
    return {**files, "files": file_hashes(recipe, joint.url)}, own


def _live(joint: Joint, opened: Opener) -> Iterator[Batch]:
    with opened(joint.url) as store:
        yield from store.batches()


def _gone(store: Store, joint: Joint) -> set[str]:
    """Ids of the target that the store holds no more: others may have been put back."""
    from ragshield.forget.erasure.deleting import fetch

    ids = joint.ids
    there = {passage.id for passage in fetch(store, ids).passages}
    if there and len(there) == len(ids):
        raise IncompleteError(f"{joint.url} holds everything again that was deleted from it")
    return set(ids) - there


def _joint(url: str, members: Sequence[tuple[Round, SavedPart]]) -> Joint:
    rounds, passages, rows, start = [], list[Passage](), [], 0
    for one, part in members:
        n = len(part.batch)
        rounds.append((one, part, range(start, start + n)))
        passages += part.batch.passages
        if part.batch.vectors is not None:
            rows.append(part.batch.vectors)
        start += n
    whole = bool(rows) and sum(map(len, rows)) == start
    return Joint(url, tuple(rounds), Batch(tuple(passages), np.vstack(rows) if whole else None))


def seen_totals(records: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """What was visible before, over several rounds; None where nobody looked in one of them."""
    found = [record["seen_before"] for record in records]
    if any(one is None for one in found):
        return None
    return {name: sum(one[name] for one in found) for name in ("texts", "vectors")}


def places_of(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """What the rounds found in each store, each store once."""
    places: dict[str, dict[str, Any]] = {}
    for one in rounds:
        for key, record in one.state.evidence.get("scanned", {}).get("places", {}).items():
            known = places.setdefault(key, {**record, "rounds": []})
            known["rounds"].append(record)
    for place in places.values():
        records = place.pop("rounds")
        place["n_texts"] = sum(record["n_texts"] for record in records)
        place["n_vectors"] = sum(record["n_vectors"] for record in records)
        place["seen_before"] = seen_totals(records)
        # Scanned apart after a crash, each round has surfaces of its own.
        different = {str(record["surfaces"]): record["surfaces"] for record in records}
        place["surfaces"] = [row for rows in different.values() for row in rows]
    beside = [
        place
        for one in rounds
        for place in one.state.evidence.get("scanned", {}).get("beside", {}).values()
    ]
    return [*places.values(), *beside]
