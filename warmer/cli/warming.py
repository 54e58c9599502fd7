"""`warm`, `run` and `plans`: by hand, by plan, and what runs by itself."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from warmer.cli.app import App, app, console, errors
from warmer.cli.arguments import many_calls
from warmer.cli.reports import Json, print_json
from warmer.errors import RunUnfinished, WarmerError
from warmer.runs import Run, start_plan
from warmer.store.report import stale_members

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until all are loaded.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds to wait at most.")]


@app.command()
def warm(
    query: Annotated[str, typer.Argument(help="The query's name, or its last part.")],
    params: Annotated[list[str] | None, typer.Argument(metavar="[PARAM=VALUE|A,B,C|1..12]...")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="What is stale or due by now.")] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    application: App = None,
    as_json: Json = False,
) -> None:
    """Load entries in the workers: every combination of the values given."""
    from warmer.project import find_project

    namespace = find_project(application)
    found = namespace.query(query)
    reading = namespace.readings[found.name]
    if stale and params:
        raise typer.BadParameter("--stale goes without params")
    calls = stale_members(namespace.runtime().store, reading) if stale else many_calls(reading, params or [])
    if not calls:
        console.print("nothing is stale or due")
        return
    _follow(found.warm(calls), wait, timeout, as_json)


@app.command("run")
def run_plan(
    plan: Annotated[str, typer.Argument(help="The plan's name.")],
    wait: Wait = True,
    timeout: Timeout = None,
    application: App = None,
    as_json: Json = False,
) -> None:
    """Run a plan now, whatever its trigger says."""
    from warmer.project import find_project

    _follow(start_plan(find_project(application), plan), wait, timeout, as_json)


@app.command()
def plans(application: App = None, as_json: Json = False) -> None:
    """Show the plans and the engine's own jobs, and when each is next."""
    from warmer.project import find_project
    from warmer.scheduler import jobs

    found = jobs(find_project(application))
    if as_json:
        print_json([asdict(job) for job in found])
        return
    table = Table(box=None, header_style="bold")
    for title in ("name", "when", "next", "what it does"):
        table.add_column(title, overflow="fold")
    for job in found:
        table.add_row(job.name, job.when, job.next_text, job.about)
    console.print(table)


def _follow(run: Run, wait: bool, timeout: float | None, as_json: bool) -> None:
    if not wait:
        if as_json:
            print_json({"run": run.id, **asdict(run.progress())})
        else:
            console.print(f"queued as run {run.id}; `warmer status` shows how far it is")
        return
    failed: WarmerError | None = None
    if as_json or not console.is_terminal:
        try:
            run.wait(timeout)
        except WarmerError as exc:
            failed = exc
    else:
        failed = _with_bar(run, timeout)
    _tell(run, failed, as_json)


def _with_bar(run: Run, timeout: float | None) -> WarmerError | None:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failures]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    deadline = None if timeout is None else time.monotonic() + timeout
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("warming", total=None, failures="")
        while True:
            progress = run.progress()
            failures = f"[red]{progress.failed} failed[/]" if progress.failed else ""
            bar.update(
                task, total=progress.total or None, completed=progress.done + progress.failed, failures=failures,
                description=progress.hint or "warming",
            )  # fmt: skip
            try:
                left = 0.2 if deadline is None else min(0.2, max(0.0, deadline - time.monotonic()))
                run.wait(left)
            except RunUnfinished as exc:
                if deadline is not None and time.monotonic() >= deadline:
                    return exc
                continue
            except WarmerError as exc:
                return exc
            progress = run.progress()
            bar.update(task, total=progress.total, completed=progress.done + progress.failed)
            return None


def _tell(run: Run, failed: WarmerError | None, as_json: bool) -> None:
    progress = run.progress()
    if as_json:
        print_json({"run": run.id, **asdict(progress)})
    else:
        console.print(f"{progress.done} warm, {progress.failed} failed, {progress.seconds:.1f} s")
        for failure in progress.failures:
            errors.print(f"  [red]{failure.query}({failure.params})[/]: {failure.cause}")
    if failed is not None:
        if not as_json:
            errors.print(f"[bold red]warmer:[/] {failed}", soft_wrap=True)
        raise typer.Exit(1)
