"""Due times, back-off, quantiles and the state of a read."""

from __future__ import annotations

from dataclasses import replace
from math import e, inf, nan

import pytest

from warmer.core.due import SECOND_US, State, backoff_us, draw_us, due_at, quantile, state
from warmer.core.header import COMPRESSED, INVALIDATED, Header

LIFE = b"lifelife"
TRUSTED = frozenset({LIFE})
ENTRY = Header(
    flags=0, life=LIFE, stamp=0.0, stored_at=0.0, fresh_until=100.0, grace_until=200.0, due_at=80.0
)


@pytest.mark.parametrize(
    ("now_us", "want"),
    [
        (-5, State.FRESH),
        (0, State.FRESH),
        (79.9, State.FRESH),
        (80, State.EARLY),
        (99.9, State.EARLY),
        (100, State.STALE),
        (199.9, State.STALE),
        (200, State.GONE),
        (inf, State.GONE),
    ],
)
def test_an_entry_goes_from_fresh_to_early_to_stale_to_gone(now_us: float, want: State) -> None:
    """Each state ends just before its bound."""
    assert state(now_us, ENTRY.times(), TRUSTED) is want


@pytest.mark.parametrize("now_us", [0, 90, 150, 250])
def test_an_entry_of_a_life_that_is_not_trusted_is_gone(now_us: float) -> None:
    """What was stored before a restart or a failover is not served, however fresh its times look."""
    assert state(now_us, ENTRY.times(), frozenset({b"otherone"})) is State.GONE
    assert state(now_us, ENTRY.times(), frozenset()) is State.GONE


@pytest.mark.parametrize(
    ("now_us", "want"), [(0, State.STALE), (90, State.STALE), (199.9, State.STALE), (200, State.GONE)]
)
def test_an_invalidated_entry_is_stale_until_its_deadline(now_us: float, want: State) -> None:
    """What stale_after_write keeps is never fresh, however new it is."""
    invalidated = replace(ENTRY, flags=INVALIDATED | COMPRESSED)
    assert state(now_us, invalidated.times(), TRUSTED) is want


def test_without_grace_an_entry_is_never_stale() -> None:
    """With grace 0 the end of freshness is the end."""
    entry = replace(ENTRY, grace_until=100.0)
    assert state(99.9, entry.times(), TRUSTED) is State.EARLY
    assert state(100, entry.times(), TRUSTED) is State.GONE


def test_an_entry_that_is_never_due_stays_fresh_to_its_end() -> None:
    """An infinite due time leaves no early phase."""
    entry = replace(ENTRY, due_at=inf)
    assert state(99.9, entry.times(), TRUSTED) is State.FRESH
    assert state(100, entry.times(), TRUSTED) is State.STALE


def test_a_time_that_is_not_a_number_has_passed() -> None:
    """A header with NaNs is gone; with a NaN due time it is due."""
    broken = replace(ENTRY, fresh_until=nan, grace_until=nan)
    assert state(0, broken.times(), TRUSTED) is State.GONE
    assert state(0, replace(ENTRY, due_at=nan).times(), TRUSTED) is State.EARLY


def test_the_draw_is_the_cost_times_minus_log_u() -> None:
    """XFetch's draw: at u = 1/e it is the cost itself, at u = 1 nothing; cut to whole microseconds."""
    assert draw_us(1_000_000, 1.0, 1 / e) == 1_000_000
    assert draw_us(1_000_000, 2.0, 1 / e) == 2_000_000
    assert draw_us(1_000_000, 1.0, 1.0) == 0
    assert draw_us(1_000_000, 1.0, 0.5) == 693_147
    assert draw_us(1_000_000, 0.0, 1e-300) == 0
    assert draw_us(0, 1.0, 1e-300) == 0


