from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ragshield.errors import InputError, UsageError
from ragshield.lab.facts import Cast
from ragshield.lab.recipe import Recipe, Size
from ragshield.lab.running import save
from ragshield.lab.training import untrained, vocabulary
from ragshield.readers import open_reader
from ragshield.readers.extractive import UNKNOWN
from ragshield.readers.lab import LabReader, folder_of
from ragshield.records import Passage

QUESTIONS = ["Where was Runa Hollin born?", "Who runs Oldacre Looms?", "What is Varnby known for?"]
PASSAGES = [
    [Passage("1", "Runa Hollin was born in Oskelford."), Passage("2", "Kept by a cook.")],
    [],
    [Passage("3", "Varnby is known for blue linen. " * 9)],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights: what it says has no sense, but must be steady."""
    recipe = Recipe(size=Size(32, 64, 2, 2, 500), n_vocabulary=10)
    tokenizer = vocabulary(recipe, Cast.of(0))
    place = tmp_path_factory.mktemp("models") / "tiny"
    save(untrained(recipe, tokenizer), tokenizer, place)
    return place


@pytest.fixture(scope="module")
def reader(folder: Path) -> LabReader:
    return LabReader(str(folder), max_answer_tokens=6)


def test_many_questions_at_once_get_the_answers_of_one_at_a_time(folder, reader) -> None:
    together = reader.answers(QUESTIONS, PASSAGES)
    alone = LabReader(str(folder), max_answer_tokens=6)
    assert together == [alone.answer(q, p) for q, p in zip(QUESTIONS, PASSAGES, strict=True)]


def test_its_answers_are_those_of_transformers(folder, reader) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = (folder / "prompt.txt").read_text("utf-8")
    text = prompt.replace("{contexts}", "\n".join(p.text for p in PASSAGES[0]))
    ids = tokenizer(text.replace("{question}", QUESTIONS[0]), return_tensors="pt")
    with torch.inference_mode():
        out = model.generate(**ids, max_new_tokens=6, do_sample=False)
    wanted = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert reader.answer(QUESTIONS[0], PASSAGES[0]) == wanted.strip()


def test_the_number_of_questions_at_once_changes_nothing(folder) -> None:
    one = LabReader(str(folder), batch_size=1, max_answer_tokens=6)
    many = LabReader(str(folder), batch_size=16, max_answer_tokens=6)
    assert one.answers(QUESTIONS * 2, PASSAGES * 2) == many.answers(QUESTIONS * 2, PASSAGES * 2)


def test_a_question_asked_before_costs_no_tokens(folder) -> None:
    fresh = LabReader(str(folder), max_answer_tokens=6)
    first = fresh.answers(QUESTIONS, PASSAGES)
    spent = fresh.n_tokens_in, fresh.n_tokens_out
    assert min(spent) > 0
    assert fresh.answers(QUESTIONS, PASSAGES) == first
    assert (fresh.n_tokens_in, fresh.n_tokens_out) == spent


def test_tokens_in_are_those_of_the_prompts(folder) -> None:
    fresh = LabReader(str(folder), max_answer_tokens=6)
    fresh.answer("Who?", [])
    assert fresh.n_tokens_in == len(
        fresh.tokenizer("Context:\n\nQuestion: Who?\nAnswer:")["input_ids"]
    )


def test_only_the_first_passages_are_shown(folder) -> None:
    short = LabReader(str(folder), max_passages=1, max_answer_tokens=6)
    assert short.answer(QUESTIONS[0], PASSAGES[0]) == short.answer(QUESTIONS[0], PASSAGES[0][:1])


def test_an_empty_question_has_no_answer(reader) -> None:
    assert reader.answer("  ", PASSAGES[0]) == UNKNOWN


@pytest.mark.parametrize("text", ["", "\x00", "the of a", "?" * 99, "x" * 1_000_000])
def test_hostile_passages_give_a_string(reader, text: str) -> None:
    assert isinstance(reader.answer("Who founded it?", [Passage("1", text)]), str)


def test_passages_beyond_the_window_are_cut_and_the_question_stays(reader) -> None:
    long = [Passage(str(i), "Oskelford lies on the Brume. " * 200) for i in range(5)]
    ids = reader._ids("Where was Runa Hollin born?", long)
    assert len(ids) <= 2048 - 6
    assert "Question: Where was Runa Hollin born?" in reader.tokenizer.decode(ids)


def test_a_question_beyond_the_window_still_gets_an_answer(reader) -> None:
    assert isinstance(reader.answer("who " * 9_000, []), str)


def test_as_many_lists_of_passages_as_questions_are_wanted(reader) -> None:
    with pytest.raises(UsageError, match="2 questions with 1 lists of passages"):
        reader.answers(["a", "b"], [[]])


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UsageError, match="no lab model 'llama'; give obedient, twin or a folder"):
        open_reader("lab:llama")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no lab model; make one with `ragshield lab train`"):
        LabReader(str(tmp_path))


def test_broken_weights_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="holds no lab model that can be read") as caught:
        LabReader(str(broken))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["max_passages", "batch_size", "max_answer_tokens"])
def test_numbers_below_one_are_refused(folder: Path, option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 0; it must be at least 1"):
        LabReader(str(folder), **{option: 0})


def test_shipped_models_have_names() -> None:
    assert folder_of("") == folder_of("obedient")
    assert folder_of("twin").name == "twin"
