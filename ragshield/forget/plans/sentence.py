"""One plain sentence that says what to forget, read by a few rules; nothing is guessed.

    forget everything about NAME [(also known as ALIAS, ALIAS)] [except that FACT [and that FACT]]
    forget that FACT
    forget the document NAME

`delete`, `erase` and `remove` mean the same as `forget`. A name of several words that holds
"and", "or" or a comma is written in quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ragshield.errors import UsageError
from ragshield.forget.plans.records import Scope

FORMS = (
    "write it as 'forget everything about NAME', 'forget everything about NAME except that "
    "FACT', 'forget that FACT' or 'forget the document NAME'"
)

_VERB = r"(?:please\s+)?(?:forget|erase|delete|remove)\s+"
_ABOUT = re.compile(
    _VERB + r"(?:everything|anything|all(?:\s+(?:that\s+is\s+known|the\s+\w+|\w+))?|whatever|what)"
    r"(?:\s+(?:that\s+)?(?:you|we)\s+(?:know|have))?"
    r"\s+(?:about|on|concerning|regarding|of)\s+(?P<rest>.+)",
    re.I | re.S,
)
_FACT = re.compile(_VERB + r"(?:the\s+fact\s+)?that\s+(?P<fact>.+)", re.I | re.S)
_DOCUMENT = re.compile(
    _VERB + r"(?:the\s+)?(?:document|file|source|page)\s+(?P<name>.+)", re.I | re.S
)
_EXCEPT = re.compile(
    r"[,;]?\s+(?:except|but\s+not|other\s+than|apart\s+from)(?:\s+for)?(?:\s+(?P<rest>.+)|$)",
    re.I | re.S,
)
_NEXT = re.compile(r"\s*[,;]?\s+and\s+that\s+|\s*;\s*(?:and\s+)?(?:that\s+)?", re.I)
_ALIASES = re.compile(
    r"\s*[,(]?\s*(?:who\s+is\s+)?(?:also\s+(?:known\s+as|called)|a\.?k\.?a\.?|alias)\s+(?P<rest>.+)",
    re.I | re.S,
)
_JOINED = re.compile(r"\s(?:and|or)\s|,|;", re.I)
_QUOTES = ('"', "'", "\u201c\u201d", "\u2018\u2019")
_UNREAD = re.compile(
    r"\b(?:except|excluding|unless|without|but|if|when|what|who|which|that)\b", re.I
)
_NO_NAMES = frozenset(
    "i me my mine you your he him his she her hers it its they them their we us our this that "
    "these those everyone everybody someone somebody anyone anything something".split()
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a sentence asks for.

    Attributes:
        scope: what is meant by the target.
        subject: whom or what to forget everything about; None in other forms.
        aliases: other names it gives.
        exceptions: facts to keep, in the words of the sentence.
        fact: the statement to forget; None in other forms.
        document: name of the document to forget; None in other forms.
    """

    scope: Scope
    subject: str | None = None
    aliases: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    fact: str | None = None
    document: str | None = None


def understood(sentence: str) -> Meaning:
    """Read a request.

    Raises:
        UsageError: it has none of the forms above, names nobody, or may name two.
    """
    plain = " ".join(sentence.split()).rstrip(".!").strip()
    if found := _ABOUT.fullmatch(plain):
        return _about(found["rest"], sentence)
    if found := _FACT.fullmatch(plain):
        if _EXCEPT.search(found["fact"]):
            raise _refused(sentence, "an exception needs 'everything about'")
        return Meaning("fact", fact=found["fact"].strip())
    if found := _DOCUMENT.fullmatch(plain):
        if _EXCEPT.search(found["name"]):
            raise _refused(sentence, "an exception needs 'everything about'")
        return Meaning("document", document=_unquoted(found["name"].strip()))
    raise _refused(sentence, "it has none of the forms that are read")


def _about(rest: str, sentence: str) -> Meaning:
    name = rest
    exceptions: tuple[str, ...] = ()
    if found := _EXCEPT.search(rest):
        name, exceptions = rest[: found.start()], _exceptions(found["rest"] or "", sentence)
    aliases: tuple[str, ...] = ()
    if found := _ALIASES.search(name):
        parts = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s+or\s+", found["rest"].rstrip(") "))
        aliases = tuple(_name(part, sentence) for part in parts if part.strip())
        name = name[: found.start()]
    return Meaning("subject", _name(name, sentence), aliases, exceptions)


def _exceptions(rest: str, sentence: str) -> tuple[str, ...]:
    rest = re.sub(r"^(?:the\s+fact\s+)?that\b\s*", "", rest.strip(), flags=re.I)
    parts = tuple(part.strip(" ,") for part in _NEXT.split(rest))
    if not all(re.search(r"\w{3,}", part) for part in parts):
        raise _refused(sentence, "it says 'except', but not what to keep")
    return parts


def _name(given: str, sentence: str) -> str:
    given = given.strip(" ,(")
    plain = _unquoted(given)
    if not re.search(r"\w", plain):
        raise _refused(sentence, "it names nobody and nothing")
    if plain.lower() in _NO_NAMES:
        raise _refused(sentence, f"'{plain}' is no name")
    if plain != given:
        return plain
    if found := _UNREAD.search(given):
        why = f"'{found.group()}' in '{given:.60}' is not understood; put a name in quotes"
        raise _refused(sentence, why)
    if found := re.search(r"\w['\u2019]s\s", given):
        raise _refused(sentence, f"'{given:.60}' is one side of something; say 'forget that FACT'")
    if plain == plain.lower() and plain.upper() != plain:
        raise _refused(sentence, f"'{given:.60}' is not written as a name; put it in quotes")
    if _JOINED.search(given):
        raise _refused(
            sentence,
            f"'{given}' may name two; make a request for each, or put one name in quotes",
        )
    if len(given.split()) > 8:
        raise _refused(sentence, f"'{given:.60}' is long for a name; put it in quotes")
    return plain


def _unquoted(given: str) -> str:
    for pair in _QUOTES:
        if len(given) > 2 and given[0] == pair[0] and given[-1] == pair[-1]:
            return given[1:-1].strip()
    return given


def _refused(sentence: str, why: str) -> UsageError:
    shown = " ".join(sentence.split())
    return UsageError(f"cannot read the request '{shown:.120}': {why}; {FORMS}")
