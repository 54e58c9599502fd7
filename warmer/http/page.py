"""What the response to the request in hand is made of: the entries that were read for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from warmer.core.names import is_owner
from warmer.entry import Entry
from warmer.errors import HeadersSent
from warmer.handle import Handle
from warmer.http.answer import Dialect, Headers, Request, answer
from warmer.http.part import Part
from warmer.http.purging import Purges

R = TypeVar("R")


class Page:
    """One response in the making. The adapters make one a request; `read` notes in it what it reads."""

    __slots__ = ("_dialect", "_parts", "_sent")

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._dialect: Dialect | None = None
        self._sent = False

    def note(self, handle: Handle[Any], entry: Entry[Any]) -> None:
        """The response shows this entry. Raises HeadersSent when they say already what it is made of."""
        if self._sent:
            raise HeadersSent(handle.query)
        purges = handle._reading.runtime_of().purges
        if purges is not None:
            self._dialect = purges.dialect
        self._parts.append(_part(handle, entry, purges))

    def answer(
        self, method: str, asked: Mapping[str, str], status: int, headers: Headers, version: str
    ) -> tuple[int, Headers]:
        """What to send in place of `status` and `headers`; see `warmer.http.answer`. Nothing is noted after.

        asked: the request's headers by lower-case name.
        """
        self._sent = True
        request = Request.of(method, asked)
        return answer(self._parts, request, status, headers, dialect=self._dialect, version=version)


#: None: outside of a request that an adapter knows of.
current: ContextVar[Page | None] = ContextVar("warmer_page", default=None)


def read(handle: Handle[R]) -> R:
    """The entry's value, read through, for the response to the request in hand: its headers follow from it.

    Outside of a request, or without an adapter around the application, just the value. Raises what
    `handle.read()` does, and HeadersSent.
    """
    return _noted(handle, handle.read())


async def aread(handle: Handle[R]) -> R:
    """`read`, from asyncio."""
    return _noted(handle, await handle.aread())


def _noted(handle: Handle[R], entry: Entry[R]) -> R:
    page = current.get()
    if page is not None:
        page.note(handle, entry)
    return entry.value


def _part(handle: Handle[Any], entry: Entry[Any], purges: Purges | None) -> Part:
    """Without purges nobody needs the keys."""
    reading = handle._reading
    options, names, fresh_s = reading.options, entry.names, entry.ttl_left
    # A load that has read what is private, in another query, has made something private of it.
    private = reading.dependencies.scope is not None or any(map(is_owner, names))
    keys: tuple[str, ...] = ()
    # A cache that is told of a COMMIT after it has, for a moment, what a strict query must not show.
    keyed = not private and not options.sensitive and options.consistency != "strict"
    # A near copy may have been invalidated `near` seconds ago, elsewhere: the last purge must come later.
    if purges is not None and keyed and options.near_s <= purges.again_s:
        keys = tuple(purges.key_of(name) for name in names)
    return Part(
        seed=f"{entry.key} {entry.etag}" if entry.etag else "",
        age_s=entry.age,
        fresh_s=fresh_s,
        grace_s=max(0.0, entry.grace_left - fresh_s),
        browser_s=options.browser_max_age_s,
        private=private,
        sensitive=options.sensitive,
        keys=keys,
    )
