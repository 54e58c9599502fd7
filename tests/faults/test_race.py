"""Promise 1 as a race: short runs of what `python -m tests.faults.races` does at length."""

from __future__ import annotations

import pytest

from tests.faults.races.race import Race, run

pytestmark = pytest.mark.timeout(180)


def test_no_read_is_older_than_an_invalidation_that_returned_before_it(redis_url: str) -> None:
    """Readers in three processes never see less than what was invalidated before they began."""
    verdict = run(Race(redis_url, reads=15_000, processes=3, threads=5), limit_s=60)
    assert (verdict.stale, verdict.errors) == (0, 0), str(verdict)
    # However slow the machine: enough of both that they have met.
    assert verdict.reads > 500, str(verdict)
    assert verdict.writes > 50, str(verdict)


@pytest.mark.parametrize("seam", ["fence", "rule-5", "arrival", "stamp"])
def test_each_seam_taken_out_is_seen(redis_url: str, seam: str) -> None:
    """Without any one of the seams, the same race reads stale values: none of them is there for nothing."""
    race = Race(redis_url, reads=8_000_000, processes=3, threads=5, without=seam, until_stale=True)
    verdict = run(race, limit_s=90)
    assert verdict.stale > 0, str(verdict)
