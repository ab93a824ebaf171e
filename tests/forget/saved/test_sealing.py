from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ragshield.errors import IncompleteError, InputError
from ragshield.forget.erasure.neutral import neutral, private_parts, without
from ragshield.forget.saved.sealing import destroy, is_sealed, new_keys, read_keys, seal, unseal

KEY = bytes(range(32))


@pytest.mark.parametrize("n", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_what_is_sealed_comes_back_line_by_line(tmp_path: Path, n: int) -> None:
    lines = [b"x" * n, b"second", b""]
    seal((line + b"\n" for line in lines), tmp_path / "s", KEY)
    assert list(unseal(tmp_path / "s", KEY)) == lines
    assert is_sealed(tmp_path / "s")
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_no_changed_moved_or_missing_chunk_is_taken(tmp_path: Path) -> None:
    seal([bytes([65 + i]) * 60_000 for i in range(4)], tmp_path / "s", KEY)
    whole = (tmp_path / "s").read_bytes()
    head, chunk = 15, 65_536 + 16
    swapped = (
        whole[:head]
        + whole[head + chunk : head + 2 * chunk]
        + whole[head : head + chunk]
        + whole[head + 2 * chunk :]
    )
    flipped = [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (9, 40, len(whole) - 1)
    ]
    for content in [swapped, whole[:-1], whole[: head + chunk], whole[:head], *flipped]:
        (tmp_path / "s").write_bytes(content)
        with pytest.raises(InputError, match="damaged, or sealed with another key"):
            list(unseal(tmp_path / "s", KEY))
    (tmp_path / "s").write_bytes(whole)
    with pytest.raises(InputError, match="another key"):
        list(unseal(tmp_path / "s", bytes(32)))


def test_keys_are_private_and_always_new(tmp_path: Path) -> None:
    one, other = new_keys(tmp_path / "a"), new_keys(tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert read_keys(tmp_path / "a") == one
    assert len({one.key, one.salt, other.key, other.salt}) == 4
    (tmp_path / "a").write_text("{}")
    with pytest.raises(InputError, match="is no snapshot key"):
        read_keys(tmp_path / "a")
    with pytest.raises(InputError, match="without it nothing can be restored"):
        read_keys(tmp_path / "none")


def test_a_destroyed_file_is_overwritten_before_it_is_removed(tmp_path: Path) -> None:
    path, link = tmp_path / "k", tmp_path / "same file"
    path.write_bytes(b"secret" * 1000)
    link.hardlink_to(path)  # shows what became of its bytes
    destroy(path)
    assert not path.exists()
    assert link.read_bytes() == b""
    destroy(path)  # gone already
    (tmp_path / "folder").mkdir()
    with pytest.raises(IncompleteError, match="cannot destroy"):
        destroy(tmp_path / "folder")


def test_names_keep_technical_words_alone() -> None:
    assert neutral("chroma.sqlite3, table embeddings_queue, texts") == (
        "chroma.sqlite3, table embeddings_queue, texts"
    )
    assert neutral("2f07f6b3-795f-4586-86d6-60cfd0f9c46d/data_level0.bin").endswith(
        "/data_level0.bin"
    )
    assert neutral("ada-example.jsonl") == "#-#.jsonl"
    assert neutral("patients/Zo\u00eb 19521103.json") == "#/# #.json"
    parts = private_parts("chroma:/home/ada/db#letters")
    assert without("cannot read /home/ada/db: letters", parts) == "cannot read #: #"
