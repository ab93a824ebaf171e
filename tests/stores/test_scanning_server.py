"""Scanning a Chroma server that goes away in the middle."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from ragshield.records import Batch, Passage
from ragshield.scanning import Progress, scan
from ragshield.stores.url import open_store


@pytest.mark.server
def test_a_server_that_drops_the_connection_leaves_what_was_read_judged(own_chroma_server) -> None:
    own_chroma_server.create("docs")
    url = own_chroma_server.url("docs")
    vectors = np.random.default_rng(2).normal(size=(300, 16)).astype(np.float32)
    passages = tuple(Passage(f"p{i}", f"text number {i}") for i in range(300))
    with open_store(url, writable=True) as store:
        store.add(Batch(passages, vectors))

    def drop(step: Progress) -> None:
        if step == Progress("read", 100, 300):
            os.kill(own_chroma_server.process.pid, signal.SIGKILL)
            own_chroma_server.process.wait(10)

    with open_store(url) as store:
        report = scan(store, ["near-duplicates"], batch_size=50, on_progress=drop)
    assert not report.complete
    assert report.n_passages == 100
    assert report.screens == ("near-duplicates",)
    assert report.problem is not None
    assert report.problem.startswith("reading broke off after 100 of 300 passages")
    assert "the server does not answer" in report.problem
