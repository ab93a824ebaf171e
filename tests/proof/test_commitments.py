from __future__ import annotations

import stat

import pytest

from ragshield.errors import InputError, UsageError
from ragshield.proof import (
    belongs,
    make_secret,
    merkle_root,
    new_salt,
    read_secret,
    show,
    write_secret,
)
from ragshield.proof.commitments import Commitments
from ragshield.records import Passage

PASSAGES = [Passage(f"canary-{i}", f"Zebedee Canary number {i} lives in Tannow.") for i in range(5)]


def test_commitments_depend_on_the_salt_and_on_what_they_are_for() -> None:
    one, other = Commitments(bytes(32)), Commitments(bytes(31) + b"\1")
    assert one.text("Ada") != other.text("Ada")
    assert one.text("Ada") != one.passage_id("Ada")
    assert one.text("Ada Example, 1815!") == one.text("ada  example 1815")
    assert one.text("!?") != one.text("...")
    with pytest.raises(UsageError, match="a salt has 32 bytes, got 3"):
        Commitments(b"abc")


def test_one_item_can_be_shown_without_opening_another() -> None:
    commitments = Commitments(new_salt())
    leaves = [commitments.leaf(i, p) for i, p in enumerate(PASSAGES)]
    root = merkle_root(leaves)
    shown = show(commitments, leaves, PASSAGES[3])
    assert shown is not None
    assert shown.proof.index == 3
    assert belongs(shown, PASSAGES[3], root)
    assert not belongs(shown, PASSAGES[2], root)
    assert not belongs(shown, Passage("canary-3", "Somebody else."), root)
    assert show(commitments, leaves, Passage("x", "y")) is None


def test_a_secret_recognises_and_quotes_nothing(tmp_path) -> None:
    contents = [("text", p.text.encode()) for p in PASSAGES]
    secret = make_secret(new_salt(), PASSAGES, contents, {"n": 1})
    path = tmp_path / "cert.secret"
    write_secret(secret, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "anary" not in path.read_text()
    back = read_secret(path)
    assert back.digest == secret.digest
    assert back.root == secret.root
    assert back.near == {"n": 1}
    assert len(back.windows) == len(secret.windows) > 0
    assert back.recognises(Passage("new-id", "zebedee canary NUMBER 2 lives in tannow"))
    assert not back.recognises(Passage("canary-2", "Another text"))


@pytest.mark.parametrize("content", ["", "{}", '{"schema":"other"}', "[]"])
def test_another_file_is_no_secret(tmp_path, content) -> None:
    (tmp_path / "s").write_text(content)
    with pytest.raises(InputError, match="no secret of a certificate"):
        read_secret(tmp_path / "s")
