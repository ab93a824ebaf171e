"""From names to applications: functions, readers over stores, files beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ragshield.audit import Dialogue, Retained, audit
from ragshield.audit.asking import ask_all
from ragshield.audit.opening import (
    ReaderApp,
    open_app,
    read_entries,
    read_retained,
    rebuilt_without,
)
from ragshield.audit.probe import Probe
from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.forget_set import Answer, Fact, ForgetTarget
from ragshield.records import Batch, Passage
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore

PASSAGES = (
    Passage("1", "Ada Lindqvist was born in Sundsvall."),
    Passage("2", "The bridge engineer of Norrland Steel comes from Sundsvall."),
    Passage("3", "Ida Lindberg is a painter from Visby."),
    Passage("4", "Stones are hard."),
)
ADA = ForgetTarget("Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),))


class QuotingReader:
    """Answers with the passages, as they are."""

    name = "quoting"

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        return " ".join(p.text for p in passages) or "I don't know."


@pytest.fixture
def store(word_encoder) -> MemoryStore:
    vectors = word_encoder.encode([p.text for p in PASSAGES])
    return MemoryStore("memory:", Batch(PASSAGES, vectors))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def probe(*turns: str, documents: tuple[str, ...] = ()) -> Probe:
    return Probe("x", "plain", "q", "target", 0, turns, documents)


def test_a_dialogue_is_flat_for_whom_takes_one_text() -> None:
    told = Dialogue("and now?", (("user", "hi"), ("assistant", "ho")), ("file",))
    assert told.flat() == "Document: file\nUser: hi\nAssistant: ho\nUser: and now?"
    assert Dialogue("just this").flat() == "just this"


def test_turns_are_asked_one_after_another_with_what_was_answered() -> None:
    asked: list[str] = []

    def app(question: str) -> str:
        asked.append(question)
        return f"a{len(asked)}"

    [[answers]] = ask_all(app, [probe("one", "two")])
    assert [a.text for a in answers] == ["a1", "a2"]
    assert asked == ["one", "User: one\nAssistant: a1\nUser: two"]


def test_the_same_dialogue_is_asked_once_for_each_decoding() -> None:
    asked: list[str] = []
    app = lambda question: asked.append(question) or "x"  # noqa: E731
    given = ask_all(app, [probe("one"), probe("one")], decodings=3)
    assert len(asked) == 3
    assert [len(rows) for rows in given] == [3, 3]


def test_an_application_that_answers_many_gets_whole_rounds() -> None:
    rounds: list[int] = []

    class Many:
        def answers(self, dialogues: Sequence[Dialogue]) -> list[str]:
            rounds.append(len(dialogues))
            return [d.question for d in dialogues]

    ask_all(Many(), [probe("a"), probe("b", "c"), probe("d", "e")])
    assert rounds == [3, 2]


def test_an_application_that_fails_or_gives_nonsense_is_one_line() -> None:
    def fails(question: str) -> str:
        raise ValueError("no\nmore tokens")

    class Few:
        def answers(self, dialogues: Sequence[Dialogue]) -> list[str]:
            return []

    for app, said in (
        (fails, r"the application failed \(ValueError: no more tokens\)"),
        (lambda q: 5, "gave a int for an answer"),
        (lambda q: None, "gave a NoneType for an answer"),
        (Few(), "gave 0 answers to 1 questions"),
    ):
        with pytest.raises(IncompleteError, match=said):
            ask_all(app, [probe("one")])
    with pytest.raises(UsageError, match="the application is a int"):
        ask_all(5, [probe("one")])  # type: ignore[arg-type]


def test_a_langchain_message_is_an_answer_with_its_tools_arguments() -> None:
    messages = pytest.importorskip("langchain_core.messages")
    call = {"name": "save", "args": {"note": "Sundsvall"}, "id": "1"}
    [[answers]] = ask_all(lambda q: messages.AIMessage("hi", tool_calls=[call]), [probe("one")])
    assert answers == (Answer("hi", tool_arguments=('{"note": "Sundsvall"}',)),)


def test_a_reader_over_a_store_is_labelled_by_its_arms(store: MemoryStore, word_encoder) -> None:
    reader = QuotingReader()
    app = ReaderApp(reader, StoreRetriever(store, word_encoder), k=1)
    found = audit(app, [ADA], no_retrieval=ReaderApp(reader, None), families=("plain",))
    assert set(found.labels) == {"retrieved"}
    assert "no_retrieval" in found.arms
    assert found.arms["no_retrieval"].value == 0.0


def test_documents_come_before_what_was_retrieved_and_sources_show_where_asked(
    store: MemoryStore, word_encoder
) -> None:
    app = ReaderApp(QuotingReader(), StoreRetriever(store, word_encoder), k=1, shows_sources=True)
    [answer] = app.answers([Dialogue("Who is Ida Lindberg?", documents=("A file.",))])
    assert answer.text == "A file. Ida Lindberg is a painter from Visby."
    assert answer.citations == ("A file.", "Ida Lindberg is a painter from Visby.")


def test_a_search_knows_what_was_said_before(store: MemoryStore, word_encoder) -> None:
    app = ReaderApp(QuotingReader(), StoreRetriever(store, word_encoder), k=1)
    said = (("user", "Let us speak about Ida Lindberg."), ("assistant", "Yes."))
    [answer] = app.answers([Dialogue("What does she do?", said)])
    assert "painter" in answer.text


def test_the_oracle_is_left_without_every_passage_that_names_a_target(
    store: MemoryStore,
) -> None:
    sample = ForgetTarget("stones", kind="sample", samples=("Stones are hard.",))
    left = rebuilt_without(store, [ADA, sample])
    assert [p.id for p in left.passages] == ["2", "3"]
    assert left.vectors is not None
    assert left.vectors.shape == (2, 64)


def test_a_function_is_imported_from_the_folder_one_stands_in(folder: Path) -> None:
    (folder / "own_app.py").write_text("class A:\n    @staticmethod\n    def b(q): return q\n")
    app = open_app("own_app:A.b")
    assert callable(app)
    assert app("x") == "x"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nothing", "no application 'nothing'; give module:name"),
        ("no_such_module:app", "cannot import 'no_such_module:app'"),
        ("json:nothing", "cannot import 'json:nothing'"),
        ("math:pi", "'math:pi' is a float"),
        ("broken_app:app", "it raised ZeroDivisionError"),
    ],
)
def test_what_cannot_be_opened_is_refused(folder: Path, spec: str, said: str) -> None:
    (folder / "broken_app.py").write_text("1 / 0\n")
    with pytest.raises(UsageError, match=said):
        open_app(spec)


def test_only_readers_read_stores() -> None:
    with pytest.raises(UsageError, match="'json:loads' is no reader"):
        open_app("json:loads", store="memory:x")
    with pytest.raises(UsageError, match="needs the encoder"):
        open_app("extractive", store="memory:x")


def test_retained_questions_are_read_from_lines(tmp_path: Path) -> None:
    path = tmp_path / "retain.jsonl"
    path.write_text(
        '{"question": "Q1?", "answers": ["a", ""], "about": "Ida"}\n'
        '{"question": "Q2?", "answer": "b"}\n'
    )
    assert read_retained(path) == (Retained("Q1?", ("a",), "Ida"), Retained("Q2?", ("b",)))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"answers": ["a"]}', "line 1: 'question' must be a text, got None"),
        ('{"question": " "}', "line 1: 'question' must be a text"),
        ('{"question": "q", "answers": 5}', "line 1: 'answers' must be a list of texts"),
        ('{"question": "q", "about": 5}', "line 1: 'about' must be a text"),
        ("", "holds no questions"),
    ],
)
def test_broken_questions_name_their_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "retain.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(InputError, match=said):
        read_retained(path)


def test_entries_are_gathered_by_target(tmp_path: Path) -> None:
    path = tmp_path / "entries.jsonl"
    path.write_text('{"target": "Ada", "text": "P1"}\n{"target": "Ada", "text": "P2"}\n')
    assert read_entries(path) == {"Ada": ("P1", "P2")}
    path.write_text('{"target": "Ada"}\n')
    with pytest.raises(InputError, match="line 1: needs the texts 'target' and 'text'"):
        read_entries(path)
