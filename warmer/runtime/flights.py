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
import random
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from warmer.core.header import HEADER_SIZE, NO_LIFE, Header
from warmer.core.keys import EntryKey
from warmer.errors import LoadFailed, LoadTimeout, ServerError, StoreError, TooManyLoads, WaitTimeout, mask
from warmer.runtime.contract import Loadable, Outcome, Reader
from warmer.runtime.loads import Expired, Loaded, LoadThread, run_load
from warmer.store.operations import Acquired, Commit, Lease

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

log = logging.getLogger("warmer")

# A newcomer may make the flight ask again at once, but not more often than this: a cold key's crowd is one
# question.
ASK_AGAIN_S = 0.01
# Behind the wake-ups, a waiting flight asks again this often, in case one was lost.
POLL_S = 0.5
DEAF_POLL_S = 0.05


class Flight:
    """The readers of one entry in this process, and the task that serves them."""

    def __init__(self, runtime: Runtime, query: Loadable, entry: EntryKey, params: Mapping[str, Any]) -> None:
        self.runtime, self.query, self.entry, self.params = runtime, query, entry, params
        self.names = query.names_of(params, entry)
        self.readers: list[Reader] = []
        self.changed = asyncio.Event()  # a wake-up, the end of a load here, or a newcomer
        self.asked_at = 0.0
        self.slot_kept = False  # a load that has started keeps the slot that its question was asked under

    def join(self, reader: Reader) -> None:
        """Add a reader; from the loop's thread only."""
        reader.began = time.monotonic()
        reader.deadline = reader.began + self.query.options.wait_s
        self.readers.append(reader)
        self.changed.set()

    async def fly(self) -> None:
        """Serve the readers until none is left."""
        while self.readers:
            self.changed.clear()
            await self._not_too_often()
            wait_s = await self._step()
            self._drop_late()
            if self.readers and wait_s > 0:
                await self._wait(wait_s)

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
        batch = list(self.readers)
        if not any(reader.waits and reader.loads for reader in batch):
            return await self._ask(batch)
        if self.runtime.slots.locked() and await self._found(batch):
            return 0.0
        soonest = max(0.001, min(reader.deadline for reader in batch) - time.monotonic())
        try:
            async with asyncio.timeout(soonest):
                await self.runtime.slots.acquire()
        except TimeoutError:
            return POLL_S
        self.slot_kept = False
        try:
            return await self._ask(list(self.readers), slot=True)
        finally:
            if not self.slot_kept:
                self.runtime.slots.release()

    async def _found(self, batch: list[Reader]) -> bool:
        """Every load slot is taken: is the value perhaps there already?"""
        try:
            blob, life = await self.runtime.in_thread(self.runtime.store.get, self.entry.key.encode())
        except ServerError:
            return False
        header = Header.read(blob) if blob else None
        now = self.runtime.store.now_us()
        if header is None or header.life != life or header.grace_until <= now:
            return False
        good = [r for r in batch if r.servable and r.newer_than is not None and header.stamp > r.newer_than]
        self._finish(good, Outcome("committed", blob=blob or b""))
        return bool(good)

    async def _ask(self, batch: list[Reader], slot: bool = False) -> float:
        needs = [reader.newer_than for reader in batch]
        arrivals = [reader.arrived for reader in batch if reader.arrived is not None]
        token = uuid.uuid4().hex[:16]
        options = self.query.options
        try:
            answer: Acquired = await self.runtime.in_thread(
                lambda: self.runtime.store.acquire(
                    self.entry,
                    self.names.all(),
                    token,
                    timeout_us=options.timeout_us,
                    newer_than=None if None in needs else max(n for n in needs if n is not None),
                    arrived=min(arrivals) if arrivals else None,
                    insist=any(reader.insist for reader in batch),
                    interval_us=options.interval_us,
                    servable=all(reader.servable for reader in batch),
                    look=not any(reader.loads for reader in batch),
                )
            )
        except ServerError as exc:
            await self._go_around(batch, exc)
            return 0.0
        return self._serve(answer, batch, token, slot)

    def _serve(self, answer: Acquired, batch: list[Reader], token: str, slot: bool) -> float:
        wait_s = max(0.0, (answer.until - answer.now) / 1e6)
        match answer.kind:
            case "granted":
                self._depart(batch, Lease(self.entry, token, answer.stamp), slot)
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
                for reader in batch:
                    if answer.kind == "busy" and reader.arrived is None:
                        reader.arrived = answer.stamp
                        if reader.newer_than is None:
                            reader.newer_than = answer.stamp
                if answer.kind == "soon":
                    return wait_s
                # Until wake-ups are heard, ask often; the first one heard makes every flight ask again.
                return min(wait_s, POLL_S if self.runtime.hears() else DEAF_POLL_S)
        return 0.0

    def _depart(self, batch: list[Reader], lease: Lease, slot: bool) -> None:
        """Start the load for those who were here when its lease was asked for."""
        for reader in batch:
            self.readers.remove(reader)
        self.slot_kept = slot
        Load(self, batch, lease, slot).start()

    async def _go_around(self, batch: list[Reader], exc: ServerError) -> None:
        """The server is away: readers load under a small bound, and nothing is stored."""
        self._finish([r for r in batch if not r.waits], Outcome("failed", error=exc))
        batch = [reader for reader in batch if reader in self.readers]
        if not batch:
            return
        started = time.monotonic()
        left = max(0.0, min(reader.deadline for reader in batch) - started)
        try:
            async with asyncio.timeout(left):
                await self.runtime.away_slots.acquire()
        except TimeoutError:
            bound = self.runtime.store.settings.redis_away_loads
            error = TooManyLoads(
                self.query.name, self.entry.params, bound, self.query.options.wait_s, str(exc)
            )
            self._finish(batch, Outcome("failed", error=error))
            return
        self.runtime.counts.add("loads_around")
        try:
            # Whoever joined while we waited for the slot began before this load, too.
            batch = list(self.readers)
            for reader in batch:
                self.readers.remove(reader)
            outcome = await Load(self, batch, None, False).ended()
            self._finish_off(batch, outcome)
        finally:
            self.runtime.away_slots.release()

    def _drop_late(self) -> None:
        now = time.monotonic()
        late = [reader for reader in self.readers if reader.deadline <= now or reader.future.cancelled()]
        for reader in late:
            error = WaitTimeout(self.query.name, self.entry.params, now - reader.began)
            self._finish([reader], Outcome("failed", error=error))

    def _finish(self, readers: list[Reader], outcome: Outcome) -> None:
        for reader in readers:
            self.readers.remove(reader)
        self._finish_off(readers, outcome)

    @staticmethod
    def _finish_off(readers: list[Reader], outcome: Outcome) -> None:
        for reader in readers:
            reader.finish(outcome)


