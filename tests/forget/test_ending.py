"""Certificates, making plans final, and looking again: with canary names everywhere."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError, UsageError
from ragshield.forget import apply_plan, plan_forget, undo, write_plan
from ragshield.forget.ending import finish
from ragshield.forget.reverifying import reverify
from ragshield.proof import (
    belongs,
    merkle_root,
    new_key,
    read_certificate,
    read_secret,
    show,
)
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

CANARY = "Zebedee Quillfeather"
N, TARGETS = 60, 6


def rows(encoder) -> Batch:
    rng = np.random.default_rng(2)
    vocabulary = ["".join(rng.choice(list("aeioubdklmnrst"), 6)) for _ in range(300)]
    texts = [
        f"{CANARY} {' '.join(rng.choice(vocabulary, 18))} and never told."
        if i < TARGETS
        else " ".join(rng.choice(vocabulary, 20)).capitalize() + "."
        for i in range(N)
    ]
    passages = tuple(
        Passage(
            f"zebedee-quillfeather-{i}" if i < TARGETS else f"row-{i}",
            text,
            f"quillfeather/{i}.txt" if i < TARGETS else f"file-{i}.txt",
            {"owner": CANARY if i < TARGETS else "nobody", "n": i},
        )
        for i, text in enumerate(texts)
    )
    return Batch(passages, encoder.encode(texts))


@pytest.fixture
def town(word_encoder) -> Batch:
    return rows(word_encoder)


@pytest.fixture
def url(tmp_path: Path, town) -> str:
    """A store whose folder and file are named after somebody, too."""
    folder = tmp_path / "quillfeather"
    folder.mkdir()
    (folder / "zebedee.jsonl").write_text("")
    address = f"jsonl:{folder}/zebedee.jsonl"
    with open_store(address, writable=True) as store:
        store.add(town)
    return address


@pytest.fixture
def plan(url, tmp_path) -> Path:
    with open_store(url) as store:
        made = plan_forget(store, subject=CANARY, aliases=["Quillfeather of Tannow"])
        write_plan(made, tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.fixture
def key():
    return new_key()


def test_a_certificate_says_erased_only_once_no_copy_is_kept(plan, tmp_path, key) -> None:
    assert apply_plan(plan).verdict == "ERASED"
    first = finish([plan], certificate=tmp_path / "c1.json", signing_key=key)
    assert (first.stores, first.overall, first.destroyed) == ("ERASED", "RESIDUAL", False)
    assert read_certificate(tmp_path / "c1.json").content["undo"]["possible"] is True
    last = finish([plan], final=True, certificate=tmp_path / "c2.json", signing_key=key)
    assert (last.stores, last.overall, last.destroyed) == ("ERASED", "ERASED", True)
    checked = read_certificate(tmp_path / "c2.json", key.public)
    assert checked.known is True
    assert checked.content["undo"]["possible"] is False
    assert checked.content["closure"]["n_passages"] == TARGETS
    (store, _) = checked.content["places"]
    assert (store["n_rows_before"], store["n_rows_after"]) == (N, N - TARGETS)
    assert all(file["before"] != file["after"] for file in store["files"])


def test_undo_says_that_the_certificate_is_true_no_more(plan, tmp_path, key) -> None:
    apply_plan(plan)
    assert undo(plan).notes == ()
    apply_plan(plan)
    finish([plan], certificate=tmp_path / "c.json", signing_key=key)
    (note,) = undo(plan).notes
    assert note == "a certificate was issued for this plan: withdraw it, it is true no more"


def test_no_canary_is_in_certificate_secret_journal_blocklist_or_log(
    plan, tmp_path, key, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    apply_plan(plan, reingest=tmp_path / "reingest.json")
    finish([plan], final=True, certificate=tmp_path / "c.json", signing_key=key)
    left = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.name for path in left} == {
        "c.json",
        "c.json.secret",
        "plan.json",
        "plan.json.blocked",
        "plan.json.journal",
        "reingest.json",
    }
    for path in left:
        content = path.read_text(encoding="utf-8").lower()
        for canary in ("zebedee", "quillfeather", "never told"):
            assert canary not in content, path.name
    for canary in ("zebedee", "quillfeather"):
        assert canary not in caplog.text.replace(str(tmp_path), "").lower()


def test_undo_after_final_is_refused_honestly_and_nothing_is_left_to_undo_with(
    plan, url, tmp_path, key
) -> None:
    apply_plan(plan)
    finish([plan], final=True)
    for name in ("plan.json.key", "plan.json.snapshot"):
        assert not (tmp_path / name).exists()
    with pytest.raises(UsageError, match=r"made final on .* cannot be brought back by undo"):
        undo(plan)
    with pytest.raises(UsageError, match="made final"):
        apply_plan(plan)
    assert finish([plan], final=True).destroyed  # again, harmless
    with pytest.raises(UsageError, match="made final without a certificate"):
        finish([plan], certificate=tmp_path / "c.json", signing_key=key)


def test_a_final_that_broke_off_is_closed_to_undo_and_can_be_finished(
    plan, tmp_path, key, monkeypatch
) -> None:
    from ragshield.forget import ending

    apply_plan(plan)

    def dies(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ending, "destroy", dies)
    with pytest.raises(KeyboardInterrupt):
        finish([plan], final=True, certificate=tmp_path / "c.json", signing_key=key)
    assert (tmp_path / "plan.json.key").exists()
    with pytest.raises(UsageError, match="made final"):
        undo(plan)
    monkeypatch.undo()
    done = finish([plan], final=True, certificate=tmp_path / "c.json", signing_key=key)
    assert done.overall == "ERASED"
    assert not (tmp_path / "plan.json.key").exists()
    # The certificate can be written again from the journal, by another key.
    again = finish([plan], certificate=tmp_path / "c2.json", signing_key=new_key())
    assert again.overall == "ERASED"


def test_a_plan_that_was_not_applied_can_neither_be_certified_nor_made_final(
    plan, tmp_path, key
) -> None:
    with pytest.raises(UsageError, match="was not applied to its end"):
        finish([plan], final=True)
    assert plan.exists()
    with pytest.raises(UsageError, match="needs a signing key"):
        finish([plan], certificate=tmp_path / "c.json")


def test_one_passage_can_be_shown_to_be_in_the_closure(plan, town, tmp_path, key) -> None:
    apply_plan(plan)
    finish([plan], certificate=tmp_path / "c.json", signing_key=key)
    secret = read_secret(tmp_path / "c.json.secret")
    root = bytes.fromhex(read_certificate(tmp_path / "c.json").content["closure"]["merkle_root"])
    assert merkle_root(secret.leaves) == root
    shown = show(secret.commitments, secret.leaves, town.passages[2])
    assert shown is not None
    assert belongs(shown, town.passages[2], root)
    assert not belongs(shown, town.passages[3], root)
    assert show(secret.commitments, secret.leaves, town.passages[TARGETS]) is None


def test_reverify_finds_what_a_restore_or_a_crawl_brought_back(
    plan, url, town, tmp_path, key
) -> None:
    file = Path(url.removeprefix("jsonl:"))
    backup = file.read_bytes()
    apply_plan(plan)
    finish([plan], final=True, certificate=tmp_path / "c.json", signing_key=key)
    checked, secret = read_certificate(tmp_path / "c.json"), read_secret(tmp_path / "c.json.secret")
    clean = reverify(checked, secret, url)
    assert (clean.verdict, clean.returned, clean.near) == ("ERASED", (), ())
    assert clean.n_pieces > 0
    after = file.read_bytes()
    file.write_bytes(backup)
    restored = reverify(checked, secret, url)
    assert restored.verdict == "RESIDUAL"
    assert set(restored.returned) == {p.id for p in town.passages[:TARGETS]}
    assert restored.ids_taken == TARGETS
    assert restored.surfaces[0]["text_pieces"] >= TARGETS
    file.write_bytes(after)
    text = town.passages[0].text
    crawled = [Passage("new", text.upper()), Passage("near", f"Note: {text} Really so.")]
    with open_store(url, writable=True) as store:
        store.add(Batch(tuple(crawled), town.vectors[10:12]))
    again = reverify(checked, secret, url)
    assert again.returned == ("new",)
    assert [name for name, _ in again.near] == ["near"]
    assert again.verdict == "RESIDUAL"


def test_reverify_refuses_the_secret_of_another_certificate(plan, url, town, tmp_path, key) -> None:
    from ragshield.proof import make_secret, new_salt

    apply_plan(plan)
    finish([plan], certificate=tmp_path / "c.json", signing_key=key)
    other = make_secret(new_salt(), town.passages[:2], [])
    with pytest.raises(InputError, match="does not belong to this certificate"):
        reverify(read_certificate(tmp_path / "c.json"), other, url)


def test_a_store_without_a_recipe_is_never_called_erased(town, tmp_path, key) -> None:
    with open_store("memory:no-recipe", writable=True) as store:
        store.add(town)
        write_plan(plan_forget(store, subject=CANARY), tmp_path / "m.json")
        done = apply_plan(tmp_path / "m.json")
        assert (done.n_deleted, done.verdict) == (TARGETS, "UNSUPPORTED")
        ended = finish([tmp_path / "m.json"], certificate=tmp_path / "c.json", signing_key=key)
        assert ended.stores == "UNSUPPORTED"
        store.delete([p.id for p in town.passages])


def test_purging_can_be_left_out_and_is_not_called_erased(plan) -> None:
    done = apply_plan(plan, purge=False)
    assert done.verdict == "NOT_TESTED"
    assert done.reasons == ("NOT_TESTED: purging was switched off",)


def test_the_journal_holds_counts_and_hashes_alone(plan) -> None:
    apply_plan(plan)
    steps = [json.loads(line) for line in (plan.parent / "plan.json.journal").open()][1:]
    assert [step["step"] for step in steps] == [
        "begun",
        "blocked",
        "snapshot",
        "baseline",
        "deleted",
        "purged",
        "scanned",
        "compared",
    ]
    (compared,) = steps[-1]["places"].values()
    for group in compared["comparison"]["groups"].values():
        assert (group["rbo"], group["ks_p"]) == (1.0, 1.0)
    assert compared["membership"]["privacy_leak"] == 0
    assert compared["membership"]["n_forgotten_found"] == 0
    assert compared["rebuilt"]["same"] is True
