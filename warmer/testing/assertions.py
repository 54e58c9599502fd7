"""Assertions about one's own invalidations."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, ParamSpec, Self, overload

from warmer.core.header import INVALIDATED, Header
from warmer.core.keyspace import ShardKeys, keyspace
from warmer.handle import Handle
from warmer.query import Query
from warmer.testing.failures import ExpectationFailed
from warmer.testing.namespaces import namespace_of, reading_of

P = ParamSpec("P")

_SHOWN = 12


@dataclass(eq=False, repr=False)
class NotInvalidated(ExpectationFailed):
    """A write left an entry as it was, or invalidated it in part only."""

    call: str
    verdict: str
    names: tuple[str, ...]
    stamped: tuple[str, ...]

    def message(self) -> str:
        """Say what became of the entry, which names it stands under, and which the write has hit instead."""
        hit = [name for name in self.names if name in self.stamped]
        missed = [name for name in self.names if name not in self.stamped]
        others = [name for name in self.stamped if name not in self.names]
        return (
            f"the write did not invalidate {self.call}: {self.verdict}.\n"
            f"  its names that were stamped: {_listed(hit)}\n"
            f"  its names that were not stamped: {_listed(missed)}\n"
            f"  other names that were stamped meanwhile: {_listed(others)}\n"
            "Compare depends_on, tags and params of the query with what the write changes or invalidates. "
            "Nothing was repaired: the entry may be served until its ttl and grace are over."
        )


class InvalidationExpected:
    """The block of `assert_invalidates`, for `with` and for `async with`."""

    def __init__(self, handle: Handle[Any]) -> None:
        self._handle = handle
        self._reading = reading_of(handle)
        namespace = namespace_of(handle)
        self._runtime = namespace.runtime()
        self._entry = handle.entry_key
        self._keys: ShardKeys = keyspace(namespace.namespace, self._entry.shard)
        self._names: tuple[str, ...] = ()
        self._stamp = 0

    def __enter__(self) -> Self:
        """Read the entry, so that there is something to invalidate."""
        self._handle.get()
        # Names that only the load found ("auto", `tag(...)`) are where the entry is listed.
        own = self._reading.names_of(self._handle.params, self._entry).all()
        self._names = tuple(dict.fromkeys((*own, *self._listed_under())))
        self._stamp = self._runtime.store.stamp_now(self._entry)
        if self._served() is None:
            self._handle.refresh()  # what stale_after_write lets live is about to go by itself
            self._stamp = self._runtime.store.stamp_now(self._entry)
        if self._served() is None:
            raise NotInvalidated(repr(self._handle), "it was not stored to begin with", self._names, ())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look at the entry and its names again. Raises NotInvalidated."""
        if kind is not None:
            return  # the write failed by itself: its own error says more
        stamped = self._stamped()
        fenced = any(name in stamped for name in self._names)
        served = self._served()
        if served is not None and not fenced:
            verdict = "it is still served, and none of its names was stamped"
        elif served is not None:
            verdict = "its names were stamped, but it is still served"
        elif not fenced:
            verdict = (
                "it has gone (expired, or deleted by hand), but none of its names was stamped: a load that "
                "began before the write could still be stored"
            )
        else:
            return
        raise NotInvalidated(repr(self._handle), verdict, self._names, tuple(stamped))

    async def __aenter__(self) -> Self:
        """The same without blocking the event loop."""
        return await self._runtime.on_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The same without blocking the event loop."""
        await self._runtime.on_thread(self.__exit__, kind, error, trace)

    def _served(self) -> Header | None:
        """The header of the value that was there before the write, if readers may still get it."""
        blob, life = self._runtime.store.get(self._entry.key.encode())
        header = Header.read(blob) if blob else None
        if header is None or header.life != life or header.stamp > self._stamp or header.flags & INVALIDATED:
            return None
        return header if self._runtime.store.now_us() < header.grace_until else None

    def _stamped(self) -> list[str]:
        """Every name of the shard that was stamped since the block was entered."""
        found = self._runtime.store.command("ZRANGEBYSCORE", self._keys.fence, f"({self._stamp}", "+inf")
        return [name.decode("utf-8", "surrogatepass") for name in found]

    def _listed_under(self) -> list[str]:
        prefix = self._keys.members("")
        command = self._runtime.store.command
        cursor, sets = b"0", []
        while True:
            cursor, page = command("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", 500)
            sets += page
            if int(cursor) == 0:
                break
        listing = [key for key in sets if command("SISMEMBER", key, self._entry.member)]
        return sorted(key.decode("utf-8", "surrogatepass").removeprefix(prefix) for key in listing)


@overload
def assert_invalidates(entry: Handle[Any], /) -> InvalidationExpected: ...
@overload
def assert_invalidates(
    query: Query[P, Any], /, *params: P.args, **named: P.kwargs
) -> InvalidationExpected: ...
def assert_invalidates(
    what: Query[..., Any] | Handle[Any], /, *params: Any, **named: Any
) -> InvalidationExpected:
    """Around a write: it must invalidate this entry.

        with assert_invalidates(carrier_delays, "UA", 3):
            session.execute(update(Flight)...); session.commit()

    Reads the entry first, so its load must succeed. After the block the entry must be fenced (one of its
    names stamped) and not be served any more; a value that was loaded after the stamp is fine, and so is one
    that `stale_after_write` lets live. Raises NotInvalidated, which lists the names that were and were not
    stamped. A handle will do in place of query and params, and `async with` in asyncio.
    """
    if isinstance(what, Handle):
        return InvalidationExpected(what)
    return InvalidationExpected(what.bind(*params, **named))


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more


__all__ = ["InvalidationExpected", "NotInvalidated", "assert_invalidates"]