@pytest.mark.parametrize(
    ("cost_us", "early", "u"), [(-1, 1.0, 0.5), (1, -0.1, 0.5), (1, 1.0, 0.0), (1, 1.0, 1.1)]
)
def test_a_draw_outside_its_bounds_is_refused(cost_us: int, early: float, u: float) -> None:
    """A u of 0 would be an infinite draw."""
    with pytest.raises(ValueError):
        draw_us(cost_us, early, u)


def test_an_entry_is_due_its_lead_and_its_draw_before_the_end() -> None:
    """10 s of ttl, 0.5 s of queue wait, 1 s of cost: due at 8.5 s, and a draw of 0.693147 s earlier."""
    ttl_us, wait_us, cost_us = 10 * SECOND_US, SECOND_US // 2, SECOND_US
    assert due_at(1_000, ttl_us, wait_us, cost_us, 1.0, 1.0) == (1_000 + 8_500_000, False)
    assert due_at(1_000, ttl_us, wait_us, cost_us, 1.0, 0.5) == (1_000 + 8_500_000 - 693_147, False)


def test_an_entry_is_never_due_before_half_its_ttl() -> None:
    """A high draw is cut at half the ttl, and is no overload; half of an odd ttl is cut down."""
    assert due_at(0, 10 * SECOND_US, 0, SECOND_US, 1.0, 1e-9) == (5 * SECOND_US, False)
    assert due_at(7, 11, 0, 11, 0.0, 1.0) == (7 + 5, True)


def test_a_query_whose_lead_is_over_half_its_ttl_is_overloaded() -> None:
    """The verdict depends on wait and cost only, never on the draw."""
    half = 5 * SECOND_US
    for u in (1.0, 0.5, 1e-12):
        assert due_at(0, 2 * half, half, 0, 1.0, u) == (half, False)
        assert due_at(0, 2 * half, half, 1, 1.0, u) == (half, True)
        assert due_at(0, 2 * half, 100 * half, half, 1.0, u) == (half, True)


@pytest.mark.parametrize(("ttl_us", "wait_us"), [(0, 0), (-1, 0), (1, -1)])
def test_a_due_time_without_a_ttl_is_refused(ttl_us: int, wait_us: int) -> None:
    """A ttl of nothing has no half."""
    with pytest.raises(ValueError):
        due_at(0, ttl_us, wait_us, 0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("failures", "full_s"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (10**9, 60)]
)
def test_the_back_off_doubles_to_a_minute_and_draws_its_upper_half(failures: int, full_s: int) -> None:
    """The first failure rests 0.5 to 1 s; from the seventh on it is 30 to 60 s."""
    assert backoff_us(failures, 0.0) == full_s * SECOND_US // 2
    assert backoff_us(failures, 0.5) == full_s * SECOND_US * 3 // 4
    assert backoff_us(failures, 1.0) == full_s * SECOND_US


@pytest.mark.parametrize(("failures", "u"), [(0, 0.5), (-1, 0.5), (1, -0.1), (1, 1.1)])
def test_a_back_off_outside_its_bounds_is_refused(failures: int, u: float) -> None:
    """Nothing has failed, nothing rests."""
    with pytest.raises(ValueError):
        backoff_us(failures, u)


def test_a_quantile_is_a_sample() -> None:
    """The nearest rank: of 1..10 the median is 5, the 0.9 quantile 9, everything 10."""
    samples = [7, 3, 10, 1, 9, 2, 8, 4, 6, 5]
    assert [quantile(samples, q) for q in (0.05, 0.1, 0.11, 0.5, 0.9, 0.91, 1.0)] == [1, 1, 2, 5, 9, 10, 10]
    assert samples == [7, 3, 10, 1, 9, 2, 8, 4, 6, 5]


def test_without_samples_a_quantile_is_nothing() -> None:
    """Before the first load there is no lead."""
    assert quantile([], 0.9) == 0


@pytest.mark.parametrize("q", [0.0, -0.5, 1.01, nan])
def test_a_share_that_is_none_is_refused(q: float) -> None:
    """A quantile is of a share over 0, up to 1."""
    with pytest.raises(ValueError):
        quantile([1], q)
