from __future__ import annotations

import json
from pathlib import Path

import pytest

import ragshield.encoders
from ragshield.cli.main import run
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

ROWS = [
    {"id": "q1", "question": "Who founded Ash Mill?", "answers": ["Ida"], "wrong_answer": "Per"},
    {"id": "q2", "question": "Who runs Elm Mill?", "answers": ["Ada"], "wrong_answer": "Ole",
     "texts": ["Ole runs Elm Mill.", "It is Ole."]},
]  # fmt: skip


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    path = tmp_path / "targets.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def store_url(tmp_path: Path, word_encoder, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ragshield.encoders, "open_encoder", lambda name, cache=None: word_encoder)
    url = f"memory:{tmp_path.name}"
    clean = (Passage("c1", "Ida founded Ash Mill."), Passage("c2", "Ada runs Elm Mill."))
    with open_store(url, writable=True) as store:
        store.add(Batch(clean, word_encoder.encode([p.text for p in clean])))
    return url


def attack(*arguments: object) -> int:
    return run(["attack", *map(str, arguments)])


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ids(url: str) -> list[str]:
    with open_store(url) as store:
        return [p.id for batch in store.batches() for p in batch.passages]


def test_passages_are_written_one_a_line_and_counted_on_stderr(
    targets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "poisoned.jsonl"
    assert attack("poisonedrag", "--questions", targets, "--n", 2, "-o", output) == 0
    written = rows(output)
    assert [row["id"] for row in written] == [
        f"poisonedrag/q{q}/{i}" for q in (1, 2) for i in (0, 1)
    ]
    assert written[2]["text"] == "Who runs Elm Mill?.Ole runs Elm Mill."
    assert written[2]["meta"]["variant"] == "supplied"
    assert written[0]["meta"]["variant"] == "template"
    assert set(written[0]) == {"id", "text", "source", "meta"}
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"4 passages for 2 targets in {output} (4 state the wrong answer" in captured.err


def test_the_file_loads_as_a_corpus(targets: Path, tmp_path: Path) -> None:
    from ragshield.corpora.jsonl import read_passages

    output = tmp_path / "poisoned.jsonl"
    attack("poisonedrag", "--questions", targets, "--n", 2, "-o", output)
    passages = read_passages(output)
    assert [(p.id, p.text) for p in passages] == [(r["id"], r["text"]) for r in rows(output)]
    assert passages[0].meta["attack"] == "poisonedrag"


def test_the_same_seed_writes_the_same_file_and_limit_does_not_change_it(
    targets: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in "abcd"]
    for path, options in zip(paths, [(), (), ("--limit", 1), ("--seed", 9)], strict=True):
        attack("poisonedrag", "--questions", targets, "--n", 2, "-o", path, *options)
    first, again, limited, other = (path.read_text() for path in paths)
    assert first == again
    assert first.startswith(limited)
    assert limited.count("\n") == 2
    assert other != first


def test_without_the_prefix_the_question_is_left_out(targets: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.jsonl"
    attack("poisonedrag", "--questions", targets, "--n", 1, "--no-prefix", "-o", output)
    assert rows(output)[1]["text"] == "Ole runs Elm Mill."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an attack"),
        (["poisonedrag"], "say where the passages go"),
        (["poisonedrag", "-o", "{tmp}/p"], "either --questions FILE or --corpus NAME"),
        (["poisonedrag", "-o", "{tmp}/no/p", "--questions", "{q}"], "does not exist"),
        (["poisonedrag", "-o", "{tmp}/p", "--questions", "{tmp}/none"], "cannot read"),
        (["poisonedrag", "-o", "{tmp}/p", "--questions", "{q}", "--corpus", "world"], "either"),
        (["poisonrag", "-o", "{tmp}/p", "--questions", "{q}"], "did you mean 'poisonedrag'"),
        (["poisonedrag", "-o", "{tmp}/p", "--questions", "{q}", "--n", "9"], "lower n"),
        (["poisonedrag", "-o", "{tmp}/p", "--questions", "{q}", "--texts", "llm"], "give llm"),
        (["poisonedrag", "-o", "{tmp}/p", "--questions", "{q}", "--yes"], "goes with --plant"),
        (["--clean-up", "{tmp}/m", "-o", "{tmp}/p"], "stands alone"),
        (["--clean-up", "{q}"], "no list of planted passages"),
        (["poisonedrag", "-o", "{tmp}/p", "--corpus", "wrold"], "did you mean 'world'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_writes_nothing(
    arguments: list[str],
    message: str,
    targets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(tmp_path.iterdir())
    filled = [a.replace("{tmp}", str(tmp_path)).replace("{q}", str(targets)) for a in arguments]
    assert attack(*filled) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ('{"id": "x", "question": "Who?"}', "line 2: field 'wrong_answer' is missing"),
        ('{"id": "q1", "question": "Who?", "wrong_answer": "b"}', "id 'q1' was used before"),
        ('{"id": "x", "question": 7.5, "wrong_answer": []}', "line 2: field 'wrong_answer'"),
    ],
)
def test_a_malformed_target_is_named_by_its_line(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    assert attack("poisonedrag", "--questions", path, "-o", tmp_path / "p") == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_planting_is_only_shown_until_it_is_confirmed(
    targets: Path, tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "p.jsonl"
    made = ["poisonedrag", "--questions", targets, "--n", 2, "-o", output, "--plant", store_url]
    assert attack(*made) == 0
    shown = capsys.readouterr().out
    assert f"Would plant 4 passages among 2 in {store_url}" in " ".join(shown.split())
    assert "Nothing was changed. Add --yes to plant." in shown
    assert ids(store_url) == ["c1", "c2"]
    assert not (tmp_path / "p.jsonl.planted.json").exists()


def test_planted_passages_are_found_and_the_manifest_takes_exactly_them_out(
    targets: Path, tmp_path: Path, store_url: str, word_encoder, capsys
) -> None:
    output = tmp_path / "p.jsonl"
    made = ["poisonedrag", "--questions", targets, "--n", 2, "-o", output, "--plant", store_url]
    assert attack(*made, "--yes") == 0
    planted = [row["id"] for row in rows(output)]
    assert ids(store_url) == ["c1", "c2", *planted]
    with open_store(store_url) as store:
        [question] = word_encoder.encode(["Who runs Elm Mill?"])
        assert store.search(question, 1).hits[0].id == "poisonedrag/q2/0"
        assert store.get(planted[:1]).passages[0].meta["attack"] == "poisonedrag"
    manifest = tmp_path / "p.jsonl.planted.json"
    assert [entry["id"] for entry in json.loads(manifest.read_text())["passages"]] == planted

    assert attack("--clean-up", manifest) == 0
    assert ids(store_url) == ["c1", "c2"]
    assert not manifest.exists()
    assert "Took 4 of 4 planted passages out" in " ".join(capsys.readouterr().err.split())
    assert attack(*made, "--yes") == 0


def test_an_id_the_store_holds_already_stops_planting_before_anything_is_added(
    targets: Path, tmp_path: Path, store_url: str, word_encoder, capsys
) -> None:
    own = Passage("poisonedrag/q2/1", "A passage of the store's own.")
    with open_store(store_url, writable=True) as store:
        store.add(Batch((own,), word_encoder.encode([own.text])))
    output = tmp_path / "p.jsonl"
    made = ["poisonedrag", "--questions", targets, "--n", 2, "-o", output, "--plant", store_url]
    for confirmed in ([], ["--yes"]):
        assert attack(*made, *confirmed) == 2
        assert "holds id 'poisonedrag/q2/1' already" in " ".join(capsys.readouterr().err.split())
    assert ids(store_url) == ["c1", "c2", own.id]
    assert not (tmp_path / "p.jsonl.planted.json").exists()


def test_a_second_planting_does_not_overwrite_the_first_ones_manifest(
    targets: Path, tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "p.jsonl.planted.json"
    manifest.write_text("precious")
    made = ["poisonedrag", "--questions", targets, "--n", 1, "-o", tmp_path / "p.jsonl"]
    assert attack(*made, "--plant", store_url, "--yes") == 2
    assert "clean up first" in " ".join(capsys.readouterr().err.split())
    assert manifest.read_text() == "precious"
    assert ids(store_url) == ["c1", "c2"]


def test_a_planted_passage_that_was_edited_since_is_left_alone_and_reported(
    targets: Path, tmp_path: Path, store_url: str, word_encoder, capsys
) -> None:
    output = tmp_path / "p.jsonl"
    made = ["poisonedrag", "--questions", targets, "--n", 2, "-o", output, "--plant", store_url]
    attack(*made, "--yes")
    edited = Passage("poisonedrag/q1/0", "Corrected by an editor: Ida founded it.")
    with open_store(store_url, writable=True) as store:
        store.delete([edited.id, "poisonedrag/q1/1"])
        store.add(Batch((edited,), word_encoder.encode([edited.text])))
    manifest = tmp_path / "p.jsonl.planted.json"
    assert attack("--clean-up", manifest) == 3
    message = " ".join(capsys.readouterr().err.split())
    assert "1 were gone already" in message
    assert "1 passages were changed after planting and left alone" in message
    assert ids(store_url) == ["c1", "c2", edited.id]
    assert manifest.exists()


def test_an_encoder_of_another_width_is_refused(
    targets: Path, tmp_path: Path, store_url: str, word_encoder, monkeypatch, capsys
) -> None:
    other = type(word_encoder)(32)
    monkeypatch.setattr(ragshield.encoders, "open_encoder", lambda name, cache=None: other)
    made = ["poisonedrag", "--questions", targets, "--n", 1, "-o", tmp_path / "p.jsonl"]
    assert attack(*made, "--plant", store_url, "--yes") == 2
    assert "the encoder gives 32 dimensions" in " ".join(capsys.readouterr().err.split())
    assert ids(store_url) == ["c1", "c2"]


def test_any_parameter_of_an_attack_can_be_set(targets: Path, tmp_path: Path) -> None:
    output = tmp_path / "poisoned.jsonl"
    settings = ("technique=corruptrag", 'disguise=["synonyms", "soft-hyphen"]', "n=2")
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert attack("composed", "--questions", targets, *arguments, "-o", output) == 0
    written = rows(output)
    assert [row["id"] for row in written] == [f"composed/q{q}/{i}" for q in (1, 2) for i in (0, 1)]
    assert written[0]["meta"]["variant"] == "corruptrag, synonyms, soft-hyphen"
    assert all("\u00ad" in row["text"] for row in written)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("disguise=beard", "disguise is 'beard'; allowed: none"),
        ("colour=red", "takes no parameter 'colour'"),
        ("disguise", "--set disguise: write NAME=VALUE"),
        ("=3", "--set =3: write NAME=VALUE"),
    ],
)
def test_a_setting_that_is_none_is_refused_in_one_line(
    setting: str, message: str, targets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "poisoned.jsonl"
    assert attack("composed", "--questions", targets, "--set", setting, "-o", output) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_an_attack_reads_the_true_passages_of_the_store(
    targets: Path, tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "poisoned.jsonl"
    assert attack("edited-fact", "--questions", targets, "-o", output) == 2
    assert "ragshield attack --store URL" in capsys.readouterr().err
    assert attack("edited-fact", "--questions", targets, "-o", output, "--store", store_url) == 0
    assert [row["text"] for row in rows(output)] == ["Per founded Ash Mill.", "Ole runs Elm Mill."]
    assert ids(store_url) == ["c1", "c2"]
    # The store to plant into is read where no other is named.
    assert attack("edited-fact", "--questions", targets, "-o", output, "--plant", store_url) == 0
    assert ids(store_url) == ["c1", "c2"]


def test_without_a_number_an_attack_makes_as_many_as_it_is_meant_to(
    targets: Path, tmp_path: Path
) -> None:
    output = tmp_path / "poisoned.jsonl"
    for name, n in (("corruptrag", 1), ("poisonedrag", 2), ("flooding", 10)):
        texts = ("--limit", 1) if name != "poisonedrag" else ("--limit", 2, "--n", 2)
        assert attack(name, "--questions", targets, *texts, "-o", output) == 0
        assert len([r for r in rows(output) if r["meta"]["target_id"] == "q1"]) == n
