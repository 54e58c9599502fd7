"""What a learned interval does, whatever is observed."""

from __future__ import annotations

import random
from math import expm1

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from warmer.core.adaptive import LEAST_STALE, MOST_STALE, Adaptive, History, exposure

SECOND = 1_000_000

RULES = st.builds(
    lambda least, times, stale: Adaptive(least, least * times, stale),
    st.integers(1000, 3600 * SECOND),
    st.integers(1, 10_000),
    st.floats(LEAST_STALE, MOST_STALE),
)
LOADS = st.lists(st.tuples(st.floats(1, 1e12), st.booleans()), max_size=30)


def _seen(rule: Adaptive, loads: list[tuple[float, bool]]) -> History:
    history = History()
    for elapsed_us, changed in loads:
        history = history.after(elapsed_us, changed, rule)
    return history


@given(st.floats(LEAST_STALE, MOST_STALE))
def test_the_exposure_is_where_the_freshness_is_what_was_asked_for(stale: float) -> None:
    """It solves 1 - (1 - exp(-x)) / x = stale."""
    x = exposure(stale)
    assert 1 + expm1(-x) / x == pytest.approx(stale, rel=1e-6)


@settings(max_examples=60)
@given(RULES, LOADS)
def test_the_interval_stays_within_its_bounds(rule: Adaptive, loads: list[tuple[float, bool]]) -> None:
    """Whatever was seen, and it begins near the least."""
    assert History().interval_us(rule) <= 2 * rule.least_us
    assert rule.least_us <= _seen(rule, loads).interval_us(rule) <= rule.most_us


@settings(max_examples=60)
@given(RULES, LOADS, st.floats(1, 1e12))
def test_an_unchanged_result_never_shortens_the_interval(
    rule: Adaptive, loads: list[tuple[float, bool]], elapsed_us: float
) -> None:
    """However long or short after the last load, and whatever came before."""
    history = _seen(rule, loads)
    assert history.after(elapsed_us, False, rule).interval_us(rule) >= history.interval_us(rule)


@settings(max_examples=60)
@given(RULES, LOADS, st.floats(0.01, 1))
def test_a_change_in_time_never_lengthens_the_interval(
    rule: Adaptive, loads: list[tuple[float, bool]], share: float
) -> None:
    """One that comes within the interval itself."""
    history = _seen(rule, loads)
    elapsed_us = share * history.interval_us(rule)
    assume(elapsed_us > 0)
    assert history.after(elapsed_us, True, rule).interval_us(rule) <= history.interval_us(rule)


@settings(max_examples=60)
@given(RULES, LOADS)
def test_what_is_recorded_is_what_is_read(rule: Adaptive, loads: list[tuple[float, bool]]) -> None:
    """To the thousandth, and as often as it is done."""
    history = _seen(rule, loads)
    back = History.read(history.record())
    assert back.interval_us(rule) == pytest.approx(history.interval_us(rule), rel=1e-3, abs=2)
    assert History.read(back.record()) == back


@given(st.text(max_size=30))
def test_a_record_that_can_not_be_read_begins_anew(text: str) -> None:
    """Nothing in the store can break a load."""
    history = History.read(text)
    assert history == History() or len(text.split()) == 3


@settings(max_examples=60)
@given(RULES)
def test_a_result_that_never_changes_reaches_the_longest_interval(rule: Adaptive) -> None:
    """By ever longer steps: in tens of loads, for the lowest aim in thousands."""
    history, loads = History(), 0
    while history.interval_us(rule) < rule.most_us:
        history, loads = history.after(history.interval_us(rule), False, rule), loads + 1
        assert loads < 20 / rule.exposure + 200


@pytest.mark.parametrize("stale", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("every_s", [600, 7200])
def test_random_changes_are_served_stale_as_seldom_as_was_asked_for(stale: float, every_s: int) -> None:
    """Over 3,000 loads of what changes at random, the share of time out of date is as was stated."""
    rule, dice = Adaptive(10 * SECOND, 86_400 * SECOND, stale), random.Random(7)
    now = old_us = 0.0
    changes_at, history = dice.expovariate(1 / (every_s * SECOND)), History()
    for _ in range(3_000):
        interval = history.interval_us(rule)
        changed = changes_at < now + interval
        if changed:
            old_us += now + interval - changes_at
        now += interval
        while changes_at < now:
            changes_at += dice.expovariate(1 / (every_s * SECOND))
        history = history.after(interval, changed, rule)

    assert 0.75 * stale < old_us / now < 1.35 * stale
