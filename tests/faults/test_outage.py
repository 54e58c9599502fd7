"""Redis goes under load and comes back; see outage.py for the long form."""

from __future__ import annotations

import pytest

from tests.faults import outage

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("how", ["kill", "hang"])
def test_no_read_fails_while_redis_is_away(
    how: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Reads load under the bound and come back by themselves; metrics and a few lines of log say so."""
    what, flights = outage.run(how=how, away_s=1.5, rate=100, load_s=0.05, after_s=0.5, name=namespace)
    counts = flights.runtime().counts.snapshot()
    flights.close()

    assert what.failed == []
    assert what.loads_while_away > 0
    assert what.most_loads <= 4
    assert what.back_s < 10
    assert counts["redis_away"] >= 1
    assert counts["redis_back"] >= 1
    assert counts["reads_around"] > 0
    assert counts["loads_around"] > 0
    said = "\n".join(caplog.messages)
    assert "can't be reached" in said
    assert "Redis answers again after" in said
    assert len(caplog.messages) < 40
