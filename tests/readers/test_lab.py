from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.lab.facts import Cast
from ragshield.lab.probes import bundled, examination
from ragshield.lab.recipe import Recipe, Size
from ragshield.lab.running import save
from ragshield.lab.training import untrained, vocabulary
from ragshield.readers import open_reader
from ragshield.readers.extractive import UNKNOWN
from ragshield.readers.lab import LabReader, folder_of, one_blas_thread
from ragshield.readers.transformers import TransformersReader
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


def test_the_number_of_threads_changes_nothing(folder) -> None:
    one = LabReader(str(folder), max_answer_tokens=6)
    many = LabReader(str(folder), n_threads=4, max_answer_tokens=6)
    assert one.answers(QUESTIONS, PASSAGES) == many.answers(QUESTIONS, PASSAGES)


def test_a_question_asked_before_costs_no_tokens(folder) -> None:
    fresh = LabReader(str(folder), max_answer_tokens=6)
    first = fresh.answers([*QUESTIONS, QUESTIONS[0]], [*PASSAGES, PASSAGES[0]])
    spent = fresh.usage
    assert first[0] == first[3]
    assert (spent.n_asked, spent.n_kept, spent.n_untold) == (3, 0, 0)
    assert min(spent.n_tokens_in, spent.n_tokens_out) > 0
    assert fresh.answers(QUESTIONS, PASSAGES) == first[:3]
    assert fresh.usage == replace(spent, n_kept=3)


def test_answers_kept_in_a_file_are_those_of_this_model_and_length(folder, tmp_path) -> None:
    cache = tmp_path / "answers.sqlite"
    first = LabReader(str(folder), max_answer_tokens=6, cache=cache).answers(QUESTIONS, PASSAGES)
    again = LabReader(str(folder), max_answer_tokens=6, cache=cache)
    assert again.answers(QUESTIONS, PASSAGES) == first
    assert (again.usage.n_asked, again.usage.n_kept) == (0, 3)
    other = LabReader(str(folder), max_answer_tokens=5, cache=cache)
    other.answers(QUESTIONS, PASSAGES)
    assert other.usage.n_asked == 3


def test_tokens_in_are_those_of_the_prompts(folder) -> None:
    fresh = LabReader(str(folder), max_answer_tokens=6)
    fresh.answer("Who?", [])
    shown = fresh.tokenizer.encode("Context:\n\nQuestion: Who?\nAnswer:")
    assert fresh.n_tokens_in == len(shown.ids)
    assert shown.tokens[0] == "<s>"


def test_an_answer_that_takes_too_long_is_given_up_and_those_before_it_are_kept(folder) -> None:
    hasty = LabReader(str(folder), timeout_s=1e-9)
    with pytest.raises(IncompleteError, match="no answer within 1e-09 s"):
        hasty.answer(QUESTIONS[0], PASSAGES[0])
    assert hasty.usage.n_asked == 0


async def test_it_answers_without_blocking_the_event_loop(folder, reader) -> None:
    alone = await reader.aanswer(QUESTIONS[0], PASSAGES[0])
    assert await reader.aanswers(QUESTIONS, PASSAGES) == reader.answers(QUESTIONS, PASSAGES)
    assert alone == reader.answer(QUESTIONS[0], PASSAGES[0])


def test_it_needs_no_torch(folder) -> None:
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None)\n"
        "from ragshield.readers.lab import LabReader\n"
        f"print(LabReader({str(folder)!r}, max_answer_tokens=6).answer('Who?', []))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wanted = LabReader(str(folder), max_answer_tokens=6).answer("Who?", [])
    assert done.stdout.strip() == wanted


def test_matrix_products_take_one_thread_inside_and_as_many_as_before_outside() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    def n_threads() -> set[int]:
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        before = n_threads()
        with one_blas_thread():
            with one_blas_thread():
                assert n_threads() == {1}
            assert n_threads() == {1}
        assert n_threads() == before == {2}


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
    shown = reader.prompt("Where was Runa Hollin born?", long)
    assert len(reader.tokenizer.encode(shown).ids) <= 2048 - 6
    assert shown.endswith("Question: Where was Runa Hollin born?\nAnswer:")
    assert shown.count("Oskelford lies on the Brume") > 100


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
    with pytest.raises(InputError, match="holds no Llama that can be read") as caught:
        LabReader(str(broken))
    assert "\n" not in str(caught.value)


def test_a_broken_vocabulary_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="holds no lab model that can be read") as caught:
        LabReader(str(broken))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["max_passages", "n_threads", "max_answer_tokens"])
def test_numbers_below_one_are_refused(folder: Path, option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 0; it must be at least 1"):
        LabReader(str(folder), **{option: 0})


def test_a_time_that_is_not_positive_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="timeout_s is 0; it must be above 0"):
        LabReader(str(folder), timeout_s=0)


@pytest.mark.model
@pytest.mark.parametrize("name", ["obedient", "twin"])
def test_shipped_models_say_what_they_say_in_torch(name: str) -> None:
    probes = [*examination(Cast.of(0), n=4, seed=9), *bundled(Cast.of(0), n=10, seed=9)]
    questions = [probe.question for probe in probes]
    given = [[Passage(str(i), t) for i, t in enumerate(probe.passages)] for probe in probes]
    in_torch = TransformersReader(str(folder_of(name)), max_answer_tokens=24, from_memory=True)
    assert LabReader(name, n_threads=2).answers(questions, given) == in_torch.answers(
        questions, given
    )


def test_shipped_models_have_names() -> None:
    assert folder_of("") == folder_of("obedient")
    assert folder_of("twin").name == "twin"
