"""`ragshield audit`: try to get back what an application is to have forgotten."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragshield.cli.console import EncoderName, VectorCache, err, out, progress
from ragshield.errors import UsageError
from ragshield.files import check_writable, writing

if TYPE_CHECKING:
    from ragshield.audit.asking import Askable
    from ragshield.audit.outcome import Outcome
    from ragshield.audit.policy import Policy
    from ragshield.forget_set import ForgetTarget

REBUILD = "rebuild"


class Format(StrEnum):
    """How the report is written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    HTML = "html"
    MARKDOWN = "markdown"


def _limit(name: str, what: str) -> Any:
    return typer.Option(f"--{name}", metavar="SHARE", help=what, show_default=False)


def audit(
    application: Annotated[
        str,
        typer.Argument(
            metavar="APP",
            help="module:name of a function, openai:URL#MODEL, or a reader such as lab.",
        ),
    ],
    forget_set: Annotated[
        Path, typer.Argument(metavar="FORGET_SET", help="Targets: JSON Lines, one a line.")
    ],
    before: Annotated[
        str | None,
        typer.Option(
            "--before", metavar="APP", help="The application before forgetting.", show_default=False
        ),
    ] = None,
    alone: Annotated[
        str | None,
        typer.Option(
            "--alone", metavar="APP", help="The model alone, without retrieval.", show_default=False
        ),
    ] = None,
    oracle: Annotated[
        str | None,
        typer.Option(
            "--oracle",
            metavar="APP",
            help="The application over a rebuilt store.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", metavar="URL", help="What a reader retrieves from.", show_default=False
        ),
    ] = None,
    before_store: Annotated[
        str | None,
        typer.Option(
            "--before-store", metavar="URL", help="The store before forgetting.", show_default=False
        ),
    ] = None,
    oracle_store: Annotated[
        str | None,
        typer.Option(
            "--oracle-store",
            metavar="URL",
            help="The store rebuilt without the targets, or: rebuild.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Passages that a reader reads.")] = 5,
    retain: Annotated[
        Path | None,
        typer.Option(
            "--retain",
            help="Questions that must still be answered (JSON Lines).",
            show_default=False,
        ),
    ] = None,
    entries: Annotated[
        Path | None,
        typer.Option(
            "--entries", help="Unlearning entries that leaked: target, text.", show_default=False
        ),
    ] = None,
    controls: Annotated[
        Path | None,
        typer.Option(
            "--controls",
            help="Targets that no one ever knew. Default: invented.",
            show_default=False,
        ),
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option(
            help="Whom APP takes us for: what the forget set lets it be told is no leak.",
            show_default=False,
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family",
            metavar="NAME",
            help="Only this family; repeat for more.",
            show_default=False,
        ),
    ] = None,
    per_family: Annotated[
        int, typer.Option("--per-family", help="Probes of a family for a target; 0 = all.")
    ] = 6,
    decodings: Annotated[int, typer.Option(help="How often each probe is asked.")] = 1,
    temperature: Annotated[
        float | None, typer.Option(help="Sampling of an endpoint.", show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for an endpoint's answer.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    policy_file: Annotated[
        Path | None,
        typer.Option("--policy", help="TOML file with limits.", show_default=False),
    ] = None,
    max_leak: Annotated[float | None, _limit("max-leak", "Leak allowed. Default: 0.05.")] = None,
    max_family_leak: Annotated[
        float | None, _limit("max-family-leak", "Of the worst family. Default: 0.1.")
    ] = None,
    max_excess: Annotated[
        float | None, _limit("max-excess", "Over the controls. Default: 0.05.")
    ] = None,
    max_over_refusal: Annotated[
        float | None, _limit("max-over-refusal", "Of neighbours. Default: 0.05.")
    ] = None,
    max_retain_loss: Annotated[
        float | None, _limit("max-retain-loss", "Right answers lost. Default: 0.05.")
    ] = None,
    max_membership: Annotated[
        float | None, _limit("max-membership", "AUC of membership. Default: 0.6.")
    ] = None,
    time_answers: Annotated[
        bool,
        typer.Option(
            "--time", help="Measure if time gives membership away, too.", show_default=False
        ),
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            metavar="openai:URL#MODEL",
            help="A model that judges where no value is seen. It sees the values.",
            show_default=False,
        ),
    ] = None,
    writer: Annotated[
        str | None,
        typer.Option(
            "--writer",
            metavar="openai:URL#MODEL",
            help="A model that asks questions in other words. It sees the names.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to report.")] = Format.TEXT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the report.", show_default=False),
    ] = None,
    text: Annotated[
        bool,
        typer.Option("--text", help="Quote questions and answers of leaks.", show_default=False),
    ] = False,
    probes_only: Annotated[
        bool,
        typer.Option("--probes-only", help="Print the probes; ask nothing.", show_default=False),
    ] = False,
    encoder: EncoderName = "minilm",
    cache: VectorCache = None,
) -> None:
    """Try to get back what an application is to have forgotten.

    Thirteen families of attacks, made offline from the facts in FORGET_SET, are put to the
    application, and likewise for controls that no one ever knew. Give it as it was before
    (--before, --before-store) and the model alone (--alone; a reader over a store is asked
    alone in any case), and each leak is labelled: the model knows it by heart, the store
    still holds it, or the question brought it along.

    Exit codes: 0 within the policy, 1 a limit exceeded, 2 usage error, 3 the application
    failed, or something the policy needs could not be shown.
    """
    from ragshield.audit import FAMILIES
    from ragshield.audit.auditing import audit as run
    from ragshield.audit.building import build_probes
    from ragshield.audit.endpoint import Endpoint
    from ragshield.audit.opening import read_entries, read_retained
    from ragshield.audit.outcome import concluded
    from ragshield.audit.second import opinion_of, writer_of
    from ragshield.forget_set import read_forget_set

    if output is not None:
        check_writable(output)
    given = {
        "max_leak": max_leak,
        "max_family_leak": max_family_leak,
        "max_excess": max_excess,
        "max_over_refusal": max_over_refusal,
        "max_retain_loss": max_retain_loss,
        "max_membership": max_membership,
    }
    policy, demanded = _policy(policy_file, given)
    targets = read_forget_set(forget_set)
    asked: dict[str, Any] = {
        "controls": None if controls is None else read_forget_set(controls),
        "retained": () if retain is None else read_retained(retain),
        "entries": {} if entries is None else read_entries(entries),
        "families": tuple(family or FAMILIES),
        "per_family": per_family or None,
        "seed": seed,
        "audience": audience,
        "writer": None if writer is None else writer_of(Endpoint(writer, timeout_s=timeout)),
    }
    if probes_only:
        _print_probes(build_probes(targets, **asked), output)
        return
    arms = _arms(
        application,
        targets,
        {"before": before, "no_retrieval": alone, "oracle": oracle},
        {"after": store, "before": before_store, "oracle": oracle_store},
        {"k": k, "timeout_s": timeout, "temperature": temperature},
        encoder,
        cache,
    )
    app = arms.pop("after")
    with progress("Asking", None) as advance:
        found = run(
            app,
            targets,
            before=arms.get("before"),
            no_retrieval=arms.get("no_retrieval"),
            oracle=arms.get("oracle"),
            **asked,
            decodings=decodings,
            time_answers=time_answers,
            opinion=None if judge is None else opinion_of(Endpoint(judge, timeout_s=timeout)),
            on_progress=lambda arm, n: advance(n),
        )
    outcome = concluded(found, policy, demanded)
    _report(outcome, forget_set, format_, output, quote=text)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def _policy(path: Path | None, given: dict[str, float | None]) -> tuple[Policy, set[str]]:
    """The policy, and the limits that were asked for by name."""
    from ragshield.audit.policy import LIMITS, Policy, read_policy

    policy = Policy() if path is None else read_policy(path)
    plain = Policy()
    own = {name: value for name, value in given.items() if value is not None}
    changed = {name for name in LIMITS if getattr(policy, name) != getattr(plain, name)}
    return replace(policy, **own), {*own, *changed}  # type: ignore[arg-type]


