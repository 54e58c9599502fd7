"""What the namespace says about itself, for `warmer status` and `warmer inspect`. Nothing is changed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from warmer.core.adaptive import Adaptive, History
from warmer.core.header import HEADER_SIZE, INVALIDATED, SEALED, Header
from warmer.core.heat import bucket_of, heat_in
from warmer.core.keys import EntryKey, keyspace
from warmer.core.keyspace import ShardKeys
from warmer.core.tokens import escape
from warmer.reading import Reading
from warmer.store.operations import Store

_FAILING_SHOWN: Final = 5
#: A scheduler looks several times a second; one that has not for this long is not there.
_SCHEDULER_AWAY_US: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Failing:
    """An entry whose last load failed. params: its tokens; held_s: seconds until it may be tried again."""

    params: str
    cause: str
    times: int
    held_s: float


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """One query over all shards. Times in seconds.

    entries: known ones. kept: of these, kept warm. due: to be refreshed by now. overdue: by more than a
    claim. wait_s, cost_s: the 9th decile of the last loads, of their wait in the queue and of the load; None:
    nothing was measured yet. failing: the first few.
    """

    query: str
    entries: int
    kept: int
    due: int
    overdue: int
    over_max_kept: int
    overloaded_s_ago: float | None
    wait_s: float | None
    cost_s: float | None
    failing: tuple[Failing, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The namespace on its server. open_claims: entries handed to workers and not settled."""

    server: str
    life: str
    memory: str
    policy: str
    schedulers: tuple[str, ...]
    open_claims: int
    leases: int
    queries: tuple[QueryStatus, ...]


@dataclass(frozen=True, slots=True)
class EntryReport:
    """One entry. Times in seconds from now; None: not there.

    names: what an invalidation can hit it by, and how many seconds ago one did. learned: the ttl that its
    next load gives it, where that is learned.
    """

    key: str
    state: str
    age_s: float | None
    fresh_for_s: float | None
    served_for_s: float | None
    due_in_s: float | None
    cost_s: float | None
    bytes: int
    sealed: bool
    stamp: int
    names: Mapping[str, float | None]
    lease: str
    failure: str
    heat: str
    learned: str


def status(store: Store, readings: Mapping[str, Reading[Any]]) -> Status:
    """How the namespace is. Raises ServerError."""
    info, now = _info(store), store.resync_now()
    schedulers: dict[str, None] = {}
    claims = leases = 0
    for shard in range(store.settings.shards):
        keys = keyspace(store.namespace, shard)
        alive = store.command("ZRANGEBYSCORE", keys.schedulers, int(now - _SCHEDULER_AWAY_US), "+inf")
        schedulers |= dict.fromkeys(name.decode() for name in alive)
        claims += store.command("ZCOUNT", keys.claims, int(now), "+inf")
        held = store.command("HVALS", keys.leases)
        leases += sum(_lease(record, now) != _NO_LEASE for record in held)
    life = store.command("HGET", keyspace(store.namespace, 0).life, "current") or b"-"
    version = info.get("valkey_version") or info.get("redis_version")
    return Status(
        server=f"{info.get('server_name', 'redis')} {version}",
        life=life.decode(errors="replace"),
        memory=info.get("used_memory_human", "?"),
        policy=info.get("maxmemory_policy", "?"),
        schedulers=tuple(schedulers),
        open_claims=claims,
        leases=leases,
        queries=tuple(query_status(store, reading, now) for reading in readings.values()),
    )


def query_status(store: Store, reading: Reading[Any], now: float) -> QueryStatus:
    """One query over all shards. now: the server's time. Raises ServerError."""
    entries = kept = due = overdue = over = 0
    overloaded: list[float] = []
    waits: list[float] = []
    costs: list[float] = []
    for shard in range(store.settings.shards):
        keys, name = keyspace(store.namespace, shard), escape(reading.name)
        index = keys.index(reading.name)
        entries += store.command("ZCARD", index)
        kept += store.command("ZCOUNT", index, "-inf", "(+inf")
        due += store.command("ZCOUNT", index, "-inf", int(now))
        overdue += store.command("ZCOUNT", index, "-inf", int(now - store.settings.claim * 1e6))
        over += int(store.command("HGET", keys.over, name) or 0)
        at = store.command("HGET", keys.overloaded, name)
        overloaded += [(now - float(at)) / 1e6] if at else []
        for sample in store.command("LRANGE", keys.recent(reading.name), 0, -1):
            wait, cost = map(float, sample.split()[:2])
            waits += [wait / 1e6] if wait >= 0 else []
            costs.append(cost / 1e6)
    return QueryStatus(
        reading.name, entries, kept, due, overdue, over, min(overloaded, default=None),
        _high(waits), _high(costs), tuple(_failing(store, reading, now)),
    )  # fmt: skip


def stale_members(store: Store, reading: Reading[Any]) -> list[dict[str, Any]]:
    """The params of the entries that `warm --stale` loads: due, past their ttl, failing, or gone though kept.

    Raises ServerError.
    """
    now, found = store.resync_now(), []
    for shard in range(store.settings.shards):
        # What has failed may be in no index, as nobody keeps it warm. A scan may tell a member twice.
        failed = ([member for member, _ in page] for page in store.failed(shard, reading.name))
        told: set[str] = set()
        for listed in chain(failed, store.indexed(shard, reading.name)):
            page = [member for member in dict.fromkeys(listed) if member not in told]
            told.update(page)
            known = store.params_of(shard, [member for member in page if ":#" in member])
            for member in page:
                if ":#" in member and member not in known:
                    continue  # cleared away since it was listed
                entry = reading.keys.from_member(member, known.get(member))
                if entry.version == reading.keys.version and _is_stale(store, reading, entry, now):
                    found.append(reading.keys.params_of(entry.params))
    return found


