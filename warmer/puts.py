"""Values that writers put: each is stored under a lease of its own, unless somebody else wrote meanwhile.

A value is encoded when it is put, and refused then if it can't be stored. One that is put in a tracked
transaction waits there for its COMMIT: a savepoint or transaction that is rolled back takes it along, and so
does a process that dies, or a COMMIT whose outcome is not known.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warmer.core.changes import EntryHit
from warmer.core.keys import EntryKey
from warmer.core.tokens import escape
from warmer.errors import NothingToPut, PutUnclear, ServerError
from warmer.outbox.pending import Pending, around
from warmer.outbox.since import Since
from warmer.store.operations import FENCE_AGE_US, FENCE_NAMES, PUT_LEASE_US, Commit, Lease, Store
from warmer.store.scripts import Call

if TYPE_CHECKING:
    from warmer.reading import Args, Reading
    from warmer.runtime.process import Runtime


@dataclass(slots=True, eq=False)
class Put:
    """A value of one entry, and since when nobody else may have written. stored: whether it was at last."""

    reading: Reading[Any]
    args: Args
    value: tuple[int, bytes]
    since: Since
    stored: bool = False
    _token: str = field(default_factory=lambda: secrets.token_hex(8))
    _stamp: int = 0
    _life_since: bytes = b""

    @property
    def entry(self) -> EntryKey:
        """The entry's key."""
        return self.reading.entry(self.args)

    @property
    def hit(self) -> EntryHit:
        """The invalidation that it always is."""
        entry = self.entry
        return EntryHit(entry.shard, self.since.names[0], entry.query, entry.tail, entry.version)

    def asking(self, store: Store, stale_us: int, via: str = "") -> Call:
        """The script that invalidates the entry and grants the lease: see put.lua."""
        entry = self.entry
        return Call("put", store.roots[entry.shard], [
            self.since.names[0], escape(entry.query), entry.tail, stale_us, escape(entry.version),
            FENCE_NAMES, FENCE_AGE_US, self.since.stamp, self._token, PUT_LEASE_US,
            self.since.clock_us, via, *self.since.names,
        ])  # fmt: skip

    def asked(self, reply: Any) -> int:
        """Take the answer in; the stamp in it."""
        if reply[0] == b"granted":
            self._stamp, self._life_since = int(reply[3]), reply[4]
        return int(reply[3])

    def renew(self, runtime: Runtime) -> None:
        """Nothing is to be stored yet; but from the stamp that was granted now, others count anew."""
        granted, self._stamp = self._stamp, 0
        self.since.looked(alone=granted > 0, stamp=granted)
        if granted:
            with contextlib.suppress(ServerError):
                runtime.store.release(Lease(self.entry, self._token, granted))

    def settle(self, runtime: Runtime) -> None:
        """Store it, if the lease was granted. Never raises: the entry is invalidated, its readers load it."""
        told = False
        with contextlib.suppress(ServerError):
            runtime.shapes.register()
            told = bool(self._stamp) and runtime.shapes.told_after(self.entry.shard, self._life_since)
        # Else who has written meanwhile may not have known what the entry depends on.
        if self._stamp and told:
            self._commit(runtime, Lease(self.entry, self._token, self._stamp))
        runtime.near.drop((self.entry.key.encode(),))
        runtime.counts.add("puts" if self.stored else "puts_overtaken")
        if not self.stored and self.reading.dependencies.strict:
            text = "what was put of the strict query %s is not stored: its transaction bars what it changes"
            name = self.reading.name
            runtime.incidents.note("puts_barred", text + "; the next read loads it", name, about=name)

    def _commit(self, runtime: Runtime, lease: Lease) -> None:
        reading = self.reading
        options, params = reading.options, reading.params(self.args)
        names = reading.names_of(params, lease.entry)
        flags, payload = self.value
        what = Commit(
            payload=payload, flags=flags, cost_us=0, ttl_us=options.ttl_us,
            grace_us=options.grace_us, wait_us=-1, early=options.early, draw=random.expovariate(1.0),
            keep=options.keep, idle_us=options.idle_us, max_kept=options.max_kept,
            fence_only=names.fence_only, listed=names.listed,
        )  # fmt: skip
        try:
            self.stored = runtime.store.commit(lease, what)[0] == "stored"
        except ServerError as exc:
            # If nobody holds its lease, its readers load it at once.
            note(reading, exc)
            with contextlib.suppress(ServerError):
                runtime.store.release(lease)


def put_in_transaction(reading: Reading[Any], args: Args, value: Any) -> None:
    """See `Query.put`. Nothing is sent anywhere before the transaction's COMMIT."""
    reading.check_identity(args)
    runtime = reading.runtime_of()
    entry, params = reading.entry(args), reading.params(args)
    encoded = reading.encode(value, entry, params)
    there = transactions(runtime)
    if len(there) > 1:
        raise PutUnclear(reading.name, len(there))
    if not there:
        raise NothingToPut(reading.name)
    # What an automatic query depends on is known by a load, and here there was none.
    stamp, clock_us = (0, 0) if reading.dependencies.auto else began_us(runtime, there[0])
    since = Since(entry.shard, reading.names_of(params, entry).all(), stamp, clock_us)
    there[0].put(Put(reading, args, encoded, since))


def transactions(runtime: Runtime) -> list[Pending]:
    """The tracked transactions open around the caller that a value can wait in."""
    return [pending for pending in around(runtime.store.namespace) if not pending.autocommit]


def began_us(runtime: Runtime, pending: Pending) -> tuple[int, int]:
    """A stamp from before a transaction's reads, and what the server's clock has passed by; 0: unknown."""
    began, heard = pending.began, runtime.store.heard
    # Whoever wrote while nobody knew what the entry depends on has stamped none of its names.
    if began is None or heard is None or not runtime.shapes.told_before(began.at):
        return 0, 0
    return began.least_us(time.monotonic(), time.time(), heard)


def note(reading: Reading[Any], exc: ServerError) -> None:
    """Say that a value is not stored because of the server."""
    text = "what is written of %s is not put into the cache: %s"
    reading.runtime_of().incidents.note("puts_failed", text, reading.name, exc, about=reading.name)
