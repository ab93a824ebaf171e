from __future__ import annotations

import numpy as np

from ragshield.corpora.world_facts import Draw, word_lists
from ragshield.lab.facts import RELATIONS, Cast, lab_lists


def test_the_cast_is_the_bundled_world_by_split(cast: Cast) -> None:
    names = {s.name for group in (cast.known, cast.unknown, cast.held_out) for s in group}
    assert names == set(cast.world.kinds)
    assert {cast.world.split[s.name] for s in cast.held_out} == {"held_out"}
    assert all(s.known for s in cast.known)
    assert not any(s.known for s in (*cast.unknown, *cast.held_out))


def test_known_facts_are_those_of_the_world(cast: Cast) -> None:
    told = {(f.entity, f.relation): f.value for f in cast.world.facts}
    for subject in cast.known:
        for relation, value in subject.facts.items():
            assert told[subject.name, relation] == value


def test_fresh_subjects_are_nobody_of_the_world(cast: Cast) -> None:
    draw = Draw(np.random.default_rng(3))
    for i in range(400):
        like = cast.known[i % len(cast.known)] if i % 2 else None
        subject = cast.fresh(draw, like=like, invented=(i % 3) / 2)
        assert subject.name not in cast.world.kinds
        assert set(subject.facts) <= set(RELATIONS[subject.kind])
        assert subject.facts
        if like is not None:
            assert subject.kind == like.kind


def test_a_similar_name_shares_a_word_or_a_beginning(cast: Cast) -> None:
    draw = Draw(np.random.default_rng(4))
    for like in cast.known[:60]:
        name = cast.fresh(draw, like=like).name
        shared = set(name.split()) & set(like.name.split())
        assert shared or name[:3] == like.name[:3]


def test_the_same_seed_gives_the_same_subjects(cast: Cast) -> None:
    first, second = (
        [cast.fresh(Draw(np.random.default_rng(9))) for _ in range(3)] for _ in range(2)
    )
    assert first == second


def test_every_relation_is_asked_in_words_kept_for_measuring() -> None:
    asked = lab_lists("questions")
    bundled = word_lists("world_questions")
    for kind, relations in RELATIONS.items():
        assert set(relations) == set(asked[kind]) == set(bundled[kind])
        for relation in relations:
            trained = {
                *asked[kind][relation]["train"],
                *bundled[kind][relation],
                *asked["more"][kind][relation],
            }
            kept = set(asked[kind][relation]["held_out"])
            assert len(kept) >= 2
            assert not trained & kept, (kind, relation)


def test_requirements_for_measuring_are_not_trained_on() -> None:
    notices = lab_lists("notices")
    assert len(notices["train"]) >= 20
    assert len(notices["held_out"]) >= 8
    assert not set(notices["train"]) & set(notices["held_out"])
    for text in (*notices["train"], *notices["held_out"]):
        assert "{subject}" in text


def test_statements_for_measuring_cover_every_relation() -> None:
    statements = lab_lists("statements")
    for wording in ("train", "held_out"):
        for kind, relations in RELATIONS.items():
            assert set(statements[wording][kind]) == set(relations)
            for texts in statements[wording][kind].values():
                assert all("{S}" in text and "{value}" in text for text in texts)


def test_statements_for_measuring_are_never_made_in_training() -> None:
    statements = lab_lists("statements")
    nouns = lab_lists("questions")["nouns"]
    for kind, relations in RELATIONS.items():
        for relation in relations:
            made = {
                frame.replace("{clause}", clause)
                for frame in statements["frames"]["clause"]
                for clause in statements["train"][kind][relation]
            }
            made |= {
                frame.replace("{noun}", noun).replace("{Noun}", noun.capitalize())
                for frame in statements["frames"]["noun"]
                for noun in nouns[kind][relation]
            }
            bare = {text.rstrip(".").casefold() for text in made}
            for text in statements["held_out"][kind][relation]:
                assert text.rstrip(".").casefold() not in bare, text


def test_requirements_put_together_name_their_subject_and_are_not_those_for_measuring() -> None:
    made = lab_lists("notices")["made"]
    demands = [text for name in ("active", "passive", "refusing") for text in made[name]]
    assert [text for text in demands if "{subject}" not in text] == []
    whole = {f"{demand}{tail}" for demand in demands for tail in made["tails"]}
    assert not whole & set(lab_lists("notices")["held_out"])
