"""Looking again later: has anything of what was erased come back?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, StoreError
from ragshield.forget.erasure.looking import is_declared, recipe_of
from ragshield.forget.erasure.neutral import neutral, private_parts, without
from ragshield.proof import Checked, Secret, Verdict, worst
from ragshield.proof.windows import seen
from ragshield.stores.url import open_store

NEAR = 0.6
"""Estimated Jaccard similarity of words from which a passage may be a rewritten copy."""

_STEP = 1000


@dataclass(frozen=True, slots=True)
class Reverified:
    """What was found of erased passages, long after.

    Attributes:
        n_erased: passages that the certificate is about.
        returned: ids of passages in the store with the words of an erased one.
        near: ids of passages that are nearly the words of one, with the similarity.
        ids_taken: how many erased ids name a passage again, whatever it says.
        surfaces: per file or decoded place: `name`, `verdict`, pieces of texts and vectors.
        untested: places that could not be searched, in words.
        n_pieces: how many pieces of bytes were looked for; 0: nothing could be.
        n_live: passages looked at.
    """

    n_erased: int
    returned: tuple[str, ...]
    near: tuple[tuple[str, float], ...]
    ids_taken: int
    surfaces: tuple[dict[str, Any], ...]
    untested: tuple[str, ...]
    n_pieces: int
    n_live: int

    @property
    def verdict(self) -> Verdict:
        """`ERASED` if nothing came back and every place could be searched.

        Passages that are nearly the words of an erased one are for a person to look at: they
        may have stood there all the time.
        """
        found: list[Verdict] = [surface["verdict"] for surface in self.surfaces]
        if self.returned:
            found.append("RESIDUAL")
        if self.untested or not self.n_pieces:
            found.append("NOT_TESTED")
        return worst(found)


def reverify(
    certificate: Checked,
    secret: Secret,
    url: str,
    *,
    out_of_scope: Sequence[str] = (),
    trust_collection_config: bool = False,
    on_step: Callable[[str], None] | None = None,
) -> Reverified:
    """Repeat the residue scan and look through the passages, with keyed hashes alone.

    Works on the same store after a restore or another ingest, and on any copy of it. It
    needs the certificate's secret: a salt and keyed hashes, no text. It knows passages
    with the same words, passages with nearly the same words (keyed MinHash), and pieces of
    32 bytes of erased texts and vectors in files. What was rewritten thoroughly, it
    does not know.

    Args:
        certificate: checked; see `ragshield.proof.read_certificate`.
        secret: what was written beside it.
        url: the store to look at; only read.
        out_of_scope: words; an unsearchable place described with one is passed over.
        trust_collection_config: see `open_store`.
        on_step: called with a line on what is being done.

    Raises:
        InputError: the secret belongs to another certificate.
        StoreError: the store cannot be read.
    """
    closure = certificate.content["closure"]
    if closure.get("merkle_root") != secret.root or closure.get("secret_sha256") != secret.digest:
        raise InputError("this secret does not belong to this certificate; name the other file")
    say = on_step or (lambda line: None)
    say("looking through the passages")
    returned, near, taken, n_live = _passages(secret, url, trust_collection_config)
    say("looking through the files")
    surfaces, untested = _files(secret, url, out_of_scope)
    return Reverified(
        n_erased=len(secret.leaves),
        returned=tuple(returned),
        near=tuple(near),
        ids_taken=taken,
        surfaces=tuple(surfaces),
        untested=tuple(untested),
        n_pieces=len(secret.windows),
        n_live=n_live,
    )


def _passages(
    secret: Secret, url: str, trust: bool
) -> tuple[list[str], list[tuple[str, float]], int, int]:
    from ragshield.minhash import NearIndex, signature

    commitments = secret.commitments
    index, key = NearIndex(NEAR), commitments.key("near")
    for name, row in enumerate(secret.near.get("minhash", ())):
        index.add(name, _row(row))
    returned, near, taken, n_live = [], [], 0, 0
    with open_store(url, trust_collection_config=trust) as store:
        for batch in store.batches(_STEP):
            for passage in batch.passages:
                n_live += 1
                taken += commitments.passage_id(passage.id) in secret.ids
                if secret.recognises(passage):
                    returned.append(passage.id)
                    continue
                if len(index) and (found := index.find(signature(passage.text, key=key))):
                    near.append((passage.id, float(max(one.jaccard for one in found))))
    return returned, near, taken, n_live


def _files(
    secret: Secret, url: str, out_of_scope: Sequence[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    recipe = recipe_of(url)
    if recipe is None:
        return [], ["the files of this kind of store: there is no recipe for it"]
    key, windows, rows = secret.commitments.key("windows"), secret.windows, []
    for surface in recipe.surfaces(url):
        row: dict[str, Any] = {"name": neutral(surface.name), "kind": surface.kind}
        try:
            found = seen(key, windows, surface.blocks())
        except (StoreError, OSError) as error:
            row |= {"verdict": "NOT_TESTED", "why": without(str(error), private_parts(url))}
        else:
            n_vectors = int((found & windows.is_vector).sum())
            n_texts = int((found & ~windows.is_vector).sum())
            verdict = "RESIDUAL" if n_texts or n_vectors else "ERASED"
            row |= {"verdict": verdict, "text_pieces": n_texts, "vector_pieces": n_vectors}
        rows.append(row)
    untested = [words for words in recipe.untested(url) if not is_declared(words, out_of_scope)]
    return rows, untested


def _row(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint32)
