"""Due times and states hold their bounds for all numbers, and are what Lua's doubles compute."""

from __future__ import annotations

from math import floor, log

from hypothesis import given
from hypothesis import strategies as st

from warmer.core.due import BACKOFF_FIRST_US, BACKOFF_MOST_US, State, backoff_us, due_at, quantile, state
from warmer.core.header import INVALIDATED, Header

INSTANTS = st.integers(0, 2**52)
DURATIONS = st.integers(0, 10**12)
SHARES = st.floats(1e-300, 1.0)
TIMES = st.floats(allow_nan=False)
PHASES = [State.FRESH, State.EARLY, State.STALE, State.GONE]


@given(INSTANTS, st.integers(1, 10**12), DURATIONS, DURATIONS, st.floats(0, 100), SHARES)
def test_a_due_time_lies_in_the_second_half_of_the_ttl(
    start_us: int, ttl_us: int, wait_us: int, cost_us: int, early: float, u: float
) -> None:
    """Whatever the measurements and the draw say, refreshing is never earlier than that, nor too late."""
    due, overloaded = due_at(start_us, ttl_us, wait_us, cost_us, early, u)
    assert start_us + ttl_us // 2 <= due <= start_us + ttl_us
    assert overloaded == (wait_us + cost_us > ttl_us - ttl_us // 2)


@given(INSTANTS, st.integers(1, 10**12), DURATIONS, DURATIONS, st.floats(0, 100), SHARES)
def test_the_same_formula_in_doubles_gives_the_same_due_time(
    start_us: int, ttl_us: int, wait_us: int, cost_us: int, early: float, u: float
) -> None:
    """Lua has doubles only: what they can't hold exactly is so large that half the ttl decides."""
    start, ttl, wait, cost = map(float, (start_us, ttl_us, wait_us, cost_us))
    draw = float(floor(early * cost * -log(u)))
    wanted = start + ttl - (wait + cost) - draw
    assert due_at(start_us, ttl_us, wait_us, cost_us, early, u)[0] == max(
        wanted, start + float(floor(ttl / 2))
    )


@given(INSTANTS, st.integers(2, 10**12), DURATIONS, DURATIONS, st.floats(0, 100), SHARES, SHARES)
def test_a_smaller_u_never_makes_an_entry_due_later(
    start_us: int, ttl_us: int, wait_us: int, cost_us: int, early: float, one: float, other: float
) -> None:
    """The draw only moves the due time forward, the further the smaller u is."""
    low, high = sorted((one, other))
    assert (
        due_at(start_us, ttl_us, wait_us, cost_us, early, low)[0]
        <= due_at(start_us, ttl_us, wait_us, cost_us, early, high)[0]
    )


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_a_back_off_is_bounded_and_never_shrinks(failures: int, u: float) -> None:
    """Half a second to a minute, and no shorter after one more failure."""
    rest_us = backoff_us(failures, u)
    assert BACKOFF_FIRST_US // 2 <= rest_us <= BACKOFF_MOST_US
    assert backoff_us(failures + 1, u) >= rest_us


@given(st.lists(DURATIONS, min_size=1), st.floats(0.001, 1.0))
def test_a_quantile_covers_its_share(samples: list[int], q: float) -> None:
    """It is a sample; at least the share q is not above it, and less than q is below it."""
    found = quantile(samples, q)
    assert found in samples
    assert sum(sample <= found for sample in samples) / len(samples) >= q
    assert sum(sample < found for sample in samples) < q * len(samples)


@given(TIMES, TIMES, TIMES, TIMES, TIMES, st.booleans())
def test_an_entry_only_ever_ages(
    now_us: float, later_us: float, due: float, fresh_until: float, grace_until: float, invalidated: bool
) -> None:
    """As time passes an entry moves from fresh to gone and never back, in whatever order its bounds lie."""
    flags = INVALIDATED if invalidated else 0
    times = Header(flags, b"lifelife", 0.0, 0.0, fresh_until, grace_until, due).times()
    first, second = (state(at, times, {b"lifelife"}) for at in sorted((now_us, later_us)))
    assert PHASES.index(first) <= PHASES.index(second)
    if invalidated:
        assert first in {State.STALE, State.GONE}
