"""When the demo says that a read waited because of an invalidation, and when it may not."""

from __future__ import annotations

import pytest

from demo.judging import Evidence

LIFETIME_US = 1000


def _evidence(seen: list[int], invalidated: list[int], entry: int = 0) -> Evidence:
    evidence = Evidence(LIFETIME_US)
    for stamp in seen:
        evidence.saw(entry, stamp)
    for stamp in invalidated:
        evidence.invalidated(entry, stamp)
    return evidence


def test_an_invalidation_between_two_values_explains_the_wait_for_the_second() -> None:
    """Loaded, invalidated, loaded again: whoever got the second value waited because of the invalidation."""
    assert _evidence([100, 300], [200]).explains(0, 300)


@pytest.mark.parametrize(
    ("seen", "invalidated"),
    [
        pytest.param([100, 300], [], id="nothing was invalidated"),
        pytest.param([100, 300], [50], id="it was before the value that was there"),
        pytest.param([100, 300], [400], id="it was after the load"),
        pytest.param([100, 250, 300], [200], id="another value was seen after it"),
        pytest.param([300], [200], id="no earlier value is known"),
        pytest.param([100, 1300], [200], id="an unseen value may have expired since"),
        pytest.param([100, 1200], [200], id="just as long ago as a value lives"),
    ],
)
def test_without_proof_a_wait_is_an_expiry(seen: list[int], invalidated: list[int]) -> None:
    """Whatever does not prove an invalidation leaves the wait unexplained."""
    assert not _evidence(seen, invalidated).explains(0, seen[-1])


def test_an_invalidation_of_another_entry_explains_nothing() -> None:
    """Only an invalidation of this very entry counts."""
    evidence = _evidence([100, 300], [])
    evidence.invalidated(1, 200)
    assert not evidence.explains(0, 300)


def test_a_value_without_a_stamp_is_not_explained() -> None:
    """A value that was loaded past the cache has the stamp 0, and no excuse."""
    assert not _evidence([0, 100], [50]).explains(0, 0)


def test_all_who_waited_for_one_value_are_explained_alike() -> None:
    """That others were given the value first does not take the explanation away."""
    assert _evidence([100, 300, 300, 300], [200]).explains(0, 300)


def test_the_order_in_which_evidence_comes_does_not_matter() -> None:
    """Processes report late: what is known in the end decides."""
    evidence = _evidence([300], [])
    assert not evidence.explains(0, 300)
    evidence.invalidated(0, 200)
    assert not evidence.explains(0, 300)
    evidence.saw(0, 100)
    assert evidence.explains(0, 300)
    evidence.saw(0, 250)
    assert not evidence.explains(0, 300)


def test_expiries_are_replacements_without_an_invalidation_in_between() -> None:
    """Of five values, two followed an invalidation: the other two steps are counted."""
    evidence = _evidence([100, 200, 300, 400, 500], [150, 350])
    assert evidence.expiries(0) == 2
    assert evidence.was_invalidated(0)
    assert not evidence.was_invalidated(1)
    assert evidence.expiries(1) == 0
    assert evidence.replaced() == 4
