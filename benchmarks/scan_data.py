"""The knowledge base of the scan benchmark: 100,000 real passages and what is planted in it.

The honest passages are the guard benchmark's sources without their cap, and the manual
pages and package documentation that Debian installs. Same packages as there
(`guard_store`); what is not installed is left out, and the size is reported.
"""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from guard_data import DevData, split
from guard_store import honest_passages

from ragshield.records import Passage

SHARE = Path("/usr/share")
SHARES = {"wordnet": 0.36, "gcide": 0.30, "foldoc": 0.10, "debian": 0.04, "manual": 0.10}
"""Share of each collection in the store; package documentation fills the rest."""

_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]+>", re.S)
_ROFF_FONT = re.compile(
    r"\\f(?:\[[^\]]*\]|\([A-Z]{2}|.)|\\s[+-]?\d+|\\[&|^c/,]|\\\*\([A-Za-z\"]{2}"
)
_ROFF_SIGN = re.compile(r"\\\((?:em|en|hy|mi)|\\-")


def knowledge_base(data: DevData, *, size: int = 100_000, seed: int = 7) -> tuple[Passage, ...]:
    """Honest passages, each text once; `source` is the file, page or headword's book.

    Fewer than `size` where too few packages are installed.
    """
    rng = np.random.default_rng(seed)
    found = honest_passages(data, per_collection=10**9)
    collections: dict[str, list[tuple[str, str]]] = {
        name: [(text, name) for text in texts] for name, texts in found.items()
    }
    collections["manual"] = list(_manual_pages())
    collections["packages"] = list(_package_documents())
    seen: set[str] = set()
    out: list[Passage] = []

    def take(name: str, most: int) -> None:
        unique = [(text, source) for text, source in collections[name] if text not in seen]
        unique = list({text: (text, source) for text, source in unique}.values())
        if len(unique) > most:
            chosen = np.sort(rng.choice(len(unique), size=most, replace=False))
            unique = [unique[i] for i in chosen]
        seen.update(text for text, _ in unique)
        start = len(out)
        out.extend(
            Passage(f"{name}-{start + i}", text, source) for i, (text, source) in enumerate(unique)
        )

    take("dev", size)
    for name, share in SHARES.items():
        take(name, min(round(share * size), size - len(out)))
    take("packages", size - len(out))
    return tuple(out)


def embed_all(
    texts: list[str],
    embed: Callable[[list[str]], np.ndarray],
    *,
    on_progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Vectors (n, dim) float32; short texts first, so that batches pad little."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out: np.ndarray | None = None
    for start in range(0, len(order), 1024):
        rows = order[start : start + 1024]
        vectors = embed([texts[i] for i in rows])
        if out is None:
            out = np.empty((len(texts), vectors.shape[1]), dtype=np.float32)
        out[rows] = vectors
        if on_progress is not None:
            on_progress(start + len(rows))
    assert out is not None
    return out


def _manual_pages() -> Iterator[tuple[str, str]]:
    """Paragraphs of the English manual pages, plain text."""
    for section in ("man1", "man5", "man7", "man8", "man3"):
        for path in sorted((SHARE / "man" / section).glob("*.gz")):
            if path.is_symlink():
                continue
            try:
                text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
            except (OSError, EOFError):
                continue
            name = path.name.removesuffix(".gz")
            for piece in list(_paragraphs(text))[:12]:
                yield f"{name}: {piece}", f"manual/{name}"


def _paragraphs(roff: str) -> Iterator[str]:
    words: list[str] = []
    for line in roff.splitlines():
        if line.startswith((".", "'")):
            if re.match(r"\.\s*(PP|P|LP|SH|Sh|SS|TP|IP|Pp|sp)\b", line):
                yield from split(" ".join(words))
                words = []
            elif re.match(r"\.\s*[BIR]{1,2}\s+\S", line):
                words.extend(_plain(line.split(None, 1)[1].replace('"', "")))
            continue
        words.extend(_plain(line))
    yield from split(" ".join(words))


def _plain(line: str) -> list[str]:
    return _ROFF_SIGN.sub("-", _ROFF_FONT.sub("", line)).replace("\\e", "\\").split()


def _package_documents() -> Iterator[tuple[str, str]]:
    """Text and HTML files below /usr/share/doc, at most 40 passages a file."""
    for path in sorted((SHARE / "doc").rglob("*")):
        name = path.name.lower()
        if path.is_symlink() or not path.is_file() or name.startswith(("copyright", "changelog")):
            continue
        plain = name.removesuffix(".gz")
        if not plain.endswith((".html", ".txt", ".md", ".rst")) and not plain.startswith(
            ("readme", "news", "faq")
        ):
            continue
        if path.stat().st_size > 2_000_000:
            continue
        raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
        text = raw.decode("utf-8", "replace")
        if plain.endswith(".html"):
            text = html.unescape(_TAG.sub(" ", text))
        source = str(path.relative_to(SHARE / "doc"))
        for piece in list(split(text))[:40]:
            yield piece, source
