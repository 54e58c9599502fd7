"""warmer.testing.readers and race: what needs no server."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import pytest

import warmer.testing.races
from warmer import Warmer
from warmer.testing import RaceLost, RaceReport, race
from warmer.testing.readers import Board, Findings, found_at, handle_at, place_of

flights = Warmer("racing-unit")


@flights.cached(ttl=5, name="racing.unit.board", version="1")
def board(airport: str, day: int = 1, *, late: bool = False) -> int:
    """A query at the top level of a module."""
    return len(airport) + day + late


def test_versions_on_the_board_only_grow() -> None:
    """A slow writer that comes late cannot lower what readers are owed."""
    seen = Board()
    seen.raise_to(2**60)
    seen.raise_to(3)
    assert seen.newest == 2**60
    assert not seen.stopped
    seen.stop()
    assert seen.stopped
    seen.close()


def test_a_board_in_a_file_is_shared(tmp_path: Path) -> None:
    """Two processes (here: two mappings) see one board."""
    mine, theirs = Board(tmp_path / "board"), Board(tmp_path / "board")
    mine.raise_to(7)
    mine.stop()
    assert (theirs.newest, theirs.stopped) == (7, True)
    mine.close()
    theirs.close()


def test_findings_add_up_and_travel_as_json() -> None:
    """What the processes found comes to one sum, stale reads and errors included."""
    one = Findings(3, 2, 1, 1, ["a"], Counter({"E: x": 1}), Counter({"WaitTimeout": 2}), 0.5)
    total = Findings(longest_wait_s=0.25)
    total.add(Findings.from_json(one.to_json()))
    total.add(one)
    assert total == Findings(6, 4, 2, 2, ["a", "a"], Counter({"E: x": 2}), Counter({"WaitTimeout": 4}), 0.5)


def test_only_the_first_stale_reads_are_kept_in_words() -> None:
    """A race that goes wrong a thousand times has a report of ten lines, and the true count."""
    total = Findings()
    for number in range(30):
        total.add(Findings(stale_reads=1, stale=[str(number)]))
    assert (total.stale_reads, total.stale) == (30, [str(n) for n in range(10)])


def test_a_query_is_found_by_another_process_where_it_is_declared() -> None:
    """The place of a query leads back to the query."""
    assert found_at(place_of(board)) is board
    assert found_at(place_of(Findings.add)) is Findings.add


def test_what_cannot_be_imported_is_refused() -> None:
    """A lambda or an inner function does not exist in another process; the message says what to do."""
    for thing in (lambda value: value, type(test_what_cannot_be_imported_is_refused)):
        with pytest.raises(ValueError, match="put it at the top level of a module"):
            place_of(thing)


def test_an_entry_is_found_again_by_its_params() -> None:
    """Positional, default and keyword-only params survive the way to another process."""
    handle = board.bind("a b/ü", late=True)
    tokens = board._reading.keys.tokens(handle.params)
    assert handle_at(board, tokens) == handle


@pytest.mark.parametrize("nothing", [[], ()])
def test_a_race_over_nothing_is_refused(nothing: list[object]) -> None:
    """An empty list of entries would race forever and prove nothing."""
    with pytest.raises(ValueError, match=r"query\.bind"):
        race(nothing, lambda: 1, version=int)  # type: ignore[arg-type]


def test_a_lost_race_shows_its_figures_and_survives_pickling() -> None:
    """The failure has the verdict, the figures and the first stale reads, also when xdist carries it."""
    report = RaceReport(200, 1000, 900, 150, 2, ("q gave 3 to 4",), {}, 0.0421, 1.5, 7)
    lost = RaceLost("stale reads", report.stale, report)
    assert str(pickle.loads(pickle.dumps(lost))) == str(lost)
    assert str(lost) == (
        "stale reads: 200 writes in 1.5 s against 1000 reads (900 hits), 150 loads, longest wait 42 ms, "
        "2 stale (seed 7)\n  q gave 3 to 4"
    )


def test_no_public_name_is_also_a_modules() -> None:
    """Else `from warmer.testing import race` would give function or module by what was imported before."""
    modules = {path.stem for path in Path(warmer.testing.races.__file__).parent.glob("*.py")}
    assert not modules & set(warmer.testing.__all__)
