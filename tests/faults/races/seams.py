"""Seams of the protocol that a run can be made without, to see that the race finds what they are there for.

Each is a name and a function that takes the seam out in this process. `lua.source` and `lua.sha1` are
replaced, so a weakened script is another script to the server, and processes with and without it don't
disturb each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from warmer import lua
from warmer.core.keys import EntryKey
from warmer.runtime import flights, process
from warmer.runtime.contract import Loadable, Outcome, Reader
from warmer.runtime.handover import Handover
from warmer.runtime.loading import Load
from warmer.store.operations import Acquired, Lease


def _replace(script: str, old: str, new: str) -> None:
    """Have this process run `script` with `old` replaced by `new` from now on. Raises LookupError."""
    text = lua.source(script)
    if old not in text:
        raise LookupError(f"{script}.lua no longer says {old!r}: the seam has moved")
    weak = text.replace(old, new)
    before_source, before_sha1 = lua.source, lua.sha1
    digest = hashlib.sha1(weak.encode(), usedforsecurity=False).hexdigest()
    lua.source = lambda name: weak if name == script else before_source(name)  # type: ignore[assignment]
    lua.sha1 = lambda name: digest if name == script else before_sha1(name)  # type: ignore[assignment]


def without_fence() -> None:
    """A commit does not look at what was invalidated since its lease."""
    _replace("commit", "if lease.doomed or barred or newest >= stamp or over <= now then", "if false then")


def without_rule_5() -> None:
    """Readers join a load that has begun before they did."""
    loading: dict[tuple[int, str], Load] = {}
    run, join = Load._run, process.Runtime.join

    async def running(self: Load) -> None:
        at = (self.flight.entry.shard, self.flight.entry.member)
        loading[at] = self
        try:
            await run(self)
        finally:
            if loading.get(at) is self:
                del loading[at]

    def joining(
        self: process.Runtime, query: Loadable, entry: EntryKey, params: Mapping[str, Any], reader: Reader
    ) -> Handover[Outcome]:
        def on_loop() -> None:
            load = loading.get((entry.shard, entry.member))
            if load is not None:
                load.readers.append(reader)
            else:
                join(self, query, entry, params, reader)

        self.loop.call_soon_threadsafe(on_loop)
        return reader.future

    Load._run = running  # type: ignore[method-assign]
    process.Runtime.join = joining  # type: ignore[method-assign]


def without_arrival() -> None:
    """A refused value is handed to readers of other processes, whenever they began."""
    _replace("acquire", "loaded.stamp > arrived", "true")

    def serve(
        self: flights.Flight, answer: Acquired, batch: list[Reader], granted: Lease | Load, slot: bool
    ) -> float:
        for reader in batch:
            if answer.kind == "handed":
                reader.arrived = 0
        return original(self, answer, batch, granted, slot)

    original = flights.Flight._serve
    flights.Flight._serve = serve  # type: ignore[method-assign]


def without_stamp_before_remove() -> None:
    """An invalidation removes, and stamps nothing."""
    stamping = "for i = first, last do redis.call('ZADD', fence, text(stamp), ARGV[i]) end"
    for script in ("stamp", "invalidate", "apply"):
        _replace(script, stamping, "")
    for script in ("remove", "invalidate", "apply"):
        _replace(script, "\n    doom(member, stamp)\n", "\n")


SEAMS: dict[str, Callable[[], None]] = {
    "fence": without_fence,
    "rule-5": without_rule_5,
    "arrival": without_arrival,
    "stamp": without_stamp_before_remove,
}
