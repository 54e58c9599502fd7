"""The bound on what diverges, against published values and its own definition."""

from __future__ import annotations

import math

import pytest

from warmer.verify.bound import in_words, most_diverging


@pytest.mark.parametrize(
    ("divergences", "samples", "share"),
    [(0, 59, 0.04951), (0, 299, 0.00997), (1, 100, 0.04656), (2, 20, 0.28262), (10, 1000, 0.01691)],
)
def test_the_bound_is_that_of_clopper_and_pearson(divergences: int, samples: int, share: float) -> None:
    """The values of the tables of the one-sided 95 % interval."""
    assert most_diverging(divergences, samples) == pytest.approx(share, abs=2e-5)


def test_without_a_divergence_it_is_the_rule_of_three() -> None:
    """About 3/n, and 1 - 0.05**(1/n) to the last digit shown."""
    for samples in (10, 1000, 10**6):
        assert most_diverging(0, samples) == pytest.approx(-math.expm1(math.log(0.05) / samples), rel=1e-9)


@pytest.mark.parametrize("samples", [0, 1, 7])
def test_what_all_diverged_says_nothing(samples: int) -> None:
    """No samples, or none that agreed: everything may diverge."""
    assert most_diverging(samples, samples) == 1.0


def test_more_of_them_than_samples_is_an_error() -> None:
    """A count that can't be is refused, not bounded."""
    with pytest.raises(ValueError, match="3 of 2"):
        most_diverging(3, 2)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.2, "no more than 2.0 in 10 entries"),
        (0.00997, "no more than 1.0 in 100 entries"),
        (0.0299, "no more than 3.0 in 100 entries"),
        (0.00301, "no more than 3.1 in 1,000 entries"),
        (0.000999999, "no more than 1.0 in 1,000 entries"),
        (0.00000299, "no more than 3.0 in 1,000,000 entries"),
        (1.0, "an unknown share of entries: too few samples agree"),
    ],
)
def test_words_never_say_more_than_the_samples_carry(share: float, words: str) -> None:
    """Rounded up, to two digits."""
    assert in_words(share) == words
