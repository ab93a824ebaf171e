# ruff: noqa: RUF001 - other scripts are what is tested here
from __future__ import annotations

import time

import numpy as np
import pytest

from ragshield.findings import without_quotes
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.token_soup import TokenSoup, worst_run
from ragshield.screens.whole import judge_snapshot
from ragshield.snapshot.memory import MemorySnapshot

SOUP = (
    "grit nationwide folklore bryan paso dexter musical vorgan basilenberg nonhra mixer "
    "handling rani street dubbed suenity labelled"
)
FACT = "The mill at Brackwater was built by Per Lund in 1844 and it still stands by the river."


def judge(text: str) -> Finding | None:
    found = TokenSoup().screen(Batch((Passage("p", text),), None))
    return found[0] if found else None


@pytest.mark.parametrize(
    "text",
    [
        f"{SOUP} {FACT}",
        f"{FACT} {SOUP}",
        f"Who built the mill? {SOUP}",
        f"##overs 451 ##entes student mixer partridge balancing sansgarh rags fable {FACT}",
        SOUP.replace(" rani ", " \u201c "),
    ],
)
def test_a_run_of_tokens_is_dropped_wherever_it_stands(text: str) -> None:
    finding = judge(text)
    assert finding is not None
    assert finding.suspicion is not None
    assert finding.suspicion >= 0.5
    assert finding.action is Action.DROP


def test_the_run_itself_is_pointed_at() -> None:
    text = f"{FACT} {SOUP}. {FACT}"
    run = worst_run(text)
    # The run may begin a word or two early, in what precedes it.
    assert text[run.start : run.end].endswith("suenity labelled")
    assert run.end - run.start <= len(SOUP) + 12
    finding = judge(text)
    assert finding is not None
    assert "grit nationwide" in finding.reason
    assert "grit" not in without_quotes(finding.reason)


def test_marks_of_a_tokenizer_are_counted_and_headings_are_not() -> None:
    assert worst_run("##overs and ##kin").n_pieces == 2
    assert worst_run("## Overs\n##Kin\n#include\nA##B").n_pieces == 0


def test_longer_runs_mean_more() -> None:
    words = SOUP.split()
    lengths = [worst_run(" ".join(words[:n])).length for n in (4, 8, 12, 16)]
    assert lengths == [4.0, 8.0, 12.0, 16.0]


@pytest.mark.parametrize(
    "text",
    [
        FACT,
        "def fold(word: str) -> str:\n    value = table[word]\n    return value.lower().strip()",
        "| Year | Competition | Venue | Position |\n| 1994 | Holm Games | Lund, Sweden | 6th |",
        "Home\nNews\nDownloads\nForum\nContact\nImprint\nArchive\nSearch\nHelp\nLogin\nTerms",
        "usage: prog [-h] [--output FILE] [--verbose] [--threads N] input [input ...]",
        "Die Mühle am Fluss wurde von Per Lund gebaut und steht dort noch heute.",
        "Młyn nad rzeką został zbudowany przez Pera Lunda i stoi do dziś obok mostu.",
        "Nehrin kıyısındaki değirmen bir asır önce yapılmış ve bugün hâlâ ayakta duruyor.",
        "Cối xay gió bên bờ sông được xây dựng từ thế kỷ trước và vẫn còn đứng vững.",
        "川沿いの水車小屋は百年前に建てられ、今も残っています。",
        "बनाई गई मिल आज भी नदी के किनारे खड़ी है और लोग उसे देखने आते हैं।",
        "المطحنة على ضفة النهر بنيت قبل قرن من الزمان وما زالت قائمة حتى اليوم.",
        "🙂 " * 200,
        "─" * 500,
        "https://example.org/a/b/c?x=1&y=2 https://example.org/d/e/f",
        "",
    ],
)
def test_honest_text_code_tables_and_other_languages_are_quiet(text: str) -> None:
    finding = judge(text)
    assert finding is None or (finding.suspicion or 0) < 0.5


def test_random_words_of_any_alphabet_size_are_found() -> None:
    rng = np.random.default_rng(4)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish", "ock", "per"]
    texts = [
        " ".join("".join(rng.choice(syllables, 3)) for _ in range(24)) + f" {FACT}"
        for _ in range(50)
    ]
    texts += [f"{FACT} This is passage {i} of the book about it." for i in range(500)]
    found = TokenSoup().screen(Batch(tuple(Passage(str(i), t) for i, t in enumerate(texts)), None))
    assert sum((f.suspicion or 0) >= 0.9 for f in found) == 50


def test_where_every_passage_is_a_word_list_none_is_accused() -> None:
    rng = np.random.default_rng(4)
    words = sorted(
        {f"{a}{b}{c}" for a in "bdfk" for b in ("ar", "el") for c in ("mi", "to", "sun")}
    )
    texts = [" ".join(rng.permutation(words)[:14]) for _ in range(60)]
    batch = Batch(tuple(Passage(str(i), t) for i, t in enumerate(texts)), None)
    assert all((f.suspicion or 0) < 0.5 for f in TokenSoup().screen(batch))
    few = Batch(batch.passages[:3], None)
    assert all((f.suspicion or 0) >= 0.5 for f in TokenSoup().screen(few))


def test_the_same_store_gives_the_same_findings_however_it_is_cut() -> None:
    texts = [f"{FACT} {i}" for i in range(60)] + [f"{SOUP} {FACT}", f"{FACT} {SOUP}"]
    batch = Batch(tuple(Passage(str(i), t) for i, t in enumerate(texts)), None)
    whole, cut = MemorySnapshot(batch), MemorySnapshot(batch, n_parts=7)
    found = [judge_snapshot(TokenSoup(), snapshot) for snapshot in (whole, cut)]
    assert found[0] == found[1]
    assert [f.passage_id for f in found[0]] == ["60", "61"]


@pytest.mark.parametrize("seed", ["a", "ab ", "the ", "##a", "x'", "\u00e9 ", "\n", " ", "\u201c "])
def test_two_megabytes_take_a_moment(seed: str) -> None:
    started = time.perf_counter()
    judge(seed * (2_000_000 // len(seed)))
    assert time.perf_counter() - started < 3


def test_a_menu_that_stands_on_many_pages_counts_less() -> None:
    pages = [Passage(f"m{i}", f"Page {i}. {SOUP}. {FACT}") for i in range(12)]
    alone = Passage("p", f"{FACT} {' '.join(reversed(SOUP.split()))}")
    plain = [Passage(f"q{i}", FACT) for i in range(80)]
    found = {
        f.passage_id: f.suspicion or 0.0
        for f in TokenSoup().screen(Batch((*pages, alone, *plain), None))
    }
    assert found["p"] > 0.6
    assert max(found.get(f"m{i}", 0.0) for i in range(12)) < 0.7 * found["p"]
