"""Types of params: dates and times, with a zone and without."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.unit.param_kinds import (
    NEW_YORK,
    at,
    built,
    token,
)
from warmer.core.params import Misfit


def test_naive_and_aware_never_meet() -> None:
    """The same fields with and without a zone are different params, also in UTC."""
    assert token(dt.datetime, at("2026-11-22T12:00")) != token(dt.datetime, at("2026-11-22T12:00", dt.UTC))


def test_the_two_passes_through_a_repeated_hour_are_two_params() -> None:
    """Python calls them equal within one zone; they are an hour apart, and a query sees that."""
    first, second = at("2026-11-01T01:30", NEW_YORK), at("2026-11-01T01:30", NEW_YORK, fold=1)
    assert first == second
    assert token(dt.datetime, first) == "2026-11-01T053000Z"
    assert token(dt.datetime, second) == "2026-11-01T063000Z"
    assert token(dt.datetime, second) == token(dt.datetime, at("2026-11-01T06:30", dt.UTC))


def test_a_zone_without_offset_is_no_zone() -> None:
    """A tzinfo that gives no offset leaves a datetime naive, as in Python."""

    class Nowhere(dt.tzinfo):
        def utcoffset(self, when: dt.datetime | None) -> None:
            return None

        dst = tzname = utcoffset

    canonical = built(dt.datetime).check(at("2026-11-22T12:00", Nowhere()))
    assert repr(canonical) == repr(at("2026-11-22T12:00"))


def test_a_datetime_finer_than_microseconds_is_refused() -> None:
    """Two instants of a subclass with nanoseconds would share a key if the rest were cut off."""

    class Fine(dt.datetime):
        nanosecond = 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Fine) and super().__eq__(other)

        __hash__ = dt.datetime.__hash__

    with pytest.raises(Misfit, match="whole microseconds"):
        built(dt.datetime).check(Fine(2026, 11, 22))


def test_a_datetime_that_is_none_is_refused() -> None:
    """A subclass whose fields are not numbers (pandas' NaT is one) gives an error, not a key."""

    class Never(dt.datetime):
        @property
        def year(self) -> Any:
            return float("nan")

    with pytest.raises(Misfit, match="all of its fields"):
        built(dt.datetime).check(Never(2026, 11, 22))
