from __future__ import annotations

import numpy as np

from ragshield.attacks.typos import with_typos

TEXT = "The founder of Brackwater Mills was Ida Holm, according to several careful records."


def test_the_rate_is_the_share_of_long_words_that_change() -> None:
    long_words = [w for w in TEXT.replace(",", "").replace(".", "").split() if len(w) >= 4]
    for rate, n in ((0.0, 0), (0.01, 1), (0.5, 4), (1.0, 7)):
        changed = with_typos(TEXT, ["Ida Holm"], np.random.default_rng(1), rate=rate)
        differing = [a for a, b in zip(TEXT.split(), changed.split(), strict=True) if a != b]
        assert len(differing) == n
        assert all(word.strip(",.") in long_words for word in differing)


def test_kept_phrases_stay_whatever_their_case_and_blanks() -> None:
    for seed in range(30):
        changed = with_typos(
            TEXT, ["ida  holm", "brackwater mills"], np.random.default_rng(seed), rate=1.0
        )
        assert "Brackwater Mills" in changed
        assert "Ida Holm" in changed


def test_a_typing_error_changes_a_word_by_at_most_two_letters_of_length() -> None:
    for seed in range(50):
        changed = with_typos("considerable", [], np.random.default_rng(seed), rate=1.0)
        assert changed != "considerable"
        assert changed[0] == "c"
        assert abs(len(changed) - len("considerable")) <= 1


def test_a_text_without_letters_stays_as_it_is() -> None:
    assert with_typos("1, 2; 3!", [], np.random.default_rng(0), rate=1.0) == "1, 2; 3!"
    assert with_typos("", [], np.random.default_rng(0), rate=1.0) == ""