class Load:
    """One run of a query's function, under a lease or (lease None) past an absent server."""

    def __init__(self, flight: Flight, readers: list[Reader], lease: Lease | None, slot: bool) -> None:
        self.flight, self.readers, self.lease, self.slot = flight, readers, lease, slot
        self.runtime, self.query = flight.runtime, flight.query
        self.began = time.monotonic()

    def start(self) -> None:
        """Run it, and tell its readers when it ends."""
        task = asyncio.get_running_loop().create_task(self._run())
        self.runtime.tasks.add(task)
        task.add_done_callback(self.runtime.tasks.discard)

    async def _run(self) -> None:
        if self.lease:
            self.runtime.heartbeat.hold(self.lease)
        try:
            outcome = await self.ended()
        except asyncio.CancelledError as exc:
            Flight._finish_off(self.readers, Outcome("failed", error=exc))
            raise
        finally:
            if self.lease:
                self.runtime.heartbeat.drop(self.lease)
            if self.slot:
                self.runtime.slots.release()
        Flight._finish_off(self.readers, outcome)
        self.runtime.wake(self.flight.entry)

    async def ended(self) -> Outcome:
        """Run the load on a thread of its own; past `timeout` it is given up, its commit refused."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()

        def tell(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        def work() -> None:
            outcome = self._load_and_commit()
            with contextlib.suppress(RuntimeError):  # the runtime was closed: its readers have been told
                loop.call_soon_threadsafe(tell, outcome)

        LoadThread(self.query.name, work).start()
        self.runtime.counts.add("loads")
        try:
            async with asyncio.timeout(self.query.options.timeout_s):
                return await asyncio.shield(done)
        except TimeoutError:
            self.runtime.counts.add("loads_timed_out")
            return await self.runtime.in_thread(self._timed_out)

    def _load_and_commit(self) -> Outcome:
        query, flight = self.query, self.flight
        try:
            loaded = run_load(
                lambda: query.call(flight.params),
                self.runtime.around_load, self.runtime.load_loop, query.options.timeout_s,
            )  # fmt: skip
            flags, payload = query.encode(loaded.value)
        except StoreError as exc:
            return self._failed(exc, str(exc))
        except Expired:
            return self._timed_out()
        except BaseException as exc:
            log.warning("loading %s(%s) failed", query.name, flight.entry.params, exc_info=exc)
            return self._failed(exc, str(exc))
        blob = self._unstored_header(loaded, flags) + payload
        if self.lease is not None:
            blob = self._commit(loaded, flags, payload) or blob
        return Outcome("loaded", blob=blob, load_s=loaded.cost_us / 1e6)

    def _commit(self, loaded: Loaded, flags: int, payload: bytes) -> bytes:
        """The stored entry; nothing if the commit was refused: the readers get the value all the same."""
        assert self.lease is not None
        options, query = self.query.options, self.query
        waits = [reader.wait_us for reader in self.readers if reader.wait_us >= 0]
        what = Commit(
            payload=payload, flags=flags, cost_us=loaded.cost_us, owner=query.owner_of(self.flight.params),
            ttl_us=options.ttl_us, grace_us=options.grace_us, wait_us=max(waits, default=-1),
            early=options.early, draw=random.expovariate(1.0), keep=options.keep, idle_us=options.idle_us,
            max_kept=options.max_kept, fence_only=self.flight.names.fence_only,
            listed=tuple(dict.fromkeys((*self.flight.names.listed, *sorted(loaded.found)))),
        )  # fmt: skip
        try:
            kind, header = self.runtime.store.commit(self.lease, what)
        except ServerError as exc:
            log.warning("%s(%s) was loaded but not stored: %s", query.name, self.flight.entry.params, exc)
            self.runtime.counts.add("commits_failed")
            return b""
        self.runtime.counts.add(f"commits_{kind}")
        return header + payload if kind == "stored" else b""

    def _unstored_header(self, loaded: Loaded, flags: int) -> bytes:
        now = self.runtime.store.now_us()
        stamp = float(self.lease.stamp) if self.lease else 0.0
        return Header(
            flags, NO_LIFE, stamp, now, 0.0, 0.0, 0.0, loaded.cost_us, self.query.owner_of(self.flight.params)
        ).pack()

    def _timed_out(self) -> Outcome:
        options = self.query.options
        error = LoadTimeout(self.query.name, self.flight.entry.params, options.timeout_s)
        self._record_failure(f"LoadTimeout: it took longer than timeout={options.timeout_s:g} s")
        return Outcome("failed", error=error)

    def _failed(self, exc: BaseException, text: str) -> Outcome:
        cause = f"{type(exc).__name__}: {mask(text, 500)}"
        retry_s = self._record_failure(cause)
        self.runtime.counts.add("loads_failed")
        error: BaseException = exc
        if not isinstance(exc, StoreError):
            entry = self.flight.entry
            error = LoadFailed(self.query.name, entry.params, type(exc).__name__, mask(text, 500), retry_s)
            error.__cause__ = exc
        return Outcome("failed", error=error)

    def _record_failure(self, cause: str) -> float:
        if self.lease is None:
            return 0.0
        try:
            until = self.runtime.store.fail(self.lease, cause, random.random(), self.query.options.keep)
        except ServerError as exc:
            log.warning("the failure of %s could not be recorded: %s", self.query.name, exc)
            return 0.0
        return max(0.0, (until - self.runtime.store.now_us()) / 1e6)


def payload_of(blob: bytes) -> tuple[Header, memoryview]:
    """An outcome's header and payload. Raises ValueError for what no flight gives out."""
    header = Header.read(blob)
    if header is None:
        raise ValueError("not an entry")
    return header, memoryview(blob)[HEADER_SIZE:]
