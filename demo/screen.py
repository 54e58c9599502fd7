"""What is shown: a live table while the morning is played; then a summary, a chart and the promises."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from demo.figures import Seconds
from demo.standing import Column, Promise, Standing

__all__ = ["chart", "live", "milliseconds", "rows", "sparkline", "summary"]

_BLOCKS = "▁▂▃▄▅▆▇█"

#: With the names beside it, the chart fits into 80 columns.
_COLUMNS = 60

#: The chart's scale is logarithmic, between what a hit takes and what nobody waits for.
_LEAST_S, _MOST_S = 0.001, 3.0


def milliseconds(seconds: float) -> str:
    """A time for people: "0.4 ms", "85 ms", "1.9 s"; "-" where nothing was measured."""
    if math.isnan(seconds):
        return "-"
    if seconds < 0.01:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds * 1e3:,.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def rows(warm: Column, plain: Column) -> list[tuple[str, str, str]]:
    """The figures by name, for Warmer and for the plain cache."""

    def both(name: str, show: str, *values: str) -> tuple[str, str, str]:
        def of(column: Column) -> str:
            return show.format(column, *(milliseconds(getattr(column, value)) for value in values))

        return name, of(warm), of(plain)

    return [
        both("reads", "{0.reads:,}"),
        both("reads a second", "{0.reads_per_s:,.0f}"),
        both("requests not served in time", "{0.dropped:,}"),
        both("served from the cache", "{0.warm_share:.2%}"),
        both("waited: the entry had expired", "{0.expired:,}"),
        both("    p50 and p99 of that wait", "{1} · {2}", "expired_p50_s", "expired_p99_s"),
        both("waited: it had just been invalidated", "{0.invalidated:,}"),
        both("    p50 and p99 of that wait", "{1} · {2}", "invalidated_p50_s", "invalidated_p99_s"),
        both("stale reads", "{0.stale:,}"),
        both("values replaced by newer ones", "{0.refreshes:,}"),
        both("entries invalidated", "{0.invalidations:,}"),
        both("SQL statements run by queries", "{0.statements:,}"),
        both("SQL statements avoided", "{0.avoided:,}"),
        both("reads for each statement run", "{0.reads_per_statement:,.0f}"),
        both("all reads, p50 and p99", "{1} · {2}", "read_p50_s", "read_p99_s"),
    ]


def sparkline(values: Sequence[float]) -> str:
    """One block a value, on a logarithmic scale from 1 ms to 3 s."""
    span = math.log(_MOST_S / _LEAST_S)

    def block(value: float) -> str:
        share = math.log(max(value, _LEAST_S) / _LEAST_S) / span
        return _BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))]

    return "".join(block(value) for value in values)


def chart(warm: Seconds, plain: Seconds, seconds: int) -> RenderableType:
    """The slowest read as time goes by, of both caches, and the slowest of all at the end of the line."""
    columns = min(seconds, _COLUMNS)
    grid = Table.grid(padding=(0, 2))
    for name, shown in (("Warmer", warm), ("plain TTL", plain)):
        slowest = [0.0] * columns
        for second, took_s in shown.slowest_s.items():
            at = min(columns - 1, second * columns // seconds)
            slowest[at] = max(slowest[at], took_s)
        grid.add_row(name, Text(sparkline(slowest), no_wrap=True), milliseconds(max(slowest)))
    title = f"The slowest read of every {seconds / columns:g} s (1 ms to 3 s, logarithmic), and of all"
    return Group(Text(f"\n{title}", style="bold"), grid)


def live(standing: Standing, elapsed_s: float) -> RenderableType:
    """The table while it runs. A wait whose proof is still on its way counts as an expiry."""
    seconds = standing.setting.seconds
    title = f"A morning at EWR, JFK and LGA · {min(elapsed_s, seconds):.0f} of {seconds:.0f} s"
    note = (
        f"{standing.writes} delays reported, {standing.invalidations} entries invalidated by them; "
        f"the last: {standing.last_flight or '-'}"
    )
    return Group(_figures(standing, elapsed_s, title), Text(note, style="dim"))


def summary(standing: Standing, promises: Sequence[Promise]) -> RenderableType:
    """Everything that was measured, and what had to hold."""
    setting = standing.setting
    title = f"{setting.seconds:.0f} s, {standing.entries} entries, ttl {setting.ttl_s:g} s"
    kept = Table.grid(padding=(0, 2))
    for promise in promises:
        mark = Text("held", style="green") if promise.held else Text("BROKEN", style="bold red")
        kept.add_row(mark, promise.what, promise.measured)
    errors = [Text(error, style="red") for error in standing.errors[:10]]
    return Group(
        _figures(standing, setting.seconds, title),
        chart(standing.warm.seconds, standing.plain.seconds, int(setting.seconds)),
        Text(f"\n{_writes(standing)}"),
        Text("\nWhat had to hold", style="bold"),
        kept,
        *errors,
    )


def _writes(standing: Standing) -> str:
    slowest = milliseconds(max(standing.write_s, default=math.nan))
    return (
        f"{standing.writes} delays were reported in SQL and invalidated {standing.invalidations} entries; "
        f"a report took {slowest} at most, invalidation included."
    )


def _figures(standing: Standing, elapsed_s: float, title: str) -> Table:
    table = Table(title=title, title_style="bold", title_justify="left")
    table.add_column("measured")
    table.add_column("Warmer", justify="right", min_width=16)
    table.add_column("plain TTL cache", justify="right", min_width=16)
    for row in rows(*standing.columns(elapsed_s)):
        table.add_row(*row)
    return table
