"""The lab's benchmark asks what it says it asks, on a model small enough for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lab_cases import Case, asked, cases, remembered
from lab_curve import PUBLISHED, _shape, as_json, curves, times
from lab_generators import garag, phantom
from lab_report import markdown
from lab_search import NEURONS, STEPS, Scene, searches

from ragshield.attacks.causal import CausalReader
from ragshield.corpora.world_facts import Draw
from ragshield.lab.facts import Cast
from ragshield.readers.lab import LabReader, folder_of
from ragshield.records import Question, Target
from ragshield.text import states

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def cast() -> Cast:
    return Cast.of(0)


@pytest.fixture(scope="module")
def reader() -> LabReader:
    return LabReader()


@pytest.fixture(scope="module")
def given() -> dict[str, object]:
    folder = folder_of("")
    prompt = (folder / "prompt.txt").read_text("utf-8")
    return {"model": str(folder), "prompt": prompt, "max_answer_tokens": 8}


@pytest.fixture(scope="module")
def inside(given) -> CausalReader:
    return CausalReader("test", **given)


@pytest.fixture(scope="module")
def against(reader, cast) -> list[Case]:
    return cases(reader, cast, "against", n=4, seed=3)


@pytest.mark.parametrize("memory", ["against", "none", "for"])
def test_the_models_memory_is_as_asked_for(memory: str, reader, cast) -> None:
    for case in cases(reader, cast, memory, n=3, seed=1):  # type: ignore[arg-type]
        answer = reader.answer(case.target.question.text, [])
        [right] = case.target.question.answers
        assert states(answer, right) is (memory == "against")
        assert states(answer, case.target.wrong_answer) is (memory == "for")


def test_five_passages_of_each_side_state_what_they_should(against) -> None:
    for case in against:
        [right] = case.target.question.answers
        assert (len(case.clean), len(set(case.poison))) == (5, 5)
        assert states(case.clean[0], right)
        assert all(states(text, case.target.wrong_answer) for text in case.poison)
        assert not any(states(text, case.target.wrong_answer) for text in case.clean)
        assert all(text.startswith(case.target.question.text) for text in case.poison)


def test_so_many_of_the_five_shown_are_poisoned(against) -> None:
    case = against[0]
    for n in range(6):
        shown = {p.text for p in case.shown(n, np.random.default_rng(0))}
        assert len(shown & set(case.poison)) == n
        assert len(shown) == 5


def test_poisonedrag_has_texts_of_its_own_for_every_question_asked(cast) -> None:
    from ragshield.attacks.poisonedrag_templates import statements

    draw = Draw(np.random.default_rng(0))
    for subject in (*cast.known[:40], *cast.held_out[:10]):
        for relation in subject.facts:
            question = asked(draw, subject, relation)
            texts = statements(Target(Question("q", question), "NOBODY"), np.random.default_rng(0))
            assert subject.name in texts[0]
            assert question not in texts[0]


def test_a_curve_counts_from_none_to_five(reader, cast) -> None:
    found = curves(reader, cast, n=3, seed=2)
    assert set(found) == {"against", "none", "for"}
    for curve in found.values():
        assert [point["n_poisoned"] for point in curve["points"]] == [0, 1, 2, 3, 4, 5]
        assert {point["success"]["n"] for point in curve["points"]} == {curve["n"]}


def test_the_published_curve_has_the_shape_of_itself_and_a_flat_one_none() -> None:
    def points(values):
        return [{"success": {"value": v}} for v in (0.0, *values)]

    same = _shape(points(PUBLISHED))
    assert same["correlation"] == pytest.approx(1)
    assert same["largest_gap"] == pytest.approx(0)
    half = _shape(points([v / 2 for v in PUBLISHED]))
    assert half["largest_gap"] == pytest.approx(0)
    assert half["rises"] is True
    assert _shape(points([0.5] * 5))["correlation"] is None
    assert _shape(points([0.9, 0.5, 0.6, 0.7, 0.8]))["rises"] is False
    assert _shape(points([0.0] * 5))["largest_gap"] is None


@pytest.fixture(scope="module")
def scene(against, inside) -> Scene:
    class Letters:
        name, dim = "letters", 26

        def encode(self, texts):
            rows = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
            return np.array(rows, dtype=np.float32) + 0.1

    return Scene(inside, Letters(), against[0].target, population=6, seed=1)


def test_a_scene_has_different_texts_that_state_the_wrong_answer(scene) -> None:
    assert len(set(scene.start)) == 6
    assert all(states(text, scene.target.wrong_answer) for text in scene.start)
    answers = scene._reader.answers(scene.target.question.text, [[t] for t in scene.start])
    assert scene.success(scene.start) == [states(a, scene.target.wrong_answer) for a in answers]


@pytest.fixture(scope="module")
def searched(scene) -> dict[str, list[dict[str, object]]]:
    told: list[Scene] = []

    def enough(one: Scene) -> bool:
        told.append(one)
        return False

    found = searches([scene, scene], 1, enough)
    assert told == [scene]
    return found


def test_every_search_begins_with_the_same_texts_and_spends_as_much(searched) -> None:
    others = ("undone", "random by answer")
    rows = {name: row for name, [row] in searched.items() if name not in others}
    assert len({row["first"] for row in rows.values()}) == 1
    judged = [row["n_judged"] for row in rows.values()]
    assert max(judged) <= 12
    assert rows["PoisonedRAG"]["n_judged"] == pytest.approx(np.mean(judged[:-1]), abs=1)
    assert rows["PoisonedRAG"]["kept"] >= rows["PoisonedRAG"]["first"]
    assert set(searched["undone"][0]) == set(NEURONS)


def test_attributions_are_looked_up_and_those_of_the_attack(scene) -> None:
    from ragshield.attacks.fitness import NeuronFitness
    from ragshield.attacks.neurons import Neurons

    texts = scene.start[:2]
    question = scene.target.question.text
    neurons = Neurons(scene._reader)
    before = scene._reader.n_forward
    for chosen, answer in ((NEURONS[0], False), (NEURONS[1], True)):
        found = scene.responsiveness(chosen, answer=answer)(texts)
        assert scene._reader.n_forward == before
        towards = scene.towards if answer else None
        fitness = NeuronFitness(
            neurons, scene.chosen[chosen], question, towards=towards, steps=STEPS
        )
        np.testing.assert_allclose(found, fitness(texts), rtol=1e-3, atol=1e-6)
        before = scene._reader.n_forward


def test_a_measure_that_knows_puts_what_works_first(scene, monkeypatch) -> None:
    won = {text: i % 2 == 0 for i, text in enumerate(scene.start)}
    monkeypatch.setattr(scene, "_won", won)
    assert scene.sorted_by(lambda texts: np.array([float(won[t]) for t in texts])) == 1
    assert scene.sorted_by(lambda texts: np.array([-float(won[t]) for t in texts])) == 0
    assert scene.sorted_by(lambda texts: np.zeros(len(texts))) == 0.5
    monkeypatch.setattr(scene, "_won", dict.fromkeys(scene.start, True))
    assert scene.sorted_by(lambda texts: np.zeros(len(texts))) is None


def test_the_report_says_what_was_counted(
    scene, searched, against, given, inside, reader, cast
) -> None:
    [case] = against[:1]
    read = Target(case.target.question, case.target.wrong_answer, texts=(case.clean[0],))
    inner = given | {"model": inside.model, "tokenizer": inside.tokenizer}
    found = {
        "command": "python benchmarks/lab.py --quick",
        "weights": "0123456789abcdef",
        "threads": "1",
        "seconds": 1.0,
        "curves": curves(reader, cast, n=2, seed=2),
        "times": times(reader, cast, n=2, seed=2),
        "searches": searched,
        "search_settings": {
            "n_targets": 1, "n_asked": 2, "population": 6, "n_generations": 1,
        },
        "phantom": phantom(inside, inner, [case.target], n_steps=1),
        "garag": garag(inside, inner, scene._encoder, [read], n_generations=1),
    }  # fmt: skip
    text = markdown(found)
    assert "weights `0123456789ab`" in text
    assert "| 5 | 1.00 | " in text
    assert "1 questions that the model answers rightly by heart (of 2 asked)" in text
    assert "| command with its trigger | " in text
    assert "nan" not in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## How many of five passages have to be poisoned",
        "## NeuroGenPoisoning",
        "## Phantom's generator part",
        "## GARAG's answer probability",
        "## Time",
    ]


def test_only_what_is_remembered_is_a_target(reader, against) -> None:
    nobody = Target(Question("x", "Who founded Nowhere Mills?", ("Ada Nemo",)), "Bo Nil")
    known = [case.target for case in against]
    assert remembered(reader, [nobody, *known]) == known


def test_shares_carry_their_interval() -> None:
    assert as_json(1, 2)["low"] < 0.5 < as_json(1, 2)["high"]
    assert (as_json(0, 0)["value"], as_json(0, 0)["n"]) == (None, 0)


def test_the_script_can_be_asked_for_help() -> None:
    import subprocess
    import sys

    script = Path(__file__).parents[2] / "benchmarks" / "lab.py"
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=True
    )
    assert "--weights" in done.stdout
