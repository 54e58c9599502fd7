"""`audit`: what queries declare against what their loads read, and what nobody invalidates."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from warmer.cli.app import LOOK, App, Json, Queries, app
from warmer.cli.finding import connected, project
from warmer.cli.output import console, counted, one_line, print_json

if TYPE_CHECKING:
    from warmer.found.gaps import AuditReport, QueryAudit

Samples = Annotated[int, typer.Option(help="Loads to run of each query.", min=0, max=1000)]


@app.command(rich_help_panel=LOOK)
def audit(
    queries: Queries = None, samples: Samples = 3, application: App = None, as_json: Json = False
) -> None:
    """Hold what queries declare against what they read and what is invalidated; exit 1 if there are gaps."""
    from warmer.found.gaps import audit as look
    from warmer.found.keeping import with_triggers

    namespace = project(application)
    names = [namespace.query(query).name for query in queries or []] or list(namespace.readings)
    readings = [namespace.readings[name] for name in dict.fromkeys(names)]
    report = look(connected(namespace), readings, samples, random.Random(), with_triggers(namespace))
    if as_json:
        print_json(asdict(report))
    else:
        _tell(report)
    if report.gaps:
        raise typer.Exit(1)


def _tell(report: AuditReport) -> None:
    for query in report.queries:
        _tell_query(query)
        for gap in report.gaps:
            if gap.query == query.query:
                console.print(Text(f"  {gap.kind}: {one_line(gap.told)}", style="red"), soft_wrap=True)
    for gap in report.gaps:
        if not gap.query:
            console.print(Text(f"{gap.kind}: {one_line(gap.told)}", style="red"), soft_wrap=True)
    console.print(counted(len(report.gaps), "gap", "gaps") if report.gaps else "no gaps")


def _tell_query(query: QueryAudit) -> None:
    declared = [_way(table, columns) for table, columns in query.declared.items()]
    if query.automatic:
        declared.append("auto")
    read = [_way(table, list(way)) for table, ways in query.observed.tables.items() for way in ways]
    console.print(Text(query.query, style="bold"))
    console.print(f"  declared: {', '.join(declared) or '-'}", soft_wrap=True)
    loads = counted(query.observed.loads, "load", "loads")
    console.print(f"  read, by {loads}: {', '.join(read) or '-'}", soft_wrap=True)
    if query.observed.tags:
        tags = ", ".join(f"{family}:..." for family in query.observed.tags)
        console.print(f"  tags of its loads' own: {tags}", soft_wrap=True)
    for failure in query.observed.failures[:3]:
        console.print(f"  a load gave nothing to go by: {one_line(failure)}", style="yellow", soft_wrap=True)


def _way(table: str, columns: list[str]) -> str:
    return f"{table}({', '.join(columns)})" if columns else table
