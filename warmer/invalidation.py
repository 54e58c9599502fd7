"""Invalidations: stamp the fence first, in every shard, then remove; done when all is removed.

In a tracked transaction that has written something they go into its outbox, and are made at its COMMIT: made
before it, a reader in between would load the old rows again, and nothing would remove them after.

Removing takes only what was loaded before the stamp, so a value that is loaded anew meanwhile stays. Each
script holds the server for a few milliseconds at most; a large invalidation is many of them. Near copies of
this process go last, so that none made from an earlier reply is left: the process that wrote sees it at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from warmer.core.changes import Changes, EntryHit, PartHit
from warmer.core.names import owner_name, query_name, tag_names
from warmer.errors import InvalidOption, show
from warmer.found import outcomes
from warmer.outbox.applying import Applying
from warmer.outbox.pending import put_off
from warmer.store.replicas import await_replicas
from warmer.store.unfinished import Unfinished

if TYPE_CHECKING:
    from warmer.reading import Reading
    from warmer.runtime.process import Runtime


def invalidate_entry(runtime: Runtime, reading: Reading[Any], args: tuple[Any, ...]) -> int:
    """One entry, in every version of its query; how many values went."""
    entry = reading.entry(args)
    name = reading.names_of(reading.params(args), entry).fence_only[0]
    hit = EntryHit(entry.shard, name, entry.query, entry.tail, entry.version)
    if put_off(runtime.store.namespace, lambda changes: changes.entries.add(hit)):
        return 0
    if runtime.through is not None:
        return runtime.through(Changes(entries={hit}), ())
    runtime.counts.add("invalidations")
    try:
        removed = runtime.store.invalidate_entry(entry, name, reading.options.stale_us)
    finally:
        runtime.near.drop((entry.key.encode(),))
    runtime.outcomes.note([outcomes.entry_of(reading.name)], removed)
    runtime.purge([name])
    await_replicas(runtime.store, [name])
    return removed


def invalidate_where(runtime: Runtime, reading: Reading[Any], some: Mapping[str, Any]) -> int:
    """Every entry of a query whose params have these values; how many went.

    The whole query is stamped: its loads begin anew.
    """
    if not some:
        raise InvalidOption(
            f"{reading.name}.invalidate_where",
            "its params",
            "none",
            "one or more; invalidate_all() drops every entry",
        )
    partial = reading.keys.partial(**some)
    places = tuple(sorted((reading.keys.names.index(param), token) for param, token in partial.items()))
    part = PartHit(reading.name, reading.keys.version, len(reading.keys.names), places)
    if put_off(runtime.store.namespace, lambda changes: changes.parts.add(part)):
        return 0
    if runtime.through is not None:
        return runtime.through(Changes(parts={part}), ())
    removed = _invalidate_indexed(runtime, reading, Changes(parts={part}))
    runtime.outcomes.note([outcomes.part_of(part, reading.keys.defaults())], removed)
    return removed


def invalidate_query(runtime: Runtime, reading: Reading[Any]) -> int:
    """Every entry of a query, in every version."""
    if put_off(runtime.store.namespace, lambda changes: changes.queries.add(reading.name)):
        return 0
    if runtime.through is not None:
        return runtime.through(Changes(queries={reading.name}), ())
    removed = _invalidate_indexed(runtime, reading, Changes(queries={reading.name}))
    runtime.outcomes.note([outcomes.query_of(reading.name)], removed)
    return removed


def _invalidate_indexed(runtime: Runtime, reading: Reading[Any], changes: Changes) -> int:
    stale_us = {reading.name: reading.options.stale_us} if reading.options.stale_us else {}
    applying = _applying(runtime, changes, stale_us)
    runtime.counts.add("invalidations")
    try:
        removed = applying.apply()
    finally:
        runtime.near.drop_under(reading.keys.stems)
    runtime.purge([query_name(reading.name)])
    applying.await_replicas()
    return removed


def _applying(runtime: Runtime, changes: Changes, stale_us: Mapping[str, int]) -> Applying:
    """An application with a record of its own: no outbox tells of it, should it end half-way."""
    return Applying(runtime, changes, stale_us, unfinished=Unfinished.of(runtime.store, changes, stale_us))


def invalidate_names(runtime: Runtime, names: Collection[str], stale_us: Mapping[str, int]) -> int:
    """Every entry listed under one of these names; how many went.

    stale_us: `stale_after_write` of the queries that have one, by name.
    """
    if put_off(runtime.store.namespace, lambda changes: changes.names.update(names)):
        return 0
    if runtime.through is not None:
        return runtime.through(Changes(names=set(names)), ())
    applying = _applying(runtime, Changes(names=set(names)), stale_us)
    removed = applying.run()
    applying.await_replicas()
    return removed


def invalidate_tags(runtime: Runtime, tags: Iterable[str], stale_us: Mapping[str, int]) -> int:
    """Every entry under one of these tags."""
    given = list(tags)
    if not given or any(not isinstance(tag, str) or not tag for tag in given):
        raise InvalidOption(
            "invalidate_tags", "the tags", show(given), "one or more texts that are not empty"
        )
    return invalidate_names(runtime, tag_names(given), stale_us)


def forget(runtime: Runtime, scope: str, token: str) -> int:
    """Every entry private to one identity; nothing of it is served any more, stale_after_write or not."""
    return invalidate_names(runtime, [owner_name(scope, token)], {})
