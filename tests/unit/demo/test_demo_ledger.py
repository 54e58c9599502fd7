"""The demo's ledger, its choice of delays, and the settings of its plays."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from demo.ledger import Ledger
from demo.messages import Delay
from demo.setting import LEAST_EXPIRIES, Setting
from demo.writer import evenly


def test_a_ledger_counts_changes_by_entry(tmp_path: Path) -> None:
    """A confirmed change is counted for its entry, and for no other."""
    with Ledger.create(tmp_path / "ledger", 3) as ledger:
        ledger.confirm(1)
        ledger.confirm(1)
        assert [ledger[entry] for entry in range(3)] == [0, 2, 0]


def test_another_opening_sees_what_was_confirmed(tmp_path: Path) -> None:
    """What one holder confirms, another sees at once: it is the same memory."""
    with Ledger.create(tmp_path / "ledger", 2) as writing, Ledger(tmp_path / "ledger") as reading:
        for _ in range(300):
            writing.confirm(0)
        assert (reading[0], reading[1]) == (300, 0)


def test_a_ledger_has_no_entry_past_its_end(tmp_path: Path) -> None:
    """An entry that is not in the population is an error, not somebody else's count."""
    with Ledger.create(tmp_path / "ledger", 2) as ledger, pytest.raises(IndexError):
        ledger.confirm(2)


def _delays(count: int) -> list[Delay]:
    return [Delay(number, f"UA {number}", number) for number in range(count)]


@pytest.mark.parametrize(("given", "wanted"), [(100, 7), (7, 7), (3, 7), (8, 7), (0, 7)])
def test_delays_are_taken_evenly_and_in_order(given: int, wanted: int) -> None:
    """As many as wanted, if there are so many, spread over the whole morning, none of them twice."""
    taken = [delay.flight_id for delay in evenly(_delays(given), wanted)]
    assert len(taken) == min(given, wanted)
    assert taken == sorted(set(taken))
    if given == 100:
        assert max(late - early for early, late in pairwise(taken)) <= 15
        assert taken[-1] > 80


@pytest.mark.parametrize("seconds", [20.0, 60.0, 600.0])
def test_enough_ttls_fit_into_a_play_of_any_length(seconds: float) -> None:
    """However long it is, an entry lives through more expiries than are asked for."""
    setting = Setting(seconds=seconds)
    assert seconds / setting.ttl_s > LEAST_EXPIRIES + 1
