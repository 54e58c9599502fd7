"""Incidents: counted every time, logged now and then."""

from __future__ import annotations

from collections import Counter

import pytest

from warmer.runtime.incidents import EVERY_S, Incidents


class Noting:
    """Incidents under a clock that the test moves."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.now = 0.0
        self.incidents = Incidents(lambda kind: self.counts.update([kind]), lambda: self.now)


@pytest.fixture
def noting() -> Noting:
    """Nothing noted yet."""
    return Noting()


def test_a_kind_is_logged_once_in_a_while_and_counted_always(
    noting: Noting, caplog: pytest.LogCaptureFixture
) -> None:
    """The next line says how many were held back."""
    for _ in range(5):
        noting.incidents.note("reads_around", "reads go around: %s", "away")
    noting.now += EVERY_S
    for _ in range(2):
        noting.incidents.note("reads_around", "reads go around: %s", "away")

    assert noting.counts == {"reads_around": 7}
    assert caplog.messages == [
        "reads go around: away",
        "reads go around: away (4 more like it since the last such line)",
    ]


def test_one_kind_hides_no_other(noting: Noting, caplog: pytest.LogCaptureFixture) -> None:
    """Nor one query's incidents another's."""
    noting.incidents.note("loads_failed", "loading %s failed", "a", about="a")
    noting.incidents.note("loads_failed", "loading %s failed", "b", about="b")
    noting.incidents.note("commits_failed", "not stored")
    noting.incidents.note("loads_failed", "loading %s failed", "a", about="a")

    assert caplog.messages == ["loading a failed", "loading b failed", "not stored"]


def test_a_traceback_is_logged_where_one_is_given(noting: Noting, caplog: pytest.LogCaptureFixture) -> None:
    """Of the error that was passed, whatever is being handled."""
    noting.incidents.note("loads_failed", "it failed", exc=ValueError("no such airport"))

    assert "ValueError: no such airport" in caplog.text
