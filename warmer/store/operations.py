"""The store: what readers, workers and schedulers do to a namespace in Redis, one method an operation.

Every method does its I/O in the calling thread. All stamps and times are the server's, in integer
microseconds. Errors of the server come out as RedisUnreachable, RedisRefused or TooManyConnections.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeVar

from warmer.core.keys import EntryKey, keyspace
from warmer.core.tokens import escape
from warmer.errors import (
    InvalidationUnconfirmed,
    RedisUnreachable,
    ServerError,
    ShardCountDiffers,
    TooManyConnections,
)
from warmer.settings import Settings
from warmer.store.connections import Connections, Crowded
from warmer.store.heard import Heard
from warmer.store.scripts import Argument, Scripts, pack, packed_front, packed_get

# A member costs remove.lua 10 to 30 microseconds of the server, most where entries are kept warm: so many
# hold other clients up for 1 to 2 ms.
CHUNK = 50
# Names a script stamps: about as long. Of a trip to many shards, the server does a few scripts at a time.
STAMPED = 250
# Names' stamps are let go past either; what a floor then refuses is a load older than a day.
FENCE_NAMES = 200_000
FENCE_AGE_US = 86_400_000_000
# Between a put and its commit is one trip; whoever dies there keeps no load waiting for long.
PUT_LEASE_US = 2_000_000
PROTOCOL = 1

_T = TypeVar("_T")
#: What a GET found: a blob, nothing, or that the server is away, or that no connection was free for it.
Found = bytes | ServerError | Crowded | None
AcquireKind = Literal["granted", "committed", "handed", "busy", "failed", "soon", "barred"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to load one entry: its stamp orders it against invalidations."""

    entry: EntryKey
    token: str
    stamp: int


