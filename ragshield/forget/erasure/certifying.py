"""From the evidence of applied plans to the content of a certificate, free of personal data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ragshield import __version__
from ragshield.errors import StoreError
from ragshield.forget.erasure.deleting import fetch
from ragshield.forget.erasure.erasing import Joint, joints_of, seen_totals
from ragshield.forget.erasure.looking import recipe_of
from ragshield.forget.saved.rounds import Round
from ragshield.proof import Commitments, Secret, make_secret
from ragshield.proof.windows import Content, seen, spellings
from ragshield.records import Passage
from ragshield.stores.url import open_store

_ASKED = ("sentence", "subject", "aliases", "exceptions", "ids", "where", "texts", "document")


def secret_of(rounds: Sequence[Round]) -> Secret:
    """What is kept to recognise the erased passages: keyed hashes under one salt.

    Windows that are still in the stores' files, after nothing of the target was found
    there, belong to rows that stay: they are left out.
    """
    salts = [one.names.salt for one in rounds]
    salt = salts[0] if len(salts) == 1 else hashlib.sha256(b"".join(sorted(salts))).digest()
    joints = joints_of(rounds)
    passages = [passage for joint in joints for passage in joint.batch.passages]
    secret = make_secret(salt, passages, _contents(joints), _near(salt, passages))
    windows, key = secret.windows, secret.commitments.key("windows")
    for joint in joints:
        recipe = recipe_of(joint.url)
        if recipe is None or not _looks_clean(joint):
            continue
        for surface in recipe.surfaces(joint.url):
            with suppress(StoreError):  # not readable, so nothing in it can be told apart
                windows = windows.select(~seen(key, windows, surface.blocks()))
    return Secret(salt, secret.leaves, secret.ids, secret.texts, windows, secret.near)


def content_of(rounds: Sequence[Round], secret: Secret) -> dict[str, Any]:
    """All of a certificate but what is only known in the end: `undo`, `issued`, the copies."""
    names = secret.commitments
    joints = joints_of(rounds)
    places = [_place(joint, f"store {i}", names) for i, joint in enumerate(joints, start=1)]
    exceptions = [
        f"{place['name']}: {words}; declared out of scope by the operator"
        for place in places
        for words in place.pop("exceptions")
    ]
    compared = [place.pop("comparison") for place in places]
    stores = len(places)
    for one in rounds:
        places += one.state.evidence.get("scanned", {}).get("beside", {}).values()
    n = len(secret.leaves)
    return {
        "tool": {"name": "ragshield", "version": __version__},
        "requests": [_request(one, names) for one in rounds],
        "closure": {
            "n_passages": n,
            "n_too_short": n - sum(place["n_texts"] for place in places[:stores]),
            "merkle_root": secret.root,
            "secret_sha256": secret.digest,
        },
        "places": places,
        "comparison": {
            place["name"]: found
            for place, found in zip(places[:stores], compared, strict=True)
            if found
        },
        "exceptions": exceptions,
        "times": {
            step: min(one.state.evidence[step]["time"] for one in rounds)
            for step in ("begun", "blocked", "deleted", "purged", "scanned")
            if all("time" in one.state.evidence.get(step, {}) for one in rounds)
        },
    }


def copies_of(content: Mapping[str, Any], *, destroyed: bool) -> dict[str, Any]:
    """The place where ragshield itself keeps the target: snapshot and plan, or what was."""
    n = content["closure"]["n_passages"]
    verdict, left = ("ERASED", 0) if destroyed else ("RESIDUAL", n)
    why = "overwritten and removed" if destroyed else "kept for undo until it is made final"
    return {
        "name": "ragshield's own copies",
        "kind": "copy",
        "surfaces": [
            {"name": name, "kind": "file", "verdict": verdict, "n": left, "why": why}
            for name in ("encrypted snapshot", "key of the snapshot", "plan file, which quotes")
        ],
        "n_texts": n,
        "n_vectors": n,
        "seen_before": {"texts": n, "vectors": n},
    }


def undo_of(*, destroyed: bool) -> dict[str, Any]:
    """Whether the erasure can be taken back, in words."""
    if destroyed:
        why = "The snapshot and its key were overwritten and removed; undo is refused."
        return {"possible": False, "why": why}
    why = (
        "An encrypted snapshot and its key are kept apart from each other, so the operator can "
        "restore everything, until the plan is made final."
    )
    return {"possible": True, "why": why}


def _looks_clean(joint: Joint) -> bool:
    """Whether the store was purged and nothing of the target was seen in it."""
    for one, _, _ in joint.rounds:
        purged = (one.evidence("purged", joint.url) or {}).get("how")
        surfaces = (one.evidence("scanned", joint.url) or {}).get("surfaces", [])
        if not purged or any(row["verdict"] == "RESIDUAL" for row in surfaces):
            return False
    return True


def _place(joint: Joint, name: str, names: Commitments) -> dict[str, Any]:
    first = joint.rounds[0][0]
    purged = first.evidence("purged", joint.url) or {}
    scanned = [one.evidence("scanned", joint.url) or {} for one, _, _ in joint.rounds]
    asked = first.evidence("compared", joint.url) or {}
    before = (first.evidence("baseline", joint.url) or {}).get("files", {})
    after = scanned[-1].get("files", {})
    different = {json.dumps(record["surfaces"]): record["surfaces"] for record in scanned}
    return {
        "name": name,
        "kind": "store",
        "scheme": joint.url.partition(":")[0],
        "address": names.name("store", joint.url),
        "n_passages": len(joint.batch),
        "recipe": purged.get("recipe"),
        "software": purged.get("software", {}),
        "how": purged.get("how"),
        "why_not_purged": purged.get("why"),
        "notes": purged.get("notes", []),
        "n_rows_before": max((part.n_before for _, part, _ in joint.rounds), default=0),
        "n_rows_after": asked.get("n_left"),
        "surfaces": [*(row for rows in different.values() for row in rows), *_back(joint)],
        "n_texts": sum(record["n_texts"] for record in scanned),
        "n_vectors": sum(record["n_vectors"] for record in scanned),
        "seen_before": seen_totals(scanned),
        "files": _files(before, after),
        "exceptions": scanned[-1].get("exceptions", []),
        "comparison": {
            key: asked[key] for key in ("comparison", "membership", "rebuilt") if asked.get(key)
        },
    }


def _back(joint: Joint) -> Iterator[dict[str, Any]]:
    """What no certificate may pass over: that the store holds erased passages again."""
    if not (joint.rounds[0][0].evidence("purged", joint.url) or {}).get("how"):
        return  # nothing is claimed of this store anyway, and it may be open elsewhere
    with open_store(joint.url) as store:
        n = len(fetch(store, joint.ids))
    if n:
        row = {"name": "stored passages", "kind": "passages", "verdict": "RESIDUAL", "n": n}
        yield {**row, "why": "in the store again, added by others since"}


def _files(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    found = []
    for key in sorted({*before, *after}):
        name = (after.get(key) or before[key])["name"]
        hashes = [side[key]["sha256"] if key in side else None for side in (before, after)]
        found.append({"name": name, "before": hashes[0], "after": hashes[1]})
    return sorted(found, key=lambda row: (row["name"], row["after"] or "", row["before"] or ""))


def _request(one: Round, names: Commitments) -> dict[str, Any]:
    plan = one.plan
    asked = plan.request or {
        "subject": plan.subject,
        "aliases": list(plan.aliases),
        "ids": list(plan.ids),
    }
    return {
        "commitment": names.name("request", json.dumps(asked, sort_keys=True, default=str)),
        "asked_by": [key for key in _ASKED if asked.get(key)],
        "scope": plan.scope,
        "shared_facts": plan.shared,
        "n_passages": len(one.saved.passages),
        "planned": plan.created,
    }


def _contents(joints: Sequence[Joint]) -> Iterator[tuple[Content, bytes]]:
    for joint in joints:
        yield from spellings([passage.text for passage in joint.batch.passages])
        vectors, recipe = joint.batch.vectors, recipe_of(joint.url)
        if vectors is None:
            continue
        for rows in (vectors.view("u1").reshape(len(vectors), -1),) + (
            () if recipe is None else recipe.forms(vectors)
        ):
            for row in rows:
                yield "vector", row.tobytes()


def _near(salt: bytes, passages: Sequence[Passage]) -> dict[str, Any]:
    """Keyed MinHash signatures: they tell copies that were lightly rewritten."""
    from ragshield.minhash import signature

    key = Commitments(salt).key("near")
    rows = [signature(passage.text, key=key).tobytes().hex() for passage in passages]
    return {"minhash": sorted(set(rows))}
