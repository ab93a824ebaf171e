"""The line that says what to do where no search reaches, and doing it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ragshield.cli.main import run
from ragshield.cli.unsearchable import how_merged, options, what_to_do
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store


def test_the_options_name_each_place_by_its_first_words_once() -> None:
    places = (
        "memory of programs that have the index loaded: until they restart",
        "memory of programs that have the index loaded: until they restart",
        "base backups and dumps of the database",
        "2 standby servers that replicate this one",
        "every file of the server: its SQLite file",
    )
    assert shlex.split(options(places)) == [
        *("--out-of-scope", "memory of programs"),
        *("--out-of-scope", "base backups and dumps of the database"),
        *("--out-of-scope", "2 standby servers"),
        *("--out-of-scope", "every file of the server"),
    ]


def test_the_command_is_whole_and_the_words_fit_the_terminal() -> None:
    *words, command = what_to_do(["ragshield", "it", "my plan.json"], ["base backups"], 40)
    assert max(map(len, words)) <= 40
    assert command == "  ragshield it 'my plan.json' --out-of-scope 'base backups'"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch, word_encoder) -> Path:
    """A folder with a FAISS store in ./town and a plan for one of its passages."""
    pytest.importorskip("faiss")
    from ragshield.stores.faiss import create_faiss

    monkeypatch.chdir(tmp_path)
    texts = [f"The {name} mill stands by the {name} weir." for name in ("oak", "ash", "elm", "yew")]
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    create_faiss("town", Batch(passages, word_encoder.encode(texts)))
    Path("ids").write_text("p3\n")
    assert run("forget plan faiss:town --ids ids -o plan.json".split()) == 0
    return tmp_path


def told(output: str) -> list[str]:
    """The command that the output tells to run."""
    (line,) = (line for line in output.splitlines() if "--out-of-scope" in line)
    program, *arguments = shlex.split(line)
    assert program == "ragshield"
    return arguments


def test_a_faiss_erasure_says_what_to_do_and_doing_it_ends_erased(folder, capsys) -> None:
    assert run("forget apply plan.json --yes".split()) == 3
    first = capsys.readouterr().out
    assert "(programs restarted," in first
    assert run(told(first)) == 0
    again = capsys.readouterr().out
    assert "ERASED: it was visible" in again
    assert "declared out of scope: memory of programs that have the index" in again
    assert max(map(len, again.splitlines())) <= 80


def test_made_final_at_once_it_can_be_said_to_reverify(folder, capsys) -> None:
    final = "forget apply plan.json --yes --final --certificate c.json --signing-key key".split()
    assert run(final) == 3
    first = capsys.readouterr().out
    assert run([*final, "--out-of-scope", "memory of programs"]) == 2
    assert "give --out-of-scope to ragshield reverify" in capsys.readouterr().err
    assert run("reverify c.json faiss:town".split()) == 3
    later = capsys.readouterr().out
    assert told(first) == told(later)
    assert run(told(later)) == 0


def test_a_chroma_erasure_is_shown_in_short_and_its_text_index_is_settled_by_a_purge(
    tmp_path, monkeypatch, word_encoder, capsys
) -> None:
    chromadb = pytest.importorskip("chromadb")
    monkeypatch.chdir(tmp_path)
    client = chromadb.PersistentClient("db")
    client.create_collection("docs", embedding_function=None)
    client.close()

    def ingest(first: int) -> None:
        texts = [f"The mill number {n} stands by the weir of {n} oaks." for n in range(first, 99)]
        passages = tuple(Passage(f"p{first + i}", text) for i, text in enumerate(texts))
        with open_store("chroma:db#docs", writable=True) as store:
            store.add(Batch(passages[:9], word_encoder.encode(texts[:9])))

    def erase(passage_id: str) -> None:
        Path("ids").write_text(f"{passage_id}\n")
        plan = f"{passage_id}.json"
        assert run(f"forget plan chroma:db#docs --ids ids -o {plan}".split()) == 0
        apply = f"forget apply {plan} --yes --certificate {passage_id}.cert --signing-key key"
        assert run(apply.split()) == 0

    ingest(0)
    erase("p3")
    capsys.readouterr()
    assert run("verify p3.cert".split()) == 0
    shown = capsys.readouterr().out
    assert (shown.count("  NO_BASELINE  "), "header.bin" in shown) == (1, False)
    assert "places showed none of it" in " ".join(shown.split())
    assert run("verify p3.cert --all".split()) == 0
    assert "header.bin" in capsys.readouterr().out
    for first in (10, 20, 30):
        ingest(first)
    capsys.readouterr()
    assert run("reverify p3.cert chroma:db#docs".split()) == 3
    said = capsys.readouterr().out
    assert "full-text index of" in said
    assert said.splitlines()[-1] == "  ragshield purge 'chroma:db#docs' --yes"
    assert "--out-of-scope" not in said
    assert max(map(len, said.splitlines())) <= 80
    assert run(shlex.split(said.splitlines()[-1])[1:]) == 0
    capsys.readouterr()
    assert run("reverify p3.cert chroma:db#docs".split()) == 0
    assert "NOT_TESTED" not in capsys.readouterr().out
    with open_store("chroma:db#docs") as store:
        assert store.count() == 9 * 4 - 1


def test_only_a_full_text_index_is_merged_by_a_purge() -> None:
    assert how_merged("words of full-text index 'notes': kept singly") != ""
    assert how_merged("memory of programs that have the index loaded") == ""
