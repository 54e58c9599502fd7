"""Values that writers put of strict queries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.strict import JANUARY, Strict
from tests.tracked import Flight, Tracked
from warmer.testing import Clock


def test_a_value_that_is_put_in_its_transaction_is_not_stored_and_the_log_says_so(
    made: Tracked, warmer_clock: Callable[..., Clock], caplog: pytest.LogCaptureFixture
) -> None:
    """Its own barrier is up when it would be; the next reader loads what was committed."""
    strict = Strict(made, warmer_clock(made.flights))
    with strict.made.sessions.begin() as session:
        session.get_one(Flight, 1).delay = 5
        session.flush()
        strict.query.put(5, *JANUARY)

    assert not strict.is_stored()
    assert "what was put of the strict query delay is not stored" in caplog.text
    assert strict.query(*JANUARY) == 5