def inspect_entry(store: Store, reading: Reading[Any], args: tuple[Any, ...]) -> EntryReport:
    """One entry and everything around it. Raises ServerError."""
    entry, now = reading.entry(args), store.resync_now()
    keys = keyspace(store.namespace, entry.shard)
    raw, life = store.get(entry.key.encode())
    header = Header.read(raw) if raw else None
    names = reading.names_of(reading.params(args), entry)
    fence = {name: store.command("ZSCORE", keys.fence, name) for name in names.all()}
    failure = store.command("HGET", keys.failures, entry.member)
    score = store.command("ZSCORE", keys.index(reading.name), entry.member)
    due_at = float(score) if score is not None else math.inf
    return EntryReport(
        key=entry.key,
        state=_state(header, life, now),
        age_s=(now - header.stored_at) / 1e6 if header else None,
        fresh_for_s=(header.fresh_until - now) / 1e6 if header else None,
        served_for_s=(header.grace_until - now) / 1e6 if header else None,
        due_in_s=(due_at - now) / 1e6 if due_at < math.inf else None,
        cost_s=header.cost_us / 1e6 if header else None,
        bytes=len(raw or b""),
        sealed=bool(header and header.flags & SEALED),
        stamp=int(header.stamp) if header else 0,
        names={name: (now - float(at)) / 1e6 if at else None for name, at in fence.items()},
        lease=_lease(store.command("HGET", keys.leases, entry.member), now),
        failure=failure.decode(errors="replace").split(" ", 3)[-1] if failure else "",
        heat=_heat(store, keys, entry.member, now),
        learned=_learned(store.command("HGET", keys.learned, entry.member), reading.options.adaptive),
    )


def _is_stale(store: Store, reading: Reading[Any], entry: EntryKey, now: float) -> bool:
    header = Header.read(store.command("GETRANGE", entry.key, 0, HEADER_SIZE - 1))
    if header is not None:
        return header.due_at <= now
    keys = keyspace(store.namespace, entry.shard)
    score = store.command("ZSCORE", keys.index(reading.name), entry.member)
    kept = score is not None and float(score) < math.inf
    return kept or bool(store.command("HEXISTS", keys.failures, entry.member))


def _state(header: Header | None, life: bytes, now: float) -> str:
    if header is None or header.grace_until <= now:
        return "missing"
    if header.life != life:
        return "of an earlier life of the server: not served"
    if header.flags & INVALIDATED:
        return "invalidated, served stale"
    if now >= header.fresh_until:
        return "stale"
    return "fresh" if now < header.due_at else "fresh, due"


_NO_LEASE: Final = "none"


def _lease(record: bytes | None, now: float) -> str:
    if record is None:
        return _NO_LEASE
    _, stamp, expires, *_ = record.decode().split()
    if float(expires) <= now:
        return _NO_LEASE
    return f"held for {(now - float(stamp)) / 1e6:.1f} s, lasts {(float(expires) - now) / 1e6:.1f} s more"


def _heat(store: Store, keys: ShardKeys, member: str, now: float) -> str:
    buckets = int(store.command("HGET", keys.tallies, "n") or 1)
    records = store.command("HGET", keys.tallies, bucket_of(member, buckets))
    heat = heat_in(records or b"", member, now)
    if heat is None:
        return "not read lately"
    kept = f"{'' if heat.admitted else 'not '}admitted to being kept warm"
    ago_s = (now - heat.last_read_us) / 1e6
    return f"{heat.reads_per_second:.2g} a second when last read, {ago_s:.0f} s ago; {kept}"


def _learned(record: bytes | None, rule: Adaptive | None) -> str:
    """What the next load's ttl will be, "" for a query whose ttl is not learned."""
    if rule is None:
        return ""
    history = History.read(record.decode().partition(" ")[2] if record else "")
    interval_s, least_s, most_s = history.interval_us(rule) / 1e6, rule.least_us / 1e6, rule.most_us / 1e6
    seen = f"about {history.changes:.2g} changes seen lately"
    return f"{interval_s:.3g} s, of {least_s:g} s to {most_s:g} s; {seen}"


def _failing(store: Store, reading: Reading[Any], now: float) -> list[Failing]:
    """The first few."""
    records = (
        _failing_entry(store, shard, member, record, now)
        for shard in range(store.settings.shards)
        for page in store.failed(shard, reading.name)
        for member, record in page
    )
    return list(islice(records, _FAILING_SHOWN))


def _failing_entry(store: Store, shard: int, member: str, record: str, now: float) -> Failing:
    times, until, _, cause = record.encode(errors="replace").decode().split(" ", 3)  # to be printed
    tail = member.partition(":")[2]
    known = store.params_of(shard, [member]) if tail.startswith("#") else {}
    return Failing(known.get(member, tail), cause, int(times), max(0.0, (float(until) - now) / 1e6))


def _high(samples: list[float]) -> float | None:
    if not samples:
        return None
    return samples[0] if len(samples) == 1 else statistics.quantiles(samples, n=10, method="inclusive")[-1]


def _info(store: Store) -> dict[str, str]:
    info: dict[str, str] = {}
    for section in ("server", "memory"):
        for line in store.command("INFO", section).decode().splitlines():
            name, _, value = line.partition(":")
            info[name] = value
    return info
