"""The reference deployment as a project: what importing and reading it does, and how it is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.setting import Setting
from tasks import db, flights
from tasks.boards import departures

ROOT = Path(__file__).resolve().parents[3]

READ = """
import sys
from datetime import date
from tasks.boards import departures
assert len(departures("EWR", date(2013, 7, 10))) == 359
print(sorted(name for name in ("celery", "kombu", "apscheduler", "flower", "rich") if name in sys.modules))
"""


def _run(code: str, **env: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_reader_does_not_import_celery(flights_db: Path, redis_url: str) -> None:
    """A plain script gets its board without Celery, APScheduler or the command line in its process."""
    said = _run(READ, WARMER_REDIS_URL=redis_url, WARMER_DATABASE_URL=f"sqlite:///{flights_db}")
    assert said == "[]"


def test_importing_every_module_connects_to_nothing(tmp_path: Path) -> None:
    """Queries and plans are imported with neither Redis nor the database there, and no file is made."""
    code = (
        "import importlib, pathlib\n"
        "for room in ('tasks', 'schedules'):\n"
        "    for file in pathlib.Path(room).glob('*.py'):\n"
        "        if file.stem not in ('__init__', 'celery'):\n"
        "            importlib.import_module(f'{room}.{file.stem}')\n"
        "from tasks import flights\n"
        "print(len(flights.queries), len(flights.plans))"
    )
    said = _run(
        code,
        WARMER_REDIS_URL="redis://127.0.0.1:1/0",
        WARMER_DATABASE_URL=f"sqlite:///{tmp_path / 'none.db'}",
    )
    assert said == "8 5"
    assert list(tmp_path.iterdir()) == []


def test_every_query_and_plan_says_what_it_is_for() -> None:
    """Who is on call finds more than a line in the docstring of a query, and a line in a plan."""
    __import__("schedules.mornings")
    __import__("schedules.screens")
    for name, query in flights.queries.items():
        assert len((query.__doc__ or "").strip().splitlines()) > 1, name
    assert all(plan.about for plan in flights.plans.values())


def test_statements_of_queries_are_counted_where_a_log_is_named(
    flights_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement of a query adds one byte to the file, whichever process runs it."""
    log = tmp_path / "statements"
    monkeypatch.setenv(db.STATEMENT_LOG_VARIABLE, str(log))
    db.close()
    departures.fn("EWR", Setting().day)
    departures.fn("JFK", Setting().day)
    assert log.stat().st_size == 2
    db.close()


def test_the_demo_refuses_numbers_that_show_nothing(tmp_path: Path) -> None:
    """A play that is too short for its plans is refused before anything is started."""
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--seconds", "5"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--seconds is 5, expected at least 30" in done.stderr
