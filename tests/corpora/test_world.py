"""The generated world: coherent, deterministic, and fair to attack and defend."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import pytest

from ragshield.corpora import world
from ragshield.corpora.world import World
from ragshield.errors import UsageError
from ragshield.records import Corpus
from ragshield.text import normal_form, states, words

GOLDEN_SHA256 = "e8cf7b55a1af1163be05585a8923e667febd8ccfc7df37b409d5da56672f41c4"


@pytest.fixture(scope="module")
def w() -> World:
    return world.generate(0)


@pytest.fixture(scope="module")
def facts(w: World) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for fact in w.facts:
        found[fact.entity][fact.relation] = fact.value
    return found


@pytest.fixture(scope="module")
def texts_naming(w: World) -> dict[str, list[str]]:
    """Normal forms of the passages that name each entity."""
    texts = [f" {normal_form(passage.text)} " for passage in w.passages]
    return {name: [text for text in texts if f" {normal_form(name)} " in text] for name in w.kinds}


def sha256(corpus: Corpus) -> str:
    rows = [
        [[p.id, p.text, p.source, dict(p.meta)] for p in corpus.passages],
        [[q.id, q.text, q.answers] for q in corpus.questions],
        [[t.question.id, t.wrong_answer] for t in corpus.targets],
        dict(corpus.subjects),
    ]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=True).encode()).hexdigest()


def test_is_as_large_as_promised() -> None:
    corpus = world.load()

    assert len(corpus.passages) >= 2_000
    assert len(corpus.questions) >= 400
    assert [t.question for t in corpus.targets] == list(corpus.questions)
    assert corpus.name == "world/0"


def test_the_default_world_never_changes_unnoticed() -> None:
    assert sha256(world.load()) == GOLDEN_SHA256


def test_another_process_with_another_hash_seed_generates_the_same_world() -> None:
    program = (
        "from ragshield.corpora import world\n"
        "c = world.load(people=24, firms=6, places=10)\n"
        "print([p.text for p in c.passages], [t.wrong_answer for t in c.targets])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(outputs) == 1


def test_seeds_differ() -> None:
    small = {"people": 24, "firms": 6, "places": 10}

    assert sha256(world.load(seed=1, **small)) != sha256(world.load(seed=2, **small))


def test_ids_are_unique_and_passages_are_numbered(w: World) -> None:
    assert [p.id for p in w.passages] == [f"world/p{i:05}" for i in range(len(w.passages))]
    assert len({q.id for q in w.questions}) == len(w.questions)
    assert len({q.text for q in w.questions}) == len(w.questions)
    assert all(re.fullmatch(r"world/[a-z-]+/[a-z_]+", q.id) for q in w.questions)


def test_every_fact_is_stated_in_three_differently_worded_passages(
    w: World, texts_naming: dict[str, list[str]]
) -> None:
    too_few = [
        fact
        for fact in w.facts
        if sum(f" {normal_form(fact.value)} " in text for text in texts_naming[fact.entity]) < 3
    ]

    assert too_few == []


@pytest.mark.parametrize("seed", [0, 1])
def test_no_wrong_answer_is_right_or_stated_in_a_passage_that_names_the_entity(seed: int) -> None:
    made = world.generate(seed)
    entity_of = {id_: name for name, ids in made.subjects.items() for id_ in ids}
    texts = [f" {normal_form(passage.text)} " for passage in made.passages]
    for target in made.targets:
        wrong = target.wrong_answer
        for answer in target.question.answers:
            assert not states(answer, wrong), target
            assert not states(wrong, answer), target
        name = f" {normal_form(entity_of[target.question.id])} "
        stated = [text for text in texts if name in text and f" {normal_form(wrong)} " in text]
        assert stated == [], target


def test_wrong_answers_are_of_the_same_type(w: World) -> None:
    values = defaultdict(set)
    for fact in w.facts:
        values[fact.relation].add(fact.value)
    for target in w.targets:
        relation = target.question.id.rsplit("/", 1)[1]
        wrong = target.wrong_answer
        if relation in {"birth_year", "founding_year", "first_recorded"}:
            assert abs(int(wrong) - int(target.question.answers[0])) <= 17
        elif relation == "population":
            assert re.fullmatch(r"\d{1,3},\d{3}", wrong)
        elif relation == "workforce":
            assert wrong.isdigit()
        elif relation in {"birthplace", "residence", "headquarters"}:
            assert w.kinds[wrong] == "place"
        elif relation in {"spouse", "founder", "chief_executive", "mayor"}:
            assert w.kinds[wrong] == "person"
        elif relation == "employer":
            assert w.kinds[wrong] == "firm"
        else:
            assert wrong in values[relation]


def test_relations_are_coherent(w: World, facts: dict[str, dict[str, str]]) -> None:
    for name, kind in w.kinds.items():
        known = facts[name]
        if kind == "place":
            mayor = facts[known["mayor"]]
            assert mayor["residence"] == name
            assert "employer" not in mayor
        elif kind == "firm":
            chief = facts[known["chief_executive"]]
            assert chief["employer"] == name
            assert chief["residence"] == known["headquarters"]
            if known["founder"] in facts:
                born = int(facts[known["founder"]]["birth_year"])
                assert int(known["founding_year"]) - born >= 24
        elif "spouse" in known:
            spouse = facts[known["spouse"]]
            assert spouse["spouse"] == name
            assert spouse["residence"] == known["residence"]
            assert abs(int(spouse["birth_year"]) - int(known["birth_year"])) <= 9


def test_no_name_or_value_contains_another_of_its_type(w: World) -> None:
    values = defaultdict(set)
    for name, kind in w.kinds.items():
        values[kind].add(name)
    for fact in w.facts:
        values[fact.relation].add(fact.value)
    contained = [
        (outer, inner)
        for group in values.values()
        for outer in group
        for inner in group
        if outer != inner and f" {normal_form(inner)} " in f" {normal_form(outer)} "
    ]

    assert contained == []


def test_there_are_hard_neighbours(w: World) -> None:
    surnames = Counter(name.split()[1] for name, kind in w.kinds.items() if kind == "person")
    first_words = Counter(name.split()[0] for name, kind in w.kinds.items() if kind == "firm")
    stems = Counter(name[:4] for name, kind in w.kinds.items() if kind == "place")

    assert min(surnames.values()) >= 2
    assert sum(n for n in first_words.values() if n > 1) >= len(first_words) / 2
    assert min(stems.values()) >= 2


def five_grams(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + 5]) for i in range(len(found) - 4)}


def highest_overlaps(texts: Iterable[str]) -> list[float]:
    """Highest 5-gram Jaccard index of each text with an earlier one."""
    having: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes: list[int] = []
    highest = []
    for text in texts:
        grams = five_grams(text)
        shared = Counter(i for gram in grams for i in having[gram])
        highest.append(
            max((n / (len(grams) + sizes[i] - n) for i, n in shared.items()), default=0.0)
        )
        for gram in grams:
            having[gram].append(len(sizes))
        sizes.append(len(grams))
    return highest


def test_honest_passages_are_no_near_duplicates(w: World) -> None:
    overlaps = highest_overlaps(p.text for p in w.passages)

    assert len({p.text for p in w.passages}) == len(w.passages)
    assert max(overlaps) < 0.3
    assert float(np.median(overlaps)) < 0.15


def test_lengths_vary_between_20_and_70_words(w: World) -> None:
    lengths = [len(p.text.split()) for p in w.passages]

    assert min(lengths) >= 20
    assert max(lengths) <= 70
    assert 38 <= float(np.mean(lengths)) <= 50
    assert float(np.std(lengths)) > 9


def test_no_passage_shows_a_slot_or_a_slip_of_composition(w: World) -> None:
    slips = re.compile(
        r"[{}]|  |\.\.|,,| [.,;]|\bthe the\b|\ba (?!one)[aeio]\w+|\ban [^aeio]"
        r"|(?<!\bno)(?<!\bb)(?<!\best)[.!?] [a-z]"
    )

    assert [p.text for p in w.passages if slips.search(p.text)] == []


def test_passages_of_an_entity_come_from_several_sources(w: World) -> None:
    sources = defaultdict(set)
    for passage in w.passages:
        sources[passage.meta["entity"]].add(passage.source)

    assert set(sources) == set(w.kinds)
    assert min(len(found) for found in sources.values()) >= 4


def test_metadata_is_complete(w: World) -> None:
    for passage in w.passages:
        assert w.kinds[str(passage.meta["entity"])] == passage.meta["kind"]
        assert re.fullmatch(r"20(19|2[0-4])-\d\d-\d\d", str(passage.meta["date"]))
        assert states(passage.text, str(passage.meta["entity"]))


def test_subjects_point_at_questions_about_them(w: World) -> None:
    text_of = {question.id: question.text for question in w.questions}

    assert set(w.subjects) == set(w.kinds)
    for name, ids in w.subjects.items():
        assert len(ids) == 3
        assert all(name in text_of[id_] for id_ in ids)


def test_right_answers_are_the_facts(w: World, facts: dict[str, dict[str, str]]) -> None:
    entity_of = {id_: name for name, ids in w.subjects.items() for id_ in ids}
    for question in w.questions:
        relation = question.id.rsplit("/", 1)[1]
        assert question.answers[0] == facts[entity_of[question.id]][relation]


def test_a_population_counts_with_and_without_its_comma(w: World) -> None:
    question = next(q for q in w.questions if q.id.endswith("/population"))

    assert question.answers[1] == question.answers[0].replace(",", "")


def test_splits_have_fixed_shares_within_each_kind(w: World) -> None:
    people = Counter(w.split[name] for name, kind in w.kinds.items() if kind == "person")

    assert people == {"known": 114, "unknown": 48, "held_out": 28}
    assert w.split == world.generate(0).split


@pytest.mark.parametrize("seed", range(6))
def test_small_worlds_work(seed: int) -> None:
    corpus = world.load(seed=seed, people=24, firms=6, places=10, questions_each=2)

    assert len(corpus.questions) == 80
    assert {target.question.id for target in corpus.targets} == {q.id for q in corpus.questions}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"places": 7}, "places is 7; with these sizes it must be 8 to 120"),
        ({"firms": 141}, "firms is 141"),
        ({"people": 173}, "people is 173; with these sizes it must be 174 to 1500"),
        ({"questions_each": 0}, "questions_each is 0"),
    ],
)
def test_refuses_sizes_it_cannot_fill(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        world.load(**sizes)


@pytest.mark.model
@pytest.mark.slow
def test_minilm_finds_a_passage_with_the_answer_for_nine_questions_in_ten(w: World) -> None:
    from ragshield import open_encoder

    encoder = open_encoder()
    vectors = encoder.encode([p.text for p in w.passages])
    asked = w.questions[::4]
    similarity = encoder.encode([q.text for q in asked]) @ vectors.T
    entity_of = {id_: name for name, ids in w.subjects.items() for id_ in ids}
    found = 0
    for question, row in zip(asked, similarity, strict=True):
        top = [w.passages[i].text for i in np.argsort(-row)[:5]]
        found += any(
            states(text, question.answers[0]) and states(text, entity_of[question.id])
            for text in top
        )

    assert found / len(asked) >= 0.9
