"""Several plans at once: one purge for each store, and nothing taken twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield.blocklist import Blocklist
from ragshield.errors import IncompleteError, InputError, StoreError, UsageError
from ragshield.forget import apply_plan, plan_forget, undo, write_plan
from ragshield.forget.ending import finish
from ragshield.forget.erasure import erasing
from ragshield.proof import new_key, read_certificate
from ragshield.reingest import ReingestGuard
from ragshield.retriever import StoreRetriever
from ragshield.stores.url import open_store


def plans(url: str, folder: Path, *groups: list[str]) -> list[Path]:
    made = []
    with open_store(url) as store:
        for i, ids in enumerate(groups):
            made.append(folder / f"plan-{i}.json")
            write_plan(plan_forget(store, ids=ids), made[-1])
    return made


@pytest.fixture
def purges(monkeypatch) -> list[tuple[str, list[str]]]:
    """What each call of a recipe was given."""
    seen: list[tuple[str, list[str]]] = []
    recipe_of = erasing.recipe_of

    class Counting:
        def __init__(self, recipe) -> None:
            self.recipe = recipe

        def __getattr__(self, name: str):
            return getattr(self.recipe, name)

        def purge(self, url, ids, *, on_progress=None):
            seen.append((url, sorted(ids)))
            return self.recipe.purge(url, ids, on_progress=on_progress)

    monkeypatch.setattr(erasing, "recipe_of", lambda url: Counting(recipe_of(url)))
    return seen


def test_twenty_requests_take_one_purge_and_one_certificate(
    jsonl_url, tmp_path, contents, purges
) -> None:
    before = contents(jsonl_url)
    ids = [[f"filler-{i}"] for i in range(20)]
    made = plans(jsonl_url, tmp_path, *ids)
    done = apply_plan(made)
    assert (done.n_deleted, done.n_left, done.verdict) == (20, len(before) - 20, "ERASED")
    assert purges == [(jsonl_url, sorted(x for (x,) in ids))]
    key = new_key()
    finish(made, final=True, certificate=tmp_path / "c.json", signing_key=key)
    content = read_certificate(tmp_path / "c.json", key.public).content
    assert content["verdict"] == {"stores": "ERASED", "overall": "ERASED"}
    assert (len(content["requests"]), content["closure"]["n_passages"]) == (20, 20)
    assert len({one["commitment"] for one in content["requests"]}) == 20
    gone = {x for (x,) in ids}
    assert contents(jsonl_url) == {k: v for k, v in before.items() if k not in gone}


def test_each_plan_of_a_batch_can_be_undone_by_itself(jsonl_url, tmp_path, contents) -> None:
    before = contents(jsonl_url)
    made = plans(jsonl_url, tmp_path, ["filler-1", "filler-2"], ["filler-3"], ["brackwater"])
    apply_plan(made)
    assert undo(made[1]).n_restored == 1
    assert set(before) - set(contents(jsonl_url)) == {"filler-1", "filler-2", "brackwater"}
    assert undo(made[0]).n_restored == 2
    assert undo(made[2]).n_restored == 1
    assert contents(jsonl_url) == before


def test_a_batch_that_broke_off_is_finished_together_or_one_by_one(
    jsonl_url, tmp_path, contents, monkeypatch
) -> None:
    made = plans(jsonl_url, tmp_path, ["filler-1"], ["filler-2"], ["filler-3"])

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(erasing, "purge", dies)
        with pytest.raises(KeyboardInterrupt):
            apply_plan(made)
    assert apply_plan(made[0]).verdict == "ERASED"
    done = apply_plan(made)
    assert (done.verdict, done.n_deleted, done.resumed) == ("ERASED", 3, True)
    assert apply_plan(made).already


def test_a_purge_that_fails_counts_as_nothing_and_can_be_repeated(
    jsonl_url, tmp_path, monkeypatch
) -> None:
    (path,) = plans(jsonl_url, tmp_path, ["filler-1"])

    def fails(*_: object) -> None:
        raise StoreError("in use by process 1")

    with monkeypatch.context() as patched:
        patched.setattr(erasing, "purge", fails)
        with pytest.raises(StoreError, match="in use"):
            apply_plan(path)
    steps = [json.loads(line).get("step") for line in (tmp_path / "plan-0.json.journal").open()]
    assert steps[-1] == "deleted"
    with pytest.raises(UsageError, match="was not applied to its end"):
        finish([path], final=True)
    assert apply_plan(path).verdict == "ERASED"


def test_plans_that_select_the_same_are_refused_by_name(jsonl_url, tmp_path, contents) -> None:
    before = contents(jsonl_url)
    one, other = plans(jsonl_url, tmp_path, ["filler-1", "filler-2"], ["filler-2", "filler-3"])
    with pytest.raises(UsageError, match=r"plan-0.json and .*plan-1.json both select 1 .*filler-2"):
        apply_plan([one, other])
    with pytest.raises(UsageError, match="is given twice"):
        apply_plan([one, one])
    with pytest.raises(UsageError, match="no plan was given"):
        apply_plan([])
    assert contents(jsonl_url) == before
    apply_plan(one)
    with pytest.raises(InputError, match=r"no longer in .*'filler-2'; plan again"):
        apply_plan(other)


def test_passages_are_blocked_before_anything_else_is_done(
    jsonl_url, tmp_path, word_encoder, monkeypatch
) -> None:
    (path,) = plans(jsonl_url, tmp_path, ["ada-1"])

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with open_store(jsonl_url) as store:
        blocklist = tmp_path / "blocked.json"
        retriever = StoreRetriever(store, word_encoder, blocklist=blocklist)
        asked = "Who founded the Tannow rope works?"
        assert "ada-1" in [hit.id for hit in retriever.retrieve(asked, 5)]
        with monkeypatch.context() as patched:
            patched.setattr("ragshield.forget.applying.write_snapshot", dies)
            with pytest.raises(KeyboardInterrupt):
                apply_plan(path, blocklist=blocklist)
        assert store.get(["ada-1"]).passages  # still there, and never retrieved any more
        assert "ada-1" not in [hit.id for hit in retriever.retrieve(asked, 58)]
    apply_plan(path, blocklist=blocklist)
    assert len(Blocklist(blocklist)) == 2  # its copy goes with it
    undo(path)
    assert len(Blocklist(blocklist)) == 0


def test_what_was_erased_is_remembered_for_ingest(jsonl_url, tmp_path, town) -> None:
    (path,) = plans(jsonl_url, tmp_path, ["ada-middle"])
    apply_plan(path, reingest=tmp_path / "reingest.json")
    guard = ReingestGuard(tmp_path / "reingest.json")
    passage = next(p for p in town.passages if p.id == "ada-middle")
    assert guard.check(passage) is not None
    assert guard.check("Rain falls on two hundred days a year along this coast.") is None
    undo(path)
    assert guard.check(passage) is None  # it stands in the store again, so it may come in


def test_an_applied_plan_can_be_remembered_later_and_by_several_guards(
    jsonl_url, tmp_path, town
) -> None:
    (path,) = plans(jsonl_url, tmp_path, ["ada-middle"])
    passage = next(p for p in town.passages if p.id == "ada-middle")
    apply_plan(path)
    guards = [ReingestGuard(tmp_path / name) for name in ("first.json", "second.json")]
    for guard in guards:
        assert apply_plan(path, reingest=guard.path).already is True
    assert [guard.check(passage) is None for guard in guards] == [False, False]
    undo(path)
    assert [guard.check(passage) is None for guard in guards] == [True, True]


def test_a_crash_after_the_guard_remembers_leaves_nothing_undone(
    jsonl_url, tmp_path, town, monkeypatch
) -> None:
    (path,) = plans(jsonl_url, tmp_path, ["ada-middle"])
    guard = ReingestGuard(tmp_path / "reingest.json")
    passage = next(p for p in town.passages if p.id == "ada-middle")
    with monkeypatch.context() as patched:
        patched.setattr(
            "ragshield.forget.applying.state_of_files", lambda files: (_ for _ in ()).throw(OSError)
        )
        with pytest.raises(IncompleteError):
            apply_plan(path, reingest=guard.path)
    assert guard.check(passage) is not None
    assert apply_plan(path, reingest=guard.path).verdict == "ERASED"
    assert len(guard) == 1
    undo(path)
    assert guard.check(passage) is None


def test_a_dozen_requests_one_after_the_other_change_nothing_else(
    jsonl_url, tmp_path, contents
) -> None:
    before = contents(jsonl_url)
    for i in range(12):
        (path,) = plans(jsonl_url, tmp_path, [f"filler-{i}"])
        assert apply_plan(path).verdict == "ERASED"
        finish([path], final=True)
        for left in tmp_path.glob("plan-0.json*"):
            left.unlink()
    gone = {f"filler-{i}" for i in range(12)}
    assert contents(jsonl_url) == {k: v for k, v in before.items() if k not in gone}


def test_a_batch_opens_deletes_from_and_reads_its_store_as_often_as_one_plan(
    jsonl_url, tmp_path, monkeypatch
) -> None:
    from ragshield.forget.erasure import opening
    from ragshield.stores.jsonl import JsonlStore, MutableJsonlStore

    counted: dict[str, int] = {}

    def count(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def spy(*given: object, **more: object) -> object:
            counted[name] = counted.get(name, 0) + 1
            return real(*given, **more)

        monkeypatch.setattr(owner, name, spy)

    count(opening, "open_store")
    count(MutableJsonlStore, "delete")
    count(JsonlStore, "batches")
    few = plans(jsonl_url, tmp_path, ["filler-1"], ["filler-2"])
    counted.clear()
    assert apply_plan(few).verdict == "ERASED"
    by_few = dict(counted)
    (tmp_path / "many").mkdir()
    many = plans(jsonl_url, tmp_path / "many", *([f"filler-{i}"] for i in range(10, 25)))
    counted.clear()
    assert apply_plan(many).verdict == "ERASED"
    assert counted == by_few
    assert by_few["delete"] == 1


def test_a_batch_with_one_changed_passage_deletes_nothing_of_any_plan(
    jsonl_url, tmp_path, contents, monkeypatch
) -> None:
    from ragshield.forget import applying

    made = plans(jsonl_url, tmp_path, ["filler-1"], ["filler-2"])
    before = contents(jsonl_url)
    path = Path(jsonl_url.removeprefix("jsonl:"))
    whole, baseline = path.read_text(), erasing.take_baseline

    def changed_meanwhile(*given: object) -> None:
        baseline(*given)
        path.write_text(whole.replace(before["filler-2"][0].text, "Other words."))

    monkeypatch.setattr(applying.erasing, "take_baseline", changed_meanwhile)
    with pytest.raises(InputError, match="1 ids exist with other content"):
        apply_plan(made)
    assert set(contents(jsonl_url)) == set(before)
