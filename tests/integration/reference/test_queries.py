"""The queries' SQL, without a cache: their figures are those that plain Python gets from the source."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime

import pytest

from tasks.boards import departures
from tasks.carriers import carrier_delays, punctuality
from tasks.delays import weather_delays, worst_days
from tasks.planes import plane_history
from tasks.routes import busiest_routes
from tasks.watching import watch_list

Record = dict[str, str]

pytestmark = pytest.mark.usefixtures("flights_db")


def _minutes(text: str) -> int | None:
    return None if text == "NA" else int(text)


def _departs(record: Record) -> datetime:
    year, month, day, hour, minute = (
        int(record[name]) for name in ("year", "month", "day", "hour", "minute")
    )
    return datetime(year, month, day, hour, minute)


def _mean(values: Iterable[int | None]) -> object:
    """What a mean of the known values equals; None where none is known."""
    known = [value for value in values if value is not None]
    return pytest.approx(sum(known) / len(known)) if known else None


def _of_month(records: list[Record], month: int, **equal: str) -> list[Record]:
    wanted = {"month": str(month), **equal}
    return [record for record in records if all(record[name] == value for name, value in wanted.items())]


def test_the_board_lists_every_departure_of_the_day_in_order(records: list[Record]) -> None:
    """A board has the flights of its airport and day, by scheduled time, cancelled ones without a delay."""
    board = departures.fn("EWR", date(2013, 7, 10))
    expected = [r for r in _of_month(records, 7, origin="EWR") if r["day"] == "10"]
    assert Counter((line.scheduled, line.flight, line.dest, line.delay_min) for line in board) == Counter(
        (_departs(r), f"{r['carrier']} {r['flight']}", r["dest"], _minutes(r["dep_delay"])) for r in expected
    )
    assert [line.scheduled for line in board] == sorted(line.scheduled for line in board)
    assert any(line.delay_min is None for line in board)
    assert all(line.revision == 0 for line in board)


def test_a_destination_that_is_not_in_the_list_of_airports_keeps_its_code(records: list[Record]) -> None:
    """Flights to airports without a name (San Juan is one) are on the board, under their code."""
    to_san_juan = [line for line in departures.fn("JFK", date(2013, 7, 10)) if line.dest == "SJU"]
    assert to_san_juan
    assert {line.dest_name for line in to_san_juan} == {"SJU"}


def test_a_board_without_flights_is_empty() -> None:
    """A day out of the year gives an empty board, no error."""
    assert departures.fn("EWR", date(2012, 12, 31)) == []


def test_delays_of_a_carrier_agree_with_the_records(records: list[Record]) -> None:
    """Counts, mean and 90th percentile of each day are those of the source's records."""
    answer = carrier_delays.fn("UA", 7)
    by_day: dict[str, list[int | None]] = defaultdict(list)
    for record in _of_month(records, 7, carrier="UA"):
        by_day[record["day"]].append(_minutes(record["dep_delay"]))
    assert [row.day for row in answer.days] == sorted(date(2013, 7, int(day)) for day in by_day)
    for row in answer.days:
        delays = by_day[str(row.day.day)]
        left = sorted(delay for delay in delays if delay is not None)
        assert row.departures == len(delays)
        assert row.cancelled == delays.count(None)
        assert row.late == sum(delay >= 15 for delay in left)
        assert row.mean_delay_min == _mean(delays)
        nine_tenths = -(-9 * len(left) // 10)
        assert row.p90_delay_min == left[nine_tenths - 1]
    assert answer.corrections == 0


def test_a_day_on_which_nothing_left_has_no_percentile(records: list[Record]) -> None:
    """Where all of a carrier's flights of a day were cancelled, mean and percentile are None, not 0."""
    for carrier, month in (("YV", 2), ("OO", 2), ("HA", 2), ("US", 2), ("FL", 2), ("VX", 2), ("YV", 3)):
        by_day: dict[str, set[str]] = defaultdict(set)
        for record in _of_month(records, month, carrier=carrier):
            by_day[record["day"]].add("no" if record["dep_delay"] == "NA" else "yes")
        none_left = {date(2013, month, int(day)) for day, left in by_day.items() if left == {"no"}}
        rows = [row for row in carrier_delays.fn(carrier, month).days if row.day in none_left]
        if rows:
            assert all(row.mean_delay_min is None and row.p90_delay_min is None for row in rows)
            return
    pytest.fail("no carrier had such a day; choose other months")


def test_carriers_are_ranked_by_share_on_time_within_each_part_of_the_day(records: list[Record]) -> None:
    """Shares are those of the records, rank 1 is the highest share of its part, equals share a rank."""
    answer = punctuality.fn("LGA", 3)
    groups: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for record in _of_month(records, 3, origin="LGA"):
        hour = int(record["hour"])
        part = "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
        groups[part, record["carrier"]].append(_minutes(record["dep_delay"]))
    assert {(row.part_of_day, row.carrier) for row in answer.standings} == set(groups)
    for row in answer.standings:
        delays = groups[row.part_of_day, row.carrier]
        left = [delay for delay in delays if delay is not None]
        assert row.departures == len(delays)
        assert row.on_time_share == pytest.approx(sum(delay < 15 for delay in left) / len(left))
        better = [
            other for other in answer.standings
            if other.part_of_day == row.part_of_day and (other.on_time_share or 0) > (row.on_time_share or 0)
        ]  # fmt: skip
        assert row.rank == 1 + len(better)


def test_the_busiest_routes_agree_with_the_records(records: list[Record]) -> None:
    """The top routes, their counts and mean delays are those of the records, the busiest first."""
    answer = busiest_routes.fn(7, top=5)
    flown = Counter((r["origin"], r["dest"]) for r in _of_month(records, 7))
    expected = sorted(flown.items(), key=lambda item: (-item[1], item[0]))[:5]
    assert [((row.origin, row.dest), row.departures) for row in answer.top] == expected
    assert [row.rank for row in answer.top] == [1, 2, 3, 4, 5]
    assert answer.routes_flown == len(flown)
    first = answer.top[0]
    delays = [_minutes(r["arr_delay"]) for r in _of_month(records, 7, origin=first.origin, dest=first.dest)]
    assert first.mean_arr_delay_min == _mean(delays)
    assert first.dest_name == "Los Angeles Intl"


def test_a_month_without_flights_has_no_routes() -> None:
    """A month that the data has not gives an empty list and zero totals."""
    answer = busiest_routes.fn(13)
    assert (answer.top, answer.routes_flown, answer.corrections) == ((), 0, 0)


def test_every_flight_is_in_one_weather_band(records: list[Record]) -> None:
    """The bands of weather hold each of the month's flights exactly once, unobserved hours included."""
    answer = weather_delays.fn("EWR", 7)
    of_month = _of_month(records, 7, origin="EWR")
    assert sum(row.departures for row in answer.bands) == len(of_month)
    assert sum(row.cancelled for row in answer.bands) == sum(r["dep_delay"] == "NA" for r in of_month)
    assert [row.weather for row in answer.bands] == ["low visibility", "rain", "fair", "unknown"]
    bad, fair = answer.bands[0], answer.bands[2]
    assert (bad.mean_delay_min or 0) > (fair.mean_delay_min or 0)
    assert (bad.p90_delay_min or 0) > (fair.p90_delay_min or 0)


def test_the_percentile_of_the_weather_agrees_with_the_records(records: list[Record]) -> None:
    """A band's 90th percentile is a delay that occurred, and enough flights were at least so late."""
    answer = weather_delays.fn("EWR", 7)
    left = sorted(int(r["dep_delay"]) for r in _of_month(records, 7, origin="EWR") if r["dep_delay"] != "NA")
    for band in answer.bands:
        flown = band.departures - band.cancelled
        assert band.p90_delay_min in left
        assert band.late <= flown
        # At least a tenth of the band is as late as its percentile, or later.
        assert sum(delay >= (band.p90_delay_min or 0) for delay in left) >= flown // 10


def test_the_worst_days_agree_with_the_records(records: list[Record]) -> None:
    """The days are those with the highest share of late and cancelled departures, the worst first."""
    answer = worst_days.fn("JFK", days=3)
    by_day: dict[date, list[int | None]] = defaultdict(list)
    for record in records:
        if record["origin"] == "JFK":
            by_day[_departs(record).date()].append(_minutes(record["dep_delay"]))
    share = {
        day: sum(delay is None or delay >= 15 for delay in delays) / len(delays)
        for day, delays in by_day.items()
    }
    expected = sorted(share, key=lambda day: (-share[day], day))[:3]
    assert [row.day for row in answer.days] == expected
    assert [row.disrupted_share for row in answer.days] == [pytest.approx(share[day]) for day in expected]


def test_a_planes_history_has_its_legs_newest_first(records: list[Record]) -> None:
    """Every departure of the plane is there; what is known of the plane comes with it."""
    answer = plane_history.fn("N14228")
    expected = [r for r in records if r["tailnum"] == "N14228"]
    assert len(answer.legs) == len(expected)
    assert [leg.departs for leg in answer.legs] == sorted((_departs(r) for r in expected), reverse=True)
    assert sum(leg.distance_mi for leg in answer.legs) == sum(int(r["distance"]) for r in expected)
    assert (answer.manufacturer, answer.model, answer.seats, answer.built) == ("BOEING", "737-824", 149, 1999)


def test_an_unknown_plane_has_an_empty_history() -> None:
    """A tail number that nobody has gives no legs and no error."""
    answer = plane_history.fn("N00000")
    assert (answer.legs, answer.manufacturer, answer.corrections) == ((), None, 0)


def test_a_user_who_watches_nothing_has_an_empty_list() -> None:
    """A watch list that was never written to is empty."""
    assert watch_list.fn(1) == []
