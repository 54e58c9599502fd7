"""What Redis holds of runs, and the operations on it.

The record of a run is in shard 0; each shard counts what was fed, done and failed among its own entries,
because an entry is counted in the same script that commits it. All times are the server's, in integer
microseconds.
Errors of the server come out as RedisUnreachable, RedisRefused or TooManyConnections.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from warmer.core.keys import EntryKey, keyspace
from warmer.core.members import split_member
from warmer.errors import UnknownRun
from warmer.store.operations import Store, chunks
from warmer.store.scripts import Argument

RECORDS_SHARD = 0
#: 100 entries keep feed.lua under a millisecond, so no other client waits longer for it.
FEED_CHUNK = 100
#: Workers that may end one after the other while they run a generator that gets nowhere.
MOST_ATTEMPTS = 5

RunState = Literal["waiting", "feeding", "loading", "done", "failed", "skipped"]
FiringKind = Literal["fired", "known", "new", "missed", "early"]
TakenKind = Literal["granted", "held", "over"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry that a run could not warm: its query, the text of its params, and the masked cause."""

    query: str
    params: str
    cause: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a run is: entries fed to it, and those among them that were loaded or failed."""

    total: int = 0
    done: int = 0
    failed: int = 0

    @property
    def outstanding(self) -> int:
        """Entries that are fed and not settled."""
        return self.total - self.done - self.failed


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands. Times in microseconds, 0 for what has not happened.

    plan: "" for a run by hand. error: what ended the plan's generator, "" for nothing. moved_at: when
    anything was fed or settled last. failures: the first few.
    """

    run: str
    title: str
    plan: str
    created_at: int
    begun_at: int
    fed_at: int
    moved_at: int
    error: str
    skipped: bool
    counts: Counts
    failures: tuple[Failure, ...]

    @property
    def closed(self) -> bool:
        """Whether no more entries will be fed."""
        return bool(self.fed_at or self.error or self.skipped)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.closed and self.counts.outstanding <= 0

    @property
    def state(self) -> RunState:
        """waiting (for a worker) · feeding · loading · done · failed (some of it) · skipped (overtaken)."""
        if self.skipped:
            return "skipped"
        if not self.closed:
            return "feeding" if self.begun_at or not self.plan else "waiting"
        if not self.over:
            return "loading"
        return "failed" if self.error or self.counts.failed else "done"


def new_run_id() -> str:
    """A run's name: 12 hexadecimal digits, short enough to be typed and long enough never to meet again."""
    return uuid.uuid4().hex[:12]


