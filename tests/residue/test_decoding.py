"""What a format hides is looked at, too; nothing in it is executed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import sqlite3
import zipfile
import zlib
from contextlib import closing

import numpy as np
import pytest

from ragshield.errors import StoreError
from ragshield.residue.decoding import decoder_of
from ragshield.residue.folder import Folder, looks_random

TEXT = "Ada Example lives at 12 Mill Lane, and nobody is to know that she does. " * 3
VECTOR = np.random.default_rng(0).standard_normal(384).astype(np.float32)


class Trap:
    """A pickle of this makes a file when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("trap-was-sprung",)


def decoded(path) -> bytes:
    decoder = decoder_of(path)
    assert decoder is not None
    return b"".join(decoder.blocks(path))


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.txt", b"nothing " * 99)
        archive.writestr("second.txt", content)
    return file.getvalue()


def zstandard(content: bytes) -> bytes:
    module = pytest.importorskip("zstandard")
    half = len(content) // 2
    compress = module.ZstdCompressor().compress
    return compress(content[:half]) + compress(content[half:])


PACKERS = [gzip.compress, bz2.compress, lzma.compress, zipped, zstandard]


@pytest.mark.parametrize("pack", PACKERS)
def test_compressed_files_are_unpacked(tmp_path, pack):
    path = tmp_path / "file.bin"
    path.write_bytes(pack(TEXT.encode()))
    assert TEXT.encode() not in path.read_bytes()
    assert TEXT.encode() in decoded(path)


@pytest.mark.parametrize("outer", PACKERS)
@pytest.mark.parametrize("inner", PACKERS)
def test_what_is_packed_in_packed_files_is_unpacked(tmp_path, outer, inner):
    path = tmp_path / "file.bin"
    path.write_bytes(outer(inner(TEXT.encode())))
    assert TEXT.encode() in decoded(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_read_and_not_loaded(tmp_path, protocol, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pkl"
    value = {"text": f"Zoë\n{TEXT}", "vector": [float(x) for x in VECTOR], "trap": Trap()}
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    found = decoded(path)
    assert value["text"].encode() in found
    assert VECTOR.tobytes() in found
    assert not (tmp_path / "trap-was-sprung").exists()


def test_a_vector_longer_than_the_row_that_is_held_is_found_over_its_borders(tmp_path):
    path = tmp_path / "file.pickle"
    values = np.random.default_rng(1).standard_normal(9000).astype(np.float32)
    path.write_bytes(pickle.dumps([float(x) for x in values]))
    found = decoded(path)
    for start in range(0, 9000 - 12, 7):
        assert values[start : start + 12].tobytes() in found


def test_values_of_a_database_are_put_together_and_unpacked(tmp_path):
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a TEXT, b BLOB, c BLOB, n REAL)")
        database.execute("CREATE VIRTUAL TABLE f USING fts5(words)")
        long = TEXT * 200
        floats = [float(x) for x in VECTOR]
        packed = zlib.compress(pickle.dumps({"vector": floats, "text": TEXT}))
        database.execute("INSERT INTO t VALUES (?, ?, ?, 1.5)", (long, packed, VECTOR.tobytes()))
        database.execute("INSERT INTO f VALUES (?)", (f"indexed {TEXT}",))
        database.commit()
    assert long.encode() not in path.read_bytes()  # torn over overflow pages
    found = decoded(path)
    assert long.encode() in found
    assert f"indexed {TEXT}".encode() in found
    assert found.count(VECTOR.tobytes()) == 2


def test_a_full_text_index_is_untested_until_it_is_merged(tmp_path):
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE VIRTUAL TABLE f USING fts5(words)")
        for i in range(3):
            database.execute("INSERT INTO f VALUES (?)", (f"{TEXT} {i}",))
            database.commit()
        assert Folder(path).untested() == (
            "file.db: words of deleted rows in unmerged full-text index 'f'",
        )
        database.execute("INSERT INTO f(f) VALUES ('optimize')")
        database.commit()
    assert Folder(path).untested() == ()


def test_columns_of_parquet_and_arrow_are_decoded(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "text": pa.array(["other", f"{TEXT}!"] * 50).dictionary_encode(),
            "vector": pa.array([VECTOR, VECTOR[::-1]] * 50, pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, tmp_path / "file.parquet", compression="zstd", write_statistics=False)
    with pa.OSFile(str(tmp_path / "file.arrow"), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
    for name in ("file.parquet", "file.arrow"):
        assert TEXT.encode() not in (tmp_path / name).read_bytes()
        found = decoded(tmp_path / name)
        assert TEXT.encode() in found
        assert VECTOR.tobytes() in found


def test_rows_deleted_from_a_lance_table_are_found_in_its_old_files(tmp_path):
    lance = pytest.importorskip("lance")
    pa = pytest.importorskip("pyarrow")
    texts = [TEXT, *(f"{i}: the mill sells bread on day {i * 7919}" for i in range(500))]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.tile(VECTOR, 501)), 384)
    data = lance.write_dataset(
        pa.table({"text": texts, "vector": vectors}), str(tmp_path / "t.lance")
    )
    data.delete("text LIKE 'Ada%'")
    folder = Folder(tmp_path)
    decoded_surfaces = [s for s in folder.surfaces() if s.kind == "decoded"]
    assert any(TEXT.encode() in b"".join(s.blocks()) for s in decoded_surfaces)


def test_a_damaged_file_is_an_error_in_one_line(tmp_path):
    for name, content in {
        "file.gz": gzip.compress(os.urandom(5000))[:3000],
        "file.zip": zipped(TEXT.encode())[:100],
        "file.db": b"SQLite format 3\0" + b"\x55" * 5000,
        "file.parquet": b"PAR1" + b"\x55" * 5000,
        "file.pkl": b"\x80\x04\x95" + b"\x55" * 100,
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(StoreError) as caught:
            decoded(path)
        assert "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("ragshield.residue.decoding._ALWAYS_ALLOWED", 1 << 20)
    monkeypatch.setattr("ragshield.residue.decoding._MOST_TIMES", 10)
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(bytes(50 << 20)))
    with pytest.raises(StoreError, match="not read to its end"):
        decoded(path)


def test_plain_files_are_not_decoded(tmp_path):
    for content in (TEXT.encode(), VECTOR.tobytes(), b"", b"x^2 + y^2", b"\x80\x04", b"BZhello"):
        path = tmp_path / "file.bin"
        path.write_bytes(content)
        assert decoder_of(path) is None


def test_encrypted_bytes_look_random_and_numbers_and_texts_do_not(tmp_path):
    path = tmp_path / "file.bin"
    rng = np.random.default_rng(2)
    numbers = rng.standard_normal(100_000)
    plain = [numbers.astype(form).tobytes() for form in ("<f4", "<f2", "<f8")]
    plain += [(TEXT * 500).encode(), np.clip(numbers * 40, -128, 127).astype(np.int8).tobytes()]
    for content in plain:
        path.write_bytes(content)
        assert not looks_random(path)
    path.write_bytes(rng.bytes(100_000))
    assert looks_random(path)
