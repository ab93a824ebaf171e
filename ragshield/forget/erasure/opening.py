"""Stores as a job opens them: by URL, and each once where a step has many plans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ragshield.protocols import MutableStore, Store
from ragshield.stores.passwords import without_password
from ragshield.stores.url import open_store


class Stores:
    """Opens stores, or gives the one that is open already.

    Args:
        given: a store that the caller has open; used for its URL, and left open.
        trust_collection_config: see `open_store`.
    """

    def __init__(self, given: MutableStore | None, trust_collection_config: bool) -> None:
        self._given = given
        self._trust = trust_collection_config
        self._together: ExitStack | None = None
        self._writing: dict[str, MutableStore] = {}
        self._reading: dict[str, Store] = {}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep what is opened meanwhile, so that hundreds of plans open a store once.

        Nothing may purge a store within it.
        """
        with ExitStack() as stack:
            self._together = stack
            try:
                yield
            finally:
                self._together = None
                self._writing, self._reading = {}, {}

    @contextmanager
    def writing(self, url: str) -> Iterator[MutableStore]:
        """A store to change."""
        given = self._given
        if given is not None and without_password(given.url) == url:
            yield given
        elif url in self._writing:
            yield self._writing[url]
        else:
            opened = open_store(url, writable=True, trust_collection_config=self._trust)
            if self._together is None:
                with opened:
                    yield opened
            else:
                self._writing[url] = self._together.enter_context(opened)
                yield opened

    @contextmanager
    def reading(self, url: str) -> Iterator[Store]:
        """A store to read from."""
        given = self._given
        if given is not None and without_password(given.url) == url:
            yield given
        elif url in self._writing or url in self._reading:
            yield self._writing.get(url) or self._reading[url]
        else:
            opened = open_store(url, trust_collection_config=self._trust)
            if self._together is None:
                with opened:
                    yield opened
            else:
                self._reading[url] = self._together.enter_context(opened)
                yield opened
