"""A look at a store or a folder, and what it says beside an earlier one."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest

from ragshield.errors import InputError, UsageError
from ragshield.protocols import Surface
from ragshield.records import Batch, Passage
from ragshield.residue import baseline, residue
from ragshield.residue.scan import needles_for
from ragshield.residue.targets import read_targets
from ragshield.stores.chroma import create_chroma
from ragshield.stores.url import open_store

CANARY = "Ada Example keeps the key number {} under the seventh stone of the wall"


def rows(n: int = 40) -> Batch:
    rng = np.random.default_rng(3)
    passages = tuple(
        Passage(
            f"passage-{i:04d}",
            CANARY.format(i * 7919) if i % 4 == 0 else f"The mill sold {i * 104729} loaves in May",
            meta={"who": f"clerk number {i}"},
        )
        for i in range(n)
    )
    return Batch(passages, rng.standard_normal((n, 48)).astype(np.float32))


def parts(batch: Batch) -> tuple[Batch, Batch]:
    gone = [i for i in range(len(batch)) if i % 8 == 0]
    stay = [i for i in range(len(batch)) if i % 8]
    return tuple(
        Batch(tuple(batch.passages[i] for i in which), batch.vectors[which])
        for which in (gone, stay)
    )


@pytest.fixture
def files(tmp_path):
    """A folder of loose files that holds some targets."""
    gone, stay = parts(rows())
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "texts.txt").write_text("\n".join(p.text for p in (*gone.passages, *stay.passages)))
    (folder / "vectors.bin").write_bytes(gone.vectors.tobytes() + stay.vectors.tobytes())
    return folder, gone, stay


def purge(folder, stay):
    (folder / "texts.txt").write_text("\n".join(p.text for p in stay.passages))
    (folder / "vectors.bin").write_bytes(stay.vectors.tobytes())


def verdicts(found):
    return {verdict.name: verdict.verdict for verdict in found.verdicts()}


def test_a_folder_is_residual_before_and_erased_after_the_purge(files):
    folder, gone, stay = files
    before = residue(f"dir:{folder}", gone, live=[stay])
    assert before.overall() == "RESIDUAL"
    assert before.text_bytes == sum(len(p.text) for p in gone.passages)
    assert before.vector_bytes == gone.vectors.nbytes
    assert (before.n_seen_texts, before.n_seen_vectors) == (5, 5)
    purge(folder, stay)
    after = residue(str(folder), gone, live=[stay], baseline=before)
    assert after.overall() == "ERASED"
    assert verdicts(after) == {"texts.txt": "ERASED", "vectors.bin": "ERASED"}
    assert (after.text_bytes, after.vector_bytes) == (0, 0)


def test_nothing_found_without_a_baseline_is_never_clean(files):
    folder, gone, stay = files
    purge(folder, stay)
    found = residue(str(folder), gone, live=[stay])
    assert found.overall() == "NO_BASELINE"
    assert set(verdicts(found).values()) == {"NO_BASELINE"}
    again = residue(str(folder), gone, live=[stay], baseline=found)
    assert again.overall() == "NO_BASELINE"
    assert again.unproven() == 10


def test_one_vector_that_was_never_visible_is_enough_for_no_baseline(files):
    folder, gone, stay = files
    (folder / "vectors.bin").write_bytes(gone.vectors[1:].tobytes())
    before = residue(str(folder), gone, live=[stay])
    purge(folder, stay)
    after = residue(str(folder), gone, live=[stay], baseline=before)
    assert verdicts(after) == {"texts.txt": "ERASED", "vectors.bin": "ERASED"}
    assert after.overall() == "NO_BASELINE"
    assert after.unproven() == 1


def test_a_place_that_is_gone_counts_as_erased_and_a_new_one_is_looked_at(files):
    folder, gone, stay = files
    before = residue(str(folder), gone, live=[stay])
    purge(folder, stay)
    (folder / "texts.txt").rename(folder / "rewritten.txt")
    after = residue(str(folder), gone, live=[stay], baseline=before)
    assert verdicts(after)["texts.txt"] == "ERASED"
    assert verdicts(after)["rewritten.txt"] == "NO_BASELINE"
    assert after.overall() == "ERASED"
    (folder / "left.tmp").write_text(gone.passages[0].text)
    found = residue(str(folder), gone, live=[stay], baseline=before)
    assert verdicts(found)["left.tmp"] == "RESIDUAL"
    assert found.overall() == "RESIDUAL"


def test_what_cannot_be_read_is_not_tested_and_never_clean(files):
    folder, gone, stay = files
    before = residue(str(folder), gone, live=[stay])
    purge(folder, stay)
    (folder / "broken.gz").write_bytes(b"\x1f\x8b\x08" + b"\x55" * 99)
    (folder / "secret.bin").write_bytes(np.random.default_rng(0).bytes(50_000))
    (folder / "link").symlink_to("/nowhere")
    after = residue(str(folder), gone, live=[stay], baseline=before)
    assert after.overall() == "NOT_TESTED"
    assert verdicts(after)["broken.gz (unpacked)"] == "NOT_TESTED"
    assert [place.split(":")[0] for place in after.untested] == ["link", "secret.bin"]
    (folder / "broken.gz").unlink()
    words = ["IT IS A LINK", "secret.bin"]
    found = residue(str(folder), gone, live=[stay], baseline=before, out_of_scope=words)
    assert found.overall() == "ERASED"
    assert (found.untested, len(found.exceptions)) == ((), 2)
    again = residue(str(folder), gone, live=[stay], baseline=before, out_of_scope=words[:1])
    assert again.overall() == "NOT_TESTED"


def test_a_store_of_which_nothing_is_known_is_unsupported():
    gone, _ = parts(rows())
    with open_store("memory:residue-unsupported", writable=True) as store:
        store.add(gone)
    found = residue("memory:residue-unsupported", gone)
    assert found.overall() == "UNSUPPORTED"


def test_extra_surfaces_are_looked_at_too(files):
    folder, gone, stay = files
    cache = Surface("cache", "decoded", None, lambda: iter([gone.passages[0].text.encode()]))
    purge(folder, stay)
    found = residue(str(folder), gone, live=[stay], extra=[cache])
    assert verdicts(found)["cache"] == "RESIDUAL"


def test_a_chroma_store_keeps_what_it_deleted_and_the_live_rows_are_left_out(tmp_path):
    batch = rows(200)
    gone, _ = parts(batch)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", batch).close()
    before = residue(url, gone)
    assert (before.n_seen_texts, before.n_seen_vectors) == (25, 25)
    with open_store(url, writable=True) as store:
        store.delete([p.id for p in gone.passages])
    after = residue(url, gone, baseline=before)
    assert after.overall() == "RESIDUAL"
    assert after.n_seen_texts == 25


def test_a_saved_look_is_a_baseline_and_holds_nothing_of_the_targets(files, tmp_path):
    folder, gone, stay = files
    before = residue(str(folder), gone, live=[stay])
    baseline.save(before, tmp_path / "before.json")
    written = (tmp_path / "before.json").read_text()
    for passage in gone.passages:
        assert passage.id not in written
        assert passage.text[:20] not in written
    again = baseline.read(tmp_path / "before.json")
    purge(folder, stay)
    after = residue(str(folder), gone, live=[stay], baseline=again)
    assert after.overall() == "ERASED"
    assert json.loads(baseline.to_json(after))["overall"] == "ERASED"
    second = tmp_path / "second.json"
    baseline.save(residue(str(folder), gone, live=[stay]), second)
    assert json.loads(second.read_text())["target"] != json.loads(written)["target"]


def test_a_baseline_of_other_targets_is_refused(files):
    folder, gone, stay = files
    before = residue(str(folder), gone, live=[stay])
    other = Batch(gone.passages[1:], gone.vectors[1:])
    with pytest.raises(InputError, match="other targets"):
        residue(str(folder), other, baseline=before)
    changed = Batch((replace(gone.passages[0], text="other"), *gone.passages[1:]), gone.vectors)
    with pytest.raises(InputError, match="other targets"):
        residue(str(folder), changed, baseline=before)
    turned = Batch(gone.passages[::-1], gone.vectors[::-1])
    assert residue(str(folder), turned, live=[stay], baseline=before).overall() == "RESIDUAL"


def test_a_baseline_of_another_place_proves_nothing(files, tmp_path, monkeypatch):
    folder, gone, stay = files
    before = residue(str(folder), gone, live=[stay])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="proves nothing here"):
        residue(str(tmp_path / "empty"), gone, baseline=before)
    monkeypatch.chdir(folder.parent)
    for same in ("store", "./store/", "dir:store", f"dir:{folder}"):
        assert residue(same, gone, live=[stay], baseline=before).overall() == "RESIDUAL"


def test_bad_input_is_one_clear_line(tmp_path):
    gone, _ = parts(rows())
    with pytest.raises(UsageError, match="neither the URL of a store nor a file"):
        residue(str(tmp_path / "nowhere"), gone)
    with pytest.raises(UsageError, match="does not exist"):
        residue("dir:/nowhere/at/all", gone)
    with pytest.raises(UsageError, match="no targets"):
        residue(str(tmp_path), Batch((), None))
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="no report of ragshield residue"):
        baseline.read(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"schema": "ragshield-residue/1"}')
    with pytest.raises(InputError, match="damaged report"):
        baseline.read(tmp_path / "x.json")


def test_targets_are_read_from_json_lines_snapshots_and_plain_texts(tmp_path):
    gone, _ = parts(rows())
    snapshot = [{"schema": "ragshield-snapshot", "version": 1, "n": len(gone), "dim": 48}]
    snapshot += [
        {"id": p.id, "text": p.text, "meta": {}, "vector": b64encode(v.tobytes()).decode()}
        for p, v in zip(gone.passages, gone.vectors, strict=True)
    ]
    (tmp_path / "snapshot.jsonl").write_text("\n".join(map(json.dumps, snapshot)))
    lines = [
        json.dumps({"id": p.id, "page_content": p.text, "embedding": v.tolist()})
        for p, v in zip(gone.passages, gone.vectors, strict=True)
    ]
    (tmp_path / "targets.jsonl").write_text("\n".join(lines))
    (tmp_path / "texts.txt").write_text("\n\n".join(p.text for p in gone.passages))
    for name in ("snapshot.jsonl", "targets.jsonl"):
        found = read_targets(tmp_path / name)
        assert [p.id for p in found.passages] == [p.id for p in gone.passages]
        assert found.vectors.tobytes() == gone.vectors.tobytes()
    plain = read_targets(tmp_path / "texts.txt")
    assert [p.text for p in plain.passages] == [p.text for p in gone.passages]
    assert plain.vectors is None
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}')
    with pytest.raises(InputError, match="line 1: no text"):
        read_targets(tmp_path / "bad.jsonl")
    (tmp_path / "sealed").write_bytes(b"RAGSEAL1" + bytes(range(256)))
    with pytest.raises(InputError, match="encrypted snapshot"):
        read_targets(tmp_path / "sealed")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match="holds no targets"):
        read_targets(tmp_path / "empty.txt")


def test_targets_known_by_their_texts_alone_are_not_taken_for_live_rows(tmp_path):
    gone, stay = parts(rows())
    (tmp_path / "docs.jsonl").write_text("")
    url = f"jsonl:{tmp_path}/docs.jsonl"
    with open_store(url, writable=True) as store:
        store.add(gone)
        store.add(stay)
    (tmp_path / "texts.txt").write_text("\n".join(p.text for p in gone.passages))
    targets = read_targets(tmp_path / "texts.txt")
    assert residue(url, targets, by_text=True).n_seen_texts == 5
    assert residue(url, targets).n_texts == 0


def test_needles_made_once_find_what_those_made_at_each_look_find(files) -> None:
    folder, gone, stay = files
    needles = needles_for(str(folder), gone, live=[stay])
    before = residue(str(folder), gone, needles=needles)
    assert before == replace(
        residue(str(folder), gone, live=[stay]), target=before.target, before=None
    )
    assert before.n_seen_texts == len(gone)
    purge(folder, stay)
    after = residue(str(folder), gone, needles=needles, baseline=before)
    assert (after.overall(), after.text_bytes, after.vector_bytes) == ("ERASED", 0, 0)


def test_needles_of_other_passages_are_refused(files) -> None:
    folder, gone, stay = files
    needles = needles_for(str(folder), stay)
    with pytest.raises(UsageError, match="needles are of other passages"):
        residue(str(folder), gone, needles=needles)
