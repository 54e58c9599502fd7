"""What has been invalidated of late, as the fence has it: which names, and of which entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from warmer.core.keys import keyspace
from warmer.store.operations import CHUNK, Store

#: Names that are looked at in each shard; of more, some are passed over.
MOST_NAMES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """Names that were invalidated, for as long as the fence goes back.

    entries: the tails of the entries that were named one by one, by query. queries: dropped whole or in part.
    """

    tags: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    queries: frozenset[str] = frozenset()
    entries: dict[str, frozenset[str]] = field(default_factory=dict)


def gather(store: Store) -> Evidence:
    """Read the fences of all shards. Raises ServerError."""
    kinds: dict[str, set[str]] = {kind: set() for kind in "gtcaoq"}
    entries: dict[str, set[str]] = {}
    for shard in range(store.settings.shards):
        for name in _stamped(store, shard):
            kind, _, rest = name.partition(":")
            if kind == "e":
                query, _, tail = rest.partition(":")
                entries.setdefault(query, set()).add(tail)
            elif kind in kinds:
                kinds[kind].add(rest if kind in "gtaq" else rest.partition(":")[0])
    return Evidence(
        frozenset(kinds["g"]),
        frozenset(kinds["t"] | kinds["c"] | kinds["a"]),
        frozenset(kinds["o"]),
        frozenset(kinds["q"]),
        {query: frozenset(tails) for query, tails in entries.items()},
    )


def has_members(store: Store, name: str) -> bool:
    """Whether an entry stands under a name at present. Raises ServerError."""
    shards = range(store.settings.shards)
    return any(store.command("EXISTS", keyspace(store.namespace, shard).members(name)) for shard in shards)


def _stamped(store: Store, shard: int) -> Iterator[str]:
    cursor, seen = b"0", 0
    while seen < MOST_NAMES:
        cursor, page = store.command("ZSCAN", keyspace(store.namespace, shard).fence, cursor, "COUNT", CHUNK)
        seen += len(page) // 2
        yield from (name.decode("utf-8", "surrogatepass") for name in page[::2])
        if cursor == b"0":
            return
