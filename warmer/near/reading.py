"""Reading with a near copy: look here first; a reply may become a copy, if it is still good when it is here.

The steps are those of any read (`warmer.reading`) with one before and one after the GET, so that sync, async
and many at once are the same:

    found = self.look(runtime, key, args)            a copy that may be served: done
    yield from self._confirming(...)                 one that had a message: is it what is stored still?
    ticket = near.ticket(...)                        before the GET is sent
    self.keep(..., ticket)                           after its reply was found good
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from warmer.core.copying import Copier
from warmer.core.header import HEADER_SIZE, INVALIDATED, Times
from warmer.core.payload import front_of, owner_in
from warmer.driving import Fronts, Steps
from warmer.entry import Entry
from warmer.errors import ServerError
from warmer.near.confirming import confirmed
from warmer.near.copies import AFRESH, Copy
from warmer.near.near import NOTHING, Near, Ticket
from warmer.near.weight import weigh
from warmer.reading import MISSED, Args, Call, Missed, Reading, Seen, note_around
from warmer.runtime.contract import Outcome
from warmer.runtime.modes import past
from warmer.store.operations import Found

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


class Nowhere:
    """Where a query is near that was not read yet."""

    live = NOTHING


NOWHERE = Nowhere()


class NearReading(Reading[R]):
    """A query with `near=`, ready to be read."""

    __slots__ = ("_stems", "near")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stems = self.keys.stems
        self.near: Near | Nowhere = NOWHERE  # that of the runtime which was last read through

    # -- the steps of a read

    def peeking(self, runtime: Runtime, calls: list[Call]) -> Steps[list[Seen | Missed]]:
        """Copies, and one round trip for the rest."""
        near = runtime.near
        found: list[Seen | Missed | None] = [self.look(runtime, key, args) for key, args in calls]
        rest = [at for at, one in enumerate(found) if one is None]
        if any(near.known(calls[at][0]) for at in rest):
            yield from self._confirming(runtime, calls, found, rest)
            rest = [at for at in rest if found[at] is None]
        if rest:
            tickets = [near.ticket(calls[at][0], self._stems) for at in rest]
            blobs, life = yield [calls[at][0] for at in rest]
            for at, blob, ticket in zip(rest, blobs, tickets, strict=True):
                found[at] = self.answered(runtime, *calls[at], blob, life, ticket)
        return [one for one in found if one is not None]

    def _confirming(
        self, runtime: Runtime, calls: list[Call], found: list[Seen | Missed | None], rest: list[int]
    ) -> Steps[None]:
        """Of copies that may be what is stored still, ask only what stands before the value."""
        near, asked = runtime.near, list[tuple[int, Copy, Ticket]]()
        for at in rest:
            copy, ticket = near.known(calls[at][0]), near.ticket(calls[at][0], self._stems)
            if copy is not None and ticket is not None:
                asked.append((at, copy, ticket))
        fronts = yield Fronts([(copy.key, len(copy.front)) for _, copy, _ in asked])
        for (at, copy, ticket), (front, life) in zip(asked, fronts, strict=True):
            found[at] = self._confirmed(runtime, calls[at][1], copy, front, life, ticket)

    def settle(
        self,
        runtime: Runtime,
        key: bytes,
        args: Args,
        outcome: Outcome | None,
        waited_s: float,
        stale: Seen | None = None,
    ) -> Entry[R] | Missed:
        """As without copies; but who has waited for a load reads nothing older here from now on."""
        runtime.near.drop((key,))
        return super().settle(runtime, key, args, outcome, waited_s, stale)

    # -- what is near

    def look(self, runtime: Runtime, key: bytes, args: Args) -> Seen | None:
        """The copy, if one may be served."""
        self.near = runtime.near
        copy = runtime.near.live.get(key)
        if copy is None or monotonic() >= copy.until:
            return None
        found = self._seen(runtime, copy, args)
        copy.reads += found is not None
        return found

    def look_aside(self, runtime: Runtime, key: bytes, args: Args, exc: ServerError) -> Seen | Missed:
        """The server is away: a copy from before, if `near` has not passed since it was read."""
        copy = runtime.near.aside.get(key)
        if copy is not None and monotonic() < copy.until:
            found = self._seen(runtime, copy, args)
            if found is not None:
                runtime.tallies.add(key, self.options)
                runtime.counts.add("near_away")
                return found
        note_around(runtime, exc)
        return MISSED

    def answered(
        self, runtime: Runtime, key: bytes, args: Args, blob: Found, life: bytes, ticket: Ticket | None
    ) -> Seen | Missed:
        """What a GET found, if it may be served; and kept, with a ticket from before the GET."""
        if isinstance(blob, ServerError):
            return self.look_aside(runtime, key, args, blob)
        runtime.near.reached()
        found = self.hit(runtime, key, args, blob, life)
        if ticket is not None and not isinstance(found, Missed):
            self._keep(runtime, key, found, ticket)
        return found

    def _confirmed(
        self, runtime: Runtime, args: Args, copy: Copy, front: Found, life: bytes, ticket: Ticket
    ) -> Seen | Missed | None:
        """The copy's value, and the copy kept again with its new times; None: the entry must be read."""
        if not isinstance(front, bytes):
            return None
        runtime.near.reached()
        if not front:
            return MISSED
        now_us = runtime.store.now_us()
        times = confirmed(copy, front, life, now_us)
        if times is None:
            return None
        until, ask_at = self._deadlines(times, ticket[1], now_us)
        again = copy.again(times, front, until, min(until, ask_at))
        seen = self._seen(runtime, again, args)
        if seen is not None:
            runtime.tallies.add(copy.key, self.options)
            runtime.counts.add("near_confirmed")
            if until > ticket[1]:
                runtime.near.put(again, ticket[0], life)
        return seen

    def fast(self, key: bytes) -> R:
        """The value of a copy of a public entry, where serving it is all there is to do; else ABSENT."""
        copy = self.near.live.get(key)
        if copy is None or monotonic() >= copy.calm_until or past.get() is not None:
            return ABSENT  # type: ignore[no-any-return]
        copy.reads += 1
        value = copy.value
        return value if value is not AFRESH else self.made(copy)

    def made(self, copy: Copy) -> R:
        """The value of one that readers may not share; ABSENT if its types refuse what they made before."""
        try:
            return copy.make(copy.source)  # type: ignore[no-any-return]
        except Exception:  # noqa: BLE001 - anything: it is code of the user's; a read of the entry will tell
            copy.until = copy.calm_until = 0.0
            return ABSENT  # type: ignore[no-any-return]

    def _seen(self, runtime: Runtime, copy: Copy, args: Args) -> Seen | None:
        if self._is_foreign(owner_in(copy.times[0], copy.front), args):
            return None
        value = copy.value if copy.value is not AFRESH else self.made(copy)
        if value is ABSENT:
            return None
        now = runtime.store.now_us()
        if not now - copy.times[3] < copy.times[6]:
            runtime.ask(self, args, copy.key, int(copy.times[2]))
        return value, now, copy.front, copy.times

    def _keep(self, runtime: Runtime, key: bytes, found: Seen, ticket: Ticket) -> None:
        value, _, blob, times = found
        turn, asked_at = ticket
        until, ask_at = self._deadlines(times, asked_at, runtime.store.now_us())
        if until <= asked_at:
            return
        front = front_of(times[0], blob)
        value, source, make, weight = self._kept(key, value, blob, times)
        weight += COPY_BYTES + len(front)
        copy = Copy(key, value, source, make, times, front, self.options, weight, until, min(until, ask_at))
        kept = runtime.near.put(copy, turn, times[1])
        runtime.counts.add("near_copies" if kept else "near_refusals")

    def _kept(self, key: bytes, value: Any, blob: bytes, times: Times) -> tuple[Any, Any, Copier, int]:
        """What a copy serves, or what it makes that of and how; and the bytes that this takes."""
        codec = self.codec
        if codec.immutable:
            return value, None, _as_it_is, weigh(value)
        if not codec.copied or codec.copying_runs_code:
            seal = self.seal_of(key, owner_in(times[0], blob))
            raw = bytes(codec.unpack(times[0] & ~INVALIDATED, blob, HEADER_SIZE, seal))
            if not codec.copied or not codec.is_stored_as(value, raw):
                return AFRESH, raw, codec.decoder_of(len(raw)), len(raw)
        source = codec.kept(value)  # the value itself goes to the reader
        weight = weigh(source)
        return AFRESH, source, codec.copier_of(weight), weight

    def _deadlines(self, times: Times, asked_at: float, now_us: float) -> tuple[float, float]:
        """When a copy ends and when its entry is due, by the monotonic clock."""
        now, age_us = monotonic(), now_us - times[3]
        in_grace_s = (times[5] - age_us) / 1e6 - GRACE_MARGIN_S
        return min(asked_at + self.options.near_s, now + in_grace_s), now + (times[6] - age_us) / 1e6


def _as_it_is(value: Any) -> Any:
    return value