@dataclass(frozen=True, slots=True)
class Acquired:
    """What acquire.lua answered. `stamp`: of the lease when granted, else the newest of the shard.

    `blob`: the entry when committed or handed. `until`: when to ask again (busy, failed, soon, barred).
    `cause`: why the last load failed. `since`: when the record of the shard's life was made (granted).
    """

    kind: AcquireKind
    now: int
    stamp: int = 0
    blob: bytes = b""
    until: int = 0
    cause: str = ""
    since: bytes = b""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit needs to know beside the lease; times in microseconds."""

    payload: bytes
    flags: int
    cost_us: int
    ttl_us: int
    grace_us: int
    wait_us: int
    early: float
    draw: float
    keep: str
    idle_us: int
    max_kept: int
    fence_only: tuple[str, ...]
    listed: tuple[str, ...]
    learned: str = ""
    lag_us: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """One entry that a scheduler has claimed: what its message says."""

    shard: int
    member: str
    stamp: int
    due_at: int
    tokens: str | None
    cost_us: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one look at what is due found: the claims made, and how much more is due than may be claimed.

    open: claims that have not been settled or run out. settled: messages that workers have settled in this
    shard, ever. run_out: claims that nothing came of.
    """

    claims: list[Claim]
    left: int
    open: int
    settled: int
    run_out: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Reads of one entry since the last report."""

    member: str
    reads: int
    keep: str
    ttl_us: int
    idle_us: int
    max_kept: int


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "surrogatepass") if isinstance(reply, bytes) else str(reply)


class Store:
    """One namespace on one server."""

    def __init__(self, namespace: str, settings: Settings) -> None:
        self.namespace = namespace
        self.settings = settings
        self.connections = Connections(settings)
        self.scripts = Scripts(self.connections, settings.redis_url)
        self.roots = [keyspace(namespace, shard).root.encode() for shard in range(settings.shards)]
        self.offset_us = 0.0  # server clock minus this process's
        self.heard: Heard | None = None  # the server's clock
        self.checked = False

    # -- what every process does once, and now and then

    def check_shards(self) -> None:
        """Record the namespace's shard count, or refuse to work with another. Raises ShardCountDiffers."""
        if self.checked:
            return
        conf = self.roots[0] + b"conf"
        self.scripts.command("HSETNX", conf, "shards", self.settings.shards)
        self.scripts.command("HSETNX", conf, "protocol", PROTOCOL)
        recorded = int(self.scripts.command("HGET", conf, "shards"))
        if recorded != self.settings.shards:
            raise ShardCountDiffers(self.namespace, recorded, self.settings.shards)
        self.checked = True

    def resync(self) -> float:
        """Estimate how far the server's clock is ahead of ours, in microseconds (the quickest of 3)."""
        best, said_us, heard_at = float("inf"), 0.0, 0.0
        for _ in range(3):
            before = time.time()
            seconds, micros = self.scripts.command("TIME")
            after = time.time()
            if after - before < best:
                best = after - before
                said_us, heard_at = int(seconds) * 1e6 + int(micros), time.monotonic()
                self.offset_us = said_us - (before + after) / 2 * 1e6
        moved_us = float(self.scripts.command("GET", self.roots[0] + b"clock") or 0)
        self.offset_us += moved_us
        self.heard = Heard(said_us + moved_us, heard_at)
        return self.offset_us

    def resync_now(self) -> float:
        """The server's time after asking for it anew."""
        self.resync()
        return self.now_us()

    def now_us(self) -> float:
        """The server's time, as this process estimates it."""
        return time.time() * 1e6 + self.offset_us

    def close(self) -> None:
        """Disconnect."""
        self.connections.close()

    # -- loads

    def acquire(
        self,
        entry: EntryKey,
        names: Sequence[str],
        token: str,
        *,
        timeout_us: int,
        newer_than: int | None,
        arrived: int | None = None,
        insist: bool = False,
        interval_us: int = 0,
        servable: bool = True,
        look: bool = False,
    ) -> Acquired:
        """Take the lease of an entry, or learn why there is nothing to load.

        newer_than: a stored value whose stamp is later will do; None: none does. arrived: the stamp at which
        the oldest waiting reader was there: the value of a later load may be handed to it even if it was not
        stored. look: don't load, only wait for whoever does.
        """
        reply = self._run(
            "acquire", entry.shard,
            entry.member, token, round(self.settings.lease * 1e6), timeout_us,
            "inf" if newer_than is None else newer_than, "inf" if arrived is None else arrived,
            2 if look else int(insist), interval_us, int(servable), *names,
        )  # fmt: skip
        kind, now = _text(reply[0]), int(reply[1])
        match kind:
            case "granted":
                return Acquired("granted", now, stamp=int(reply[2]), since=reply[3])
            case "committed" | "handed":
                return Acquired(kind, now, blob=reply[2])
            case "busy":
                return Acquired("busy", now, stamp=int(reply[2]), until=now + int(reply[3]))
            case "failed":
                cause = _text(reply[3]).split(" ", 3)[3]
                return Acquired("failed", now, until=int(reply[2]), cause=cause)
            case "barred":
                return Acquired("barred", now, until=int(reply[2]))
            case _:
                return Acquired("soon", now, until=int(reply[2]))

    def extend(self, leases: Iterable[Lease]) -> dict[str, str]:
        """Heartbeat: "held", "doomed" (an invalidation ended it) or "lost" for each lease's token."""
        answers: dict[str, str] = {}
        by_shard: dict[int, list[Lease]] = {}
        for lease in leases:
            by_shard.setdefault(lease.entry.shard, []).append(lease)
        for shard, held in by_shard.items():
            pairs = [part for lease in held for part in (lease.entry.member, lease.token)]
            reply = self._run("extend", shard, round(self.settings.lease * 1e6), *pairs)
            answers.update((lease.token, _text(answer)) for lease, answer in zip(held, reply, strict=True))
        return answers

    def commit(self, lease: Lease, what: Commit) -> tuple[str, bytes, bool]:
        """("stored", header, whether it replaced a value) | ("refused" | "lost", b"", False).

        See commit.lua.
        """
        entry = lease.entry
        reply = self._run(
            "commit", entry.shard,
            entry.member, lease.token, lease.stamp, what.payload, what.flags,
            min(what.cost_us, 2**32 - 1),
            what.ttl_us, what.grace_us, what.wait_us, repr(what.early), repr(what.draw),
            what.keep,
            what.idle_us, what.max_kept, escape(entry.version), entry.params if entry.digested else "",
            what.learned, what.lag_us, len(what.fence_only), *what.fence_only, *what.listed,
        )  # fmt: skip
        if len(reply) < 4:
            return _text(reply[0]), b"", False
        return _text(reply[0]), reply[2], _text(reply[3]) == "replaced"

    def recall(self, entry: EntryKey) -> tuple[bytes, str]:
        """Header and digest of what is stored and not invalidated, and what the entry's loads have found."""
        front, record = self._run("recall", entry.shard, entry.member)
        return front, _text(record)

    def fail(self, lease: Lease, cause: str, jitter: float, keep: str) -> int:
        """End the lease of a failed load; the time before which nobody tries again, 0 if it was lost."""
        entry = lease.entry
        reply = self._run("fail", entry.shard, entry.member, lease.token, cause, repr(jitter), keep)
        return int(reply[2]) if len(reply) > 2 else 0

    def release(self, lease: Lease) -> None:
        """Give a lease back without a result."""
        self._run("release", lease.entry.shard, lease.entry.member, lease.token)

    def leave(self, lease: Lease, cause: str, rest_us: int) -> None:
        """End a lease whose load must not be stored; by itself the entry is not loaded for `rest_us`."""
        self._run("leave", lease.entry.shard, lease.entry.member, lease.token, cause, rest_us)

    def ask(self, entry: EntryKey, seen: int | None) -> str:
        """Move the entry's due time to now, if no value is stored that is newer than the stamp `seen`.

        seen: None, where no value that is stored already will do. What was found: see ask.lua.
        """
        reply = self._run(
            "ask", entry.shard, entry.member, round(self.settings.claim * 1e6),
            max(2_000_000, round(self.settings.sweep_interval * 10e6)),
            entry.params if entry.digested else "",
            "inf" if seen is None else seen,
        )  # fmt: skip
        return _text(reply[0])

    def tally(self, shard: int, span_us: int, tallies: Sequence[Tally]) -> None:
        """Report reads of entries of one shard."""
        for some in chunks(tallies, 100):
            args: list[Argument] = [span_us]
            for t in some:
                args += [t.member, t.reads, t.keep, t.ttl_us, t.idle_us, t.max_kept]
            self._run("tally", shard, *args)

    # -- invalidation

    def stamp_now(self, entry: EntryKey) -> int:
        """A new stamp of the entry's shard: what was loaded before it is older."""
        reply = self._run("stamp", entry.shard, FENCE_NAMES, FENCE_AGE_US)
        return int(reply[2])

    def invalidate_entry(self, entry: EntryKey, name: str, stale_us: int) -> int:
        """One entry, in every version of its query. Returns how many values went."""
        return int(
            self.confirmed(
                (name,),
                lambda: self._run(
                    "invalidate",
                    entry.shard,
                    name,
                    escape(entry.query),
                    entry.tail,
                    stale_us,
                    escape(entry.version),
                    FENCE_NAMES,
                    FENCE_AGE_US,
                    "",
                )[2],
            )
        )

    def confirmed(self, names: Sequence[str], action: Any, deadline: float | None = None) -> Any:
        """Repeat an idempotent step until the server has answered.

        deadline: by `time.monotonic`, by default `invalidate_timeout` from now; past it, raises
        InvalidationUnconfirmed.
        """
        deadline = time.monotonic() + self.settings.invalidate_timeout if deadline is None else deadline
        while True:
            try:
                return action()
            except (RedisUnreachable, TooManyConnections) as exc:
                if time.monotonic() >= deadline:
                    raise InvalidationUnconfirmed(tuple(names), exc.what()) from exc
                time.sleep(0.02)

    def indexed(self, shard: int, query: str) -> Iterator[list[str]]:
        """The members of a query's index, a page at a time."""
        for page in self._scan("ZSCAN", self.roots[shard] + f"index:{escape(query)}".encode()):
            yield page[::2]

    def failed(self, shard: int, query: str) -> Iterator[list[tuple[str, str]]]:
        """Members of a query whose last load failed, each with its record, a page at a time."""
        for page in self._scan("HSCAN", self.roots[shard] + b"failures", f"{escape(query)}@*"):
            yield list(zip(page[::2], page[1::2], strict=True))

    def params_of(self, shard: int, members: Sequence[str]) -> dict[str, str]:
        """Tokens of members whose key is a digest."""
        if not members:
            return {}
        reply = self.scripts.command("HMGET", self.roots[shard] + b"params", *members)
        return {m: _text(t) for m, t in zip(members, reply, strict=True) if t is not None}

    def _scan(self, command: str, key: bytes, wanted: str = "*") -> Iterator[list[str]]:
        cursor = b"0"
        while True:
            page: list[Argument] = [command, key, cursor, "MATCH", wanted, "COUNT", CHUNK]
            reply = self.confirmed((command,), functools.partial(self.scripts.command, *page))
            cursor = reply[0]
            yield [_text(member) for member in reply[1]]
            if int(cursor) == 0:
                return

    # -- the scheduler's side

    def claim(
        self, shard: int, scheduler: str, most: int, open_at_most: int, versions: Mapping[str, str]
    ) -> Claimed:
        """Claim what is due of these queries in these versions, what saves its readers most first."""
        claim_us = round(self.settings.claim * 1e6)
        stems = [f"{escape(query)}@{escape(version)}:" for query, version in versions.items()]
        args: list[Argument] = [scheduler, most, claim_us, open_at_most, *stems]
        _, left, taken, opened, settled, run_out = self._run("claim", shard, *args)
        claims = [
            Claim(shard, _text(c[0]), int(c[1]), int(c[2]), _text(c[3]) or None, int(c[4])) for c in taken
        ]
        return Claimed(claims, int(left), int(opened), int(settled), int(run_out))

    def unclaim(self, claims: Iterable[Claim]) -> None:
        """These could not be sent: each is due again since when it was."""
        by_shard: dict[int, list[Argument]] = {}
        for claim in claims:
            by_shard.setdefault(claim.shard, []).extend((claim.member, claim.due_at))
        for shard, pairs in by_shard.items():
            self._run("unclaim", shard, *pairs)

    # -- reading

    def get(self, key: bytes) -> tuple[bytes | None, bytes]:
        """The entry's blob and the life it was read in. Raises ServerError."""
        found, life = self.fetch(key)
        if isinstance(found, (ServerError, Crowded)):
            raise found
        return found, life

    def fetch(
        self, key: bytes, hasty: bool = False, before: Callable[[], None] | None = None
    ) -> tuple[Found, bytes]:
        """The entry's blob, if there is one, and the life it was read in; the error if the server is away.

        hasty: Crowded if no connection is free. before: called once there is one, and nothing has been sent.
        """
        try:
            return self.found(self.connections.get(packed_get(key), hasty, before))
        except (ServerError, Crowded) as away:
            return away, b""

    def fetch_many(self, keys: Sequence[bytes]) -> tuple[list[Found], bytes]:
        """`fetch` of many entries, in one round trip."""
        if len(keys) <= 1:
            found = [self.fetch(key) for key in keys]
            return [one for one, _ in found], found[0][1] if found else b""
        try:
            return self.found_many(self.connections.get(pack("MGET", *keys)), len(keys))
        except ServerError as away:
            return [away] * len(keys), b""

    def fetch_front(self, key: bytes, size: int) -> tuple[Found, bytes]:
        """As `fetch`, but only the first bytes of the blob; none of them where there is no entry."""
        try:
            return self.found(self.connections.get(packed_front(key, size)))
        except ServerError as away:
            return away, b""

    def found(self, answer: tuple[Any, bytes]) -> tuple[Found, bytes]:
        """What a GET's answer means, with the life in it."""
        reply, life = answer
        if type(reply) is bytes or reply is None or isinstance(reply, ServerError):
            return answer
        return self._missed("GET", reply), life

    def found_many(self, answer: tuple[Any, bytes], count: int) -> tuple[list[Found], bytes]:
        """What an MGET's answer means."""
        reply, life = answer
        if type(reply) is list:
            return answer
        error = reply if isinstance(reply, ServerError) else self._missed("MGET", reply)
        return [error] * count, life

    def _missed(self, command: str, reply: Any) -> ServerError | None:
        """The error for an error reply; None where the slot has moved: what came along is of another life."""
        if not self.scripts.has_moved(reply):
            return self.scripts.refused(command, reply)
        self.connections.look_again()
        return None

    def command(self, *parts: Argument) -> Any:
        """A plain, repeatable command, for what reports on the namespace."""
        return self.scripts.command(*parts)

    def _run(self, name: str, shard: int, *args: Argument) -> Any:
        return self.scripts.run(name, self.roots[shard], list(args))


def chunks(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    """The items, `size` at a time."""
    it = iter(items)
    while some := list(islice(it, size)):
        yield some
