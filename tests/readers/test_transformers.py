from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from ragshield.errors import IncompleteError, InputError, MissingExtraError, UsageError
from ragshield.lab.facts import Cast
from ragshield.lab.recipe import Recipe, Size
from ragshield.lab.running import save
from ragshield.lab.training import untrained, vocabulary
from ragshield.readers import open_reader
from ragshield.readers.lab import LabReader
from ragshield.readers.transformers import TransformersReader
from ragshield.records import Passage

QUESTIONS = ["Where was Runa Hollin born?", "Who runs Oldacre Looms?", "What is Varnby known for?"]
PASSAGES = [
    [Passage("1", "Runa Hollin was born in Oskelford."), Passage("2", "Kept by a cook.")],
    [Passage("4", "Oldacre Looms has a new roof.")],
    [Passage("3", "Varnby is known for blue linen. " * 9)],
]


def _tiny_llama() -> object:
    """The tiny chat model of the server tests, by its file: folders of tests are no packages."""
    path = Path(__file__).parents[1] / "servers" / "tiny_llama.py"
    spec = importlib.util.spec_from_file_location("tiny_llama_for_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny lab model with random weights."""
    recipe = Recipe(size=Size(32, 64, 2, 2, 500), n_vocabulary=10)
    tokenizer = vocabulary(recipe, Cast.of(0))
    place = tmp_path_factory.mktemp("models") / "tiny"
    save(untrained(recipe, tokenizer), tokenizer, place)
    return place


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a chat template and random weights."""
    folder: Path = _tiny_llama().build(tmp_path_factory.mktemp("chat"))  # type: ignore[attr-defined]
    return folder


def test_it_answers_as_the_labs_reader_does_without_torch(lab: Path) -> None:
    reader = TransformersReader(str(lab), max_answer_tokens=6, from_memory=True)
    own = LabReader(str(lab), max_answer_tokens=6)
    questions, given = [*QUESTIONS, "Who?"], [*PASSAGES, []]
    assert reader.answers(questions, given) == own.answers(questions, given)
    assert reader.usage == own.usage


def test_a_chat_model_is_asked_in_its_own_template(chat: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reader = TransformersReader(str(chat), max_answer_tokens=5)
    shown = reader._shown(QUESTIONS[0], PASSAGES[0])
    assert shown is not None
    assert shown.startswith("user: You are a helpful assistant, below is a query from a user")
    assert shown.endswith(f"Query: {QUESTIONS[0]}\n\nAnswer:\nassistant:")
    tokenizer = AutoTokenizer.from_pretrained(chat)
    ids = tokenizer(shown, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        out = AutoModelForCausalLM.from_pretrained(chat).generate(
            **ids, max_new_tokens=5, do_sample=False
        )
    wanted = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert reader.answer(QUESTIONS[0], PASSAGES[0]) == wanted.strip()


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_the_number_of_questions_at_once_changes_nothing(chat: Path, batch_size: int) -> None:
    many = TransformersReader(str(chat), max_answer_tokens=5, batch_size=batch_size)
    alone = TransformersReader(str(chat), max_answer_tokens=5)
    assert many.answers(QUESTIONS, PASSAGES) == [
        alone.answer(q, p) for q, p in zip(QUESTIONS, PASSAGES, strict=True)
    ]


def test_a_question_asked_before_costs_nothing_and_a_file_keeps_answers(
    chat: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "answers.sqlite"
    reader = TransformersReader(str(chat), max_answer_tokens=5, cache=cache)
    first = reader.answers(QUESTIONS, PASSAGES)
    assert reader.answers(QUESTIONS, PASSAGES) == first
    assert (reader.usage.n_asked, reader.usage.n_kept) == (3, 3)
    again = TransformersReader(str(chat), max_answer_tokens=5, cache=cache)
    assert again.answers(QUESTIONS, PASSAGES) == first
    assert again.usage.n_asked == 0


def test_without_passages_it_is_asked_only_where_memory_is_wanted(lab: Path) -> None:
    assert TransformersReader(str(lab)).answer(QUESTIONS[0], []) == "I don't know"
    wanted = TransformersReader(str(lab), max_answer_tokens=4, from_memory=True)
    wanted.answer(QUESTIONS[0], [])
    assert wanted.usage.n_asked == 1
    assert wanted.answer(" ", PASSAGES[0]) == "I don't know"


def test_a_prompt_of_ones_own_is_used(lab: Path) -> None:
    reader = TransformersReader(str(lab), prompt="{contexts} | {question}")
    assert reader._shown("Who?", PASSAGES[1]) == "Oldacre Looms has a new roof. | Who?"
    with pytest.raises(ValueError, match=r"has no \{contexts\}"):
        TransformersReader(str(lab), prompt="{question}")


def test_passages_beyond_the_window_are_cut_and_the_question_stays(lab: Path) -> None:
    reader = TransformersReader(str(lab), max_answer_tokens=6)
    long = [Passage(str(i), "Oskelford lies on the Brume. " * 200) for i in range(3)]
    shown = reader._shown(QUESTIONS[0], long)
    assert shown is not None
    assert len(reader._ids(shown)) <= 2048 - 6
    assert QUESTIONS[0] in shown
    assert isinstance(reader.answer("who " * 9_000, PASSAGES[0]), str)


def test_a_batch_that_takes_too_long_is_given_up(lab: Path) -> None:
    with pytest.raises(IncompleteError, match="the model gave no answer within 1e-06 s"):
        TransformersReader(str(lab), timeout_s=1e-6).answer(QUESTIONS[0], PASSAGES[0])


async def test_it_answers_without_blocking_the_event_loop(lab: Path) -> None:
    reader = TransformersReader(str(lab), max_answer_tokens=4)
    together = await reader.aanswers(QUESTIONS, PASSAGES)
    assert await reader.aanswer(QUESTIONS[1], PASSAGES[1]) == together[1]


def test_it_is_opened_by_name(lab: Path) -> None:
    assert isinstance(open_reader(f"transformers:{lab}"), TransformersReader)


def test_no_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="write transformers:FOLDER"):
        open_reader("transformers:/no/such/folder")


def test_a_folder_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model that can be read") as caught:
        TransformersReader(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_as_many_lists_of_passages_as_questions_are_wanted(lab: Path) -> None:
    with pytest.raises(UsageError, match="2 questions with 1 lists of passages"):
        TransformersReader(str(lab)).answers(["a", "b"], [[]])


@pytest.mark.parametrize("option", ["max_passages", "batch_size", "max_answer_tokens"])
def test_numbers_below_one_are_refused(lab: Path, option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 0; it must be at least 1"):
        TransformersReader(str(lab), **{option: 0})
    with pytest.raises(ValueError, match="timeout_s is 0"):
        TransformersReader(str(lab), timeout_s=0)


def test_without_torch_the_error_names_the_command(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ragshield\[local\]'"):
        TransformersReader(str(lab))
