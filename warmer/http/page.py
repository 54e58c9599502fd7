"""What the response to the request in hand is made of: the entries that were read for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from warmer.entry import Entry
from warmer.errors import HeadersSent
from warmer.http.answer import Dialect, Headers, Request, answer
from warmer.http.keys import surrogate_key
from warmer.http.part import Part
from warmer.query import Handle

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
        reading = handle._reading
        purges = reading.runtime_of().purges
        if purges is not None:
            self._dialect = purges.dialect
        self._parts.append(_part(handle, entry, keyed=purges is not None))

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
    entry = handle.read()
    page = current.get()
    if page is not None:
        page.note(handle, _confirmed(entry, handle.entry) if _is_unsure(entry) else entry)
    return entry.value


async def aread(handle: Handle[R]) -> R:
    """`read`, from asyncio."""
    entry = await handle.aread()
    page = current.get()
    if page is not None:
        noted = entry
        if _is_unsure(entry):
            stored = await handle.aentry()
            noted = _confirmed(entry, lambda: stored)
        page.note(handle, noted)
    return entry.value


def _is_unsure(entry: Entry[Any]) -> bool:
    """Whether it was loaded for this read, and so may not be stored: it may have been invalidated meanwhile.

    Nobody would purge what a shared cache made of that, as the purge may have been sent before.
    """
    return entry.state == "loaded" and entry.stamp > 0


def _confirmed(entry: Entry[R], look: Any) -> Entry[R]:
    stored: Entry[R] | None = look()
    return stored if stored is not None and stored.stamp == entry.stamp else entry


def _part(handle: Handle[Any], entry: Entry[Any], *, keyed: bool) -> Part:
    reading = handle._reading
    options, dependencies = reading.options, reading.dependencies
    private = dependencies.scope is not None
    stored = entry.state != "loaded"
    fresh_s = max(0.0, options.ttl_s - entry.age) if stored and entry.fresh else 0.0
    keys: tuple[str, ...] = ()
    if keyed and not private and not options.sensitive:
        namespace = reading.runtime_of().settings.namespace
        names = reading.names_of(handle.params, handle.entry_key).all()
        keys = tuple(surrogate_key(namespace, name) for name in names)
    return Part(
        seed=f"{entry.key} {entry.stamp}" if stored else "",
        age_s=entry.age,
        fresh_s=fresh_s,
        grace_s=options.grace_s,
        browser_s=options.browser_max_age_s,
        private=private,
        sensitive=options.sensitive,
        keys=keys,
    )
