"""Keys of a forget set: what it takes to recognise it, and no copy of it."""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable
from ragshield.forget_set import EVERYTHING, TargetKind
from ragshield.records import Vectors
from ragshield.unlearning.hashing import KeyedHashes
from ragshield.unlearning.marks import Marks, Typos

SCHEMA = "ragshield-forget-keys/2"


class Row(IntEnum):
    """What a key vector is of."""

    NAME = 0
    FACT = 1
    SAMPLE = 2
    NEIGHBOUR = 3
    BACKGROUND = 4


@dataclass(frozen=True, slots=True)
class KeyedTarget:
    """What is kept of one target beside its marks and vectors.

    Attributes:
        id: keyed hash of its name.
        kind: what is forgotten.
        allowed: keyed hashes of the attributes that anybody may be told.
        audiences: for each audience the attributes it may be told beyond that, or `*`.
        thing: whether what is listed of it says that it is no person.
    """

    id: str
    kind: TargetKind
    allowed: frozenset[str] = frozenset()
    audiences: Mapping[str, frozenset[str]] = field(default_factory=dict)
    thing: bool = False

    def told(self, audience: str | None) -> frozenset[str]:
        """What an audience may be told; an unknown one no more than anybody."""
        return self.allowed | self.audiences.get(audience or "", frozenset())

    def is_free_for(self, audience: str | None) -> bool:
        """Whether an audience may be told everything."""
        return EVERYTHING in self.told(audience)


@dataclass(frozen=True, slots=True)
class KeyedFact:
    """A fact as it is kept: whose it is, and the keyed hash of its attribute."""

    owner: int
    attribute: str
    n_pieces: int = 0


@dataclass(frozen=True, slots=True)
class Calibration:
    """How likely honest questions are refused for their meaning alone.

    Attributes:
        threshold: margin from which a question is about a target.
        sentence_threshold: the same for a sentence of an answer.
        similarity: cosine below which a text is about no target, whatever its margin.
        budget: share of neighbours' questions that may be refused by it.
        lowest: threshold that is never gone below: what is nearer to something that stays
            is not refused.
        sample_threshold: the same as `threshold` where the target is a sample, whose
            sentences others' sentences are more like than their names are.
        n: neighbours' questions that the thresholds were set on; 0 = those that ship.
        margins: of these questions, in order.
        sample_margins: of those that were nearest to a sample.
    """

    threshold: float
    sentence_threshold: float
    similarity: float
    budget: float
    lowest: float = 0.0
    sample_threshold: float = 0.5
    n: int = 0
    margins: tuple[float, ...] = ()
    sample_margins: tuple[float, ...] = ()

    def threshold_of(self, kind: TargetKind) -> float:
        """The threshold for a target of a kind."""
        return self.sample_threshold if kind == "sample" else self.threshold


@dataclass(frozen=True, slots=True, eq=False)
class ForgetKeys:
    """All that the gates know of a forget set.

    No name, value or text is in it: words are keyed hashes, and vectors are turned by an
    orthogonal matrix made from the key, which leaves cosines as they are and says nothing
    to who inverts embeddings without it. Who has the secret can test guesses.

    Attributes:
        secret: 32 bytes, kept apart from the rest.
        targets: one for each target.
        facts: all facts, in the order in which `VALUE` marks own them.
        marks: keyed hashes of names and phrases.
        typos: keyed hashes of the names' words, to know misspelt ones.
        attributes: keyed hashes of the words that ask for an attribute, and which.
        vectors: (n, dim) float32 unit rows, turned.
        rows: (n,) uint8, values of `Row`.
        owners: (n,) int32, row of the target; -1 for what must stay known.
        encoder: name of the encoder.
        calibration: the thresholds.
    """

    secret: bytes
    targets: tuple[KeyedTarget, ...]
    facts: tuple[KeyedFact, ...]
    marks: Marks
    typos: Typos
    attributes: Mapping[int, tuple[str, ...]]
    vectors: Vectors
    rows: NDArray[np.uint8]
    owners: NDArray[np.int32]
    encoder: str
    calibration: Calibration

    @property
    def hashes(self) -> KeyedHashes:
        """Hashes under this key."""
        return KeyedHashes(self.secret)


def rotation(secret: bytes, dim: int) -> NDArray[np.float32]:
    """The orthogonal matrix of a key, (dim, dim) float32; vectors are turned as v @ R."""
    seed = KeyedHashes(secret).word("rotation")
    rng = np.random.default_rng([seed & 0xFFFFFFFF, seed >> 32])
    q, r = np.linalg.qr(rng.standard_normal((dim, dim)))
    return cast("NDArray[np.float32]", (q * np.sign(np.diag(r))).astype(np.float32))


def new_secret() -> bytes:
    """A fresh key of 32 bytes."""
    return secrets.token_bytes(32)


def secret_beside(path: Path) -> Path:
    """Where the secret of a keys file lies if nothing else is said."""
    return path.with_name(path.name + ".secret")


