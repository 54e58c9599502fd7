"""warmer/core/pace.py: how much is handed out, and how fast."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmer.core.pace import Rate, Soon


def test_before_anything_is_measured_a_few_are_handed_out() -> None:
    """Enough to see what the workers can do."""
    soon = Soon(16, 2.0, 5.0)

    assert (soon.most, soon.per_s, soon.finished) == (16, 0.0, None)
    soon.note(0.0, 100)
    assert (soon.most, soon.per_s, soon.finished) == (16, 0.0, 100)


def test_what_workers_finish_is_what_they_are_given() -> None:
    """A horizon's worth of the measured throughput may be unfinished."""
    soon = Soon(16, 2.0, 5.0)

    for second in range(11):
        soon.note(float(second), 40 * second)

    assert soon.per_s == 40.0
    assert soon.most == 80


def test_workers_that_slow_down_get_less() -> None:
    """What was done before the window does not count any more."""
    soon = Soon(16, 2.0, 5.0)
    for second in range(11):
        soon.note(float(second), 40 * second)

    for second in range(11, 17):
        soon.note(float(second), 400)

    assert soon.most == 16


def test_a_count_that_shrinks_begins_anew() -> None:
    """After a loss of the server's data nothing is concluded from the difference."""
    soon = Soon(16, 2.0, 5.0)
    soon.note(0.0, 1000)
    soon.note(1.0, 1100)

    soon.note(2.0, 3)

    assert (soon.per_s, soon.finished) == (0.0, 3)


def test_two_looks_at_one_moment_measure_nothing() -> None:
    """A clock that stands still is no division by zero."""
    soon = Soon(16, 2.0, 5.0)
    soon.note(1.0, 0)
    soon.note(1.0, 50)

    assert soon.per_s == 0.0


@given(looks=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 1000)), max_size=50))
def test_the_least_is_always_handed_out(looks: list[tuple[float, int]]) -> None:
    """Whatever was measured, work goes on."""
    soon, now_s, finished = Soon(16, 2.0, 5.0), 0.0, 0
    for later_s, more in looks:
        now_s, finished = now_s + later_s, finished + more
        soon.note(now_s, finished)

        assert soon.most >= 16
        assert soon.per_s >= 0.0


def test_a_rate_spaces_what_it_lets_through() -> None:
    """Fifty a second is one every 20 ms."""
    rate = Rate(50.0)

    assert rate.wait_s(10.0) == 0.0
    rate.took(10.0)
    assert rate.wait_s(10.0) == pytest.approx(0.02)
    assert rate.wait_s(10.015) == pytest.approx(0.005)
    assert rate.wait_s(10.02) == pytest.approx(0.0)


def test_a_rate_does_not_catch_up() -> None:
    """After a pause there is no burst: the database would see it."""
    rate = Rate(50.0)
    rate.took(10.0)

    rate.took(20.0)

    assert rate.wait_s(20.0) == pytest.approx(0.02)


def test_no_rate_is_no_bound() -> None:
    """A plan without a rate goes as fast as the workers."""
    rate = Rate(None)
    rate.took(10.0)

    assert rate.wait_s(10.0) == 0.0
