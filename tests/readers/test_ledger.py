from __future__ import annotations

from pathlib import Path

import pytest

from ragshield.errors import InputError
from ragshield.readers.ledger import Ledger, Usage, Written, parts


def test_what_was_asked_is_known_and_counted() -> None:
    ledger = Ledger("m")
    ledger.keep("a", Written("A", 3, 1))
    ledger.keep("b", Written("B"))
    assert ledger.known(["b", "c", "a", "a"]) == {"a": "A", "b": "B"}
    assert ledger.usage == Usage(n_asked=2, n_kept=2, n_tokens_in=3, n_tokens_out=1, n_untold=1)


def test_the_least_lately_used_answer_is_forgotten_first() -> None:
    ledger = Ledger("m", n_kept=2)
    for prompt in "ab":
        ledger.keep(prompt, Written(prompt))
    ledger.known(["a"])
    ledger.keep("c", Written("c"))
    assert ledger.known("abc") == {"a": "a", "c": "c"}


def test_without_room_nothing_is_kept() -> None:
    ledger = Ledger("m", n_kept=0)
    ledger.keep("a", Written("A"))
    assert ledger.known(["a"]) == {}
    with pytest.raises(ValueError, match="n_kept is -1"):
        Ledger("m", n_kept=-1)


def test_a_file_keeps_answers_between_runs_for_each_model(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.sqlite"
    Ledger("m", cache=path).keep("secret prompt", Written("A"))
    assert Ledger("m", cache=path, n_kept=0).known(["secret prompt"]) == {"secret prompt": "A"}
    assert Ledger("other", cache=path).known(["secret prompt"]) == {}
    assert b"secret prompt" not in b"".join(p.read_bytes() for p in path.parent.iterdir())


@pytest.mark.parametrize("data", [b"no database at all, but long enough to be looked at" * 30])
def test_another_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is no cache of answers"):
        Ledger("m", cache=path)


def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "answers.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE answers (other TEXT)")
    with pytest.raises(InputError, match="is no cache of answers"):
        Ledger("m", cache=path)


def test_each_new_prompt_is_asked_once_and_short_ones_first() -> None:
    asked = list(parts(["ccc", None, "b", "aa", "b", "d"], {"d": "D"}, 2))
    assert asked == [["b", "aa"], ["ccc"]]


def test_many_threads_count_right() -> None:
    from concurrent.futures import ThreadPoolExecutor

    ledger = Ledger("m", n_kept=10)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ledger.keep(str(i), Written("x", 1, 2)), range(400)))
        list(pool.map(lambda _: ledger.count_retry(), range(100)))
    assert ledger.usage == Usage(400, 0, 100, 400, 800, 0)
