"""Which bytes of an SQLite file hold nothing that lives, found by walking its pages.

Rows that are deleted leave their bytes in free pages, in the gaps between the cells of a
page (also as copies of rows that moved to another page, which `secure_delete` does not
reach) and behind the end of overflow chains. Every page is accounted for exactly once
before anything is said: b-tree, overflow, free list, pointer map, lock page. The layout
is that of https://www.sqlite.org/fileformat2.html, sections 1.3 to 1.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64]

_LOCK_BYTE = 2**30
_CHUNK = 16_384  # pages walked at a time: bounds the memory
_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_SEEN: Final[dict[str, int]] = {"tree": 1, "overflow": 2, "free": 3, "map": 4, "lock": 5}


class UnaccountedError(Exception):
    """The pages do not add up, so nothing may be said about their bytes."""


class Header(NamedTuple):
    """What the first 100 bytes say.

    Attributes:
        page_size: bytes a page.
        reserved: bytes at the end of each page that SQLite does not use.
        n_pages: pages of the database; the file may be longer.
        first_free: first page of the free list; 0 = none.
        n_free: pages on it.
        has_map: whether there are pointer-map pages (auto_vacuum).
    """

    page_size: int
    reserved: int
    n_pages: int
    first_free: int
    n_free: int
    has_map: bool


def header(data: bytes | mmap, n_bytes: int) -> Header:
    """Read the header of a file.

    Raises:
        UnaccountedError: it is none of SQLite's.
    """
    head = bytes(data[:100])
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise UnaccountedError("the file has no header of SQLite's")

    def number(at: int, width: int = 4) -> int:
        return int.from_bytes(head[at : at + width], "big")

    page_size = number(16, 2)
    page_size = 65_536 if page_size == 1 else page_size
    # Versions before 3.7 did not keep the count up to date.
    n_pages = number(28) if number(24) == number(92) else 0
    return Header(
        page_size=page_size,
        reserved=head[20],
        n_pages=n_pages or n_bytes // page_size,
        first_free=number(32),
        n_free=number(36),
        has_map=number(52) > 0,
    )


def residues(data: mmap, roots: Sequence[int]) -> list[tuple[int, int]]:
    """Stretches of the file that hold nothing that lives and are not all zeros.

    Args:
        data: the whole file, which nobody writes to meanwhile, without pages that wait
            in a write-ahead log.
        roots: root pages of all tables and indexes.

    Returns:
        (start, end) of each, in bytes.

    Raises:
        UnaccountedError: a page is used twice or not at all, or its cells overlap.
    """
    return _Walk(data).run(roots)


class _Walk:
    def __init__(self, data: mmap) -> None:
        self.data = data
        self.header = header(data, len(data))
        self.size = self.header.page_size
        self.usable = self.size - self.header.reserved
        self.n_pages = self.header.n_pages
        if self.size < 512 or self.n_pages * self.size > len(data):
            raise UnaccountedError("the file is shorter than its header says")
        self.flat: NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8)
        self.seen = np.zeros(self.n_pages + 1, dtype=np.uint8)
        self.found: list[tuple[int, int]] = []
        self.zeros = bytes(self.size)

    def run(self, roots: Sequence[int]) -> list[tuple[int, int]]:
        try:
            self._special_pages()
            self._free_list()
            level: Numbers = np.unique(np.array([1, *roots], dtype=np.int64))
            while len(level):
                parts = [self._tree(level[s : s + _CHUNK]) for s in range(0, len(level), _CHUNK)]
                level = np.concatenate(parts)
            missing = int(np.count_nonzero(self.seen[1:] == 0))
            if missing:
                raise UnaccountedError(f"{missing} pages belong to nothing")
            self._hole(self.n_pages * self.size, len(self.data))
        finally:
            del self.flat  # else the map cannot be closed
        return self.found

    def _mark(self, pages: Numbers, kind: str) -> None:
        if not len(pages):
            return
        if pages.min() < 1 or pages.max() > self.n_pages:
            raise UnaccountedError("a page number points outside the file")
        if self.seen[pages].any() or len(np.unique(pages)) < len(pages):
            raise UnaccountedError("a page is used twice")
        self.seen[pages] = _SEEN[kind]

    def _special_pages(self) -> None:
        lock = _LOCK_BYTE // self.size + 1
        if lock <= self.n_pages:
            self._mark(np.array([lock]), "lock")
        if self.header.has_map:
            maps: Numbers = np.arange(2, self.n_pages + 1, self.usable // 5 + 1, dtype=np.int64)
            maps[maps == lock] += 1
            self._mark(maps[maps <= self.n_pages], "map")

    def _free_list(self) -> None:
        trunk, n_free = self.header.first_free, 0
        while trunk:
            self._mark(np.array([trunk]), "free")
            start = (trunk - 1) * self.size
            following, n_leaves = np.frombuffer(self.data[start : start + 8], dtype=">u4").tolist()
            if n_leaves > self.usable // 4 - 2:
                raise UnaccountedError("a page of the free list is damaged")
            end = start + 8 + 4 * n_leaves
            leaves = np.frombuffer(self.data[start + 8 : end], dtype=">u4").astype(np.int64)
            self._mark(leaves, "free")
            self._hole(end, start + self.usable)
            for leaf in leaves.tolist():
                self._hole((leaf - 1) * self.size, (leaf - 1) * self.size + self.usable)
            trunk, n_free = following, n_free + 1 + n_leaves
        if n_free != self.header.n_free:
            raise UnaccountedError("the free list is shorter or longer than the header says")

    def _tree(self, pages: Numbers) -> Numbers:
        """Note the gaps of b-tree pages and their overflow; gives their children."""
        self._mark(pages, "tree")
        base = (pages - 1) * self.size
        head = base + np.where(pages == 1, 100, 0)
        kind = self.flat[head].astype(np.int64)
        known = np.isin(kind, (_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF))
        if not known.all():
            raise UnaccountedError("a page of a table is of no known kind")
        interior = kind < _INDEX_LEAF
        n_cells = self._number(head + 3, 2)
        cells_at = head + np.where(interior, 12, 8)
        # One entry per cell: which of the pages it lies on, and where.
        of_page = np.repeat(np.arange(len(pages)), n_cells)
        rank = np.arange(len(of_page)) - np.repeat(np.cumsum(n_cells) - n_cells, n_cells)
        pointer = self._number(cells_at[of_page] + 2 * rank, 2)
        start = base[of_page] + pointer
        used_head = cells_at + 2 * n_cells
        if (start < used_head[of_page]).any():
            raise UnaccountedError("a cell lies in the header of its page")
        end, first, left = self._cells(start, kind[of_page])
        if (end > (base + self.usable)[of_page]).any():
            raise UnaccountedError("a cell reaches over the end of its page")
        free = self._free_blocks(base, head)
        tail = base + self.usable
        starts = np.concatenate([base, start, free, tail])
        ends = np.concatenate([used_head, end, free + 4, base + self.size])
        self._gaps(starts, ends)
        self._overflow(first[left > 0], left[left > 0])
        is_inner = interior[of_page]
        below = self._number(start[is_inner], 4)
        return np.concatenate([below, self._number(head[interior] + 8, 4)])

    def _cells(self, start: Numbers, kind: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """End of each cell on its page, its first overflow page, and bytes that lie there."""
        at = start + np.where(kind < _INDEX_LEAF, 4, 0)  # behind the child's number
        size, width = self._varint(at)
        at = at + width
        leaf = kind == _TABLE_LEAF
        at[leaf] += self._varint(at[leaf])[1]  # the row number
        payload = np.where(kind == _TABLE_INTERIOR, 0, size)
        usable = self.usable
        most = np.where(leaf, usable - 35, (usable - 12) * 64 // 255 - 23)
        least = (usable - 12) * 32 // 255 - 23
        surplus = least + (payload - least) % (usable - 4)
        local = np.where(payload <= most, payload, np.where(surplus <= most, surplus, least))
        left = payload - local
        first = np.zeros_like(left)
        if ((at + local + 4 > len(self.flat)) & (left > 0)).any() or (payload < 0).any():
            raise UnaccountedError("a cell is longer than the file")
        first[left > 0] = self._number((at + local)[left > 0], 4)
        end = at + local + np.where(left > 0, 4, 0)
        return np.maximum(end, start + 4), first, left

    def _overflow(self, pages: Numbers, left: Numbers) -> None:
        room = self.usable - 4
        while len(pages):
            self._mark(pages, "overflow")
            base = (pages - 1) * self.size
            following = self._number(base, 4)
            last = left <= room
            for page, n in zip(base[last].tolist(), left[last].tolist(), strict=True):
                self._hole(page + 4 + n, page + self.usable)
            if following[last].any():
                raise UnaccountedError("an overflow chain is longer than its row")
            pages, left = following[~last], left[~last] - room

    def _free_blocks(self, base: Numbers, head: Numbers) -> Numbers:
        """Where the free blocks of pages begin: their first 4 bytes chain them together."""
        found = [np.zeros(0, dtype=np.int64)]
        block = self._number(head + 1, 2)
        while block.any():
            base, block = base[block > 0], block[block > 0]
            if (block > self.usable - 4).any():
                raise UnaccountedError("a free block lies outside its page")
            found.append(base + block)
            following = self._number(base + block, 2)
            if ((following > 0) & (following <= block)).any():
                raise UnaccountedError("the free blocks of a page run backwards")
            block = following
        return np.concatenate(found)

    def _gaps(self, starts: Numbers, ends: Numbers) -> None:
        order = np.lexsort((ends, starts))
        starts, ends = starts[order], ends[order]
        if (starts[1:] < ends[:-1]).any():
            raise UnaccountedError("cells of a page overlap")
        # Between the last byte of one page and the first of the next in the list lie
        # other pages: those are no gaps.
        same = (starts[1:] - 1) // self.size == (ends[:-1] - 1) // self.size
        gap = same & (starts[1:] > ends[:-1])
        for start, end in zip(ends[:-1][gap].tolist(), starts[1:][gap].tolist(), strict=True):
            self._hole(start, end)

    def _hole(self, start: int, end: int) -> None:
        for at in range(start, end, self.size):
            stop = min(at + self.size, end)
            if self.data[at:stop] != self.zeros[: stop - at]:
                self.found.append((at, stop))

    def _number(self, at: Numbers, width: int) -> Numbers:
        value = np.zeros(len(at), dtype=np.int64)
        for i in range(width):
            value = value << 8 | self.flat[at + i]
        return value

    def _varint(self, at: Numbers) -> tuple[Numbers, Numbers]:
        """Numbers of 1 to 9 bytes, and how many bytes each takes."""
        value, width = np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=np.int64)
        open_: NDArray[Any] = np.arange(len(at))
        for i in range(9):
            where = at[open_] + i
            if len(where) and where.max() >= len(self.flat):
                raise UnaccountedError("a cell reaches over the end of the file")
            byte = self.flat[where].astype(np.int64)
            value[open_] = value[open_] << 8 | byte if i == 8 else value[open_] << 7 | byte & 127
            width[open_] = i + 1
            open_ = open_[byte >= 128]
            if not len(open_):
                break
        return value, width
