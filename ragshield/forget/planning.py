"""Making a plan: what carries the target, what may, and what stands near and stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from ragshield import registry
from ragshield.errors import RagshieldError, StoreError, UsageError
from ragshield.forget.artefacts.places import Place, find
from ragshield.forget.closure.closing import Closed, closed
from ragshield.forget.closure.seeds import Seeds
from ragshield.forget.closure.siblings import siblings
from ragshield.forget.closure.survey import Overview, Survey
from ragshield.forget.matching.reading import Looks, numbered, together
from ragshield.forget.plans.records import Artefact, Elsewhere, ForgetPlan, PlanItem, Scope, Shared
from ragshield.forget.plans.request import Request, asked
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
        where: a metadata filter; see `forget.plans.where.Where`.
        texts: texts to forget, or statements where the scope is `fact`.
        exceptions: facts about the subject to keep.
        sentence: one plain sentence instead of all of these; see `forget.plans.sentence`.
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
    (made,) = plan_requests(
        store,
        [request],
        also=also,
        elsewhere=elsewhere,
        encoder=encoder,
        allow_large=allow_large,
        skip_unknown=skip_unknown,
    )
    return made


def plan_requests(
    store: Store,
    requests: Sequence[Request],
    *,
    also: Sequence[Place] = (),
    elsewhere: bool = True,
    encoder: Encoder | None = None,
    allow_large: bool = False,
    skip_unknown: bool = False,
) -> list[ForgetPlan]:
    """Plan many requests with as few readings of the store as the longest of them needs.

    Each plan is the one that `plan_forget` makes of the request alone; `overlaps` says
    where two get in each other's way.

    Args:
        store: an open store; only read.
        requests: each from `asked`.
        also: see `plan_forget`, as all that follows.
        elsewhere: look into the other collections of the same store, too.
        encoder: the one that filled the store.
        allow_large: allow a plan that would delete more than half of the store.
        skip_unknown: leave out ids that the store does not hold, instead of refusing.

    Raises:
        UsageError: nothing matches a request, or more than half of the store would go.
        InputError: an id that the store does not hold; a malformed artefact.
        StoreError: the store is empty.
    """
    overview = Overview(store)
    jobs = [_looked(store, r, overview, encoder, skip_unknown=skip_unknown) for r in requests]
    looked = together(store, jobs)
    others: Sequence[_Others] = [((), ()) for _ in requests]
    if elsewhere:
        others = _elsewhere(store.url, requests, [here for here, _ in looked], encoder)
    plans = []
    for i, (request, (here, unknown), there) in enumerate(
        zip(requests, looked, others, strict=True)
    ):
        try:
            plans.append(_plan(store, request, here, unknown, there, also, allow_large))
        except RagshieldError as error:
            raise numbered(error, i, len(requests)) from error
    return plans


_Others: TypeAlias = tuple[tuple[Elsewhere, ...], tuple[str, ...]]


def _looked(
    store: Store,
    request: Request,
    overview: Overview,
    encoder: Encoder | None,
    *,
    skip_unknown: bool = False,
    beyond: Seeds | None = None,
) -> Looks[tuple[Closed, tuple[str, ...]]]:
    """What a collection holds, and ids that it does not."""
    survey = Survey(request, overview)
    yield survey
    survey.settle()
    unknown = survey.unknown_ids(store, skip=skip_unknown)
    here = yield from closed(store, request, survey=survey, beyond=beyond, encoder=encoder)
    return here, unknown


def _plan(
    store: Store,
    request: Request,
    here: Closed,
    unknown: tuple[str, ...],
    there: _Others,
    also: Sequence[Place],
    allow_large: bool,
) -> ForgetPlan:
    others, said = there
    notes = [f"assumed, because it was not said: {what}" for what in request.assumed]
    notes += here.notes
    if here.n_shared > len(here.shared):
        notes.append(f"{here.n_shared - len(here.shared)} more shared facts are not listed")
    notes += said
    artefacts = find(also, request, here)
    items = here.chosen.items()
    _refuse_nothing(store, request, items, others, artefacts)
    n_selected, n = sum(item.selected for item in items), here.survey.overview.n
    if not allow_large and 2 * n_selected > n:
        raise UsageError(
            f"the plan would delete {n_selected} of {n} passages, more than half of the "
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
        n_passages=n,
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
    url: str, requests: Sequence[Request], looked: Sequence[Closed], encoder: Encoder | None
) -> list[_Others]:
    """For each request what other collections hold, and what could not be looked into."""
    found: list[list[Elsewhere]] = [[] for _ in requests]
    notes = []
    try:
        others = siblings(url)
    except StoreError as error:
        others = ()
        notes.append(f"other collections were not looked into: {error}")
    for other in others:
        try:
            with open_store(other) as store:
                if not store.count():
                    continue
                overview = Overview(store)
                jobs = [
                    _looked(store, request.for_others(), overview, encoder, beyond=here.seeds)
                    for request, here in zip(requests, looked, strict=True)
                ]
                there = together(store, jobs)
        except RagshieldError as error:
            notes.append(f"{other} was not looked into: {error}")
            continue
        for one, (closure, _) in zip(found, there, strict=True):
            if items := closure.chosen.items():
                one.append(Elsewhere(without_password(other), overview.n, items))
    return [(tuple(one), tuple(notes)) for one in found]


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