def write_keys(keys: ForgetKeys, path: Path, secret: Path | None = None) -> None:
    """Write keys and secret, both readable by their owner alone, each whole or not at all.

    Args:
        keys: what to write.
        path: file of the keys, without the secret.
        secret: file of the secret; None: beside the keys.

    Raises:
        UsageError: a file cannot be written.
    """
    record = {
        "schema": SCHEMA,
        "encoder": keys.encoder,
        "targets": [
            {
                "id": t.id,
                "kind": t.kind,
                "allowed": sorted(t.allowed),
                "audiences": {name: sorted(told) for name, told in t.audiences.items()},
                "thing": t.thing,
            }
            for t in keys.targets
        ],
        "facts": [[f.owner, f.attribute, f.n_pieces] for f in keys.facts],
        "attributes": {str(run): list(ids) for run, ids in keys.attributes.items()},
        "calibration": asdict(keys.calibration),
        "check": _check(keys.secret),
    }
    file = io.BytesIO()
    np.savez_compressed(
        file,
        record=np.frombuffer(json.dumps(record).encode(), dtype=np.uint8),
        hashes=keys.marks.hashes,
        marks=keys.marks.marks,
        lengths=keys.marks.lengths,
        mark_owners=keys.marks.owners,
        typo_hashes=keys.typos.hashes,
        typo_words=keys.typos.words,
        typo_owners=keys.typos.owners,
        vectors=keys.vectors.astype(np.float16),
        rows=keys.rows,
        owners=keys.owners,
    )
    _write_private(secret or secret_beside(path), base64.b64encode(keys.secret) + b"\n")
    _write_private(path, file.getvalue())


def read_keys(path: Path, secret: Path | None = None) -> ForgetKeys:
    """Read keys and their secret.

    Raises:
        InputError: a file is missing, is none of keys, or the secret is another one's.
    """
    key = _read_secret(secret or secret_beside(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        record = json.loads(arrays["record"].tobytes())
        if record["schema"] != SCHEMA:
            raise ValueError(f"its schema is {record['schema']!r:.40}")
        if record["check"] != _check(key):
            raise InputError(f"the secret does not belong to {path}; give the one made with it")
        return _keys_of(record, arrays, key)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} is no file of forget keys ({error!s:.80})") from error


def _keys_of(record: Mapping[str, Any], arrays: Mapping[str, Any], key: bytes) -> ForgetKeys:
    vectors = arrays["vectors"].astype(np.float32)
    n, m = len(vectors), len(arrays["hashes"])
    if vectors.ndim != 2 or arrays["rows"].shape != (n,) or arrays["owners"].shape != (n,):
        raise ValueError("vectors and owners do not match")
    if any(arrays[name].shape != (m,) for name in ("marks", "lengths", "mark_owners")):
        raise ValueError("marks and owners do not match")
    # Half precision on disk: unit rows again, so that cosines are cosines.
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return ForgetKeys(
        secret=key,
        targets=tuple(
            KeyedTarget(
                t["id"],
                t["kind"],
                frozenset(t["allowed"]),
                {name: frozenset(told) for name, told in t["audiences"].items()},
                bool(t.get("thing", False)),
            )
            for t in record["targets"]
        ),
        facts=tuple(KeyedFact(int(o), str(a), int(p)) for o, a, p in record["facts"]),
        marks=Marks(arrays["hashes"], arrays["marks"], arrays["lengths"], arrays["mark_owners"]),
        typos=Typos(arrays["typo_hashes"], arrays["typo_words"], arrays["typo_owners"]),
        attributes={int(run): tuple(ids) for run, ids in record["attributes"].items()},
        vectors=vectors,
        rows=arrays["rows"],
        owners=arrays["owners"],
        encoder=str(record["encoder"]),
        calibration=_calibration(record["calibration"]),
    )


def _calibration(record: Mapping[str, Any]) -> Calibration:
    lists = {name: tuple(record[name]) for name in ("margins", "sample_margins")}
    return Calibration(**{**record, **lists})


def check_encoder(keys: ForgetKeys, name: str) -> None:
    """Refuse an encoder that is not the one the keys were made with.

    Raises:
        InputError: it is another one.
    """
    if keys.encoder != name:
        raise InputError(
            f"the keys were made with the encoder '{keys.encoder}', this is '{name}'; use the "
            "same, or build the keys anew"
        )


def _check(secret: bytes) -> str:
    return KeyedHashes(secret).mark("check", SCHEMA)


def _read_secret(path: Path) -> bytes:
    try:
        secret = base64.b64decode(path.read_bytes(), validate=False)
    except OSError as error:
        raise InputError(f"cannot read the secret {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} holds no secret: {error}") from error
    if len(secret) != 32:
        raise InputError(f"{path} holds no secret of 32 bytes")
    return secret


def _write_private(path: Path, content: bytes) -> None:
    check_writable(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