class Records:
    """The runs of one namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- making runs

    def fire(self, plan: str, firing_us: int, catch_up_us: int) -> FiringKind:
        """A plan's trigger fired at `firing_us`: make its run, unless somebody has. See fire.lua."""
        reply = self._run("fire", plan, firing_us, new_run_id(), catch_up_us)
        kind: FiringKind = reply[0].decode()
        return kind

    def start(self, title: str, plan: str = "") -> str:
        """Make a run by hand: of a plan, or one that the caller feeds. Its id."""
        run = new_run_id()
        self._run("start_run", run, title, plan)
        return run

    # -- who runs a generator

    def claim(self, most: int) -> list[str]:
        """Runs that need a worker; each is due again when the claim has passed."""
        reply = self._run("claim_runs", round(self._store.settings.claim * 1e6), most)
        return [run.decode() for run in reply[1]]

    def unclaim(self, run: str, delay_us: int) -> None:
        """The message for this run could not be sent."""
        due_at = round(self._store.now_us()) + delay_us
        self._store.command("ZADD", self._keys().runs, "XX", "LT", due_at, run)
        self._store.command("HDEL", self._keys().run(run), "sent")

    def take(self, run: str, token: str) -> tuple[TakenKind, str]:
        """Take the lease of a run: ("granted", its plan), "held" (see take_run.lua) or "over"."""
        reply = self._run("take_run", run, token, self._lease_us(), MOST_ATTEMPTS)
        kind: TakenKind = reply[0].decode()
        return kind, reply[2].decode() if len(reply) > 2 else ""

    def extend(self, run: str, token: str, *, progressed: bool) -> bool:
        """Heartbeat of a run; False: the lease is lost."""
        return bool(self._run("extend_run", run, token, self._lease_us(), int(progressed)) == b"held")

    def release(self, run: str, token: str, *, delay_us: int = 0) -> None:
        """Give the lease back before the generator has ended; the run is due in `delay_us`."""
        self._run("release_run", run, token, delay_us)

    # -- feeding

    def feed(self, run: str, shard: int, entries: Sequence[EntryKey]) -> tuple[int, Counts]:
        """Queue these entries of one shard for the run: how many were new to it, and the shard's counts."""
        added, counts = 0, Counts()
        for some in chunks(entries, FEED_CHUNK):
            args: list[Argument] = [run]
            for entry in some:
                args += [entry.member, entry.params if entry.digested else ""]
            reply = self._store.scripts.run("feed", self._store.roots[shard], args)
            added += int(reply[2])
            counts = Counts(int(reply[3]), int(reply[4]), int(reply[5]))
        return added, counts

    def close(self, run: str, token: str = "", error: str = "") -> bool:
        """No more entries will be fed. False: it goes on in another worker, which will say so itself."""
        return bool(self._run("close_run", run, token, error) == b"closed")

    # -- looking

    def counts(self, run: str) -> Counts:
        """How far a run is, over all shards."""
        total = done = failed = 0
        for shard in range(self._store.settings.shards):
            reply = self._store.command("HMGET", self._keys(shard).run(run), "total", "done", "failed")
            total, done, failed = (a + int(b or 0) for a, b in zip((total, done, failed), reply, strict=True))
        return Counts(total, done, failed)

    def read(self, run: str) -> RunRecord:
        """The run as it stands. Raises UnknownRun."""
        shards = [self._hash(shard, run) for shard in range(self._store.settings.shards)]
        record = shards[RECORDS_SHARD]
        if "title" not in record:
            raise UnknownRun(run)
        sums = {name: sum(int(h.get(name, 0)) for h in shards) for name in ("total", "done", "failed")}
        return RunRecord(
            run=run,
            title=record["title"],
            plan=record["plan"],
            created_at=int(record["created_at"]),
            begun_at=int(record.get("begun_at", 0)),
            fed_at=int(record.get("fed_at", 0)),
            moved_at=max(int(h.get("moved_at", 0)) for h in shards),
            error=record.get("error", ""),
            skipped="skipped_by" in record,
            counts=Counts(**sums),
            failures=tuple(f for shard, h in enumerate(shards) for f in self._failures(shard, h)),
        )

    def ids(self, newest: int) -> list[str]:
        """The newest runs, the newest first."""
        reply = self._store.command("ZRANGE", self._keys().history, 0, newest - 1, "REV")
        return [run.decode() for run in reply]

    def ids_before(self, created_us: int, most: int) -> list[str]:
        """The oldest runs that were made before a time."""
        key = self._keys().history
        reply = self._store.command("ZRANGE", key, "-inf", created_us, "BYSCORE", "LIMIT", 0, most)
        return [run.decode() for run in reply]

    def forget(self, run: str, *, record: bool) -> None:
        """Drop what keeps a run from feeding twice, and (record=True) all else that is known of it."""
        for shard in range(self._store.settings.shards):
            self._run("forget_run", run, "all" if record else "seen", shard=shard)

    def scheduler_seen_s(self) -> float | None:
        """Seconds since a scheduler looked for what is due; None: none has in the last minute."""
        reply = self._store.command("ZRANGE", self._keys().schedulers, -1, -1, "WITHSCORES")
        return max(0.0, (self._store.now_us() - float(reply[1])) / 1e6) if reply else None

    def loading(self) -> bool:
        """Whether anybody holds a lease, alive or just over: a sign that somebody works."""
        return any(
            int(self._store.command("HLEN", self._keys(shard).leases))
            for shard in range(self._store.settings.shards)
        )

    def _hash(self, shard: int, run: str) -> dict[str, str]:
        reply = self._store.command("HGETALL", self._keys(shard).run(run))
        texts = [part.decode("utf-8", "replace") for part in reply]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def _failures(self, shard: int, record: dict[str, str]) -> list[Failure]:
        found = []
        for name, told in sorted(record.items()):
            if name.startswith("failure:"):
                member, _, cause = told.partition(" ")
                query, _, tail = split_member(member)
                known = self._store.params_of(shard, [member]) if tail.startswith("#") else {}
                found.append(Failure(query, known.get(member, tail), cause))
        return found

    def _lease_us(self) -> int:
        return round(self._store.settings.lease * 1e6)

    def _keys(self, shard: int = RECORDS_SHARD) -> Any:
        return keyspace(self._store.namespace, shard)

    def _run(self, name: str, *args: Argument, shard: int = RECORDS_SHARD) -> Any:
        return self._store.scripts.run(name, self._store.roots[shard], list(args))
