"""Reading with a near copy: look here first; a reply may become a copy, if it is still good when it is here.

The steps are those of any read (`warmer.reading`) with one before and one after the GET, so that sync, async
and many at once are the same:

    found = self.look(runtime, key, args)            a copy that may be served: done
    ticket = near.ticket(...)                        before the GET is sent
    self.keep(..., ticket)                           after its reply was found good
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from warmer.core.header import HEADER_SIZE, INVALIDATED, Times, read_times
from warmer.entry import Entry
from warmer.errors import CorruptEntry, ServerError
from warmer.near.copies import Copy
from warmer.near.near import Near, Ticket
from warmer.near.weight import weigh
from warmer.reading import MISSED, Args, Missed, Reading, state_of
from warmer.runtime.contract import Outcome
from warmer.runtime.modes import past

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

R = TypeVar("R")

#: What a copy takes besides its value: itself, its key, its header, its place among the others.
COPY_BYTES = 600
# The server's clock is known to a few milliseconds; past its grace an entry is gone there, and no message
# says so: a copy goes this much earlier.
GRACE_MARGIN_S = 0.05

#: In place of a value: there is no copy that may be served.
ABSENT: Any = object()


class NearReading(Reading[R]):
    """A query with `near=`, ready to be read."""

    __slots__ = ("_immutable", "_near", "_stems")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stems, self._immutable = self.keys.stems, self.codec.immutable
        self._near: Near | None = None

    # -- the steps of a read

    def peek(self, runtime: Runtime, key: bytes, args: Args) -> Entry[R] | Missed:
        """A copy, else one GET."""
        found = self.look(runtime, key, args)
        if found is not None:
            return found
        ticket = runtime.near.ticket(key, self._stems)
        try:
            blob, life = runtime.store.get(key)
        except ServerError:
            return self.look_aside(runtime, key, args)
        return self.answered(runtime, key, args, blob, life, ticket)

    def peek_many(self, runtime: Runtime, calls: list[tuple[bytes, Args]]) -> list[Entry[R] | Missed]:
        """Copies, and one MGET for the rest."""
        near = runtime.near
        found: list[Entry[R] | Missed | None] = [self.look(runtime, key, args) for key, args in calls]
        rest = [at for at, one in enumerate(found) if one is None]
        if rest:
            tickets = [near.ticket(calls[at][0], self._stems) for at in rest]
            try:
                blobs, life = runtime.store.get_many([calls[at][0] for at in rest])
            except ServerError:
                for at in rest:
                    found[at] = self.look_aside(runtime, *calls[at])
            else:
                for at, blob, ticket in zip(rest, blobs, tickets, strict=True):
                    found[at] = self.answered(runtime, *calls[at], blob, life, ticket)
        return [one for one in found if one is not None]

    def settle(
        self, runtime: Runtime, key: bytes, args: Args, outcome: Outcome, waited_s: float
    ) -> Entry[R] | Missed:
        """As without copies; but who has waited for a load reads nothing older here from now on."""
        runtime.near.drop((key,))
        return super().settle(runtime, key, args, outcome, waited_s)

    # -- what is near

    def look(self, runtime: Runtime, key: bytes, args: Args) -> Entry[R] | None:
        """The copy, if one may be served."""
        self._near = near = runtime.near
        copy = near.live.get(key)
        if copy is None or copy.until <= time.monotonic():
            return None
        found = self._entry(runtime, copy, args)
        near.hits += found is not None
        return found

    def look_aside(self, runtime: Runtime, key: bytes, args: Args) -> Entry[R] | Missed:
        """The server is away: a copy from before, if `near` has not passed since it was read."""
        copy = runtime.near.aside.get(key)
        if copy is not None and copy.until > time.monotonic():
            found = self._entry(runtime, copy, args)
            if found is not None:
                runtime.counts.add("near_away")
                return found
        runtime.counts.add("reads_around")
        return MISSED

    def answered(
        self, runtime: Runtime, key: bytes, args: Args, blob: bytes | None, life: bytes, ticket: Ticket | None
    ) -> Entry[R] | Missed:
        """The entry in a reply to a GET, if it may be served; and kept, with a ticket from before the GET."""
        runtime.near.reached()
        if blob is None:
            return MISSED
        found = self.hit(runtime, key, args, blob, life)
        if ticket is not None and isinstance(found, Entry):
            self._keep(runtime, key, found, blob, ticket)
        return found

    def fast(self, key: bytes, args: Args) -> R:
        """The value of a copy that anybody may read; else ABSENT."""
        near = self._near
        if near is None:
            return ABSENT  # type: ignore[no-any-return]
        copy = near.live.get(key)
        now = time.monotonic()
        if copy is None or copy.until <= now or past.get() is not None:
            return ABSENT  # type: ignore[no-any-return]
        copy.read = True
        near.hits += 1
        near.tallies.add(copy.key, self.options)
        if copy.ask_at <= now:
            self.runtime_of().ask(self, args, key, int(copy.times[2]))
        return copy.value if self._immutable else self._decoded(copy)

    def _decoded(self, copy: Copy) -> R:
        try:
            return self.codec.decode_raw(copy.raw)  # type: ignore[no-any-return]
        except CorruptEntry:
            return ABSENT  # type: ignore[no-any-return]

    def _entry(self, runtime: Runtime, copy: Copy, args: Args) -> Entry[R] | None:
        _, _, stamp, stored_at, fresh_until, _, due_at, cost_us, owner = copy.times
        if self._is_foreign(owner, args):
            return None
        value = copy.value if self._immutable else self._decoded(copy)
        if value is ABSENT:
            return None
        copy.read = True
        runtime.tallies.add(copy.key, self.options)
        now = runtime.store.now_us()
        state = state_of(now, due_at, fresh_until)
        if state != "fresh":
            runtime.ask(self, args, copy.key, int(stamp))
        age_s = max(0.0, (now - stored_at) / 1e6)
        name, source = copy.key.decode(), (self, args)
        return Entry(value, age_s, state, int(stamp), cost_us / 1e6, name, 0.0, copy.front, source)

    def _keep(self, runtime: Runtime, key: bytes, found: Entry[R], blob: bytes, ticket: Ticket) -> None:
        times = read_times(blob)
        assert times is not None, "it was a hit"
        turn, asked_at = ticket
        until, ask_at = self._deadlines(times, asked_at, runtime.store.now_us())
        if until <= asked_at:
            return
        value, raw = None, None
        if self._immutable:
            value = found.value
            weight = weigh(value)
        else:
            raw = bytes(self.codec.unpack(times[0] & ~INVALIDATED, memoryview(blob)[HEADER_SIZE:]))
            weight = len(raw)
        weight += COPY_BYTES + len(found.front)
        copy = Copy(key, value, raw, times, found.front, weight, until, ask_at)
        kept = runtime.near.put(copy, turn, times[1])
        runtime.counts.add("near_copies" if kept else "near_refusals")

    def _deadlines(self, times: Times, asked_at: float, now_us: float) -> tuple[float, float]:
        """When a copy ends and when its entry is due, by the monotonic clock."""
        now = time.monotonic()
        in_grace_s = (times[5] - now_us) / 1e6 - GRACE_MARGIN_S
        return min(asked_at + self.options.near_s, now + in_grace_s), now + (times[6] - now_us) / 1e6
