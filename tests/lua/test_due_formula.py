"""commit.lua decides due times as warmer/core/due.py does, for any history of waits and costs."""

from __future__ import annotations

import itertools
from math import log

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lua.shard import UA, Shard
from warmer.core.due import due_at, quantile

_roots = itertools.count(1)
_HISTORY = 32

WAITS = st.integers(-1, 20_000_000)
COSTS = st.integers(1, 60_000_000)  # nothing: what a writer puts, which no load has measured


def _expected(
    history: list[tuple[int, int]], stored_at: int, ttl_us: int, early: float, u: float
) -> tuple[int, bool]:
    """By the core: the lead is the quantile of waits and that of costs, this load among them."""
    recent = history[-_HISTORY:]
    cost = recent[-1][1]
    wait = quantile([wait for wait, _ in recent if wait >= 0], 0.9)
    lead = wait + max(cost, quantile([cost for _, cost in recent], 0.9))
    # The draw is of this load's cost, as in XFetch; what the lead has beyond it stands in for the queue's
    # wait.
    return due_at(stored_at, ttl_us, lead - cost, cost, early, u)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    history=st.lists(st.tuples(WAITS, COSTS), min_size=1, max_size=40),
    ttl_us=st.integers(1000, 3_600_000_000),
    early=st.sampled_from([0.0, 0.5, 1.0, 3.7, 100.0]),
    u=st.floats(1e-12, 1.0),
)
def test_script_and_core_agree_on_when_an_entry_is_due(
    each_redis_url: str, history: list[tuple[int, int]], ttl_us: int, early: float, u: float
) -> None:
    """To the microsecond (in the header nearly), and on whether the query is overloaded."""
    shard = Shard(each_redis_url, f"w:{{due:{next(_roots)}}}:")
    try:
        for wait_us, cost_us in history:
            shard.redis.hdel(shard.key("overloaded"), UA.query)
            shard.store(
                keep="always", wait_us=wait_us, cost_us=cost_us, ttl_us=ttl_us, early=early, draw=-log(u)
            )
        header = shard.header()
        assert header is not None
        expected, overloaded = _expected(history, int(header.stored_at), ttl_us, early, u)

        assert shard.due() == expected
        assert expected - ttl_us / 2**23 <= header.due_at <= expected
        assert bool(shard.redis.hexists(shard.key("overloaded"), UA.query)) == overloaded
    finally:
        shard.close()
