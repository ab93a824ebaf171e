"""ROUGE-L and the stemmer, against plain implementations and recorded values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragshield.defenders.porter import stem
from ragshield.defenders.rouge import lcs_lengths, rouge_l, rouge_tokens


def plain_lcs(left: list[str], right: list[str]) -> int:
    row = [0] * (len(right) + 1)
    for a in left:
        before = row
        row = [0]
        for j, b in enumerate(right):
            row.append(before[j] + 1 if a == b else max(before[j + 1], row[j]))
    return row[-1]


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=40), max_size=6))
def test_bit_parallel_subsequences_are_as_long_as_the_plain_ones(sequences) -> None:
    found = lcs_lengths(sequences)
    expected = [[plain_lcs(a, b) for b in sequences] for a in sequences]
    assert found.tolist() == expected


@pytest.mark.parametrize("length", [7, 8, 9, 63, 64, 65, 500])
def test_lengths_at_byte_and_word_borders_do_not_spill_into_the_next_text(length: int) -> None:
    rng = np.random.default_rng(length)
    sequences = [rng.choice(list("ab"), size=length).tolist() for _ in range(4)]
    sequences[1] = ["a"] * length  # all ones: every addition carries
    expected = [[plain_lcs(a, b) for b in sequences] for a in sequences]
    assert lcs_lengths(sequences).tolist() == expected


def test_f_is_the_harmonic_mean_worked_out_by_hand() -> None:
    # "the cat on mat" is common: 4 of 6 and 4 of 5 words, F = 2 * 4 / 11.
    found = rouge_l(["The cat sat on the mat.", "the cat: ON a mat", "", "?!", "dogs"])
    assert found[0, 1] == pytest.approx(8 / 11)
    assert found[1, 0] == found[0, 1]
    assert found[0, 0] == 1
    assert found[2:4].tolist() == [[0.0] * 5] * 2
    assert found[4, :4].tolist() == [0.0] * 4


def test_words_of_more_than_three_letters_are_stemmed_and_accents_split_them() -> None:
    assert rouge_tokens("His skies were Running; the café, 1990s") == [
        "his", "sky", "were", "run", "the", "caf", "1990",
    ]  # fmt: skip


# Recorded from nltk.stem.porter.PorterStemmer (nltk 3.10).
STEMS = """caresses>caress ponies>poni ties>tie cats>cat feed>feed agreed>agre plastered>plaster
bled>bled motoring>motor sing>sing conflated>conflat troubled>troubl sized>size hopping>hop
tanned>tan falling>fall hissing>hiss fizzed>fizz failing>fail filing>file happy>happi enjoy>enjoy
spied>spi died>die fly>fli relational>relat conditional>condit rational>ration digitizer>digit
radically>radic vietnamization>vietnam predication>predic operator>oper hopefulness>hope
formality>formal sensibility>sensibl hopefully>hope biology>biolog geologist>geologist
triplicate>triplic formative>form electrical>electr goodness>good revival>reviv allowance>allow
airliner>airlin adjustable>adjust replacement>replac adoption>adopt communism>commun
effective>effect bowdlerize>bowdler probate>probat rate>rate cease>ceas controlling>control
roll>roll news>news dying>die skies>sky proceed>proceed yyyy>yyyi ion>ion as>as"""


@pytest.mark.parametrize("pair", STEMS.split())
def test_stems_are_those_of_nltk(pair: str) -> None:
    word, expected = pair.split(">")
    assert stem(word) == expected
