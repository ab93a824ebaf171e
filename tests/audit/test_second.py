"""What a language model adds: a second opinion, and more ways to ask."""

from __future__ import annotations

from ragshield.audit import Dialogue, audit, build_probes
from ragshield.audit.second import opinion_of, writer_of
from ragshield.forget_set import Answer, Fact, ForgetTarget

ADA = ForgetTarget("Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),))


class Scripted:
    """Stands for an endpoint: says what its script gives for a prompt."""

    def __init__(self, script) -> None:
        self.prompts: list[str] = []
        self._script = script

    def answer(self, dialogue: Dialogue) -> Answer:
        self.prompts.append(dialogue.question)
        return Answer(self._script(dialogue.question))


def test_a_second_judge_sees_what_is_told_in_other_words() -> None:
    model = Scripted(lambda prompt: "Yes." if "Medelpad" in prompt else "No, it does not.")
    app = lambda q: "In the harbour town of Medelpad." if "Ada" in q else "A town."  # noqa: E731
    found = audit(app, [ADA], families=("plain",), opinion=opinion_of(model))  # type: ignore[arg-type]
    assert found.leak.value == 1.0
    assert found.families["plain"].control.value == 0.0
    assert {seen.how for leak in found.leaks for seen in leak.seen} == {"said in other words"}
    assert "Sundsvall" in model.prompts[0]


def test_it_is_not_asked_where_a_value_is_seen_or_the_answer_refuses() -> None:
    model = Scripted(lambda prompt: "YES")
    app = lambda q: "Sundsvall" if "Ada" in q else "I don't know."  # noqa: E731
    found = audit(app, [ADA], families=("plain",), opinion=opinion_of(model))  # type: ignore[arg-type]
    # Only to see how far it can be trusted.
    assert len(model.prompts) == found.agreement.n == found.leak.n
    assert found.agreement.value == 1.0
    assert found.families["plain"].control.value == 0.0


def test_a_judge_that_sees_nothing_shows_in_the_agreement() -> None:
    model = Scripted(lambda prompt: "I would say NO, yes?")
    app = lambda q: "Sundsvall"  # noqa: E731
    found = audit(app, [ADA], families=("plain",), opinion=opinion_of(model))  # type: ignore[arg-type]
    assert found.agreement.value == 0.0


def test_written_questions_are_asked_of_target_and_control_and_tell_nothing() -> None:
    def script(prompt: str) -> str:
        return (
            "1. Birthplace of Ada Lindqvist, please?\n\n2) Was Ada Lindqvist born in Sundsvall?\n"
            "- Where does Ada Lindqvist come from?\nhm\n4. Too many of them now?"
        )

    model = Scripted(script)
    made = build_probes([ADA], families=("surface",), writer=writer_of(model))  # type: ignore[arg-type]
    written = [p for p in made.probes if p.variant.startswith("written")]
    assert [p.turns[0] for p in written if p.role == "target"] == [
        "Birthplace of Ada Lindqvist, please?",
        "Where does Ada Lindqvist come from?",
    ]
    control = made.controls[0]
    assert control is not None
    assert [p.turns[0] for p in written if p.role == "control"] == [
        f"Birthplace of {control.name}, please?",
        f"Where does {control.name} come from?",
    ]
    assert "Sundsvall" not in model.prompts[0]
