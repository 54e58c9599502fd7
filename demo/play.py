"""The whole performance: load, start, warm by a plan, play, compare with the database, sum up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from demo import cue, entries, reader, screen, writer
from demo.judging import Evidence
from demo.ledger import Ledger
from demo.messages import Delay, Side
from demo.plain import PlainCache
from demo.setting import Setting
from demo.stage import Actor, Company, Stage
from demo.standing import Standing
from tasks import flights
from warmer import Handle
from warmer.runs.start import start_plan
from warmer.testing import wait_until

__all__ = ["Checked", "Props", "actors", "differences", "perform", "see_what_is_there", "warm_up", "watch"]

_SHOW_EVERY_S = 0.5
_LOG_EVERY_S = 10.0
_WARM_S = 120.0

#: Time between the cue and the beginning: all processes must have seen the cue by then.
_BREATH_S = 1.0


@dataclass(frozen=True, slots=True)
class Props:
    """What a performance needs: where its files are, its environment, the delays to report."""

    folder: Path
    env: Mapping[str, str | None]
    delays: list[Delay]
    console: Console

    def statements(self, side: Side) -> Path:
        """The file that has one byte for each SQL statement of that side's queries."""
        return self.folder / f"statements.{side}"


class Checked(Protocol):
    """What has to stay up while a play goes on."""

    def check(self) -> None:
        """Raises RuntimeError if it does not."""


def perform(setting: Setting, props: Props, stage: Stage) -> bool:
    """Plays a morning on a stage that is up, shows it, and says whether all promises held."""
    population = entries.population()
    lifetime_us = round(min(_lifetime_s(one) for one in population) * 1e6)
    standing = Standing(setting, len(population), Evidence(lifetime_us))
    with ExitStack() as closing:
        closing.callback(flights.close)  # before its server goes, or it would tell of that
        ledger = closing.enter_context(Ledger.create(props.folder / "ledger", len(population)))
        company = closing.enter_context(Company(actors(setting, props, stage.redis_url)))
        took_s = warm_up(population, stage.redis_url)
        props.console.print(
            f"Warmed {len(population)} entries by {len(entries.PLANS)} plans in {took_s:.1f} s."
        )
        see_what_is_there(standing, population)
        watch(standing, props, stage, company)
        differing = differences(population, ledger)
    promises = standing.promises(differing)
    props.console.print(screen.summary(standing, promises))
    for one in differing:
        props.console.print(f"differs from the database: {one}", style="red")
    return all(promise.held for promise in promises)


def warm_up(population: list[Handle[Any]], redis_url: str) -> float:
    """Runs the plans, and fills the plain cache meanwhile; returns when every entry is there, with the
    seconds.

    Raises RunFailed, NoWorkers and their like, NotReached when something is not there in the end.
    """
    began = time.monotonic()
    runs = [start_plan(flights, plan) for plan in entries.PLANS]
    cache = PlainCache(redis_url, population)
    for place in range(len(population)):
        cache.read(place)
    cache.close()
    for run in runs:
        run.wait(_WARM_S)

    def missing() -> list[Handle[Any]]:
        return [one for one in population if one.entry() is None]

    wait_until(
        lambda: not missing(), timeout_s=1.0, description=lambda: f"all to be warm; missing: {missing()}"
    )
    return time.monotonic() - began


def differences(population: list[Handle[Any]], ledger: Ledger) -> list[str]:
    """The entries that are not what the database says now, or not as new as the ledger says."""
    found = []
    for place, one in enumerate(population):
        query, params = flights.queries[one.query], one.params
        truth, cached = query.fn(**params), query(**params)
        must, has, got = ledger[place], entries.changes_in(truth), entries.changes_in(cached)
        if cached != truth or has != must:
            found.append(f"{one!r}: {must} changes were reported, the database has {has}, the cache {got}")
    return found


def watch(standing: Standing, props: Props, stage: Checked, company: Company) -> None:
    """From the cue to the last process's end; what they tell goes into the standing."""
    before: dict[Side, int] = {side: _count(props.statements(side)) for side in ("warmer", "plain")}
    begins_at = time.monotonic() + _BREATH_S
    cue.give(props.folder / "cue", begins_at)

    def look() -> RenderableType:
        for batch in company.hear():
            standing.hear(batch)
        standing.warm_statements = _count(props.statements("warmer")) - before["warmer"]
        standing.plain_statements = _count(props.statements("plain")) - before["plain"]
        return screen.live(standing, max(0.001, time.monotonic() - begins_at))

    with _shown(props.console) as show:
        playing = True
        while playing:
            stage.check()
            playing = company.playing()
            show(look())
            time.sleep(_SHOW_EVERY_S)
        show(look())


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[RenderableType], None]]:
    """Shows a table that changes; where there is no terminal, prints it now and then."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as shown:
            yield lambda table: shown.update(table, refresh=True)
        return
    printed_at = time.monotonic()

    def show(table: RenderableType) -> None:
        nonlocal printed_at
        if time.monotonic() - printed_at >= _LOG_EVERY_S:
            printed_at = time.monotonic()
            console.print(table)

    yield show


def see_what_is_there(standing: Standing, population: list[Handle[Any]]) -> None:
    """The values that are there before the first read: what comes after them can be explained."""
    for place, one in enumerate(population):
        there = one.entry()
        if there is not None:
            standing.evidence.saw(place, there.stamp)


def _lifetime_s(one: Handle[Any]) -> float:
    options = flights.readings[one.query].options
    return options.ttl_s + options.grace_s


def _count(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def actors(setting: Setting, props: Props, redis_url: str) -> list[Actor]:
    """The writer, and the readers of both caches: with the same seeds, so with the same requests."""
    common = {
        "redis_url": redis_url,
        "ledger": str(props.folder / "ledger"),
        "cue": str(props.folder / "cue"),
    }
    sides: tuple[Side, ...] = ("warmer", "plain")
    actors = []
    for side in sides:
        env = {**props.env, "WARMER_REDIS_URL": redis_url}
        env["FLIGHTS_STATEMENT_LOG"] = str(props.statements(side))
        for number in range(setting.readers):
            errand = reader.Config(
                **common,
                out=str(props.folder / f"{side}-reader-{number + 1}.jsonl"),
                seconds=setting.seconds,
                side=side,
                reads_per_s=setting.reads_per_s / setting.readers,
                threads=setting.threads,
                zipf=setting.zipf,
                seed=setting.seed + number,
            )
            actors.append(Actor(f"{side} reader {number + 1}", "demo.reader", errand, env))
    errand_of_writer = writer.Config(
        **common,
        out=str(props.folder / "writer.jsonl"),
        seconds=setting.seconds,
        writes_per_s=setting.writes_per_s,
        delays=props.delays,
    )
    env = {**props.env, "WARMER_REDIS_URL": redis_url, "FLIGHTS_STATEMENT_LOG": None}
    actors.append(Actor("writer", "demo.writer", errand_of_writer, env))
    return actors
