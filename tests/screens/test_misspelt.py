from __future__ import annotations

import pytest

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.misspelt import Misspelt

PLAIN = (
    "The harbour of Brackwater was enlarged last summer, and several larger vessels of the "
    "company have called there since, bringing timber and carrying machines to the northern market."
)
BROKEN = (
    "The harbuor of Brackwater was enlarged last sumer, and sevreal larger vesssels of the "
    "comapny have called there since, brignging timber and carying machimes to the nothern market."
)


def screen(*texts: str) -> list[Finding]:
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    return Misspelt().screen(Batch(passages, None))


def test_letters_swapped_doubled_dropped_and_changed_are_seen() -> None:
    (finding,) = screen(PLAIN, BROKEN)
    assert finding.passage_id == "p1"
    assert finding.suspicion is not None
    assert finding.suspicion > 0.85
    assert finding.action is Action.DROP
    assert {"harbuor", "comapny", "sevreal", "machimes"} <= set(finding.evidence["misspelt"])
    assert "harbuor" in finding.reason


def test_a_slip_or_two_in_a_long_text_are_a_persons() -> None:
    assert (
        screen(PLAIN + " " + PLAIN.replace("company", "comapny").replace("several", "sevreal"))
        == []
    )


def test_british_and_american_spelling_and_inflections_are_no_slips() -> None:
    text = (
        "The analyser recognised the behaviour of colourings, labelled the neighbouring centres, "
        "organised catalogues and criticised unworkable, mislabelled favourites of travellers."
    )
    assert screen(text) == []


def test_another_language_and_words_in_brackets_are_left_alone() -> None:
    german = (
        "Der Hafen wurde im Sommer ausgebaggert und die Schiffe der Gesellschaft laden dort "
        "seither Holz und bringen es zu den Orten an dem Fluss, wo es nicht mehr regnet."
    )
    etymology = f"{PLAIN} [OE. harbour, herberwe, herberge; cf. shipp, companye, rivere, tymber]"
    assert screen(german, etymology) == []


def test_names_paths_and_identifiers_are_not_words() -> None:
    text = (
        "Call libary.comapny_sevreal(harbuor=1) or see /usr/shrae/libary and --comapny; then the "
        "server of the company answers Comapny Sevreal and returns a list of harbours."
    )
    assert screen(text) == []


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="drop_from is 0"):
        Misspelt(drop_from=0)
