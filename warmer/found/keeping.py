"""Who keeps what queries depend on: a dependency that no tracked writer and no trigger reports is a promise
that nobody keeps.

A process that tracks writes says so in Redis (`outcomes.py`), for nobody knows beforehand which tables it
will write. Where none does, a table counts as kept if a change of it was recorded in the last two days
(`flights.record`, a trigger), or if triggers stand on it now.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from warmer.errors import WarmerError
from warmer.found.outcomes import TRACKS, recorded
from warmer.store.operations import Store

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.reading import Reading

log = logging.getLogger("warmer")

#: How long a worker waits after its start before it tells: in a fresh deployment the writers come up, too.
GRACE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Unkept:
    """A query whose dependencies nobody keeps. tables: which; () where they are found as its loads run."""

    query: str
    tables: tuple[str, ...]

    def told(self) -> str:
        """What it means, and what to do."""
        on = ", ".join(self.tables) or "what its loads read"
        return (
            f"{self.query} depends on {on}, and its dependencies are a promise nobody keeps: no process "
            "tracks what it writes, no trigger stands on these tables, and no change of them was recorded. "
            "Track the writers' sessions or engine (`track(SessionLocal)`), or have them call `record(...)`"
        )


def unkept(namespace: Warmer) -> list[Unkept]:
    """Queries whose dependencies nobody keeps, as far as Redis and the databases say. Raises ServerError.

    In doubt none: where a database that may have triggers can't be asked.
    """
    with closing(Store(namespace.namespace, namespace.settings)) as store:
        store.resync()
        seen = {what for what, outcome in recorded(store).items() if outcome.made}
    if namespace.tracks or TRACKS in seen:
        return []
    changed = {what.removeprefix("table:") for what in seen if what.startswith("table:")}
    try:
        triggered = with_triggers(namespace)
    except WarmerError as exc:
        log.debug("it can't be told which tables have triggers: %s", exc)
        return []
    return judge(namespace.readings.values(), changed | triggered)


def judge(readings: Iterable[Reading[Any]], kept: Collection[str]) -> list[Unkept]:
    """Those of the queries that depend on tables of which none is among those kept."""
    found = []
    for reading in readings:
        depends = reading.dependencies
        tables = dict.fromkeys((*(table for table, _ in depends.shapes), *depends.tables))
        if tables and not any(table in kept for table in tables):
            found.append(Unkept(reading.name, tuple(tables)))
        elif depends.auto and not kept:
            found.append(Unkept(reading.name, ()))
    return found


def with_triggers(namespace: Warmer) -> set[str]:
    """Tables on which triggers stand that write the outbox. Raises WarmerError where that can't be asked."""
    found: set[str] = set()
    for database in namespace.outbox.databases():
        if database.reachable:
            from warmer.triggers import installed

            found |= database.run(lambda connection: installed(connection, namespace.namespace))
    return found


def tell_later(namespace: Warmer) -> threading.Timer:
    """Warn of each query that nobody keeps, once, when the others have had the time to come up."""
    timer = threading.Timer(GRACE_S, tell, [namespace])
    timer.daemon = True
    timer.start()
    return timer


def tell(namespace: Warmer) -> None:
    """Warn of each query that nobody keeps. Never raises for a server that is away: nothing is known then."""
    try:
        for one in unkept(namespace):
            log.warning("%s", one.told())
    except WarmerError as exc:
        log.debug("it can't be told whether somebody keeps what queries depend on: %s", exc)
