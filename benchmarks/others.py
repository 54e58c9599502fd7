"""Other caches, each used as its own documentation shows: what is not installed is left out."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

from benchmarks.rounds import Row, rows

Call = Callable[[int, str], list[Row]]
AsyncCall = Callable[[int, str], Awaitable[list[Row]]]


def sync_ways(url: str) -> dict[str, Call]:
    """Cached functions of (count, carrier), by the library's name."""
    ways: dict[str, Call] = {}
    with contextlib.suppress(ImportError):
        from dogpile.cache import make_region

        region = make_region().configure("dogpile.cache.redis", arguments={"url": url}, expiration_time=600)

        @region.cache_on_arguments()  # type: ignore[untyped-decorator]
        def dogpile(count: int, carrier: str) -> list[Row]:
            return rows(count)

        ways["dogpile.cache"] = dogpile
    return ways


@contextlib.contextmanager
def async_ways(url: str) -> Iterator[dict[str, AsyncCall]]:
    """The same for asyncio."""
    ways: dict[str, AsyncCall] = {}
    with contextlib.suppress(ImportError):
        from aiocache import Cache, cached
        from aiocache.serializers import PickleSerializer

        parts = urlsplit(url)

        @cached(
            ttl=600,
            cache=Cache.REDIS,
            endpoint=parts.hostname,
            port=parts.port,
            serializer=PickleSerializer(),
        )  # type: ignore[untyped-decorator]
        async def aio(count: int, carrier: str) -> list[Row]:
            return rows(count)

        ways["aiocache"] = aio
    with contextlib.suppress(ImportError):
        from cashews import Cache as Cashews

        cache = Cashews()
        cache.setup(url, client_side=False)

        @cache(ttl="10m")  # type: ignore[untyped-decorator]
        async def cashew(count: int, carrier: str) -> list[Row]:
            return rows(count)

        ways["cashews"] = cashew
    yield ways
