"""Who asks for what, when, in the demo."""

from __future__ import annotations

from random import Random

import pytest

from demo.traffic import Zipf, arrivals


def test_shares_fall_with_the_rank() -> None:
    """With exponent 1 the second entry gets half the first's requests, the third a third."""
    first, second, third = Zipf(3, 1.0).shares
    assert (second / first, third / first) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert first + second + third == pytest.approx(1)


def test_picks_follow_the_shares() -> None:
    """Of many picks each entry gets its share."""
    zipf, dice = Zipf(5, 1.0), Random(1)
    picks = [zipf.pick(dice.random()) for _ in range(50_000)]
    for entry, share in enumerate(zipf.shares):
        assert picks.count(entry) / len(picks) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("u", "entry"), [(0.0, 0), (1.0, 3)])
def test_the_ends_of_the_scale_are_entries(u: float, entry: int) -> None:
    """The smallest and the largest number that a die can give are picks, rounding included."""
    assert Zipf(4, 1.0).pick(u) == entry


def test_a_population_of_nobody_is_refused() -> None:
    """No entries is an error, not a division by zero."""
    with pytest.raises(ValueError, match="at least one entry, got 0"):
        Zipf(0, 1.0)


def test_arrivals_come_in_order_at_the_stated_rate() -> None:
    """Requests are within the play, in order, as many as the rate says, and the same for one seed."""
    zipf = Zipf(10, 1.0)
    asked = list(arrivals(Random(7), 200, 50, zipf))
    assert [one.at_s for one in asked] == sorted(one.at_s for one in asked)
    assert all(0 < one.at_s < 50 for one in asked)
    assert len(asked) == pytest.approx(10_000, rel=0.05)
    assert asked == list(arrivals(Random(7), 200, 50, zipf))
    assert asked != list(arrivals(Random(8), 200, 50, zipf))
