"""The runtime: what a process needs beyond plain reads, made at its first use and anew after a fork."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from warmer.completion import Completion
from warmer.core.keys import EntryKey
from warmer.core.keyspace import ENTRY
from warmer.dependencies import Dependencies
from warmer.errors import NamespaceClosed, RedisUnreachable, ServerError, TooManyConnections
from warmer.found.naming import Naming
from warmer.found.outcomes import Outcomes
from warmer.near.near import Near
from warmer.runtime.blocking import in_loop
from warmer.runtime.contract import Joint, Loadable, Outcome, Reader, finish
from warmer.runtime.counts import Counts
from warmer.runtime.crossing import Crossing
from warmer.runtime.crowds import Crowds
from warmer.runtime.flights import Flight
from warmer.runtime.gathering import Gatherings
from warmer.runtime.heartbeat import Heartbeat, Ticker
from warmer.runtime.incidents import Incidents
from warmer.runtime.loads import LoadLoop, serve
from warmer.runtime.opening import Opening, opens
from warmer.runtime.shapes import Shapes
from warmer.runtime.slots import Slots
from warmer.runtime.tallies import Tallies
from warmer.runtime.turns import Turns
from warmer.runtime.wakeups import Wakeups
from warmer.settings import Settings
from warmer.store.lines import Lines
from warmer.store.operations import Found, Store
from warmer.store.scripts import pack, packed_front, packed_get
from warmer.strict.registry import Strict

if TYPE_CHECKING:
    from warmer.core.changes import Changes
    from warmer.http.purging import Purges
    from warmer.puts import Put
    from warmer.runtime.handover import Handover

log = logging.getLogger("warmer")
_T = TypeVar("_T")

# A process asks for the refresh of one entry at most this often.
ASK_EVERY_S = 1.0
RESYNC_EVERY_S = 3.0
# Who joins others need not be known to the flight at once: a crowd that woke it one by one would wait for it.
FOLLOW_S = 0.002
# What is beyond that waits for the lease to run out, if there is one.
MOST_UNANSWERED = 1000


class Runtime:
    """One namespace in one process: its store, its flights, its heartbeat."""

    def __init__(self, namespace: str, settings: Settings) -> None:
        self.pid, self.settings, self.store = os.getpid(), settings, Store(namespace, settings)
        self.shapes, self.strict = Shapes(self.store), Strict(self.store)
        self.around_load: Callable[[], Any] | None = settings.around_load
        #: Invalidates through the outbox, and lets values be put with it; None: it is done directly.
        self.through: Callable[[Changes, Sequence[Put]], int] | None = None
        #: Called when the server's life has changed.
        self.on_new_life: Callable[[], object] = lambda: None
        self.load_loop, self.counts = LoadLoop(), Counts()
        self.purges = _purges(settings, self.counts)
        self.incidents = Incidents(self.counts.add)
        self.heartbeat, self.naming = Heartbeat(self.store), Naming(self._announce)
        self.tallies = Tallies(self.store, self._shard_of, settings.tally_interval)
        self.outcomes = Outcomes(self.store)
        self.near = Near(
            self.store.connections, self.counts, self.tallies,
            settings.near_max_bytes, settings.near_max_entries,
        )  # fmt: skip
        self.tasks: set[asyncio.Task[None]] = set()
        self.unanswered: dict[str, str] = {}  # tokens by member
        self.loading_past: set[tuple[int, str]] = set()  # entries that are loaded here while they are barred
        self._flights: dict[bytes, Flight] = {}  # by key
        self._firsts: dict[bytes, Reader] = {}
        self._joins, self._followers = Crossing(self._join), Crossing(self._join, FOLLOW_S)
        self.gatherings = Gatherings(self.store, self.join)
        self.crowds, self.turns = Crowds(self.join, self._join_on_loop), Turns(self)
        self.missing: dict[bytes, tuple[EntryKey, Mapping[str, Any]]] = {}  # see note_missing
        self._asked: dict[bytes, float] = {}
        self._behind = threading.Semaphore(settings.max_loads)
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="warmer-store")
        self.lines = Lines(self.store.connections, self._threads.submit, settings)
        self._completion, self._closed = Completion(self), False
        self._loop: asyncio.AbstractEventLoop | None = None
        told = self._woken, self._missed, self.incidents
        self._wakeups = Wakeups(self.store.connections, self.store.roots, *told)
        self._ticker = Ticker(self._ticks(), self.incidents)
        breaker = self.store.connections.breaker
        breaker.on_open, breaker.on_close = self._gone_away, self._came_back
        atexit.register(self.close)

    def _ticks(self) -> list[tuple[float, Callable[[], None]]]:
        """What is done again and again, and every how many seconds."""
        return [
            (self.settings.lease / 3, self.heartbeat.beat),
            (self.settings.tally_interval, self.tallies.flush),
            (self.settings.tally_interval, self.outcomes.flush),
            (RESYNC_EVERY_S, self.resync),
        ]

    # -- for readers

    def start(self) -> None:
        """Check the namespace and the server's clock, and begin to tick.

        With the server away, reads go around it, and a later tick makes up for this. Raises
        ShardCountDiffers, WrongRedisUrl, RedisRefused.
        """
        try:
            self.resync()
        except (RedisUnreachable, TooManyConnections) as exc:
            if self.store.connections.breaker.open:  # which has told
                self.counts.add("starts_without_redis")
            else:
                text = "%s; reads load from the database until it is back"
                self.incidents.note("starts_without_redis", text, exc.what())
        self._ticker.start()

    def declare(self, dependencies: Dependencies) -> None:
        """What a query of this process depends on: others will be told. Does no I/O."""
        self.shapes.declare(dependencies.row_shapes())
        self.strict.declare(dependencies)

    def join(
        self, query: Loadable, entry: EntryKey, params: Mapping[str, Any], reader: Reader
    ) -> Handover[Outcome]:
        """Have the entry loaded, or wait for whoever loads it. From any thread; the future always ends."""
        flight, key = None, entry.key.encode()
        # Of a crowd that finds nothing at once, one makes the flight: the others come to it.
        if opens(reader) and key not in self._flights and self._firsts.setdefault(key, reader) is reader:
            try:
                if not (self._closed or in_loop()):
                    flight = self._open_flight(query, entry, params, reader)
            except BaseException:  # the reader was interrupted; others may have come to its flight
                flight = self._flights.get(key)
                if flight is not None:
                    self._joins.hand(self.loop, (flight, query, entry, params, reader))
                raise
            finally:
                del self._firsts[key]
        crossing = self._followers if flight is None and key in self._flights else self._joins
        crossing.hand(self.loop, (flight, query, entry, params, reader))
        # Looked at after the loop was called: what it was called for before `close` it still does.
        if self._closed:
            reader.finish(Outcome("failed", error=NamespaceClosed(query.name, entry.params)))
        return reader.future

    def meet(self, joint: Joint) -> Handover[Outcome]:
        """`join`, after a look where there was none, or with others who wait already."""
        if (crowd := self.crowds.find(joint.key)) is not None:
            return crowd.future
        if joint.crowded:
            return self.gatherings.come(joint.query, *self._about(joint), Reader(loads=joint.loads))
        if joint.loads and joint.key in self._flights and self.crowds.may_open(joint.key):
            return self.crowds.open(joint.query, *self._about(joint))
        return self.join_alone(joint)

    def join_alone(self, joint: Joint) -> Handover[Outcome]:
        """`join`, not to be shared with threads that come later."""
        return self.join(joint.query, *self._about(joint), Reader(loads=joint.loads))

    def flies(self, key: bytes) -> bool:
        """Whether others wait for this key already."""
        return key in self._flights

    def joined(self, key: bytes) -> tuple[EntryKey, Mapping[str, Any]] | None:
        """Entry and params of a key that others wait for: who comes to them need not make its own."""
        flight = self._flights.get(key)
        if flight is not None:
            return flight.entry, flight.params
        return self.missing.get(key) or self.gatherings.about(key)

    def _about(self, joint: Joint) -> tuple[EntryKey, Mapping[str, Any]]:
        known = self.joined(joint.key)
        return known or (joint.query.entry(joint.args), joint.query.params(joint.args))

    def note_missing(self, joint: Joint) -> None:
        """A reader has looked, found nothing, and is about to join: who comes next joins without a look."""
        if not self.store.connections.breaker.open:
            self.missing[joint.key] = self._about(joint)
            self.gatherings.found_missing(joint.key)

    def ask(self, query: Loadable, args: tuple[Any, ...], key: bytes, stamp: int) -> None:
        """A reader saw an entry that is due: say so, at most once a second, without keeping the reader."""
        now = time.monotonic()
        if self._asked.get(key, 0.0) > now:
            return
        if len(self._asked) > 10_000:
            self._asked.clear()
        self._asked[key] = now + ASK_EVERY_S
        with contextlib.suppress(RuntimeError):  # the process is ending: nobody refreshes anything any more
            self._threads.submit(self._ask, query, args, stamp)

    def _announce(self, found: Dependencies) -> bool:
        """Have writers know of rows that a load has found. Raises ServerError: they may not know them."""
        self.shapes.declare(found.row_shapes())
        self.shapes.register()
        return True

    def purge(self, names: Iterable[str]) -> None:
        """What shows entries of these names goes from shared caches, where there are any to purge."""
        if self.purges is not None:
            self.purges.now(names)

    async def on_thread(self, call: Callable[..., _T], *args: Any) -> _T:
        """The result of a blocking call made on one of the store's threads, from any event loop.

        The call sees the caller's context; cancelling the wait does not undo the call.
        """
        context = contextvars.copy_context()
        return await asyncio.wrap_future(self._threads.submit(context.run, call, *args))

    async def afetch(self, key: bytes) -> tuple[Found, bytes]:
        """`Store.fetch`, from any event loop."""
        return self.store.found(await self.lines.call(packed_get(key)))

    async def afetch_many(self, keys: Sequence[bytes]) -> tuple[list[Found], bytes]:
        """`Store.fetch_many`, from any event loop."""
        if len(keys) <= 1:
            found = [await self.afetch(key) for key in keys]
            return [one for one, _ in found], found[0][1] if found else b""
        return self.store.found_many(await self.lines.call(pack("MGET", *keys)), len(keys))

    async def afetch_fronts(self, wanted: Sequence[tuple[bytes, int]]) -> list[tuple[Found, bytes]]:
        """`Store.fetch_front` of several, from any event loop, in one turn of it."""
        asked = [self.lines.call(packed_front(*front)) for front in wanted]
        return [self.store.found(await one) for one in asked]

    def resync(self) -> None:
        """Learn the server's clock and life anew, and look for what others have left half-way."""
        if self.store.connections.recheck_life():
            log.info("the server has been restarted or has failed over; what was stored before is not served")
            self.store.checked = False
            self.near.renew()
            self.on_new_life()
        self.store.check_shards()
        self.store.resync()
        self.shapes.look()
        self.strict.look()
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._threads.submit(self._completion.step)

    def clock_moved(self) -> None:
        """A test has moved the server's clock: learn it now, and forget when anything was asked for."""
        self.resync()
        self._asked.clear()
        self.near.drop_all()

    # -- for flights

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The runtime's own event loop; nothing of the user's ever runs on it."""
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    loop = asyncio.new_event_loop()
                    # Made on the loop's own thread before anybody can use them.
                    self.slots = Slots(self.settings.max_loads)
                    self.away_slots = asyncio.Semaphore(self.settings.redis_away_loads)
                    threading.Thread(target=serve, args=(loop,), name="warmer-flights", daemon=True).start()
                    self._loop = loop
        return self._loop

    async def in_thread(self, call: Callable[..., _T], *args: Any) -> _T:
        """The result of a blocking call, made on one of the store's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*args))

    def keep_unanswered(self, member: str, token: str) -> None:
        """The server may have granted this token a lease: who asks next for the entry asks with it."""
        if len(self.unanswered) < MOST_UNANSWERED:
            self.unanswered[member] = token

    def hears(self) -> bool:
        """Whether wake-ups were heard already; begins to listen if not."""
        return self._wakeups.listen(0)

    def wake(self, entry: EntryKey) -> None:
        """Have those who wait for this entry here ask again."""
        self._wake(entry.key.encode())

    def close(self) -> None:
        """Give back what is held and stop the threads; for the end of the process."""
        if self._closed or os.getpid() != self.pid:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._ticker.stop()
        self._wakeups.stop()
        self.near.close()
        if self.purges is not None:
            self.purges.close()
        with contextlib.suppress(ServerError):
            for lease in self.heartbeat.held():
                self.store.release(lease)
            self.tallies.flush()
            self.outcomes.flush()
        if self._loop is not None:
            self._followers.call(self._loop)  # or who came within their pause would never be told
            self._loop.call_soon_threadsafe(self._loop.stop)
        self.load_loop.close()
        self.lines.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called: what is begun now is not ended by anybody."""
        return self._closed

    # -- on the loop

    def _join_on_loop(
        self, query: Loadable, entry: EntryKey, params: Mapping[str, Any], reader: Reader
    ) -> None:
        """`join` where the flight is there, or is none's to make but the loop's. From any thread."""
        self._joins.hand(self.loop, (None, query, entry, params, reader))

    def _join(self, joining: tuple[Flight | None, Loadable, EntryKey, Mapping[str, Any], Reader]) -> None:
        """The flight is the reader's own, which was there before the loop knew of it."""
        flight, query, entry, params, reader = joining
        if flight is None:
            key = entry.key.encode()
            if key not in self._flights:
                flight = self._open_flight(query, entry, params, reader)
            if flight is None:
                flight = self._flights[key]  # they end on this loop only
                flight.join(reader)
        if not flight.begun:
            flight.begun = True
            task = self.loop.create_task(self._fly(flight))
            self.tasks.add(task)
            task.add_done_callback(lambda task: self._flown(flight, task))

    def _open_flight(
        self, query: Loadable, entry: EntryKey, params: Mapping[str, Any], reader: Reader
    ) -> Flight | None:
        """A new flight with its first reader; None if somebody else's is there. From any thread."""
        loop, flight = self.loop, Flight(self, query, entry, params)
        flight.join(reader)
        ahead = opens(reader) and not self.store.connections.breaker.open and self.slots.take()
        if ahead:
            flight.opening = Opening(flight)
        unanswered = self.unanswered.pop(entry.member, "")
        flight.token = unanswered or flight.token
        if self._flights.setdefault(flight.key, flight) is not flight:
            if unanswered:
                self.keep_unanswered(entry.member, unanswered)
            if ahead:
                with contextlib.suppress(RuntimeError):  # closed meanwhile
                    loop.call_soon_threadsafe(self.slots.release)
            return None
        if flight.opening is not None:
            flight.opening.start()
        return flight

    async def _fly(self, flight: Flight) -> None:
        try:
            await flight.fly()
        except Exception as exc:  # a fault of ours: it must reach those who wait, or they would wait for ever
            log.exception("waiting for %s failed", flight.entry.member)
            self.crowds.close(flight.key, flight.readers)
            finish(flight.readers, Outcome("failed", error=exc))
        finally:
            del self._flights[flight.key]
            self.missing.pop(flight.key, None)

    def _flown(self, flight: Flight, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task.cancelled():  # by `close`, and maybe before it had begun
            error = NamespaceClosed(flight.query.name, flight.entry.params)
            finish(flight.readers, Outcome("failed", error=error))

    def _woken(self, shard: int, member: str) -> None:
        with contextlib.suppress(RuntimeError):  # closed meanwhile: nobody waits any more
            key = self.store.roots[shard] + f"{ENTRY}{member}".encode("utf-8", "surrogatepass")
            self.loop.call_soon_threadsafe(self._wake, key)

    def _wake(self, key: bytes) -> None:
        flight = self._flights.get(key)
        if flight:
            flight.asked_at = 0.0
            flight.changed.set()

    def _missed(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for flight in self._flights.values():
            flight.changed.set()

    # -- when the server goes and comes

    def _gone_away(self, cause: RedisUnreachable) -> None:
        self.incidents.around_before = self.counts.snapshot().get("reads_around", 0)
        most = self.settings.redis_away_loads
        self.incidents.note(
            "redis_away",
            "%s Until it is back, reads load from the database, at most %d at a time",
            cause,
            most,
        )

    def _came_back(self, away_s: float) -> None:
        around = self.counts.snapshot().get("reads_around", 0) - self.incidents.around_before
        self.incidents.note(
            "redis_back", "Redis answers again after %.1f s; %d reads went around it", away_s, around
        )
        with contextlib.suppress(ServerError):  # gone again: the next time
            self.resync()
        self._missed()

    # -- on the store's threads

    def _ask(self, query: Loadable, args: tuple[Any, ...], stamp: int) -> None:
        entry, params = query.entry(args), query.params(args)
        try:
            found = self.store.ask(entry, stamp)
        except ServerError as exc:
            self.incidents.note("asks_failed", "could not ask for the refresh of a due entry: %s", exc)
            return
        self.counts.add(f"asks_{found}")
        if found in ("overdue", "unswept") and self.settings.reader_refresh == "overdue":
            self._refresh_behind(query, entry, params, stamp)

    def _refresh_behind(
        self, query: Loadable, entry: EntryKey, params: Mapping[str, Any], stamp: int
    ) -> None:
        """Refresh it in the background, unless as many as may run do: its next reader asks again."""
        if not self._behind.acquire(blocking=False):
            return
        future = self.join(query, entry, params, Reader(newer_than=stamp, servable=False, waits=False))
        future.add_done_callback(lambda _: self._behind.release())

    def _shard_of(self, key: bytes) -> int:
        return int(key[key.index(b":", key.index(b"{")) + 1 : key.index(b"}")])


def _purges(settings: Settings, counts: Counts) -> Purges | None:
    """Imports what HTTP needs only where there is a shared cache to purge."""
    if settings.purger is None and settings.purge_url is None:
        return None
    from warmer.http.purgers import Varnish
    from warmer.http.purging import Purges

    purger = settings.purger or Varnish(str(settings.purge_url))
    return Purges(
        purger, settings.namespace, counts.add, wait_s=settings.purge_wait, again_s=settings.purge_again
    )
