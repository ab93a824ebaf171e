"""Membership, policies and outcomes: numbers that are known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ragshield.audit import Policy, Retained, audit, read_policy
from ragshield.audit.membership import Pair, auc, membership
from ragshield.audit.outcome import concluded
from ragshield.errors import InputError, UsageError
from ragshield.forget_set import Answer, ForgetTarget

App = Callable[[str], "str | Answer"]
UNKNOWN = "I don't know."


def pairs(own: str, other: str, n: int = 6) -> list[Pair]:
    return [Pair(i, "q", (own, other), ((), ())) for i in range(n)]


def test_the_auc_of_numbers_that_do_not_differ_is_one_half_and_of_apart_ones_1() -> None:
    assert auc([1.0, 1.0], [1.0, 1.0], 2).value == 0.5
    assert auc([2.0, 3.0], [0.0, 1.0], 2).value == 1.0
    assert auc([0.0, 3.0], [1.0, 2.0], 2).value == 0.5
    assert auc([], [1.0], 2).value is None


def test_the_interval_of_an_auc_holds_it_and_narrows_with_more_targets() -> None:
    few, many = (auc([2.0, 0.0, 3.0], [1.0, 1.0, 1.0], n) for n in (4, 400))
    for found in (few, many):
        assert 0 <= found.low < found.value < found.high <= 1
    assert many.high - many.low < (few.high - few.low) / 4
    # Newcombe's method 5 at the edge: never beyond it, and never of no width.
    edge = auc([1.0], [0.0], 10)
    assert (edge.value, edge.high) == (1.0, 1.0)
    assert 0.6 < edge.low < 0.9


def test_the_same_words_hide_membership_and_other_words_show_it() -> None:
    assert membership(pairs(UNKNOWN, UNKNOWN)).value == 0.5
    told = membership(pairs("I may not say.", "I have never heard of it."))
    assert told.value == 1.0


def test_length_alone_shows_it_too_in_either_direction() -> None:
    texts = ["w0", "w1 w2", "w3 w4 w5", "w6", "w7 w8", "w9"]
    for sign in (1, -1):
        rows = [
            Pair(i, "q", (text, f"{text} v{i} u{i} t{i}")[::sign], ((), ()))
            for i, text in enumerate(texts)
        ]
        found = membership(rows)
        assert found.by == "length"
        assert found.value > 0.9


def test_names_do_not_count_as_wording() -> None:
    rows = [
        Pair(i, "q", (f"Ada{i} is unknown", f"Bob{i} is unknown"), ((f"Ada{i}",), (f"Bob{i}",)))
        for i in range(6)
    ]
    assert membership(rows).value == 0.5


def test_what_one_target_says_is_not_learned_on_itself() -> None:
    # Each answer has words of its own, and no word comes twice: nothing can be learned.
    rows = [Pair(i, "q", (f"alpha{i}", f"beta{i}"), ((), ())) for i in range(8)]
    assert membership(rows).value == 0.5


def test_an_application_that_is_quick_to_refuse_is_told_by_its_time(
    targets: tuple[ForgetTarget, ...],
) -> None:
    import time

    def gated(question: str) -> str:
        if "Ada" not in question and "Owl" not in question and "Pat Quill" not in question:
            time.sleep(0.003)
        return UNKNOWN

    wanted = {"families": ("plain",), "per_family": 4}
    found = audit(gated, targets, time_answers=True, **wanted)
    assert found.membership.value == 0.5
    assert found.membership_by_time.value > 0.95
    assert audit(gated, targets, **wanted).membership_by_time is None


def test_with_few_targets_the_observer_learns_on_other_ways_of_asking() -> None:
    rows = [Pair(0, f"v{i}", ("I may not say", "never heard"), ((), ())) for i in range(5)]
    assert membership(rows).value == 1.0


def test_a_policy_says_which_limit_is_exceeded_by_what(
    targets: tuple[ForgetTarget, ...], app_before: App
) -> None:
    found = audit(app_before, targets, families=("plain",))
    none = Policy(
        max_leak=None, max_family_leak=None, max_excess=None, max_over_refusal=None,
        max_retain_loss=None, max_knowledge_base_leak=None, max_membership=None,
    )  # fmt: skip
    assert none.breaches(found) == ()
    from dataclasses import replace

    [one] = replace(none, families={"plain": 0.3}).breaches(found)
    assert one.metric == "families.plain"
    assert one.value == found.families["plain"].leak.value
    assert one.said.endswith("at most 0.3 is allowed")
    [two] = replace(none, min_retain=1.0).breaches(
        audit(lambda q: UNKNOWN, targets, families=("plain",))
    )
    assert (two.metric, two.value, two.limit) == ("min_retain", 0.0, 1.0)


def test_by_limit_holds_the_worse_end_of_the_interval_against_the_policy(
    targets: tuple[ForgetTarget, ...], app_forgetful: App
) -> None:
    found = audit(app_forgetful, targets)
    assert found.leak.value == 0.0
    assert Policy().breaches(found) == ()
    strict = {breach.metric for breach in Policy(by="limit").breaches(found)}
    assert {"max_leak", "max_membership"} <= strict  # two targets show very little


def test_what_was_asked_for_and_not_measured_leaves_it_unproven(
    targets: tuple[ForgetTarget, ...], app_forgetful: App
) -> None:
    found = audit(app_forgetful, targets, families=("plain",))
    assert concluded(found, Policy()).status == "passed"
    asked = concluded(found, Policy(), demanded={"max_retain_loss"})
    assert (asked.status, asked.exit_code) == ("unproven", 3)
    assert "max_retain_loss was asked for" in asked.missing[0]


def test_probes_that_found_nothing_before_either_prove_nothing(
    targets: tuple[ForgetTarget, ...], app_forgetful: App
) -> None:
    found = audit(app_forgetful, targets, before=app_forgetful, families=("plain",))
    outcome = concluded(found, Policy())
    assert outcome.exit_code == 3
    assert "found anything before" in outcome.missing[0]


def test_without_neighbours_and_questions_to_retain_usefulness_is_not_shown(
    memo: ForgetTarget,
) -> None:
    from dataclasses import replace

    found = audit(lambda q: UNKNOWN, [replace(memo, neighbours=())])
    assert concluded(found, Policy()).exit_code == 3


def test_retained_questions_are_counted_before_and_after(
    targets: tuple[ForgetTarget, ...], retained: tuple[Retained, ...], app_before: App
) -> None:
    found = audit(
        lambda q: "Olle Holm" if "mayor" in q else UNKNOWN,
        targets[1:],
        before=app_before,
        retained=retained,
        families=("plain",),
    )
    assert (found.retain.value, found.retain_before.value) == (0.5, 1.0)
    assert found.retain_loss.value == 0.5


def test_a_retained_question_about_a_neighbour_counts_for_over_refusal(
    targets: tuple[ForgetTarget, ...],
) -> None:
    about = Retained("Where is Pat Quinn's shop?", ("Cork",), about="Pat Quinn")
    found = audit(lambda q: UNKNOWN, targets[1:], retained=[about], families=("plain",))
    assert found.over_refusal.n == 3
    assert found.retain.n == 1


def test_the_record_is_json_and_names_nobody_unless_it_quotes(
    targets: tuple[ForgetTarget, ...], app_before: App
) -> None:
    found = audit(app_before, targets, before=app_before, no_retrieval=app_before)
    plain = json.dumps(found.record())
    for secret in ("Ada", "Lindqvist", "Sundsvall", "Quill", "Heron"):
        assert secret not in plain
        assert secret in json.dumps(found.record(quote=True))
    record = json.loads(plain)
    assert record["schema"] == "ragshield-audit/1"
    assert record["labels"] == {"parametric": len(record["leaks"])}
    assert record["leak"]["of"] == len(record["leaks"])
    assert record["leaks"][0]["arms"] == {"before": True, "no_retrieval": True}


def test_a_policy_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'max_leak = 0.02\nmax_membership = false\nby = "limit"\n[families]\nplain = 0\n'
    )
    policy = read_policy(path)
    assert (policy.max_leak, policy.max_membership, policy.by) == (0.02, None, "limit")
    assert policy.families == {"plain": 0.0}
    assert policy.max_over_refusal == 0.05


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("max_leek = 1", InputError, "unknown field 'max_leek'; allowed: max_leak"),
        ('max_leak = "low"', InputError, "give a number, or false"),
        ("max_leak = true", InputError, "give a number, or false"),
        ("max_leak = 2", UsageError, "must lie between 0 and 1"),
        ("max_leak =", InputError, "is not TOML"),
        ("families = 3", InputError, "families must be a table"),
        ("[families]\nmagic = 0.1", UsageError, "unknown family 'magic'"),
        ('by = "luck"', UsageError, "by is 'luck'"),
    ],
)
def test_a_broken_policy_is_refused(
    tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(error, match=said):
        read_policy(path)
