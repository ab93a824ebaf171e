"""What is asked to be forgotten, however it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragshield.errors import UsageError
from ragshield.forget.plans.records import Scope, Shared
from ragshield.forget.plans.sentence import understood
from ragshield.forget.plans.where import Where

_SHARED: Mapping[Scope, Shared] = {"document": "keep", "subject": "forget", "fact": "forget"}
_FEW_WORDS = 400


@dataclass(frozen=True, slots=True)
class Request:
    """A request: ids, a filter and texts may stand together, a subject stands alone.

    Made by `asked`, which checks it and fills in what was not said.

    Attributes:
        scope: what is meant by the target.
        shared: what becomes of facts that other documents state also.
        ids: passages.
        where: a metadata filter; see `Where`.
        texts: passages or documents by their text; statements where the scope is `fact`.
        document: name of a document: its source, or the last part of it.
        subject: name of somebody or something.
        aliases: its other names.
        exceptions: facts about the subject that are to be kept.
        sentence: the plain sentence that all of this was read from.
        assumed: what was not said and filled in, in words.
    """

    scope: Scope
    shared: Shared
    ids: tuple[str, ...] = ()
    where: Mapping[str, Any] | None = None
    texts: tuple[str, ...] = ()
    document: str | None = None
    subject: str | None = None
    aliases: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    sentence: str | None = None
    assumed: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As it stands in a plan file: what was given, without what was not."""
        found: dict[str, Any] = {
            "sentence": self.sentence,
            "subject": self.subject,
            "aliases": list(self.aliases),
            "exceptions": list(self.exceptions),
            "ids": list(self.ids),
            "where": None if self.where is None else dict(self.where),
            "texts": list(self.texts),
            "document": self.document,
            "assumed": list(self.assumed),
        }
        return {key: value for key, value in found.items() if value}

    def for_others(self) -> Request:
        """The request for another collection, where ids and keys may mean something else."""
        return replace(self, ids=(), where=None)

    def summary(self) -> str:
        """The target in a few words."""
        if self.subject is not None:
            also = f" (also {', '.join(self.aliases)})" if self.aliases else ""
            return f"the subject {self.subject}{also}"
        parts = []
        if self.document is not None:
            parts.append(f"the document {self.document}")
        if self.ids:
            parts.append(f"{len(self.ids)} id{'s' if len(self.ids) > 1 else ''}")
        if self.where is not None:
            parts.append("what matches the filter")
        if self.texts:
            what = "statement" if self.scope == "fact" else "text"
            parts.append(f"{len(self.texts)} {what}{'s' if len(self.texts) > 1 else ''}")
        return " and ".join(parts)


def asked(
    *,
    ids: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    texts: Sequence[str] = (),
    subject: str | None = None,
    aliases: Sequence[str] = (),
    exceptions: Sequence[str] = (),
    sentence: str | None = None,
    scope: Scope | None = None,
    shared: Shared | None = None,
) -> Request:
    """Check a request and fill in its scope and what becomes of shared facts.

    Args:
        ids: passages to forget.
        where: a metadata filter; see `Where`.
        texts: texts to forget, or statements where the scope is `fact`.
        subject: name of who or what to forget.
        aliases: other names of the subject.
        exceptions: facts about the subject to keep.
        sentence: one plain sentence instead of all of these; see `forget.plans.sentence`.
        scope: what is meant; if not given, `subject` with a subject, else `document`.
        shared: what becomes of shared facts; if not given, `keep` with documents, else
            `forget`.

    Raises:
        UsageError: nothing was given, or things that do not go together.
        InputError: the filter is malformed.
    """
    document, fact = None, None
    if sentence is not None:
        if ids is not None or where is not None or texts or subject is not None or exceptions:
            raise UsageError("a sentence says it all: give no ids, filter, text or subject with it")
        meaning = understood(sentence)
        if scope is not None and scope != meaning.scope:
            raise UsageError(
                f"the sentence asks for scope {meaning.scope}, not {scope}; leave the scope out, "
                "or say it otherwise"
            )
        scope, subject, document, fact = (
            meaning.scope,
            meaning.subject,
            meaning.document,
            meaning.fact,
        )
        aliases, exceptions = (*meaning.aliases, *aliases), meaning.exceptions
    texts = tuple(text for text in (*texts, *([fact] if fact else [])) if text.strip())
    _check(ids, where, texts, subject, aliases, exceptions, document)
    assumed = []
    if scope is None:
        scope = "document" if subject is None else "subject"
        assumed.append(f"scope {scope}")
    if scope == "subject" and subject is None:
        raise UsageError("scope subject needs a name: give a subject, or take scope document")
    if scope != "subject" and subject is not None:
        raise UsageError(f"a subject is forgotten in scope subject, not {scope}")
    if scope == "fact" and not texts:
        raise UsageError("scope fact needs the statement: give it as a text")
    for text in texts if scope == "fact" else ():
        if len(text.split()) > _FEW_WORDS:
            raise UsageError(
                f"a statement of {len(text.split())} words is no fact; give one sentence, or take "
                "scope document"
            )
    if shared is None:
        shared = _SHARED[scope]
        if scope != "subject":
            assumed.append(f"shared facts: {shared}")
    return Request(
        scope=scope,
        shared=shared,
        ids=tuple(dict.fromkeys(ids or ())),
        where=where,
        texts=tuple(dict.fromkeys(texts)),
        document=document,
        subject=subject,
        aliases=tuple(dict.fromkeys(aliases)),
        exceptions=tuple(exceptions),
        sentence=sentence,
        assumed=tuple(assumed),
    )


def _check(
    ids: Sequence[str] | None,
    where: Mapping[str, Any] | None,
    texts: Sequence[str],
    subject: str | None,
    aliases: Sequence[str],
    exceptions: Sequence[str],
    document: str | None,
) -> None:
    by_content = ids is not None or where is not None or texts or document is not None
    if subject is None and not by_content:
        raise UsageError(
            "say what to forget: ids, a filter, a text, a subject, or a sentence that does"
        )
    if subject is not None and by_content:
        raise UsageError(
            "say what to forget: either ids, a filter or a text, or a subject; make two requests"
        )
    if ids is not None and not ids and where is None and not texts:
        raise UsageError("no ids given: there is nothing to forget")
    if subject is None and aliases:
        raise UsageError("aliases belong to a subject; give its name")
    if subject is None and exceptions:
        raise UsageError("exceptions belong to a subject; give its name")
    if where is not None:
        Where(where)
