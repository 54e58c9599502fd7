"""The plain TTL cache that everybody writes first: get, else run the query and set with an expiry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_type_hints

import msgspec
import redis

from tasks import flights
from warmer import Handle

__all__ = ["PlainCache"]


class PlainCache:
    """Get, else load and set, for the entries of a population; under its own prefix in the same server."""

    def __init__(self, redis_url: str, entries: Sequence[Handle[Any]]) -> None:
        """Connects at the first read. The ttls are those of the queries."""
        self._client = redis.Redis.from_url(redis_url, socket_timeout=30)
        self._entries = entries
        self._keys = [f"plain:{one.query}:{one.params}" for one in entries]
        self._ttls_ms = [round(flights.readings[one.query].options.ttl_s * 1000) for one in entries]
        decoders = {
            name: msgspec.msgpack.Decoder(get_type_hints(query.__wrapped__)["return"])
            for name, query in flights.queries.items()
        }
        self._decoders = [decoders[one.query] for one in entries]
        self._encode = msgspec.msgpack.Encoder().encode

    def read(self, entry: int) -> tuple[Any, bool]:
        """The value of an entry, and whether it had to be loaded for this read."""
        key = self._keys[entry]
        blob = self._client.get(key)
        if isinstance(blob, bytes):
            return self._decoders[entry].decode(blob), False
        one = self._entries[entry]
        value = flights.queries[one.query].fn(**one.params)
        self._client.set(key, self._encode(value), px=self._ttls_ms[entry])
        return value, True

    def close(self) -> None:
        """Disconnects."""
        self._client.close()