def _arms(
    application: str,
    targets: tuple[ForgetTarget, ...],
    apps: dict[str, str | None],
    stores: dict[str, str | None],
    options: dict[str, Any],
    encoder: str,
    cache: Path | None,
) -> dict[str, Askable]:
    """The application in each state that was named."""
    from ragshield import registry
    from ragshield.audit.opening import open_app, open_rebuilt

    is_reader = application.partition(":")[0] in registry.names("reader")
    if any(stores.values()):
        if not is_reader:
            raise UsageError(
                f"'{application}' is no reader, so it reads no store; name its other states with "
                "--before, --alone and --oracle"
            )
        if stores["after"] is None:
            raise UsageError("--before-store and --oracle-store need --store, the store as it is")
        both = [name for name in ("before", "oracle") if apps.get(name) and stores.get(name)]
        if both:
            raise UsageError(f"give --{both[0]} or --{both[0]}-store, not both")
        from ragshield.encoders.open import open_encoder

        options = {**options, "encoder": open_encoder(encoder, cache=cache)}
    arms = {"after": open_app(application, store=stores["after"], **options)}
    for name in ("before", "no_retrieval", "oracle"):
        spec, url = apps.get(name), stores.get(name)
        if spec is not None:
            arms[name] = open_app(spec, **{**options, "encoder": None})
        elif url == REBUILD and name == "oracle":
            url = stores["before"] or stores["after"] or ""
            arms[name] = open_rebuilt(application, url, targets, options["encoder"], k=options["k"])
        elif url is not None:
            arms[name] = open_app(application, store=url, **options)
        elif name == "no_retrieval" and stores["after"] is not None:
            arms[name] = open_app(application, **{**options, "encoder": None})
    return arms


