"""`status` and `inspect`: how the namespace is, and one entry."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from warmer.cli.app import LOOK, App, Json, Params, QueryName, app
from warmer.cli.arguments import one_call
from warmer.cli.finding import connected, project
from warmer.cli.output import console, counted, one_line, print_json, seconds

if TYPE_CHECKING:
    from warmer.runs import RunInfo
    from warmer.store.report import EntryReport, QueryStatus, Status

# What the first letter of a name means: see warmer/core/names.py.
_KINDS = {
    "e": "entry",
    "q": "query",
    "o": "owner",
    "t": "table",
    "a": "table as a whole",
    "c": "rows",
    "g": "tag",
}
_RUNS_SHOWN = 5


@app.command(rich_help_panel=LOOK)
def status(application: App = None, as_json: Json = False) -> None:
    """Show what is kept warm, due, failing and overloaded, and the last runs."""
    from warmer import runs
    from warmer.found.keeping import unkept
    from warmer.store.report import status as read_status

    namespace = project(application)
    runtime = connected(namespace)
    found, recent = read_status(runtime.store, namespace.readings), runs.recent(runtime)
    alone = unkept(namespace)
    if as_json:
        lists = {"runs": [asdict(run) for run in recent], "unkept": [asdict(one) for one in alone]}
        print_json({"namespace": namespace.namespace, **asdict(found), **lists})
        return
    _show_server(namespace.namespace, found)
    _show_queries(found.queries)
    for one in alone:
        console.print(Text(one.told(), style="yellow"), soft_wrap=True)
    if recent:
        _show_runs(recent)


@app.command(rich_help_panel=LOOK)
def inspect(query: QueryName, params: Params = None, application: App = None, as_json: Json = False) -> None:
    """Show one entry: its state, its names, who loads it."""
    from warmer.store.report import inspect_entry

    namespace = project(application)
    found = namespace.query(query)
    reading = namespace.readings[found.name]
    handle = found.bind(**one_call(reading, params or []))
    report = inspect_entry(connected(namespace).store, reading, handle.args)
    if as_json:
        print_json(asdict(report))
    else:
        _show_entry(report)


def _show_server(name: str, found: Status) -> None:
    server = f" on {found.server}, {found.memory} used, {found.policy}"
    console.print(Text.assemble((name, "bold"), server))
    alive = Text(f"{len(found.schedulers)} alive")
    if not found.schedulers:
        alive = Text("none alive: start `warmer scheduler`", style="red")
    console.print(
        Text.assemble(
            "schedulers: ", alive, f"   in workers' hands: {found.open_claims}   loading: {found.leases}"
        )
    )


def _show_queries(queries: tuple[QueryStatus, ...]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("query", overflow="fold")
    for title in ("entries", "kept warm", "due", "overdue", "wait", "cost"):
        table.add_column(title, justify="right")
    for query in queries:
        table.add_row(
            query.query, str(query.entries), str(query.kept), str(query.due), str(query.overdue),
            seconds(query.wait_s), seconds(query.cost_s),
        )  # fmt: skip
    console.print(table)
    for query in queries:
        for line in _remarks(query):
            console.print(Text.assemble("  ", (query.query, "yellow"), line), soft_wrap=True)


def _remarks(query: QueryStatus) -> list[str]:
    lines = []
    if query.over_max_kept:
        times = counted(query.over_max_kept, "time", "times")
        lines.append(f": {times}, an entry was not kept warm because max_kept was reached")
    if query.overloaded_s_ago is not None and query.overloaded_s_ago < 60:
        lines.append(": overloaded, a load with its wait takes more than half the ttl")
    for one in query.failing:
        held = f", held back for {seconds(one.held_s)} more" if one.held_s > 0 else ""
        lines.append(
            f"({one.params}) failed {counted(one.times, 'time', 'times')}{held}: {one_line(one.cause)}"
        )
    return lines


def _show_runs(recent: list[RunInfo]) -> None:
    console.print()
    table = Table("last runs", box=None, header_style="bold", pad_edge=False)
    for title in ("state", "done", "failed", "of", "took"):
        table.add_column(title, justify="right")
    for run in recent[:_RUNS_SHOWN]:
        at = run.progress
        table.add_row(
            run.title, at.state, str(at.done), str(at.failed), str(at.total), seconds(at.seconds),
            style="red" if at.state == "failed" else "",
        )  # fmt: skip
    console.print(table)


def _show_entry(report: EntryReport) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("key", report.key)
    table.add_row("state", report.state)
    if report.age_s is not None:
        table.add_row("age", seconds(report.age_s))
        table.add_row("fresh for", _left(report.fresh_for_s))
        table.add_row("served for", _left(report.served_for_s))
        table.add_row("load cost", seconds(report.cost_s))
        table.add_row("size", f"{report.bytes} bytes with header" + (", sealed" if report.sealed else ""))
    table.add_row("due in", "not kept warm" if report.due_in_s is None else _left(report.due_in_s, "due now"))
    for name, ago_s in report.names.items():
        kind, _, rest = name.partition(":")
        hit = "never invalidated" if ago_s is None else f"invalidated {seconds(ago_s)} ago"
        table.add_row(_KINDS.get(kind, kind), f"{rest}  {hit}")
    table.add_row("lease", report.lease)
    if report.failure:
        table.add_row("failing", Text(one_line(report.failure), style="red"))
    table.add_row("reads", report.heat)
    if report.learned:
        table.add_row("learned ttl", report.learned)
    console.print(table)


def _left(value: float | None, over: str = "over") -> str:
    return over if value is not None and value <= 0 else seconds(value)
