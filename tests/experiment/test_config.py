from __future__ import annotations

from pathlib import Path

import pytest

from ragshield import Experiment
from ragshield.errors import InputError, UsageError
from ragshield.records import Spec

MINIMAL = '[[corpus]]\nname = "toy"\n'


def read(tmp_path: Path, text: str) -> Experiment:
    path = tmp_path / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return Experiment.from_toml(path)


def test_a_corpus_is_enough_and_none_is_always_there(tmp_path: Path) -> None:
    experiment = read(tmp_path, MINIMAL)
    assert experiment.corpora == {"toy": Spec("corpus", "toy")}
    assert experiment.attacks == {"none": Spec("attack", "none")}
    assert experiment.defenders == {"none": Spec("defender", "none")}
    assert experiment.reader == Spec("reader", "extractive")
    assert (experiment.k, experiment.seeds, experiment.questions) == (5, (0,), None)
    assert (experiment.encoder, experiment.planted) == ("minilm", "all")


def test_everything_can_be_said(tmp_path: Path) -> None:
    experiment = read(
        tmp_path,
        """
        k = 7
        seeds = [3, 1]
        encoder = "sentence-transformers:models/small"
        reader = "openai:http://localhost:8000/v1#tiny"
        questions = 20
        planted = "own"
        [[corpus]]
        name = "toy"
        label = "small"
        towns = 3
        [[attack]]
        name = "toy"
        n = 4
        [[defender]]
        name = "toy-echo"
        [[defender]]
        name = "none"
        """,
    )
    assert experiment.corpora == {"small": Spec("corpus", "toy", {"towns": 3})}
    assert list(experiment.attacks) == ["none", "toy"]
    assert experiment.attacks["toy"].params == {"n": 4}
    assert list(experiment.defenders) == ["none", "toy-echo"]
    assert experiment.reader == Spec("reader", "openai", {"model": "http://localhost:8000/v1#tiny"})
    assert (experiment.k, experiment.seeds, experiment.questions) == (7, (3, 1), 20)
    assert experiment.encoder == "sentence-transformers:models/small"
    assert experiment.planted == "own"


def test_a_reader_can_have_parameters(tmp_path: Path) -> None:
    text = 'reader = { name = "extractive", min_relevance = 0.5 }\n' + MINIMAL
    assert read(tmp_path, text).reader == Spec("reader", "extractive", {"min_relevance": 0.5})


def test_variants_of_one_plugin_are_told_apart_by_their_parameters(tmp_path: Path) -> None:
    text = MINIMAL + '[[attack]]\nname = "toy"\nn = 1\n[[attack]]\nname = "toy"\nn = 2\n'
    assert list(read(tmp_path, text).attacks) == ["none", "toy (n=1)", "toy (n=2)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k = 0\n" + MINIMAL, "k is 0; it must be an integer of at least 1"),
        ("k = true\n" + MINIMAL, "k is True"),
        ("k = 2.5\n" + MINIMAL, "k is 2.5"),
        ("questions = -1\n" + MINIMAL, "questions is -1"),
        ("seeds = []\n" + MINIMAL, "seeds are \\[\\]; give integers"),
        ("seeds = [1, 1]\n" + MINIMAL, "name each seed once"),
        ("seeds = [-1]\n" + MINIMAL, "seeds are \\[-1\\]"),
        ("seeds = 3\n" + MINIMAL, "seeds is 3; it must be a list"),
        ('planted = "some"\n' + MINIMAL, "planted is 'some'; it must be 'all' or 'own'"),
        ('encoder = "minilmm"\n' + MINIMAL, "unknown encoder 'minilmm'; did you mean 'minilm'"),
        ("encoder = 3\n" + MINIMAL, "encoder is 3; it must be a text"),
        ('reader = "extractor"\n' + MINIMAL, "unknown reader 'extractor'; did you mean"),
        ("reader = {}\n" + MINIMAL, "reader has no name"),
        ("", "no corpus; add \\[\\[corpus\\]\\]"),
        ("corpus = []\n", "at least one corpus"),
        ('corpus = "toy"\n', "'corpus' must be a list of tables; write \\[\\[corpus\\]\\]"),
        ("[[corpus]]\ntowns = 3\n", "\\[\\[corpus\\]\\] number 1 has no name"),
        ('[[corpus]]\nname = "toi"\n', "unknown corpus 'toi'; did you mean 'toy'"),
        (MINIMAL + '[[attack]]\nname = "toyy"\n', "unknown attack 'toyy'; did you mean 'toy'"),
        (MINIMAL + '[[defender]]\nname = "toy-ech"\n', "did you mean 'toy-echo'"),
        (MINIMAL + "[[attack]]\nname = 3\n", "number 1, name is 3"),
        (MINIMAL + '[[attack]]\nname = "toy"\n' * 2, "two attack entries are called 'toy'"),
        (MINIMAL + '[[attack]]\nname = "toy"\nlabel = "none"\n', "the label 'none' is for"),
        ('[[defenders]]\nname = "toy-echo"\n' + MINIMAL, "'defenders'; did you mean 'defender'"),
        ("kk = 3\n" + MINIMAL, "unknown key 'kk'; did you mean 'k'"),
    ],
)
def test_what_is_not_allowed_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "experiment.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_malformed_toml_is_named_with_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not TOML: .*\(at line 2, column \d+\)"):
        read(tmp_path, "k = 5\nseeds = = 3\n")


def test_a_missing_or_undecodable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent\.toml: No such file"):
        Experiment.from_toml(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'encoder = "\xe9"')
    with pytest.raises(InputError, match="not UTF-8"):
        Experiment.from_toml(tmp_path / "latin.toml")


def test_the_shipped_example_is_valid() -> None:
    example = Path(__file__).parents[2] / "examples" / "experiment.toml"
    if not example.is_file():
        pytest.skip("needs the checkout, not only the wheel")
    experiment = Experiment.from_toml(example)
    assert list(experiment.corpora) == ["world"]
    assert next(iter(experiment.attacks)) == "none"
