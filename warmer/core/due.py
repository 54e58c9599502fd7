"""When an entry is due, how it stands when it is read, and how long a failed one rests.

    due  = max(fresh_until - lead - draw, half the ttl)
    lead = queue wait + load cost           recent high quantiles, measured
    draw = early * load cost * Exp(1)       XFetch's -ln(u)

The draw is that of XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
Prevention, VLDB 2015, section 4), made once, at commit: entries stored together do not fall due together.

Nothing here knows a clock or a die: `now` and `u` are arguments. Times are whole microseconds of the server's
clock, durations whole microseconds. The scripts compute the same in Lua's doubles, which hold every one of
these numbers exactly: what is not whole is cut down (`math.floor`), once for each term, as here.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from enum import Enum
from math import ceil, floor, log

from warmer.core.header import INVALIDATED, Times

SECOND_US = 1_000_000
#: The first failure rests for about a second: most are a restart or a deadlock that is over by then.
BACKOFF_FIRST_US = SECOND_US
#: A minute bounds how long an entry stays failed after its cause has gone.
BACKOFF_MOST_US = 60 * SECOND_US


class State(Enum):
    """How an entry stands at a read."""

    FRESH = "fresh"
    """Serve it."""
    EARLY = "early"
    """Serve it; it is due for a refresh."""
    STALE = "stale"
    """Serve it as stale; it is overdue."""
    GONE = "gone"
    """Do not serve it: a miss."""


def draw_us(cost_us: int, early: float, u: float) -> int:
    """How much earlier than its lead this entry is due: floor(early * cost_us * -ln(u)).

    cost_us: the load cost, 0 or more. early: beta of XFetch, 0 or more; 0 is no draw, 1 is the paper's.
    u: uniform in (0, 1]. Raises ValueError outside these.
    """
    if cost_us < 0 or early < 0 or not 0 < u <= 1:
        raise ValueError(f"expected cost_us >= 0, early >= 0 and 0 < u <= 1, got {cost_us}, {early} and {u}")
    return floor(early * cost_us * -log(u))


def due_at(
    fresh_from_us: int, ttl_us: int, queue_wait_us: int, cost_us: int, early: float, u: float
) -> tuple[int, bool]:
    """The due time of an entry that is fresh for `ttl_us` from `fresh_from_us`, and whether it is overloaded.

    Never before fresh_from_us + floor(ttl_us / 2), never after fresh_until. Overloaded: the lead alone
    reaches below half the ttl, so that to refresh in time would take more than half of all time. The draw is
    left out of that verdict: a rare high draw says nothing about the query, and the report must not flicker.

    Raises ValueError for a ttl of 0 or less, a negative wait, and what `draw_us` refuses.
    """
    if ttl_us <= 0 or queue_wait_us < 0:
        raise ValueError(f"expected ttl_us > 0 and queue_wait_us >= 0, got {ttl_us} and {queue_wait_us}")
    draw = draw_us(cost_us, early, u)
    earliest = fresh_from_us + ttl_us // 2
    without_draw = fresh_from_us + ttl_us - (queue_wait_us + cost_us)
    return max(without_draw - draw, earliest), without_draw < earliest


def backoff_us(failures: int, u: float) -> int:
    """How long a failed entry rests before the next load.

    Doubles from 1 s to 60 s, of which the upper half is drawn: floor(full / 2 * (1 + u)), so that entries
    that failed together are not loaded together, and none at once. failures: in a row, this one included,
    1 or more. u: uniform in [0, 1]. Raises ValueError outside these.
    """
    if failures < 1 or not 0 <= u <= 1:
        raise ValueError(f"expected failures >= 1 and 0 <= u <= 1, got {failures} and {u}")
    # The exponent is bounded before it is used: a week's outage would make an absurd number of it.
    full = min(BACKOFF_MOST_US, BACKOFF_FIRST_US << min(failures - 1, 6))
    return floor(full / 2 * (1 + u))


def quantile(samples: Sequence[int], q: float) -> int:
    """The smallest sample that at least the share `q` of all samples do not exceed; 0 without samples.

    The nearest rank, sorted[ceil(q * n)] counted from 1: always a value that was measured, never one between
    two. Raises ValueError unless 0 < q <= 1.
    """
    if not 0 < q <= 1:
        raise ValueError(f"expected 0 < q <= 1, got {q}")
    if not samples:
        return 0
    return sorted(samples)[ceil(q * len(samples)) - 1]


def state(now_us: float, times: Times, trusted_lives: Container[bytes]) -> State:
    """How an entry with these header times stands at `now_us`.

    GONE when its life is not trusted, and from grace_until on. An invalidated entry (kept by
    `stale_after_write` only) is STALE until grace_until, which the invalidation has moved to its deadline;
    never FRESH or EARLY. Else FRESH until due, EARLY until fresh_until, STALE until grace_until; each ends
    just before its bound. A bound that is not a number has passed.
    """
    flags, life, _, stored_at, fresh_for, grace_for, due_after = times
    age_us = now_us - stored_at
    if life not in trusted_lives:
        return State.GONE
    if age_us < fresh_for and not flags & INVALIDATED:
        return State.FRESH if age_us < due_after else State.EARLY
    return State.STALE if age_us < grace_for else State.GONE
