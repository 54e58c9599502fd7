"""One run of a query's function: on a thread of its own, under a lease, up to the commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from warmer.core.header import NO_LIFE, UNCHANGED, Header
from warmer.core.payload import digest_in, front_of
from warmer.core.strictness import is_strict_name
from warmer.errors import (
    LoadFailed,
    LoadTimeout,
    NamespaceClosed,
    RedisRefused,
    ServerError,
    StoreError,
    mask,
)
from warmer.found.reads import Reads
from warmer.runtime.contract import MASKED, Outcome, Reader, finish
from warmer.runtime.learning import ttl_of
from warmer.runtime.loads import Expired, Loaded, LoadThread, run_load
from warmer.store.operations import Commit, Lease

if TYPE_CHECKING:
    from warmer.runtime.apart import Apart
    from warmer.runtime.batches import Batch
    from warmer.runtime.flights import Flight


log = logging.getLogger("warmer")

#: What to do about a load that was not clean.
CLEAN = (
    "Those who asked have got it; the next read loads anew. Give the query a session of its own, as in "
    'resources={"session": SessionLocal}'
)


class Load:
    """One run of a query's function, under a lease or (lease None) past an absent server."""

    def __init__(
        self,
        flight: Flight | Apart,
        readers: list[Reader],
        lease: Lease | None,
        slot: bool,
        batch: Batch | None = None,
        led: bool = False,
    ) -> None:
        """led: whoever makes it also runs it, by `lead`."""
        self.batch, self._led = batch, led
        self.flight, self.readers, self.lease, self.slot = flight, readers, lease, slot
        self.runtime, self.query = flight.runtime, flight.query
        self._given_up = False
        self._done: asyncio.Future[Outcome] = self.runtime.loop.create_future()

    def lead(self) -> None:
        """Run it in this thread, one of its own; `start`, on the loop, tells its readers all the same."""
        self._work()

    def start(self) -> None:
        """Run it, and tell its readers when it ends."""
        task = asyncio.get_running_loop().create_task(self._run())
        self.runtime.tasks.add(task)
        task.add_done_callback(self._over)

    async def _run(self) -> None:
        if self.lease:
            self.runtime.heartbeat.hold(self.lease)
        try:
            outcome = await self.ended()
        finally:
            if self.lease:
                self.runtime.heartbeat.drop(self.lease)
            else:
                self.runtime.loading_past.discard((self.flight.entry.shard, self.flight.entry.member))
            if self.slot:
                self.runtime.slots.release()
        finish(self.readers, outcome)
        self.runtime.wake(self.flight.entry)

    def _over(self, task: asyncio.Task[None]) -> None:
        self.runtime.tasks.discard(task)
        if task.cancelled():  # the runtime was closed, maybe before this had begun
            name, params = self.query.name, self.flight.entry.params
            finish(self.readers, Outcome("failed", error=NamespaceClosed(name, params)))

    async def ended(self) -> Outcome:
        """Run the load on a thread of its own; past `timeout` it is given up, its commit refused."""
        try:
            if not self._led and (self.batch is None or not self.batch.add(self.flight.params, self._work)):
                LoadThread(self.query.name, self._work).start()
        except RuntimeError as exc:  # the process may have no more threads
            return await self.runtime.in_thread(self._failed, exc)
        self.runtime.counts.add("loads")
        try:
            async with asyncio.timeout(self.query.options.timeout_s):
                return await asyncio.shield(self._done)
        except TimeoutError:
            return await self.runtime.in_thread(self._timed_out)

    def _work(self, loaded: Loaded | BaseException | None = None) -> None:
        outcome = self._outcome(loaded)
        with contextlib.suppress(RuntimeError):  # the runtime was closed: its readers have been told
            self.runtime.loop.call_soon_threadsafe(self._tell, outcome)

    def _tell(self, outcome: Outcome) -> None:
        if not self._done.done():
            self._done.set_result(outcome)

    def _outcome(self, loaded: Loaded | BaseException | None) -> Outcome:
        """The load's end, whatever it is: none of it may leave readers waiting. loaded: by a batch."""
        try:
            if isinstance(loaded, BaseException):
                raise loaded
            return self._load_and_commit(loaded)
        except StoreError as exc:
            return self._failed(exc)
        except Expired:
            return self._timed_out()
        except BaseException as exc:  # noqa: BLE001 - whatever a loader raises is for those who waited
            return self._failed(exc)

    def _note(self, kind: str, text: str, *args: object, exc: BaseException | None = None) -> None:
        self.runtime.incidents.note(kind, text, *args, about=self.query.name, exc=exc)

    def _shown(self) -> str:
        return f"{self.query.name}({MASKED if self.query.is_private else self.flight.entry.params})"

    def _load_and_commit(self, loaded: Loaded | None) -> Outcome:
        query, flight = self.query, self.flight
        loaded = loaded or run_load(
            lambda: query.call(flight.params),
            self.runtime.around_load, self.runtime.load_loop, query.options.timeout_s,
        )  # fmt: skip
        if loaded.reads is not None:
            loaded = replace(loaded, found=loaded.found | self._names_of(loaded.reads, loaded.began))
        loaded = replace(loaded, found=self._further(loaded.found))
        flags, payload = query.encode(loaded.value, flight.entry, flight.params, loaded.found)
        blob = self._unstored_header(loaded, flags) + payload
        if self.lease is not None and loaded.unclean:
            self._leave(self.lease, loaded.unclean)
        elif self.lease is not None:
            blob = self._commit(loaded, flags, payload, digest_in(front_of(flags, blob))) or blob
        return Outcome("loaded", blob=blob, load_s=loaded.cost_us / 1e6)

    def _further(self, found: frozenset[str]) -> frozenset[str]:
        """What is to be stored of the names that the load found: not what any entry of the query has."""
        names = found.difference(self.flight.names.all())
        if self.query.dependencies.strict:
            return names
        return frozenset(name for name in names if not is_strict_name(name))  # they bar only strict entries

    def _names_of(self, reads: Reads, began: float) -> frozenset[str]:
        flight, tail = self.flight, self.flight.entry.tail[1:]
        return self.runtime.naming.names(self.query.dependencies, flight.params, tail, reads, began)

    def _commit(self, loaded: Loaded, flags: int, payload: bytes, digest: bytes) -> bytes:
        """The stored entry; nothing if the commit was refused: the readers get the value all the same."""
        assert self.lease is not None
        options = self.query.options
        waits = [reader.wait_us for reader in self.readers if reader.wait_us >= 0]
        try:
            ttl_us, learned = ttl_of(self.runtime.store, self.lease, options, digest)
            what = Commit(
                payload=payload, flags=flags, cost_us=loaded.cost_us, ttl_us=ttl_us,
                grace_us=ttl_us if options.grace_as_ttl else options.grace_us,
                wait_us=max(waits, default=-1), early=options.early, draw=random.expovariate(1.0),
                keep=options.keep, idle_us=options.idle_us, max_kept=options.max_kept, learned=learned,
                lag_us=options.lag_us,
                fence_only=self.flight.names.fence_only,
                listed=tuple(dict.fromkeys((*self.flight.names.listed, *sorted(loaded.found)))),
            )  # fmt: skip
            kind, header, replaced = self.runtime.store.commit(self.lease, what)
        except ServerError as exc:
            self._note("commits_failed", "%s was loaded but not stored: %s", self._shown(), exc)
            if isinstance(exc, RedisRefused):
                self._release()
            return b""
        if kind == "lost":
            self._note(
                "commits_lost", "%s was loaded, and its lease was lost: it is not stored", self._shown()
            )
        else:
            self.runtime.counts.add(f"commits_{kind}")
        if kind != "stored":
            return b""
        if header[1] & UNCHANGED:
            self.runtime.counts.add("commits_unchanged")
        elif replaced and self.runtime.purges is not None:
            self.runtime.purges.replaced(self.query, (*what.fence_only, *what.listed))
        return header + payload

    def _leave(self, lease: Lease, why: str) -> None:
        """End the lease of a load that saw what no clean load would see: its value is not stored."""
        self._note("loads_unclean", "the value of %s is not stored: %s. %s", self._shown(), why, CLEAN)
        try:
            self.runtime.store.leave(lease, why, self.query.options.ttl_us)
        except ServerError as exc:
            log.debug("the lease of %s runs out by itself: %s", lease.entry.member, exc)

    def _release(self) -> None:
        """The server refuses the value (it may be full): others need not wait for a lease without a load."""
        assert self.lease is not None
        with contextlib.suppress(ServerError):
            self.runtime.store.release(self.lease)

    def _unstored_header(self, loaded: Loaded, flags: int) -> bytes:
        now = self.runtime.store.now_us()
        stamp = float(self.lease.stamp) if self.lease else 0.0
        return Header(flags, NO_LIFE, stamp, now, 0.0, 0.0, 0.0, loaded.cost_us).pack()

    def _timed_out(self) -> Outcome:
        options = self.query.options
        if not self._given_up:
            self._given_up = True
            limit = options.timeout_s
            self._note("loads_timed_out", "loading %s takes longer than timeout=%g s", self._shown(), limit)
        error = LoadTimeout(self.query.name, self.flight.entry.params, options.timeout_s)
        self._record_failure(f"LoadTimeout: it took longer than timeout={options.timeout_s:g} s")
        return Outcome("failed", error=error)

    def _failed(self, exc: BaseException) -> Outcome:
        text = _text_of(exc)
        # The record is in Redis in the clear, for `warmer status` and the readers of other processes.
        kept = MASKED if self.query.is_private else text
        retry_s = self._record_failure(f"{type(exc).__name__}: {kept}")
        # Of a private query neither the params nor what its error and traceback may quote of a row. And no
        # traceback twice: where a reader gets the error, with its cause, it is for the reader to report.
        hidden = self.query.is_private or isinstance(exc, StoreError) or self._is_raised()
        told = None if hidden else exc
        self._note("loads_failed", "loading %s failed: %s", self._shown(), type(exc).__name__, exc=told)
        error: BaseException = exc
        if not isinstance(exc, StoreError):
            entry = self.flight.entry
            error = LoadFailed(self.query.name, entry.params, type(exc).__name__, text, retry_s)
            error.__cause__ = exc
        return Outcome("failed", error=error)

    def _is_raised(self) -> bool:
        """Whether somebody still waits who is given the error itself."""
        return any(one.waits and one.told and not one.future.done() for one in self.readers)

    def _record_failure(self, cause: str) -> float:
        if self.lease is None:
            return 0.0
        try:
            until = self.runtime.store.fail(self.lease, cause, random.random(), self.query.options.keep)
        except ServerError as exc:
            self._note(
                "failures_unrecorded", "the failure of %s could not be recorded: %s", self._shown(), exc
            )
            return 0.0
        return max(0.0, (until - self.runtime.store.now_us()) / 1e6)


def _text_of(exc: BaseException) -> str:
    """What an error says, masked and cut; that there is nothing, if it can't even say that."""
    try:
        return mask(str(exc), 500)
    except Exception as broken:  # noqa: BLE001 - a broken __str__ must not hide that the load failed
        return f"(its text raises {type(broken).__name__})"
