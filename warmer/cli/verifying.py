"""`verify`: entries, drawn by chance, held against the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from warmer.cli.app import LOOK, App, Json, Queries, app
from warmer.cli.finding import connected, project
from warmer.cli.output import console, counted, errors, one_line, print_json, seconds

if TYPE_CHECKING:
    from warmer.verify import Audit, Report

Rate = Annotated[float, typer.Option(help="Entries a second, at most.", min=0.01, max=1000)]
For = Annotated[float, typer.Option("--for", help="Seconds to go on drawing entries.", min=0)]
Recheck = Annotated[
    str, typer.Option(metavar="S,S,...", help="After how many seconds what differs is looked at again.")
]


@app.command(rich_help_panel=LOOK)
def verify(
    queries: Queries = None,
    rate: Rate = 5.0,
    for_s: For = 30.0,
    recheck: Recheck = "1,60,300",
    application: App = None,
    as_json: Json = False,
) -> None:
    """Hold entries, drawn by chance, against the database; exit 1 if one stays different."""
    from warmer.verify import Audit

    namespace = project(application)
    names = [namespace.query(query).name for query in queries or []] or list(namespace.readings)
    readings = [namespace.readings[name] for name in dict.fromkeys(names)]
    audit = Audit(connected(namespace), readings, _times(recheck))
    try:
        with console.status("") if console.is_terminal and not as_json else _Silent() as status:
            _go(audit, rate, for_s, status.update)
    except KeyboardInterrupt:
        errors.print("stopped; this is what is known by now")
    _tell(audit.report, as_json=as_json)
    if audit.report.diverging:
        raise typer.Exit(1)


class _Silent:
    """In place of a status line where nobody watches."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, status: str) -> None:
        """Nothing to show it on."""


def _times(text: str) -> tuple[float, ...]:
    try:
        times = tuple(float(part) for part in text.split(","))
    except ValueError:
        times = ()
    if not times or min(times) < 0 or list(times) != sorted(times):
        raise typer.BadParameter(f"{text!r} is no list of seconds that grow, as 1,60,300 is")
    return times


def _go(audit: Audit, rate: float, for_s: float, show: Callable[[str], None]) -> None:
    began = time.monotonic()
    for number in range(2**63):
        sampling = time.monotonic() - began < for_s
        if not sampling and audit.next_look_s() is None:
            return
        audit.step(sampling=sampling)
        show(_progress(audit.report, began, for_s))
        next_s = began + (number + 1) / rate - time.monotonic() if sampling else audit.next_look_s() or 0.0
        time.sleep(max(0.0, min(next_s, 1.0)))


def _progress(report: Report, began: float, for_s: float) -> str:
    took_s = time.monotonic() - began
    when = f"{took_s:.0f} of {for_s:.0f} s" if took_s < for_s else "settling"
    return f"{when}: {report.samples} agree or have settled, {report.settling} to be looked at again"


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(report), "share": report.share, "consistency": report.in_words()})
        return
    held = counted(report.samples, "entry", "entries")
    differing = "none differs" if not report.diverging else f"{report.diverging} stayed different"
    if report.samples:
        console.print(f"{held} held against the database: {differing}")
        console.print(f"consistent but for {report.in_words()}")
    else:
        console.print("no entry was held against the database: what nobody has read or warmed is not there")
    if report.by_time:
        console.print(f"{report.by_time} more differ that nothing invalidates: old by their ttl, as declared")
    if report.settling:
        again = counted(report.settling, "entry differs", "entries differ")
        console.print(f"{again} and might be in flight: not looked at again yet")
    for divergence in report.divergences:
        entry = divergence.entry
        console.print(Text(f"{divergence.query}({divergence.params})", style="red"), soft_wrap=True)
        console.print(f"  stored {seconds(entry.age_s)} ago, {entry.state}; {entry.key}", soft_wrap=True)
        for name, ago_s in entry.names.items():
            hit = "never invalidated" if ago_s is None else f"invalidated {seconds(ago_s)} ago"
            console.print(f"  {name}  {hit}", soft_wrap=True)
    if report.failed:
        loads = counted(report.failed, "load", "loads")
        console.print(f"{loads} gave nothing to compare with, as", style="yellow")
        for failure in report.failures[-3:]:
            console.print(f"  {one_line(failure)}", soft_wrap=True)
