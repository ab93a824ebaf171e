"""Making a plan: what carries the target, what may, and what stands near and stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ragshield import registry
from ragshield.errors import RagshieldError, StoreError, UsageError
from ragshield.forget.artefacts import Place, find
from ragshield.forget.closing import Closed, closed
from ragshield.forget.plan import Elsewhere, ForgetPlan, PlanItem
from ragshield.forget.plan_records import Artefact, Scope, Shared
from ragshield.forget.request import Request, asked
from ragshield.forget.siblings import siblings
from ragshield.forget.survey import Survey
from ragshield.protocols import Cost, Encoder, Recipe, Store
from ragshield.records import Spec
from ragshield.stores.passwords import without_password
from ragshield.stores.url import open_store


def plan_forget(
    store: Store,
    *,
    ids: Sequence[str] | None = None,
    subject: str | None = None,
    aliases: Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
    texts: Sequence[str] = (),
    exceptions: Sequence[str] = (),
    sentence: str | None = None,
    scope: Scope | None = None,
    shared: Shared | None = None,
    also: Sequence[Place] = (),
    elsewhere: bool = True,
    encoder: Encoder | None = None,
    allow_large: bool = False,
    skip_unknown: bool = False,
) -> ForgetPlan:
    """Plan what would be deleted; changes nothing.

    By ids, filter or text: those passages, and what carries the same. By subject: the
    passages that mention the name or an alias, and what carries the same without naming it.
    Copies, nearly literal copies, pieces, further chunks of a document and records made from
    it are selected; paraphrases, initials and last names alone are listed for review and
    stay unless a person selects them.

    The store is read two to five times, in batches; it is never held.

    Deleting does not erase: see `limits` in the plan.

    Args:
        store: an open store; only read.
        ids: passages to forget.
        subject: name of who or what to forget.
        aliases: other names of the subject.
        where: a metadata filter; see `forget.where.Where`.
        texts: texts to forget, or statements where the scope is `fact`.
        exceptions: facts about the subject to keep.
        sentence: one plain sentence instead of all of these; see `forget.sentence`.
        scope: what is meant; if not given, `subject` with a subject, else `document`.
        shared: what becomes of facts that other documents state also; if not given, `keep`
            with documents, else `forget`.
        also: docstores, record managers, parent-document stores and caches to look into.
        elsewhere: look into the other collections of the same store, too.
        encoder: the one that filled the store: finds paraphrases of `texts`.
        allow_large: allow a plan that would delete more than half of the store.
        skip_unknown: leave out ids that the store does not hold, instead of refusing.

    Raises:
        UsageError: nothing to go by was given, or what does not go together; nothing
            matches, or more than half of the store would go.
        InputError: an id that the store does not hold; a malformed filter or artefact.
        StoreError: the store is empty.
    """
    request = asked(
        ids=ids,
        where=where,
        texts=texts,
        subject=subject,
        aliases=aliases,
        exceptions=exceptions,
        sentence=sentence,
        scope=scope,
        shared=shared,
    )
    survey = Survey(request)
    survey.read(store)
    unknown = survey.unknown_ids(store, skip=skip_unknown)
    here = closed(store, request, survey=survey, encoder=encoder)
    notes = [f"assumed, because it was not said: {what}" for what in request.assumed]
    notes += here.notes
    if here.n_shared > len(here.shared):
        notes.append(f"{here.n_shared - len(here.shared)} more shared facts are not listed")
    others, said = _elsewhere(store.url, request, here, encoder) if elsewhere else ((), ())
    notes += said
    artefacts = find(also, request, here)
    items = here.chosen.items()
    _refuse_nothing(store, request, items, others, artefacts)
    n_selected = sum(item.selected for item in items)
    if not allow_large and 2 * n_selected > survey.n:
        raise UsageError(
            f"the plan would delete {n_selected} of {survey.n} passages, more than half of the "
            "store; allow a large plan if that is meant (--allow-large)"
        )
    cost, problem = _cost(store.url, n_selected)
    return ForgetPlan(
        store_url=without_password(store.url),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        subject=request.subject,
        aliases=request.aliases,
        ids=request.ids,
        unknown_ids=unknown,
        n_passages=survey.n,
        items=items,
        at_risk=here.at_risk,
        scope=request.scope,
        shared=request.shared,
        request=request.record(),
        shared_facts=here.shared,
        kept=here.kept,
        elsewhere=others,
        artefacts=artefacts,
        cost=cost,
        notes=(*notes, *([problem] if problem else [])),
    )


def _elsewhere(
    url: str, request: Request, here: Closed, encoder: Encoder | None
) -> tuple[tuple[Elsewhere, ...], tuple[str, ...]]:
    """What other collections of the store hold, and what could not be looked into."""
    found, notes = [], []
    try:
        others = siblings(url)
    except StoreError as error:
        return (), (f"other collections were not looked into: {error}",)
    for other in others:
        try:
            with open_store(other) as store:
                if not store.count():
                    continue
                there = closed(store, request.for_others(), beyond=here.seeds, encoder=encoder)
        except RagshieldError as error:
            notes.append(f"{other} was not looked into: {error}")
            continue
        items = there.chosen.items()
        if items:
            found.append(Elsewhere(without_password(other), there.survey.n, items))
    return tuple(found), tuple(notes)


def _refuse_nothing(
    store: Store,
    request: Request,
    items: Sequence[PlanItem],
    others: Sequence[Elsewhere],
    artefacts: Sequence[Artefact],
) -> None:
    if items or others or artefacts:
        return
    if request.subject is not None:
        raise UsageError(f"no passage of {store.url} mentions '{request.subject}'; nothing planned")
    raise UsageError(
        f"nothing in {store.url} carries {request.summary()}; nothing planned: check the "
        "spelling, or the filter's keys and values"
    )


def _cost(url: str, n: int) -> tuple[Cost | None, str | None]:
    """What the purge takes by the store's own recipe, or why that is not known."""
    scheme = url.partition(":")[0]
    if scheme not in registry.names("recipe"):
        return None, None
    try:
        recipe: Recipe = registry.build(Spec("recipe", scheme))
        return recipe.cost(url, n), None
    except RagshieldError as error:
        return None, f"time and disk of the purge are not known: {error}"
