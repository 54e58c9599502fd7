"""What the namespace says about itself, for `warmer status` and `warmer inspect`. Reads only, in bounded pages."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from warmer.core.header import HEADER_SIZE, INVALIDATED, Header
from warmer.core.keys import keyspace
from warmer.reading import Reading
from warmer.store.operations import Store


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """One query over all shards. Times in seconds, quantiles of the last loads; None: nothing measured yet."""

    query: str
    entries: int
    kept: int
    due: int
    overdue: int
    over_max_kept: int
    overloaded_s_ago: float | None
    wait_s: float | None
    cost_s: float | None
    failing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The namespace on its server."""

    server: str
    life: str
    memory: str
    policy: str
    schedulers: tuple[str, ...]
    open_claims: int
    leases: int
    queries: tuple[QueryStatus, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class EntryReport:
    """One entry. Times in seconds from now; None: not there."""

    key: str
    state: str
    age_s: float | None
    fresh_for_s: float | None
    served_for_s: float | None
    due_in_s: float | None
    cost_s: float | None
    bytes: int
    stamp: int
    names: Mapping[str, int]
    lease: str
    failure: str
    heat: str


def status(store: Store, readings: Mapping[str, Reading[Any]]) -> Status:
    """How the namespace is. Raises ServerError."""
    info = _info(store)
    now = store.resync_now()
    schedulers: list[str] = []
    claims = leases = 0
    for shard in range(store.settings.shards):
        keys = keyspace(store.namespace, shard)
        alive = store.command("ZRANGEBYSCORE", keys.schedulers, int(now - 5e6), "+inf")
        schedulers += [name.decode() for name in alive if name.decode() not in schedulers]
        claims += store.command("ZCOUNT", keys.claims, int(now), "+inf")
        leases += store.command("HLEN", keys.leases)
    life = store.command("HGET", keyspace(store.namespace, 0).life, "current") or b"-"
    return Status(
        server=f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version')}",
        life=life.decode(errors="replace"),
        memory=str(info.get("used_memory_human", "?")),
        policy=str(info.get("maxmemory_policy", "?")),
        schedulers=tuple(schedulers),
        open_claims=claims,
        leases=leases,
        queries=tuple(query_status(store, reading, now) for reading in readings.values()),
    )


def query_status(store: Store, reading: Reading[Any], now: float) -> QueryStatus:
    """One query over all shards."""
    entries = kept = due = overdue = over = 0
    overloaded: list[float] = []
    waits: list[float] = []
    costs: list[float] = []
    for shard in range(store.settings.shards):
        keys = keyspace(store.namespace, shard)
        index, name = keys.index(reading.name), keys.index(reading.name).removeprefix(keys.root + "index:")
        entries += store.command("ZCARD", index)
        kept += store.command("ZCOUNT", index, "-inf", "(+inf")
        due += store.command("ZCOUNT", index, "-inf", int(now))
        overdue += store.command("ZCOUNT", index, "-inf", int(now - store.settings.claim * 1e6))
        over += int(store.command("HGET", keys.over, name) or 0)
        at = store.command("HGET", keys.overloaded, name)
        overloaded += [(now - float(at)) / 1e6] if at else []
        for sample in store.command("LRANGE", keys.recent(reading.name), 0, -1):
            wait, cost = sample.split()[:2]
            waits += [float(wait) / 1e6] if float(wait) >= 0 else []
            costs.append(float(cost) / 1e6)
    return QueryStatus(
        reading.name, entries, kept, due, overdue, over, min(overloaded, default=None),
        _high(waits), _high(costs), tuple(_failing(store, reading, now)),
    )  # fmt: skip


def stale_members(store: Store, reading: Reading[Any]) -> list[dict[str, Any]]:
    """The params of entries that are due by now and of those that are past their ttl, for `warm --stale`."""
    now = store.resync_now()
    found = []
    for shard in range(store.settings.shards):
        for page in store.indexed(shard, reading.name):
            known = store.params_of(shard, [member for member in page if ":#" in member])
            for member in page:
                entry = reading.keys.from_member(member, known.get(member))
                if entry.version != reading.keys.version:
                    continue
                raw = store.command("GETRANGE", entry.key, 0, HEADER_SIZE - 1)
                header = Header.read(raw)
                if header is None or header.due_at <= now:
                    found.append(reading.keys.params_of(entry.params))
    return found


def inspect_entry(store: Store, reading: Reading[Any], args: tuple[Any, ...]) -> EntryReport:
    """One entry and everything around it. Raises ServerError."""
    entry, now = reading.entry(args), store.resync_now()
    keys = keyspace(store.namespace, entry.shard)
    raw, life = store.get(entry.key.encode())
    header = Header.read(raw) if raw else None
    names = reading.names_of(reading.params(args), entry)
    fence = {name: int(float(store.command("ZSCORE", keys.fence, name) or 0)) for name in names.all()}
    lease = store.command("HGET", keys.leases, entry.member)
    failure = store.command("HGET", keys.failures, entry.member)
    score = store.command("ZSCORE", keys.index(reading.name), entry.member)
    due = float(score) if score is not None else None
    return EntryReport(
        key=entry.key,
        state=_state(header, life, now),
        age_s=(now - header.stored_at) / 1e6 if header else None,
        fresh_for_s=(header.fresh_until - now) / 1e6 if header else None,
        served_for_s=(header.grace_until - now) / 1e6 if header else None,
        due_in_s=None if due is None or due == float("inf") else (due - now) / 1e6,
        cost_s=header.cost_us / 1e6 if header else None,
        bytes=len(raw or b""),
        stamp=int(header.stamp) if header else 0,
        names=fence,
        lease=_lease(lease, now),
        failure=failure.decode(errors="replace").split(" ", 3)[-1] if failure else "",
        heat=_heat(store.command("HGET", keys.heat, entry.member), now),
    )


def _state(header: Header | None, life: bytes, now: float) -> str:
    if header is None or header.grace_until <= now:
        return "missing"
    if header.life != life:
        return "of an earlier life of the server"
    if header.flags & INVALIDATED:
        return "invalidated, served stale"
    if now >= header.fresh_until:
        return "stale"
    return "fresh" if now < header.due_at else "fresh, due"


def _lease(record: bytes | None, now: float) -> str:
    if record is None:
        return "none"
    _, stamp, expires, *_ = record.decode().split()
    if float(expires) <= now:
        return "none"
    return f"held for {(now - float(stamp)) / 1e6:.1f} s, lasts {(float(expires) - now) / 1e6:.1f} s more"


def _heat(record: bytes | None, now: float) -> str:
    if record is None:
        return "not read lately"
    last_read, rate, _, _, _, admitted = record.decode().split()
    kept = "admitted to being kept warm" if admitted == "1" else "not admitted"
    return f"read {(now - float(last_read)) / 1e6:.0f} s ago, {float(rate):.2g}/s, {kept}"


def _failing(store: Store, reading: Reading[Any], now: float) -> list[str]:
    found = []
    for shard in range(store.settings.shards):
        keys = keyspace(store.namespace, shard)
        own = keys.index(reading.name).removeprefix(keys.root + "index:")
        _, page = store.command("HSCAN", keys.failures, 0, "MATCH", f"{own}@*", "COUNT", 200)
        for member, record in zip(page[::2], page[1::2], strict=True):
            count, until, _, cause = record.decode(errors="replace").split(" ", 3)
            again = max(0.0, (float(until) - now) / 1e6)
            tokens = member.decode(errors="replace").partition(":")[2]
            found.append(f"({tokens}) {cause}; failed {count} times, again in {again:.0f} s")
    return found[:5]


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
