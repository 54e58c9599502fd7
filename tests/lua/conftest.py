"""A shard of an empty database, on each kind of server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lua.shard import Shard


@pytest.fixture
def shard(each_redis_url: str) -> Iterator[Shard]:
    """Scripts on an empty database, on Valkey and on Redis 7.0."""
    made = Shard(each_redis_url)
    yield made
    made.close()
