"""What a plan says about itself in words, the same in every format."""

from __future__ import annotations

from ragshield.forget.plans.records import ForgetPlan
from ragshield.protocols import Cost

SCOPES = {
    "document": "passages and what they were cut from; what others say for themselves stays",
    "subject": "everything about the subject",
    "fact": "one statement, wherever it stands",
}
SHARED = {
    "keep": "stay where others state them",
    "report": "are for you to decide",
    "forget": "go wherever they are stated",
}


def target(made: ForgetPlan) -> str:
    """Whom or what it is about, in a few words."""
    if made.subject is not None:
        also = f" (also {', '.join(made.aliases)})" if made.aliases else ""
        return f"the subject {made.subject}{also}"
    parts = []
    if document := made.request.get("document"):
        parts.append(f"the document {document}")
    if made.ids:
        parts.append(f"{len(made.ids)} id{'s' if len(made.ids) > 1 else ''}")
    if where := made.request.get("where"):
        parts.append(f"what matches {where}")
    if texts := made.request.get("texts"):
        what = "statement" if made.scope == "fact" else "text"
        first = f" '{texts[0]:.60}'" if len(texts) == 1 else f" {len(texts)} {what}s"
        parts.append(f"the {what}{first}" if len(texts) == 1 else first.strip())
    return " and ".join(parts) or "nothing"


def heading(made: ForgetPlan) -> str:
    """The first sentence."""
    return f"To forget {target(made)} in {made.store_url}: {made.n_passages:,} passages looked at"


def means(made: ForgetPlan) -> list[str]:
    """How the request was understood, for the person who made it."""
    said = [f"Scope {made.scope}: {SCOPES[made.scope]}."]
    if made.scope != "subject":
        said.append(f"Shared facts: {made.shared}; they {SHARED[made.shared]}.")
    if sentence := made.request.get("sentence"):
        said.append(f"Read from: {sentence}")
    said += [f"To be kept: {exception}" for exception in made.request.get("exceptions", [])]
    return said


def purge(cost: Cost) -> str:
    """Time and disk that erasing the bytes takes."""
    return (
        f"Erasing the bytes takes about {duration(cost.seconds)} and {size(cost.disk_bytes)} of "
        f"free disk: {cost.how}"
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 1:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def size(n_bytes: int) -> str:
    """Bytes as a person says them."""
    if n_bytes < 1_000:
        return f"{n_bytes} bytes"
    if n_bytes < 1_000_000:
        return f"{n_bytes / 1_000:.0f} kB"
    return f"{n_bytes / 1_000_000:.0f} MB" if n_bytes < 10**9 else f"{n_bytes / 10**9:.1f} GB"
