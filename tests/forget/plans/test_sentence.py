from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.forget.plans.sentence import Meaning, understood


@pytest.mark.parametrize(
    ("sentence", "meaning"),
    [
        ("forget everything about Ada Example", Meaning("subject", "Ada Example")),
        (
            "Forget everything about Ada Example except that she worked here.",
            Meaning("subject", "Ada Example", (), ("she worked here",)),
        ),
        (
            "please delete all information about Ada Example, also known as the Rope Queen and "
            "A. E., except that she worked here and that she was born in 1800",
            Meaning(
                "subject",
                "Ada Example",
                ("the Rope Queen", "A. E."),
                ("she worked here", "she was born in 1800"),
            ),
        ),
        ('erase everything on "Smith and Sons"', Meaning("subject", "Smith and Sons")),
        (
            "forget what you know about Ada but not that she sang",
            Meaning("subject", "Ada", (), ("she sang",)),
        ),
        ("remove everything about Save the Children", Meaning("subject", "Save the Children")),
        ("forget that Ada lives in Tannow", Meaning("fact", fact="Ada lives in Tannow")),
        ("forget the document 'a b.pdf'", Meaning("document", document="a b.pdf")),
    ],
)
def test_what_is_understood(sentence: str, meaning: Meaning) -> None:
    assert understood(sentence) == meaning


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("make tea", "none of the forms"),
        ("forget her", "none of the forms"),
        ("forget everything about her", "'her' is no name"),
        ("forget everything about Ada and Bror", "may name two"),
        ("forget everything about Ada except", "not what to keep"),
        ("forget everything about Ada unless she sang", "'unless' in .* is not understood"),
        ("forget everything about Ada Example's salary", "one side of something"),
        ("forget everything about ada", "not written as a name"),
        ("forget that Ada sang except on Sundays", "an exception needs"),
        ("forget everything about 'x' except that", "not what to keep"),
        ("forget everything about Ab Cd Ef Gh Ij Kl Mn Op Qr", "long for a name"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_line(sentence: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        understood(sentence)
    assert "\n" not in str(raised.value)
    assert "write it as 'forget everything about NAME'" in str(raised.value)
