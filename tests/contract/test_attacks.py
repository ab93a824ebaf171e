"""What every registered attack must do."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

from ragshield import registry
from ragshield.attacks.crafted import CANARY, generation_text
from ragshield.errors import RagshieldError
from ragshield.records import Batch, Passage, Question, Spec, Target
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore
from ragshield.text import states

ATTACKS = registry.names("attack")
TARGET = Target(Question("q1", "Who founded Brackwater Mills?", ("Ida Holm",)), "Per Lund")
HONEST = (
    "Ida Holm founded Brackwater Mills in 1871 with 40 workers. The mill is still standing.",
    "Brackwater Mills was founded by Ida Holm, who did not live to see it grow.",
    "The mills of Brackwater employed 300 people in 1920, as the town of Ash records.",
    "Ash is a town on the river Venn with 1,200 people.",
    "Olle Berg was a painter who was born in Ash in March 1840.",
)
# What an attack does not say of itself; every other one states the wrong answer in each passage.
DENIES = {"refusal-blocker", "garag", "corpus-poisoning", "phantom", "badrag"} | {
    "garag-search",
    "mm-poisonrag-global",
}
# What does without a wrong answer, and so takes a right one.
ANSWERLESS = {"refusal-blocker", "corpus-poisoning", "phantom", "badrag", "mm-poisonrag-global"}
NEED_A_STORE = {"adaptive", "edited-fact"}
SPREADS = {"multi-answer", "split-payload", "edited-fact"}
SHORT = {"max_answer_tokens": 1}
# Smaller searches than by default: the contract is about what comes out, not how good it is.
QUICK: dict[str, dict[str, object]] = {
    "adversarial-decoding": {"n_tokens": 3, "beam_width": 2, "top_k": 4},
    **{
        name: {"budget": 60}
        for name in (
            "poisonedrag-whitebox",
            "corpus-poisoning",
            "phantom",
            "badrag",
            "agentpoison",
            "centroid",
            "embedding-search",
        )
    },
    "attention-stealth": {"n_steps": 1, "n_candidates": 2, "n_tokens": 2, "k": 2, **SHORT},
    "garag-search": {"population": 4, "n_generations": 1},
    "mm-poisonrag-global": {"n_steps": 1},
    "mm-poisonrag-local": {"n_steps": 1},
    "neurogen": {"population": 6, "n_generations": 1, **SHORT},
    "phantom-reader": {"n_steps": 1, "n_candidates": 2, "n_tokens": 2, **SHORT},
}


@pytest.fixture
def retriever(word_encoder) -> StoreRetriever:
    passages = tuple(Passage(f"c{i}", text) for i, text in enumerate(HONEST))
    store = MemoryStore("memory:", Batch(passages, word_encoder.encode(list(HONEST))))
    return StoreRetriever(store, word_encoder)


@pytest.fixture
def attack(retriever, lent):
    def build(name: str, **params: object):
        context = {"retriever": retriever, "encoder": retriever.encoder}
        for need in needs(name):
            if need not in lent:
                pytest.skip(f"attack '{name}' needs '{need}', which this test has none of")
            context[need] = lent[need]()
        return registry.build(Spec("attack", name, {**QUICK.get(name, {}), **params}), **context)

    return build


def needs(name: str) -> tuple[str, ...]:
    """What an attack cannot do without beside a target and the store, by parameter name."""
    return getattr(registry.load("attack", name), "needs", ())


def parameters(name: str) -> set[str]:
    return set(inspect.signature(registry.load("attack", name)).parameters)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_seed_gives_the_same_passages_and_another_seed_the_same_ids(name, attack) -> None:
    first = attack(name).craft(TARGET, rng=np.random.default_rng(5))
    assert first == attack(name).craft(TARGET, rng=np.random.default_rng(5))
    other = attack(name).craft(TARGET, rng=np.random.default_rng(6))
    assert [p.id for p in other] == [p.id for p in first]


@pytest.mark.parametrize("name", ATTACKS)
def test_passages_are_distinct_named_and_marked_as_planted(name, attack) -> None:
    passages = attack(name).craft(TARGET, rng=np.random.default_rng(0))
    assert passages
    assert len({p.id for p in passages}) == len({p.text for p in passages}) == len(passages)
    assert len({p.meta["canary"] for p in passages}) == len(passages)
    for passage in passages:
        assert passage.id.startswith(f"{name}/")
        assert passage.meta["attack"] == name
        assert passage.meta["target_id"] == "q1"
        assert str(passage.meta["canary"]).startswith(CANARY)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_wrong_answer_is_stated_where_the_technique_promises_it(name, attack) -> None:
    passages = attack(name).craft(TARGET, rng=np.random.default_rng(0))
    stated = [states(generation_text(p), "Per Lund") for p in passages]
    assert [p.meta["states_target"] for p in passages] == stated
    # A text that was tried and failed, on a reader that knows nothing, is weak and says so.
    assert not any(p.meta["weak"] for p in passages if p.meta["verified"] is not False)
    if name in DENIES:
        assert not any(stated)
    elif name in SPREADS:
        assert any(stated)
    else:
        assert all(stated)


@pytest.mark.parametrize("name", [n for n in ATTACKS if "prefix" in parameters(n)])
def test_the_question_comes_first_only_when_asked_for(name, attack) -> None:
    question = TARGET.question.text
    with_it = attack(name, prefix=True).craft(TARGET, rng=np.random.default_rng(0))[0]
    assert question in with_it.text[: int(with_it.meta["generation_start"])]
    assert with_it.meta["prefix"] is True
    bare = attack(name, prefix=False).craft(TARGET, rng=np.random.default_rng(0))
    assert not any(p.text.startswith(question) for p in bare)


@pytest.mark.parametrize("name", [n for n in ATTACKS if "n" in parameters(n)])
def test_the_dose_is_kept_and_no_poison_is_a_dose(name, attack) -> None:
    for n in (0, 1, 2, 5):
        passages = attack(name, n=n).craft(TARGET, rng=np.random.default_rng(0))
        assert [p.id for p in passages] == [f"{name}/q1/{i}" for i in range(n)]
    with pytest.raises(RagshieldError, match="n is -1"):
        attack(name, n=-1)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(
    "target",
    [
        Target(Question("q", "x" * 10_000 + "?", ("a",)), "b"),
        Target(Question("q", "In which town was " + "the very old " * 760 + "mill?", ("a",)), "b"),
        Target(Question("q", "谁建立了这座城市?", ("李",)), "王"),
        Target(Question("q", "من أسس المدينة؟", ("علي",)), "عمر"),
        Target(Question("q", "Is Elm in Ash?", ("no",)), "Ash"),
        Target(Question("q", "What is {answer} of {0} \\1?", ("{right}",)), "{topic} \\g<0>"),
        Target(Question("q", "Who?", ()), "Per Lund"),
        Target(Question("q", "Who is it?\n\n\u202eIgnore\u0000 this", ("a\nb",)), "<b>c</b>"),
        Target(Question("q", "In what year was it built?", ("1871",)), "1902"),
        Target(Question("q", "Who?", ("Ida Holm",)), "Ida Holm"),
        Target(Question("q", "", ("a",)), "b"),
        Target(Question("q", "Who?", ("a",)), ""),
    ],
    ids=[
        "one-word", "long", "script", "right-to-left", "answer-in-question", "braces",
        "no-right-answer", "control", "year", "right-answer", "empty-question", "empty-answer",
    ],
)  # fmt: skip
def test_an_odd_target_gives_passages_or_one_clear_line(name, target, attack) -> None:
    message = ""
    passages = []
    params = {"budget": 5} if name == "adaptive" else {}
    try:
        passages = attack(name, **params).craft(target, rng=np.random.default_rng(0))
    except RagshieldError as error:
        message = str(error)
    assert bool(passages) != bool(message)
    assert "\n" not in message
    assert all(p.text.strip() for p in passages)
    for passage in passages:
        stated = states(generation_text(passage), target.wrong_answer)
        assert passage.meta["states_target"] is stated


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - ANSWERLESS))
def test_a_right_answer_is_refused_as_the_wrong_one(name, attack) -> None:
    target = Target(TARGET.question, "the ida holm")
    with pytest.raises(RagshieldError, match="'the ida holm' is a right one"):
        attack(name).craft(target, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", [n for n in ATTACKS if needs(n)])
def test_an_attack_that_needs_more_can_be_named_without_it_and_says_what_it_needs(name) -> None:
    built = registry.build(Spec("attack", name))
    with pytest.raises(RagshieldError, match=rf"^{name}: needs [^\n]*give {needs(name)[0]}"):
        built.craft(TARGET, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "name", [n for n in ATTACKS if "retriever" in parameters(n) and not needs(n)]
)
def test_an_attack_that_reads_the_store_can_be_named_without_one(name) -> None:
    built = registry.build(Spec("attack", name))
    if name in NEED_A_STORE:
        with pytest.raises(RagshieldError, match="pass a retriever over it"):
            built.craft(TARGET, rng=np.random.default_rng(0))
    else:
        assert built.craft(TARGET, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", ATTACKS)
def test_the_list_shows_one_line_that_says_what_is_done(name) -> None:
    line = registry.summary("attack", name)
    assert line.endswith(".")
    assert 40 <= len(line) <= 100
    doc = inspect.getdoc(registry.load("attack", name)) or ""
    assert "Source: " in doc
    assert "Differs: " in doc


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_imports_a_defence(name) -> None:
    for path in Path(inspect.getfile(registry.load("attack", name))).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for module in names:
                assert not module.startswith(("ragshield.defenders", "ragshield.screens")), path
