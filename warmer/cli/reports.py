"""`status` and `inspect`: how the namespace is, and one entry."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from warmer.cli.app import App, app, console
from warmer.cli.arguments import one_call
from warmer.store.report import EntryReport, QueryStatus, Status, inspect_entry
from warmer.store.report import status as read_status

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def status(application: App = None, as_json: Json = False) -> None:
    """Show what is kept warm, due, failing and overloaded."""
    from warmer import runs
    from warmer.project import find_project

    namespace = find_project(application)
    runtime = namespace.runtime()
    found = read_status(runtime.store, namespace.readings)
    recent = runs.recent(runtime)
    if as_json:
        print_json({**asdict(found), "runs": [asdict(run) for run in recent]})
        return
    _show_status(namespace.namespace, found)
    if recent:
        table = Table("run", "state", "done", "failed", "of", box=None, header_style="bold")
        for run in recent[:5]:
            table.add_row(run.title, run.state, str(run.done), str(run.failed), str(run.total))
        console.print(table)


@app.command()
def inspect(
    query: Annotated[str, typer.Argument(help="The query's name, or its last part.")],
    params: Annotated[list[str] | None, typer.Argument(metavar="[PARAM=VALUE]...")] = None,
    application: App = None,
    as_json: Json = False,
) -> None:
    """Show one entry: its state, its names, who loads it."""
    from warmer.project import find_project

    namespace = find_project(application)
    reading = namespace.readings[namespace.query(query).name]
    handle = namespace.query(query).bind(**one_call(reading, params or []))
    report = inspect_entry(namespace.runtime().store, reading, handle.args)
    if as_json:
        print_json(asdict(report))
    else:
        _show_entry(report)


def print_json(value: Any) -> None:
    """One JSON document on stdout, whatever the terminal."""
    typer.echo(json.dumps(value, indent=2, default=str))


def _show_status(name: str, found: Status) -> None:
    alive = (
        f"{len(found.schedulers)} alive"
        if found.schedulers
        else "[red]none alive: start `warmer scheduler`[/]"
    )
    console.print(
        f"[bold]{name}[/] on {found.server}, {found.memory} used, {found.policy}, life {found.life}"
    )
    console.print(f"schedulers: {alive}   claims open: {found.open_claims}   loading: {found.leases}")
    table = Table(box=None, header_style="bold")
    table.add_column("query", overflow="fold")
    for title in ("entries", "kept", "due", "overdue", "wait", "cost"):
        table.add_column(title, justify="right")
    for query in found.queries:
        table.add_row(
            query.query, str(query.entries), str(query.kept), str(query.due), str(query.overdue),
            _seconds(query.wait_s), _seconds(query.cost_s),
        )  # fmt: skip
    console.print(table)
    for query in found.queries:
        for line in _remarks(query):
            console.print(f"  [yellow]{query.query}[/]: {line}")


def _remarks(query: QueryStatus) -> list[str]:
    lines = []
    if query.over_max_kept:
        lines.append(f"{query.over_max_kept} times an entry was not kept warm because max_kept was reached")
    if query.overloaded_s_ago is not None and query.overloaded_s_ago < 60:
        lines.append("overloaded: a load with its wait takes more than half the ttl")
    lines += [f"failing {text}" for text in query.failing]
    return lines


def _show_entry(report: EntryReport) -> None:
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("key", report.key)
    table.add_row("state", report.state)
    if report.age_s is not None:
        table.add_row("age", f"{report.age_s:.1f} s")
        table.add_row("fresh for", _seconds(report.fresh_for_s))
        table.add_row("served for", _seconds(report.served_for_s))
        table.add_row("load cost", _seconds(report.cost_s))
        table.add_row("size", f"{report.bytes} bytes with header")
        table.add_row("stamp", str(report.stamp))
    table.add_row("due in", _seconds(report.due_in_s) if report.due_in_s is not None else "not kept warm")
    for name, stamp in report.names.items():
        table.add_row("name", f"{name}  " + (f"invalidated at {stamp}" if stamp else "never invalidated"))
    table.add_row("lease", report.lease)
    if report.failure:
        table.add_row("failing", f"[red]{report.failure}[/]")
    table.add_row("reads", report.heat)
    console.print(table)


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if abs(value) < 1 else f"{value:.1f} s"
