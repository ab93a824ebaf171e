"""What identifies a finding from one scan to the next."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from ragshield.records import Finding, Passage

VERSION = "ragshield/v1"
"""Name of the kind of fingerprint; it changes when its recipe does."""


def fingerprints(
    url: str, findings: Sequence[Finding], passages: Mapping[str, Passage]
) -> tuple[str, ...]:
    """A fingerprint for each finding: 32 hexadecimal digits.

    It depends on the store's name, the passage's id and whole text, and on the detector
    and the kind it names (where findings of several screens were fused into one: on
    neither, since the screen that says most may change). It depends on nothing else: not
    on the order of rows, the threshold, how much text is shown, the suspicion, the other
    members of a group, the folder the store lies in, or the machine. A passage whose text
    changed gives a new one on purpose: whoever accepted a finding accepted that text.

    Args:
        url: the store's.
        findings: of one scan.
        passages: the passages they speak of, by id.
    """
    store = store_name(url)
    raw = []
    for finding in findings:
        passage = passages.get(finding.passage_id)
        own = finding.passage_id == url  # about the store itself
        fused = "screens" in finding.evidence
        kind = finding.evidence.get("kind")
        parts = (
            VERSION,
            store,
            "" if own else finding.passage_id,
            "" if fused else finding.detector,
            kind if isinstance(kind, str) and not fused else "",
            "" if passage is None else passage.text,
        )
        raw.append(_hash(parts))
    # Two findings of one detector about one passage: told apart by what they say.
    same: dict[str, list[int]] = defaultdict(list)
    for i, value in enumerate(raw):
        same[value].append(i)
    for value, rows in same.items():
        for nth, i in enumerate(sorted(rows, key=lambda i: findings[i].reason)):
            raw[i] = value if nth == 0 else _hash((value, str(nth)))
    return tuple(raw)


def store_name(url: str) -> str:
    """A store's name wherever it lies: `chroma:/srv/a/db#docs` and `chroma:db#docs` alike.

    A server keeps its host and port; user and password never appear.
    """
    scheme, _, rest = url.partition(":")
    place, _, collection = rest.partition("#")
    if place.startswith("//"):
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
    else:
        place = place.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return f"{scheme}:{place}#{collection}" if collection else f"{scheme}:{place}"


def shown_url(url: str) -> str:
    """The URL as given, without a user and password."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _hash(parts: Sequence[str]) -> str:
    joined = "\0".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]
