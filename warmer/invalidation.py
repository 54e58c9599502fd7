"""Invalidations: stamp the fence first, in every shard, then remove; done when all is removed.

In a tracked transaction that has written something they go into its outbox, and are made at its COMMIT: made
before it, a reader in between would load the old rows again, and nothing would remove them after.

Removing takes only what was loaded before the stamp, so a value that is loaded anew meanwhile stays. Each
script holds the server for a few milliseconds at most; a large invalidation is many of them. Near copies of
this process go last, so that none made from an earlier reply is left: the process that wrote sees it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from warmer.core.changes import EntryHit, PartHit
from warmer.core.names import owner_name, query_name, tag_names
from warmer.core.tokens import escape
from warmer.errors import InvalidOption, show
from warmer.outbox.pending import put_off
from warmer.store.removing import Batch, remove_indexed, remove_named
from warmer.store.replicas import await_replicas

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
    runtime.counts.add("invalidations")
    try:
        removed = runtime.store.invalidate_entry(entry, name, reading.options.stale_us)
    finally:
        runtime.near.drop((entry.key.encode(),))
    runtime.purge([name])
    await_replicas(runtime.store, [name])
    return removed


def invalidate_where(runtime: Runtime, reading: Reading[Any], some: Mapping[str, Any]) -> int:
    """Every entry of a query whose params have these values; how many went.

    The whole query is stamped: its loads begin anew.
    """
    if not some:
        raise InvalidOption(
            reading.name, "invalidate_where", "no params", "at least one; invalidate_all() drops every entry"
        )
    partial, version = reading.keys.partial(**some), escape(reading.keys.version)
    places = tuple(sorted((reading.keys.names.index(param), token) for param, token in partial.items()))
    part = PartHit(reading.name, reading.keys.version, len(reading.keys.names), places)
    if put_off(runtime.store.namespace, lambda changes: changes.parts.add(part)):
        return 0

    def wanted(member: str, tokens: str | None) -> bool:
        # What another version keyed, or a digest whose params are gone, can't be told apart: rather removed.
        if tokens is None or member.partition("@")[2].partition(":")[0] != version:
            return True
        return reading.keys.matches(tokens, partial)

    return _invalidate_indexed(runtime, reading, wanted)


def invalidate_query(runtime: Runtime, reading: Reading[Any]) -> int:
    """Every entry of a query, in every version."""
    if put_off(runtime.store.namespace, lambda changes: changes.queries.add(reading.name)):
        return 0
    return _invalidate_indexed(runtime, reading, lambda _, __: True)


def _invalidate_indexed(
    runtime: Runtime, reading: Reading[Any], wanted: Callable[[str, str | None], bool]
) -> int:
    store, stale_us = runtime.store, reading.options.stale_us

    def batches(shard: int, page: list[str]) -> list[Batch]:
        known = store.params_of(shard, [member for member in page if ":#" in member])
        tokens = {m: known.get(m) if ":#" in m else m.partition(":")[2] for m in page}
        return [Batch(stale_us, [member for member in page if wanted(member, tokens[member])])]

    runtime.counts.add("invalidations")
    try:
        stamps = store.stamp_names([query_name(reading.name)])
        removed = remove_indexed(store, stamps, reading.name, batches)
    finally:
        runtime.near.drop_under(reading.keys.stems)
    runtime.purge([query_name(reading.name)])
    await_replicas(runtime.store, [query_name(reading.name)])
    return removed


def invalidate_names(runtime: Runtime, names: Collection[str], stale_us_of: Callable[[str], int]) -> int:
    """Every entry listed under one of these names; how many went.

    stale_us_of: what a query, by its escaped name, says of `stale_after_write`.
    """
    if put_off(runtime.store.namespace, lambda changes: changes.names.update(names)):
        return 0
    runtime.counts.add("invalidations")
    try:
        stamps = runtime.store.stamp_names(list(names))
        removed = remove_named(runtime.store, stamps, names, stale_us_of)
    except BaseException:
        runtime.near.drop_all()  # what of it the server has done, or is about to do, is not known
        raise
    runtime.near.doubt()
    runtime.purge(names)
    await_replicas(runtime.store, list(names))
    return removed


def invalidate_tags(runtime: Runtime, tags: Iterable[str], stale_us_of: Callable[[str], int]) -> int:
    """Every entry under one of these tags."""
    given = list(tags)
    if not given or any(not isinstance(tag, str) or not tag for tag in given):
        raise InvalidOption("invalidate_tags", "tags", show(given), "one or more texts that are not empty")
    return invalidate_names(runtime, tag_names(given), stale_us_of)


def forget(runtime: Runtime, scope: str, token: str) -> int:
    """Every entry private to one identity; nothing of it is served any more, stale_after_write or not."""
    return invalidate_names(runtime, [owner_name(scope, token)], lambda _: 0)
