"""Every fixed key of a shard. An entry's own key is built in keys.py, on the same root.

All keys of a shard begin with its root, `w:{<namespace>:<shard>}:`. The braces are the one hash tag, so on a
cluster a shard is one slot, and a script may touch any of its keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from warmer.core.tokens import escape

#: What an entry's key has between its shard's root and its member.
ENTRY = "e:"


def root_of(namespace: str, shard: int) -> str:
    """The beginning of every key of a shard."""
    return f"w:{{{escape(namespace)}:{shard}}}:"


def broker_prefix(namespace: str) -> str:
    """What every key of Celery's begins with where Redis is the broker: no other's messages mix in."""
    return f"w:broker:{escape(namespace)}:"


def member_lists(namespace: str) -> str:
    """A pattern (as SCAN takes it) of the lists of members under names, in all shards of a namespace."""
    return f"w:{{{escape(namespace)}:*}}:members:*"


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """The keys of one shard: one attribute for each fixed key, one method for each family of keys.

    docs/keys.md says what each one holds. Query names are given as they are and escaped here; members, names
    and run ids are text of Warmer's own that needs no escape.
    """

    root: str
    seq: str
    clock: str
    life: str
    conf: str
    fence: str
    unfinished: str
    floor: str
    leases: str
    doomed: str
    failures: str
    heat: str
    reads: str
    tallies: str
    queries: str
    params: str
    claims: str
    waiting: str
    loaded: str
    learned: str
    overloaded: str
    over: str
    settled: str
    warming: str
    runs: str
    history: str
    driving: str
    fired: str
    schedulers: str
    shapes: str
    strict: str
    strict_since: str
    in_force: str
    barred: str
    barriers: str
    wake: str

    def entry(self, member: str) -> str:
        """An entry's blob."""
        return f"{self.root}{ENTRY}{member}"

    def index(self, query: str) -> str:
        """The due index of a query: members by due time."""
        return f"{self.root}index:{escape(query)}"

    def versions(self, query: str) -> str:
        """The versions of a query that may have entries."""
        return f"{self.root}versions:{escape(query)}"

    def recent(self, query: str) -> str:
        """The recent queue waits and load costs of a query."""
        return f"{self.root}recent:{escape(query)}"

    def members(self, name: str) -> str:
        """The members under a name."""
        return f"{self.root}members:{name}"

    def run(self, run_id: str) -> str:
        """The record of a run."""
        return f"{self.root}run:{run_id}"

    def run_seen(self, run_id: str) -> str:
        """The members that a run has queued."""
        return f"{self.root}run:{run_id}:seen"

    def outcomes(self, day: int) -> str:
        """What came of the invalidations of a day, counted from 1970."""
        return f"{self.root}outcomes:{day}"

    def handoff(self, member: str) -> str:
        """A value whose commit was refused, for readers of other processes who began before its load."""
        return f"{self.root}handoff:{member}"


#: The fixed keys, in the order of docs/keys.md.
FIXED = tuple(name for name in ShardKeys.__slots__ if name != "root")


@lru_cache(maxsize=4096)
def keyspace(namespace: str, shard: int) -> ShardKeys:
    """The keys of shard number `shard` (from 0) of a namespace."""
    root = root_of(namespace, shard)
    return ShardKeys(root, **{name: root + name for name in FIXED})
