"""The flights, loaded once for the whole run, and the same records read straight from the source."""

from __future__ import annotations

import csv
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from tasks import dataset, db, load

Record = dict[str, str]


@pytest.fixture(scope="session")
def loaded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the flights. Several test processes may ask at once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    file = shared / "reference" / "flights.db"
    load.load(URL.create("sqlite", database=str(file)))
    return file


@pytest.fixture
def flights_db(loaded_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The flights as the database of `tasks`; for tests that only read."""
    yield from _as_database(loaded_file, monkeypatch)


@pytest.fixture
def own_flights_db(loaded_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the flights as the database of `tasks`; for tests that write."""
    yield from _as_database(Path(shutil.copy(loaded_file, tmp_path / "flights.db")), monkeypatch)


def _as_database(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WARMER_DATABASE_URL", f"sqlite:///{file}")
    db.close()
    yield file
    db.close()


@pytest.fixture(scope="session")
def records() -> list[Record]:
    """Every record of the source's flights, by column name, as text: the queries are checked with them."""
    with zipfile.ZipFile(dataset.data_folder() / "flights.csv.zip") as archive:
        lines = io.StringIO(archive.read("flights.csv").decode("ascii"))
    return list(csv.DictReader(lines))
