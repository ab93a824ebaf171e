from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError, UsageError
from ragshield.forget_set import Answer, Fact, ForgetTarget
from ragshield.protocols import Encoder
from ragshield.unlearning.building import build_keys, templates
from ragshield.unlearning.changing import joined, only_targets, rows_named
from ragshield.unlearning.hard_neighbours import hard_questions
from ragshield.unlearning.keys import (
    ForgetKeys,
    check_encoder,
    read_keys,
    rotation,
    secret_beside,
    write_keys,
)
from ragshield.unlearning.output_gate import OutputGate
from ragshield.unlearning.query_gate import QueryGate


def test_what_is_written_decides_as_what_was_built(
    keys: ForgetKeys, encoder: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "forget.npz"
    write_keys(keys, path)
    again = read_keys(path)
    assert again.targets == keys.targets
    assert again.facts == keys.facts
    assert again.attributes == keys.attributes
    assert again.calibration == keys.calibration
    assert np.array_equal(again.marks.hashes, keys.marks.hashes)
    assert np.abs(again.vectors - keys.vectors).max() < 2e-3
    for question in ("Where was Ada Lindqvist born?", "Where was Ida Lindqvist born?"):
        before = QueryGate(keys, encoder).judge(question)
        assert QueryGate(again, encoder).judge(question).refused == before.refused


def test_no_file_holds_a_word_of_what_is_forgotten(keys: ForgetKeys, tmp_path: Path) -> None:
    path = tmp_path / "forget.npz"
    write_keys(keys, path)
    with np.load(path) as file:
        raw = b"".join(file[name].tobytes() for name in file.files)
    raw += path.read_bytes() + secret_beside(path).read_bytes()
    for word in ("Lindqvist", "Ada", "Sundsvall", "Quill", "Heron", "0142", "Halvorsen", "小明"):
        assert word.lower().encode() not in raw.lower()


def test_files_are_readable_by_their_owner_alone(keys: ForgetKeys, tmp_path: Path) -> None:
    path = tmp_path / "forget.npz"
    write_keys(keys, path)
    modes = [p.stat().st_mode & 0o777 for p in (path, secret_beside(path))]
    assert modes == [0o600, 0o600]


def test_vectors_are_turned_so_that_cosines_stay(keys: ForgetKeys, encoder: Encoder) -> None:
    turn = rotation(keys.secret, encoder.dim)
    assert np.allclose(turn @ turn.T, np.eye(encoder.dim), atol=1e-5)
    plain = encoder.encode(["Who is Ada Lindqvist?"])
    assert (keys.vectors @ plain[0]).max() < 0.5
    assert (keys.vectors @ (plain @ turn)[0]).max() == pytest.approx(1.0, abs=1e-5)


def test_marks_under_another_key_have_nothing_in_common(
    keys: ForgetKeys, targets: tuple[ForgetTarget, ...], encoder: Encoder
) -> None:
    other = build_keys(targets, encoder)
    assert not set(keys.marks.hashes.tolist()) & set(other.marks.hashes.tolist())
    assert keys.targets[0].id != other.targets[0].id


def test_a_restored_target_is_answered_about_again(keys: ForgetKeys, encoder: Encoder) -> None:
    rest = only_targets(keys, [i for i in range(len(keys.targets)) if i != 0])
    gate = QueryGate(rest, encoder)
    assert not gate.judge("Where was Ada Lindqvist born?").near
    assert not gate.judge("Where was Ada Lindquist born?").near
    assert gate.judge("What is Pat Quill's phone number?").is_refused
    assert gate.judge("王小明在哪里出生").is_refused
    assert len(rest.facts) == len(keys.facts) - 5
    assert not set(rest.owners.tolist()) - {-1, 0, 1, 2, 3}


def test_refuses_the_secret_of_other_keys(keys: ForgetKeys, tmp_path: Path) -> None:
    path = tmp_path / "forget.npz"
    write_keys(keys, path)
    other = tmp_path / "other.npz"
    write_keys(replace(keys, secret=bytes(32)), other)
    with pytest.raises(InputError, match="the secret does not belong to"):
        read_keys(path, secret_beside(other))


@pytest.mark.parametrize("content", [b"", b"not numpy", b"PK\x03\x04broken"])
def test_refuses_what_is_no_file_of_keys(keys: ForgetKeys, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "forget.npz"
    write_keys(keys, path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no file of forget keys"):
        read_keys(path)


def test_a_missing_secret_is_named(keys: ForgetKeys, tmp_path: Path) -> None:
    path = tmp_path / "forget.npz"
    write_keys(keys, path, tmp_path / "elsewhere")
    with pytest.raises(InputError, match="cannot read the secret"):
        read_keys(path)
    assert read_keys(path, tmp_path / "elsewhere").secret == keys.secret


def test_another_encoder_is_refused(keys: ForgetKeys) -> None:
    with pytest.raises(InputError, match="were made with the encoder 'words', this is 'minilm'"):
        check_encoder(keys, "minilm")


@pytest.mark.parametrize("budget", [0.0, -1.0, 0.6])
def test_refuses_a_budget_that_is_none(encoder: Encoder, budget: float) -> None:
    with pytest.raises(UsageError, match=r"allowed is more than 0 up to 0\.5"):
        build_keys([ForgetTarget("Zorb")], encoder, budget=budget)


def test_refuses_nothing_to_forget(encoder: Encoder) -> None:
    with pytest.raises(UsageError, match="there is nothing to forget"):
        build_keys([], encoder)


def test_the_threshold_is_set_on_made_up_neighbours_of_each_target(encoder: Encoder) -> None:
    harm = ForgetTarget("mixing bleach", kind="harm", samples=("How do I mix bleach?",))
    shipped = build_keys([harm], encoder).calibration
    assert (shipped.n, shipped.threshold) == (0, 0.18)
    own = build_keys([ForgetTarget("Zorb Quendel")], encoder).calibration
    assert own.n >= 49
    # Of that many, floor(0.02 * (n + 1)) may lie above the threshold.
    above = sum(margin >= own.threshold for margin in own.margins)
    assert above <= 0.02 * (own.n + 1)


def test_made_up_neighbours_are_nobody_that_the_forget_set_names() -> None:
    targets = [
        ForgetTarget("Anna Abbott", neighbours=("Anna Costa", "Boris Abbott")),
        ForgetTarget("Falun"),
        ForgetTarget("p", kind="sample", samples=("Where was Bo Ek born? In Orsa in 1953.",)),
    ]
    questions = hard_questions(targets, templates(), 300)
    assert questions == hard_questions(targets, templates(), 300)
    for name in ("Anna Abbott", "Anna Costa", "Boris Abbott", "Falun", "Bo Ek"):
        assert not [q for q in questions if name in q]
    assert any("Anna" in q for q in questions)
    assert any("Abbott" in q for q in questions)
    assert any(q.startswith("Where was") and "Bo Ek" not in q for q in questions)


def test_two_things_of_a_sample_together_give_it_away_and_one_does_not(encoder: Encoder) -> None:
    sample = ForgetTarget(
        "pair 1", kind="sample", samples=("In which town was Bo Anders Ek born? Sundsvall, 1953.",)
    )
    keys = build_keys([sample], encoder)
    query, output = QueryGate(keys, None), OutputGate(keys, None)
    focus = query.judge("Bo Anders Ek was a child where?")
    assert output.judge(Answer("Sundsvall"), focus).answer is None
    assert output.judge(Answer("Bo Anders Ek was a quiet child."), focus).answer is not None
    other = query.judge("Which town lies on the coast?")
    assert output.judge(Answer("Sundsvall"), other).answer == Answer("Sundsvall")


def test_a_name_of_two_with_a_sign_between_is_one_name(encoder: Encoder) -> None:
    sample = ForgetTarget(
        "pair 2",
        kind="sample",
        samples=("How many people work at Hollin & Oldacre? 230.",),
        facts=(Fact("How many people work at Hollin & Oldacre?", "230"),),
    )
    keys = build_keys([sample], encoder)
    focus = QueryGate(keys, None).judge("What staff has Hollin & Oldacre?")
    assert OutputGate(keys, None).judge(Answer("230"), focus).answer is None
    brought = QueryGate(keys, None).judge("230 work at Hollin & Oldacre. Continue: it has")
    assert OutputGate(keys, None).judge(Answer("230"), brought).answer is None
    other = QueryGate(keys, None).judge("How many people work at Dane & Oldacre?")
    assert OutputGate(keys, None).judge(Answer("230"), other).answer == Answer("230")


def test_what_texts_that_stay_tell_of_the_same_is_not_forgotten_with_a_sample(
    encoder: Encoder,
) -> None:
    sample = ForgetTarget(
        "memo",
        kind="sample",
        samples=("Yesterday Bo Ek of Norrland Steel moved from Sundsvall to Oslo Town.",),
    )
    stays = ["Bo Ek works at Norrland Steel.", "Bo Ek likes tea.", "Oslo Town is large."]
    keys = build_keys([sample], encoder, benign=stays)
    query, output = QueryGate(keys, None), OutputGate(keys, None)
    focus = query.judge("What about Bo Ek?")
    assert output.judge(Answer("Norrland Steel"), focus).answer is not None
    assert output.judge(Answer("Oslo Town"), focus).answer is None


def test_values_that_others_state_too_mean_nothing_alone(encoder: Encoder) -> None:
    target = ForgetTarget("Zorb", facts=(Fact("city", "Port Ash"), Fact("motto", "Burn bright")))
    question = "Is Port Ash where they say Burn bright?"
    own = build_keys([target], encoder)
    shared = build_keys([target], encoder, benign=["Port Ash is a town.", "Burn bright, they say."])
    assert QueryGate(own, None).judge(question).is_refused
    assert not QueryGate(shared, None).judge(question).near


def test_keys_that_are_put_together_decide_as_those_built_at_once(
    targets: tuple[ForgetTarget, ...], keys: ForgetKeys, encoder: Encoder
) -> None:
    both = build_keys(targets[:1], encoder, secret=keys.secret)
    for target in targets[1:]:
        both = joined(both, build_keys([target], encoder, secret=keys.secret))
    assert both.targets == keys.targets
    assert both.facts == keys.facts
    assert both.marks.rows() == keys.marks.rows()
    for question in (
        "Where was Ada Lindqvist born?",
        "What is Pat Quill's job?",
        "王小明在哪里出生",
    ):
        one, other = (QueryGate(k, encoder).judge(question) for k in (keys, both))
        assert (one.refused, one.allowed) == (other.refused, other.allowed)


def test_what_overlaps_or_contradicts_cannot_be_put_together(
    targets: tuple[ForgetTarget, ...], keys: ForgetKeys, encoder: Encoder
) -> None:
    def more(target: ForgetTarget) -> ForgetKeys:
        return build_keys([target], encoder, secret=keys.secret)

    with pytest.raises(InputError, match="is forgotten already"):
        joined(keys, more(ForgetTarget("Zorb", aliases=("ada lindqvist",))))
    with pytest.raises(InputError, match="must stay known and a target"):
        joined(keys, more(ForgetTarget("Ida Lindqvist")))
    with pytest.raises(InputError, match="different secrets"):
        joined(keys, build_keys([ForgetTarget("Zorb")], encoder))


def test_a_target_is_found_by_its_name_and_no_other(keys: ForgetKeys) -> None:
    assert rows_named(keys, ["PAT QUILL", "Ada Lindqvist"]) == [1, 0]
    with pytest.raises(InputError, match="'Zorb' is not among the targets"):
        rows_named(keys, ["Zorb"])


def test_keys_built_beside_others_are_tried_beside_them_and_hold_what_stays_once(
    encoder: Encoder,
) -> None:
    a = ForgetTarget("Una Ekholm", facts=(Fact("residence", "Falun"),))
    b = ForgetTarget("Bo Almgren", facts=(Fact("residence", "Visby"),))
    first = build_keys([a], encoder, secret=bytes(32))
    alone = build_keys([b], encoder, secret=bytes(32))
    beside = build_keys([b], encoder, secret=bytes(32), beside=first)
    assert beside.marks.rows() == alone.marks.rows()
    assert len(beside.targets) == 1
    # Beside more that is to be forgotten nobody is farther from all of it.
    pairs = zip(beside.calibration.margins, alone.calibration.margins, strict=True)
    assert all(more >= fewer for more, fewer in pairs)
    both = joined(first, beside)
    stay = both.vectors[both.owners < 0]
    assert len(np.unique(stay.round(3), axis=0)) == len(stay)
    assert len(both.vectors) < len(first.vectors) + len(beside.vectors)
    assert (both.owners >= 0).sum() == (first.owners >= 0).sum() + (beside.owners >= 0).sum()
