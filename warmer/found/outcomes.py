"""What came of invalidations: how many were made, how many of them dropped anything, and who tracks writes.

Counted in each process and told with the tallies, in one hash a day; never on the read path. The audit finds
in it what "silently does nothing", and workers whether somebody keeps what queries depend on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from warmer.core.keyspace import keyspace
from warmer.core.names import is_tag, tag_of
from warmer.store.scripts import Argument, Call

if TYPE_CHECKING:
    from warmer.core.changes import Changes, PartHit
    from warmer.store.operations import Store

#: That some process tracks what it writes (`flights.track`).
TRACKS: Final = "tracks"
#: Different things that one process counts between two reports; what is beyond is not counted.
MOST: Final = 1000
_KEPT_S: Final = 3 * 86_400
_DAY_US: Final = 86_400e6
_TRACKS_EVERY_S: Final = 3600.0
_DROPPED: Final = "+"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of invalidations of one kind: how many there were, and how many of them dropped anything."""

    made: int = 0
    dropped: int = 0


class Outcomes:
    """Counts of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counts: dict[str, Outcome] = {}
        #: Whether this process tracks what it writes.
        self.tracks = False
        self._told_at, self._told_in = float("-inf"), -1

    def note(self, whats: Iterable[str], removed: int) -> None:
        """An invalidation of these (see `entry_of` and so on) that removed so many values in all."""
        with self._lock:
            for what in whats:
                known = self._counts.get(what)
                if known is None and len(self._counts) >= MOST:
                    continue
                known = known or Outcome()
                self._counts[what] = Outcome(known.made + 1, known.dropped + (removed > 0))

    def flush(self) -> None:
        """Tell the server. What can't be told is dropped: these are no accounts. Raises ServerError."""
        now, life = time.monotonic(), self._store.connections.round
        with self._lock:
            counts, self._counts = self._counts, {}
        tracks = self.tracks and (now - self._told_at >= _TRACKS_EVERY_S or life != self._told_in)
        if tracks:
            counts[TRACKS] = Outcome(1, 0)
        if not counts:
            return
        key = keyspace(self._store.namespace, 0).outcomes(_day(self._store.now_us()))
        told: list[list[Argument]] = [["HINCRBY", key, what, one.made] for what, one in counts.items()]
        told += [
            ["HINCRBY", key, what + _DROPPED, one.dropped] for what, one in counts.items() if one.dropped
        ]
        told.append(["EXPIRE", key, _KEPT_S])
        self._store.scripts.run_all([Call("", b"", args) for args in told])
        if tracks:
            self._told_at, self._told_in = now, life


def entry_of(query: str) -> str:
    """Single entries of a query."""
    return f"entry:{query}"


def part_of(part: PartHit, defaults: Mapping[int, str]) -> str:
    """Entries of a query by some of its params. defaults: tokens of the params' defaults, by place."""
    places = (f"{place}=" if defaults.get(place) == token else f"{place}" for place, token in part.tokens)
    return f"part:{part.query}:{','.join(places)}"


def query_of(query: str) -> str:
    """All entries of a query."""
    return f"query:{query}"


def of_names(names: Iterable[str]) -> set[str]:
    """Tags by family, and owners by scope."""
    tags = {f"tag:{family(tag_of(name))}" for name in names if is_tag(name)}
    return tags | {f"owner:{name.split(':', 2)[1]}" for name in names if name.startswith("o:")}


def of_changes(changes: Changes) -> set[str]:
    """All that a transaction invalidates."""
    found = {f"table:{table}" for table in changes.rows} | of_names(changes.names)
    found |= {entry_of(entry.query) for entry in changes.entries} | {query_of(one) for one in changes.queries}
    return found | {part_of(part, {}) for part in changes.parts}


def family(tag: str) -> str:
    """What tags of one kind have in common: all before the first ":", or the tag itself."""
    return tag.partition(":")[0]


def recorded(store: Store) -> dict[str, Outcome]:
    """What all processes have told today and yesterday. Raises ServerError."""
    made: dict[str, int] = {}
    today, keys = _day(store.now_us()), keyspace(store.namespace, 0)
    for day in (today - 1, today):
        fields = store.command("HGETALL", keys.outcomes(day))
        for what, count in zip(fields[::2], fields[1::2], strict=True):
            text = what.decode("utf-8", "surrogatepass")
            made[text] = made.get(text, 0) + int(count)
    whats = (what for what in made if not what.endswith(_DROPPED))
    return {what: Outcome(made[what], made.get(what + _DROPPED, 0)) for what in whats}


def _day(now_us: float) -> int:
    return int(now_us // _DAY_US)
