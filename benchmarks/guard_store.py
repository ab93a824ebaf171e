"""The honest store of the guard benchmark: 20,000 and more real passages, none poisoned.

Clean passages of the development data, and text that Debian packages carry: WordNet
glosses, the FOLDOC and GCIDE dictionaries, the Debian handbook and policy.
Install them with `apt-get install wordnet-base dict-foldoc dict-gcide debian-policy
debian-handbook`; what is not installed is left out, and the size is reported.
"""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from guard_data import DevData, split

SHARE = Path("/usr/share")
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]+>", re.S)


def honest_passages(
    data: DevData, *, seed: int = 7, per_collection: int = 6000
) -> dict[str, list[str]]:
    """Passages by collection, each text once over the whole store."""
    rng = np.random.default_rng(seed)
    collections = {
        "dev": data.clean_passages(),
        "wordnet": list(_wordnet()),
        "foldoc": list(_dictionary("foldoc")),
        "gcide": list(_dictionary("gcide")),
        "debian": list(_debian()),
    }
    seen: set[str] = set()
    out: dict[str, list[str]] = {}
    for name, texts in collections.items():
        unique = [t for t in dict.fromkeys(texts) if t not in seen]
        seen.update(unique)
        if name != "dev" and len(unique) > per_collection:
            chosen = np.sort(rng.choice(len(unique), size=per_collection, replace=False))
            unique = [unique[i] for i in chosen]
        out[name] = unique
    return out


def headwords(texts: list[str]) -> list[str]:
    """What each dictionary passage defines: the text before its first colon."""
    return [text.partition(":")[0] for text in texts]


def _wordnet() -> Iterator[str]:
    path = SHARE / "wordnet" / "data.noun"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        fields, bar, gloss = line.partition(" | ")
        if bar and not line.startswith("  ") and len(gloss.split()) >= 6:
            head = fields.split()[4].replace("_", " ")
            yield f"{head}: {gloss.strip()}"


def _dictionary(name: str) -> Iterator[str]:
    path = SHARE / "dictd" / f"{name}.dict.dz"
    if not path.is_file():
        return
    head, body = "", [""]
    for line in _unzipped(path).splitlines():
        if line[:1].strip():
            yield from _entry(head, body)
            head, body = re.split(r"\\|\s\[|,", line.strip())[0].strip(), []
        else:
            body.append(line)
    yield from _entry(head, body)


def _entry(head: str, body: list[str]) -> Iterator[str]:
    text = re.sub(r"[{}]|\[1913 Webster\]|\[PJC\]", "", " ".join(" ".join(body).split()))
    if head and len(text.split()) >= 12:
        yield f"{head}: {next(split(text), '')}"


def _debian() -> Iterator[str]:
    for path in sorted((SHARE / "doc").glob("debian-handbook/html/en-US/*.html")):
        text = html.unescape(_TAG.sub(" ", path.read_text(encoding="utf-8", errors="replace")))
        yield from split(text)
    for name in ("policy.txt.gz", "debconf_specification.txt.gz"):
        path = SHARE / "doc" / "debian-policy" / name
        if path.is_file():
            yield from split(_unzipped(path))


def _unzipped(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        return file.read()
