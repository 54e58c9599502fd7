"""Flights: everything this process wants of one entry at a time, so that one asks and the rest join.

Rules, each because an interleaving breaks without it (design: who may have a value by hand):

1. A load's value goes by hand to exactly those who joined before its lease was asked for. Who joins later
   waits for the commit and reads again: joining a load that began earlier is how a fence is walked around.
2. What a script read is shared by those who joined before it was sent.
3. A value that was refused may still go to whoever began before that load did, in any process: `arrived` is
   the shard's stamp when this process first asked for them, and only a later lease's value is handed to them.
4. Readers are never run from here: a flight goes on when its reader is cancelled, and its lease ends with the
   load.

All of it runs on the runtime's own event loop; only the store and the loads use threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from warmer.core.header import Header
from warmer.core.keys import EntryKey
from warmer.errors import LoadFailed, ServerError, TooManyLoads, WaitTimeout
from warmer.runtime.contract import Loadable, Outcome, Reader, finish
from warmer.runtime.loading import Load
from warmer.store.operations import Acquired, Lease

if TYPE_CHECKING:
    from warmer.runtime.batches import Batch
    from warmer.runtime.opening import Opening
    from warmer.runtime.process import Runtime

log = logging.getLogger("warmer")

# A newcomer may make the flight ask again at once, but not more often than this: a cold key's crowd is one
# question.
ASK_AGAIN_S = 0.01
# Behind the wake-ups, a waiting flight asks again this often, in case one was lost.
POLL_S = 0.5
# A first question that has not been begun by then never is: who was to ask it may have been interrupted.
OPENS_IN_S = 1.0
DEAF_POLL_S = 0.05
# Who waits for a worker says so this often: the scheduler that would hear it may only just come up.
ASK_WORKER_S = 1.0


class Flight:
    """The readers of one entry in this process, and the task that serves them."""

    def __init__(self, runtime: Runtime, query: Loadable, entry: EntryKey, params: Mapping[str, Any]) -> None:
        self.runtime, self.query, self.entry, self.params = runtime, query, entry, params
        self.names, self.key = query.names_of(params, entry), entry.key.encode()
        self.readers: list[Reader] = []
        self._at = (entry.shard, entry.member)
        self.changed = asyncio.Event()  # a wake-up, the end of a load here, or a newcomer
        self.asked_at = self.asked_worker_at = 0.0
        # One is kept until the server has answered: a lease that was granted in a lost reply is found by it.
        self.token = _new_token()
        self.turn: asyncio.Task[None] | None = None  # our place in the queue for a load slot
        self.opening: Opening | None = None  # the first question, if another thread asks it
        self.begun = False
        self.slot_kept = False  # a load that has started keeps the slot that its question was asked under

    def join(self, reader: Reader) -> None:
        """Add a reader; from the loop's thread only, or before the flight is known there."""
        reader.began = time.monotonic()
        reader.deadline = reader.began + self.query.options.wait_s + reader.extra_s
        self.readers.append(reader)
        self.changed.set()

    async def fly(self) -> None:
        """Serve the readers until none is left."""
        try:
            while self.readers:
                self.changed.clear()
                await self._not_too_often()
                wait_s = await self._step()
                self._drop_late()
                if self.readers and wait_s > 0:
                    await self._wait(wait_s)
        finally:
            self._leave_queue()

    async def _not_too_often(self) -> None:
        pause = self.asked_at + ASK_AGAIN_S - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        self.asked_at = time.monotonic()

    async def _wait(self, wait_s: float) -> None:
        soonest = min(reader.deadline for reader in self.readers) - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(wait_s, soonest))):
                await self.changed.wait()
        except TimeoutError:
            return

    async def _step(self) -> float:
        """Ask once for all who are here now; how long the rest may wait before it is asked again."""
        if self.opening is not None:
            return await self._open(self.opening)
        batch = list(self.readers)
        if not any(reader.waits and reader.loads for reader in batch):
            return await self._ask(batch)
        if any(reader.batch is not None and not reader.batch.begun for reader in batch):
            return await self._ask(batch)  # one place for all of the batch, taken when it runs
        if not await self._has_slot():
            # Not our turn to load yet. Somebody else may have loaded it, or may be about to.
            patient = [reader for reader in batch if not reader.insist]
            return await self._ask(patient, look=True) if patient else POLL_S
        self.slot_kept = False
        try:
            return await self._ask(list(self.readers), slot=True)
        finally:
            if not self.slot_kept:
                self.runtime.slots.release()

    async def _has_slot(self) -> bool:
        """Whether a load slot is ours now; if not, we keep our place in the queue."""
        slots = self.runtime.slots
        if self.turn is None:
            if slots.take():
                return True
            self.turn = asyncio.create_task(slots.acquire())
            self.turn.add_done_callback(lambda _: self.changed.set())
        if not self.turn.done():
            return False
        self.turn = None
        return True

    def _leave_queue(self) -> None:
        if self.turn is not None and not self.turn.cancel():
            self.runtime.slots.release()
        self.turn = None

    async def _open(self, opening: Opening) -> float:
        """Serve the answer that was asked for ahead, under a slot that was taken for it."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OPENS_IN_S):
                    await asyncio.shield(opening.answer)
            answer = None if opening.take_back() else await opening.answer
            self.opening = None
            if answer is None:
                return 0.0
            if isinstance(answer, BaseException) and not isinstance(answer, ServerError):
                raise answer
            return await self._answered(answer, opening.batch, slot=True, load=opening.load)
        finally:
            if not self.slot_kept:
                self.runtime.slots.release()

    async def _ask(self, batch: list[Reader], *, slot: bool = False, look: bool = False) -> float:
        answer: Acquired | ServerError
        try:
            answer = await self.runtime.in_thread(self.acquire, batch, self.token, look)
        except ServerError as exc:
            answer = exc
        return await self._answered(answer, batch, slot=slot)

    async def _answered(
        self, answer: Acquired | ServerError, batch: list[Reader], *, slot: bool, load: Load | None = None
    ) -> float:
        """Serve what the server said, or that it said nothing. load: what was granted, if it runs already."""
        token = self.token
        if isinstance(answer, ServerError):
            self.runtime.keep_unanswered(self.entry.member, token)
            _decide(batch, None)
            await self._go_around(batch, answer)
            return 0.0
        self.runtime.unanswered.pop(self.entry.member, None)
        self.token = _new_token()
        wait_s = self._serve(answer, batch, load or Lease(self.entry, token, answer.stamp), slot)
        if answer.kind == "busy" and not any(reader.loads for reader in batch):
            await self._ask_a_worker(_newest_needed(batch))
        return wait_s

    def acquire(self, batch: list[Reader], token: str, look: bool) -> Acquired:
        """What the server says to these readers. Not on the loop: it waits for the server."""
        self.runtime.crowds.close(self.key, batch)  # rule 1
        self.runtime.shapes.register()  # before the first lease: writers must know what the entry depends on
        self.runtime.strict.register()
        arrivals = [reader.arrived for reader in batch if reader.arrived is not None]
        answer = self.runtime.store.acquire(
            self.entry,
            self.names.all(),
            token,
            timeout_us=self.query.options.timeout_us,
            newer_than=_newest_needed(batch),
            arrived=min(arrivals) if arrivals else None,
            insist=any(reader.insist for reader in batch),
            interval_us=self.query.options.interval_us,
            servable=all(reader.servable for reader in batch),
            look=look or not any(reader.loads for reader in batch),
        )
        self.runtime.shapes.register()  # a server that came up empty under the question has forgotten them
        if answer.kind == "granted":
            self.runtime.shapes.told_after(self.entry.shard, answer.since)
        return answer

    async def _ask_a_worker(self, seen: int | None) -> None:
        """Nobody here may load it, and nobody does: make it due, so that a scheduler sends it to a worker."""
        if time.monotonic() < self.asked_worker_at + ASK_WORKER_S:
            return
        self.asked_worker_at = time.monotonic()
        try:
            await self.runtime.in_thread(self.runtime.store.ask, self.entry, seen)
        except ServerError as exc:
            log.debug("could not ask a worker for %s: %s", self.entry.member, exc)

    def _serve(self, answer: Acquired, batch: list[Reader], granted: Lease | Load, slot: bool) -> float:
        """granted: what a grant means, the lease, or the load that runs already."""
        wait_s = max(0.0, (answer.until - answer.now) / 1e6)
        if answer.kind == "barred":
            return self._load_past(batch, slot)
        if answer.kind != "granted":
            _decide(batch, None)
        if answer.kind in ("committed", "failed"):
            self.runtime.missing.pop(self.key, None)  # whoever comes now has something to look for
        match answer.kind:
            case "granted":
                shared = next((r.batch for r in batch if r.batch is not None and not r.batch.begun), None)
                _decide(batch, shared)
                self._depart(batch, granted, slot, shared)
            case "committed":
                self._finish(batch, Outcome("committed", blob=answer.blob))
            case "handed":
                header = Header.read(answer.blob)
                fit = [r for r in batch if header and r.arrived is not None and r.arrived < header.stamp]
                self._finish(fit, Outcome("handed", blob=answer.blob))
            case "failed":
                cause, _, text = answer.cause.partition(": ")
                failure = LoadFailed(self.query.name, self.entry.params, cause, text, wait_s)
                self._finish(batch, Outcome("failed", error=failure))
            case "busy" | "soon":
                self._finish([r for r in batch if not r.waits], Outcome(answer.kind))
                if answer.kind == "busy":
                    _note_arrival(batch, answer.stamp)
                # Until wake-ups are heard, ask often; the first one heard makes every flight ask again.
                return min(wait_s, POLL_S if self.runtime.hears() else DEAF_POLL_S)
        return 0.0

    def _load_past(self, batch: list[Reader], slot: bool) -> float:
        """A transaction bars what is stored of a strict query: what is loaded goes to these readers only.

        One load at a time: who comes while it runs waits for the next, as behind a lease.
        """
        self._finish([r for r in batch if not r.waits], Outcome("barred"))
        going = [r for r in batch if r.waits and r.loads]
        if not going or self._at in self.runtime.loading_past:
            _decide(batch, None)
            return POLL_S
        shared = next((r.batch for r in going if r.batch is not None and not r.batch.begun), None)
        _decide(batch, shared)
        self.runtime.counts.add("loads_past_barriers")
        self._depart(going, None, slot, shared)
        return 0.0

    def _depart(
        self, batch: list[Reader], granted: Lease | Load | None, slot: bool, shared: Batch | None
    ) -> None:
        """Start the load for those who were here when its lease was asked for, if it does not run yet."""
        for reader in batch:
            self.readers.remove(reader)
        self.slot_kept = slot
        if granted is None:
            self.runtime.loading_past.add(self._at)
        load = granted if isinstance(granted, Load) else Load(self, batch, granted, slot, shared)
        load.start()

    async def _go_around(self, batch: list[Reader], exc: ServerError) -> None:
        """The server is away: readers load under a small bound, and nothing is stored."""
        # A message comes again; who waits for a worker has none without the server.
        self._finish([r for r in batch if not (r.waits and r.loads)], Outcome("failed", error=exc))
        batch = [reader for reader in batch if reader in self.readers]
        if not batch:
            return
        left = max(0.0, min(reader.deadline for reader in batch) - time.monotonic())
        try:
            async with asyncio.timeout(left):
                await self.runtime.away_slots.acquire()
        except TimeoutError:
            self._drop_late(str(exc))
            return
        self.runtime.counts.add("loads_around")
        try:
            # Whoever joined while we waited for the slot began before this load, too.
            batch = [reader for reader in self.readers if reader.waits and reader.loads]
            self.runtime.crowds.close(self.key, batch)
            for reader in batch:
                self.readers.remove(reader)
            outcome = await Load(self, batch, None, False).ended()
            finish(batch, outcome)
        finally:
            self.runtime.away_slots.release()

    def _drop_late(self, away: str | None = None) -> None:
        """Tell those whose time is up. away: why the server can't be asked."""
        now = time.monotonic()
        due = [reader for reader in self.readers if reader.deadline <= now or reader.future.cancelled()]
        self.runtime.crowds.close(self.key, due)
        for reader in due:
            late = self._late(now - reader.began, away)
            if not reader.future.cancelled():
                kind = "waits_timed_out" if away is None else "loads_around_refused"
                name = self.query.name
                self.runtime.incidents.note(
                    kind, "a read of %s ends with %s", name, type(late).__name__, about=name
                )
            self._finish([reader], Outcome("failed", error=late))

    def _late(self, waited_s: float, away: str | None) -> WaitTimeout | TooManyLoads:
        name, params = self.query.name, self.entry.params
        if away is None:
            return WaitTimeout(name, params, waited_s)
        return TooManyLoads(name, params, self.runtime.settings.redis_away_loads, waited_s, away)

    def _finish(self, readers: Iterable[Reader], outcome: Outcome) -> None:
        for reader in readers:
            self.readers.remove(reader)
            reader.finish(outcome)


def _new_token() -> str:
    return uuid.uuid4().hex[:16]


def _newest_needed(batch: list[Reader]) -> int | None:
    """Which stored value is too old for one of them; None if one of them takes none."""
    needs = [reader.newer_than for reader in batch]
    return None if None in needs else max(need for need in needs if need is not None)


def _decide(readers: Iterable[Reader], granted: Batch | None) -> None:
    """These readers' entry was asked for: no batch waits for it any more, but `granted` for its load."""
    for reader in readers:
        if reader.batch is not None:
            reader.batch.decided(reader.batch is granted)
            granted = None if reader.batch is granted else granted
            reader.batch = None


def _note_arrival(readers: Iterable[Reader], stamp: int) -> None:
    """These readers were here when the shard gave this stamp."""
    for reader in readers:
        if reader.arrived is None:
            reader.arrived = stamp
            if reader.newer_than is None:
                reader.newer_than = stamp