def _print_probes(made: Any, output: Path | None) -> None:
    import json
    from dataclasses import asdict

    lines = [json.dumps(asdict(probe), ensure_ascii=True) for probe in made.probes]
    if output is None:
        for line in lines:
            typer.echo(line)
    else:
        with writing(output) as file:
            file.write("".join(f"{line}\n" for line in lines))
    err.print(f"{len(lines):,} probes, sha256 {made.sha256}", markup=False, soft_wrap=True)


def _report(
    outcome: Outcome, forget_set: Path, format_: Format, output: Path | None, *, quote: bool
) -> None:
    import json

    from ragshield.reports.audit_text import as_text, headline

    if format_ is Format.JSON:
        document = outcome.found.record(quote=quote)
        document["status"] = outcome.status
        document["breaches"] = [breach._asdict() for breach in outcome.breaches]
        document["missing"] = list(outcome.missing)
        document["notes"] = list(outcome.notes)
        written = json.dumps(document, indent=1)
    elif format_ is Format.SARIF:
        from ragshield.reports.audit_sarif import as_sarif

        written = as_sarif(outcome, forget_set.as_posix(), quote=quote)
    elif format_ is Format.HTML:
        from ragshield.reports.audit_page import as_html

        written = as_html(outcome, quote=quote)
    elif format_ is Format.MARKDOWN:
        from ragshield.reports.audit_markdown import as_markdown

        written = as_markdown(outcome, quote=quote)
    else:
        written = "\n".join(as_text(outcome, 80 if output is not None else out.width, quote=quote))
    if output is None:
        typer.echo(written)
        return
    with writing(output) as file:
        file.write(written.rstrip("\n") + "\n")
    err.print(f"{headline(outcome)} Written to {output}", markup=False, soft_wrap=True)
