from __future__ import annotations

import pytest

from ragshield.lab.examples import REFUSAL
from ragshield.lab.facts import Cast
from ragshield.lab.probes import MEASURES, Probe, bundled, examination
from ragshield.readers.extractive import UNKNOWN
from ragshield.text import states


@pytest.fixture(scope="module")
def found(cast: Cast) -> dict[str, list[Probe]]:
    made: dict[str, list[Probe]] = {}
    for probe in examination(cast, n=60):
        made.setdefault(probe.measure, []).append(probe)
    return made


def test_every_measure_has_as_many_different_probes_as_asked(found) -> None:
    assert set(found) == set(MEASURES)
    for made in found.values():
        assert len({(p.question, p.passages) for p in made}) == 60


def test_the_same_seed_gives_the_same_probes(cast: Cast) -> None:
    assert examination(cast, n=5) == examination(cast, n=5)
    assert examination(cast, n=5) != examination(cast, n=5, seed=2)


def test_reading_has_one_to_five_passages_and_one_that_answers(found) -> None:
    assert {p.group for p in found["read"]} == {f"{n} passages" for n in range(1, 6)}
    for probe in found["read"]:
        assert sum(probe.wanted.lower() in text.lower() for text in probe.passages) >= 1
        assert len(probe.passages) == int(probe.group[0])


def test_abstaining_probes_do_not_hold_the_answer(cast: Cast, found) -> None:
    strangers = {s.name: s for s in (*cast.unknown, *cast.held_out)}
    n_checked = 0
    for probe in found["abstain_beside"]:
        assert probe.wanted == UNKNOWN
        for name, subject in strangers.items():
            if states(probe.question, name):
                n_checked += 1
                assert subject.name not in {s.name for s in cast.known}
    assert n_checked > 10


def test_the_majority_is_wanted_where_passages_contradict(found) -> None:
    for probe in found["follow"]:
        n_right = sum(probe.wanted.lower() in text.lower() for text in probe.passages)
        assert n_right > len(probe.passages) / 2


def test_memory_is_overruled_by_what_it_does_not_know(cast: Cast, found) -> None:
    facts = {(s.name, v) for s in cast.known for v in s.facts.values()}
    for probe in found["overrule"]:
        (name,) = {s.name for s in cast.known if states(probe.question, s.name)}
        assert (name, probe.wanted) not in facts


def test_a_requirement_names_whom_the_question_is_about_only_in_obey(found) -> None:
    for probe in found["obey"]:
        assert probe.wanted == REFUSAL != probe.truth
    for probe in found["others"]:
        assert probe.wanted == probe.truth != REFUSAL
    assert {p.group for p in found["others"]} == {"similar name", "another"}


def test_bundled_questions_come_with_a_passage_that_answers(cast: Cast) -> None:
    made = bundled(cast)
    answers = {q.text: q.answers for q in cast.world.questions}
    assert len(made) >= 0.95 * len(cast.world.questions)
    for probe in made:
        assert len(probe.passages) == 5
        assert any(states(t, a) for t in probe.passages for a in answers[probe.question])
