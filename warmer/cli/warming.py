"""`warm`, `run` and `plans`: by hand, by plan, and what runs by itself."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from warmer.cli.app import ACT, LOOK, App, Json, QueryName, app
from warmer.cli.arguments import many_calls
from warmer.cli.finding import connected, project
from warmer.cli.following import follow
from warmer.cli.output import console, print_json

Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="PARAM=VALUE", help="As in month=3, month=1,2,3 or month=1..12; days, too."),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until all are loaded.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds to wait at most.", min=0)]


@app.command(rich_help_panel=ACT)
def warm(
    query: QueryName,
    params: Values = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="What is stale, due or failing by now, in place of params.")
    ] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    application: App = None,
    as_json: Json = False,
) -> None:
    """Load entries in the workers: every combination of values, as of region=north,south month=1..12."""
    from warmer.store.report import stale_members

    if stale and params:
        raise typer.BadParameter("--stale goes without params", param_hint="--stale")
    namespace = project(application)
    found = namespace.query(query)
    reading = namespace.readings[found.name]
    calls: list[Any] = [] if stale else [found.bind(**call) for call in many_calls(reading, params or [])]
    runtime = connected(namespace)
    if stale:
        calls = stale_members(runtime.store, reading)
        if not calls and not as_json:
            console.print("nothing is stale, due or failing")
            return
    follow(found.warm(calls), wait=wait, timeout_s=timeout, as_json=as_json)


@app.command("run", rich_help_panel=ACT)
def run_plan(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's name.")],
    wait: Wait = True,
    timeout: Timeout = None,
    application: App = None,
    as_json: Json = False,
) -> None:
    """Run a plan now, whatever its trigger says."""
    from warmer.runs import start_plan

    namespace = project(application)
    namespace.find_plan(plan)
    connected(namespace)
    follow(start_plan(namespace, plan), wait=wait, timeout_s=timeout, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def plans(application: App = None, as_json: Json = False) -> None:
    """Show the plans and the engine's own jobs, and when each is next."""
    from warmer.scheduler.jobs import jobs

    found = jobs(project(application))
    if as_json:
        print_json([asdict(job) for job in found])
        return
    table = Table(box=None, header_style="bold")
    for title in ("name", "when", "next", "what it does"):
        table.add_column(title, overflow="fold")
    for job in found:
        what = " ".join(job.what.partition("\n\n")[0].split())
        rate = f" At most {job.rate:g} loads a second." if job.rate is not None else ""
        style = "dim" if job.kind == "engine" else ""
        table.add_row(job.name, job.when, _next(job.kind, job.next), what + rate, style=style)
    console.print(table)


def _next(kind: str, at: datetime | None) -> str:
    if at is None:
        return "all the time" if kind == "engine" else "never"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
