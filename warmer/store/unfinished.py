"""The record of an invalidation that takes more than one trip: it stands in Redis until all is removed.

It is written by the script that stamps. So whatever becomes of the invoker, somebody finds it and removes the
rest: what is stored is served until it is removed, for no read looks at the fence.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from warmer.core.changes import Changes
from warmer.core.keyspace import keyspace
from warmer.errors import ServerError
from warmer.store.operations import Store
from warmer.store.scripts import Argument, Call

#: The invoker says so often that it is at it.
CARRY_EVERY_S = 1.0
#: What it may be silent for beside waiting for the server: a pause, or a machine that has too much to do.
PAUSE_S = 3.0
#: Ends the id of the record that is written beforehand, in shard 0.
AHEAD = "+"


@dataclass(slots=True)
class Unfinished:
    """One invalidation's record. at: (shard, id) wherever it may stand."""

    store: Store
    about: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    at: set[tuple[int, str]] = field(default_factory=set)
    _carry_at: float = field(default_factory=lambda: time.monotonic() + CARRY_EVERY_S)

    @classmethod
    def of(cls, store: Store, changes: Changes, stale_us: Mapping[str, int]) -> Unfinished:
        """A record that is not written yet. stale_us: `stale_after_write` by query, as it is honoured."""
        about = json.dumps({"changes": changes.text(), "stale_us": dict(stale_us)}, separators=(",", ":"))
        return cls(store, about)

    @classmethod
    def taken_over(cls, store: Store, found: str, about: str) -> Unfinished:
        """One that somebody else has left."""
        taken = found.removesuffix(AHEAD)
        at = {(shard, taken) for shard in range(store.settings.shards)} | {(0, taken + AHEAD)}
        return cls(store, about, taken, at, _carry_at=0.0)  # nobody takes it by another record

    def read(self) -> tuple[Changes, dict[str, int]]:
        """What it is about, and `stale_after_write` by query. Raises ValueError for what is no record."""
        try:
            plain = json.loads(self.about)
            return Changes.read(plain["changes"]), {str(q): int(us) for q, us in plain["stale_us"].items()}
        except (TypeError, KeyError, AttributeError) as exc:
            raise ValueError("not the record of an invalidation") from exc

    def arguments(self, *, ahead: bool) -> list[Argument]:
        """What apply.lua needs to write it. ahead: beforehand, whatever that call will leave."""
        if ahead:
            self.at.add((0, self.id + AHEAD))
        patience_us = round((2 * self.store.settings.invalidate_timeout + PAUSE_S) * 1e6)
        return [self.id, self.about, patience_us, int(ahead)]

    def call_off(self) -> Call:
        """The command that takes away what was written beforehand, when the shards have told of the rest."""
        return Call("", b"", ["HDEL", keyspace(self.store.namespace, 0).unfinished, self.id + AHEAD])

    def called_off(self) -> None:
        """It has been taken away. Not before: until then nobody else may take it over by that."""
        self.at.discard((0, self.id + AHEAD))

    def carry_on(self) -> None:
        """Say now and then that its invoker is at it. Raises ServerError."""
        if not self.at or time.monotonic() < self._carry_at:
            return
        self._carry_at = time.monotonic() + CARRY_EVERY_S
        self.store.scripts.run_all(
            [Call("carry_on", self.store.roots[shard], [name]) for shard, name in sorted(self.at)]
        )

    def drop(self) -> None:
        """All is removed. If the server can't be told, somebody will do it once more, which does no harm."""
        keys = [(keyspace(self.store.namespace, shard).unfinished, name) for shard, name in sorted(self.at)]
        with contextlib.suppress(ServerError):
            self.store.scripts.run_all([Call("", b"", ["HDEL", *pair]) for pair in keys])
        self.at.clear()
