"""warmer.cli.output, lines and tasklines: what commands and services write."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.table import Table

from warmer.cli.lines import ERROR, INFO, WARNING, Line, read_line
from warmer.cli.output import console, counted, one_line, print_json, seconds, tell
from warmer.cli.tasklines import TaskLines
from warmer.errors import FolderNotWritable


def test_an_error_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets, colons and tags in a message are text: nothing of it is taken for markup."""
    tell(FolderNotWritable("x[bold]y[/]:smile:[/nonsense]", "it is [red]"), "beside it")

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("warmer: x[bold]y[/]:smile:[/nonsense] can't hold a new project: it is [red].")
    assert said.err.endswith("\nbeside it\n")


def test_keys_in_a_table_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """What a query's params hold may look like markup, or like an emoji's name."""
    table = Table(box=None, show_header=False)
    table.add_row("[bold]north[/]", ":smile:")

    console.print(table)
    console.print("[red]x")

    assert capsys.readouterr().out.split() == ["[bold]north[/]", ":smile:", "[red]x"]


def test_notes_of_an_error_are_told_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """What was found out on the way stands below the message."""
    error = FolderNotWritable("x", "why")
    error.add_note("  at tasks/orders.py:7")

    tell(error)

    assert capsys.readouterr().err.endswith("(docs/errors.md#folder-not-writable)\n  at tasks/orders.py:7\n")


def test_json_is_one_document_with_times_in_iso_8601(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed can be read back, whatever is in it."""
    print_json({"at": datetime(2026, 11, 22, tzinfo=UTC), "path": Path("x"), "texts": ("[a]", "b")})

    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-11-22T00:00:00+00:00", "path": "x", "texts": ["[a]", "b"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (0.0123, "12 ms"), (-0.5, "-500 ms"), (1, "1.0 s"), (300, "5 min")]
)
def test_durations_are_short(value: float | None, shown: str) -> None:
    """Milliseconds, seconds or minutes, as fits."""
    assert seconds(value) == shown


def test_a_databases_message_is_one_line_without_its_statement() -> None:
    """What a table can hold is the cause; the statement is in the worker's log."""
    message = "OperationalError: no such\n table: x\n[SQL: SELECT 1\nFROM x]\n(Background on this error)"

    assert one_line(message) == "OperationalError: no such table: x"
    assert one_line("x" * 500, 10) == "xxxxxxx..."
    assert (counted(1, "entry", "entries"), counted(0, "entry", "entries")) == ("1 entry", "0 entries")


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            "[2026-11-22 10:15:00,123: INFO/MainProcess] worker@vm ready.",
            Line("worker@vm ready.", "10:15:00", INFO),
        ),
        ("[2026-11-22 10:15:00,123: CRITICAL/ForkPoolWorker-1] x", Line("x", "10:15:00", ERROR)),
        ("[W 261122 10:15:00 inspector:42] Inspect failed", Line("Inspect failed", "10:15:00", WARNING)),
        ("12:M 22 Nov 2026 10:15:00.123 # no [disk]", Line("no [disk]", "10:15:00", WARNING)),
        ("12:C 22 Nov 2026 10:15:00.123 * loaded", Line("loaded", "10:15:00", INFO)),
        ("[bold] something else", Line("[bold] something else")),
    ],
)
def test_a_line_of_any_service_has_its_time_and_level_read(raw: str, line: Line) -> None:
    """Celery, Flower and Valkey write them each in their own way."""
    assert read_line(raw) == line


def test_a_line_without_a_time_goes_on_with_the_one_before() -> None:
    """A traceback is as grave as the line above it."""
    before = read_line("[2026-11-22 10:15:00,123: ERROR/MainProcess] failed")

    after = read_line("  File x", before)

    assert after.continues
    assert after.level == ERROR


def _record(logger: str, level: int, message: str, told: object) -> logging.LogRecord:
    return logging.LogRecord(logger, level, "", 0, message, (told,) if told else None, None)


def test_a_task_of_a_query_is_one_line_with_its_call() -> None:
    """That it was received is left out; how it ended is said with the entry's params."""
    lines = TaskLines({"sales_of"})
    told = {"id": "7", "name": "sales_of", "args": "sales_of(north, 3)"}
    received = _record("celery.worker.strategy", logging.INFO, "Task %(name)s received", told)
    ended = _record(
        "celery.app.trace", logging.INFO, "Task ...", told | {"return_value": "'loaded'", "runtime": 0.02}
    )
    failed = _record("celery.app.trace", logging.INFO, "Task ...", told | {"exc": "LoadFailed()"})

    assert [lines.filter(record) for record in (received, ended, failed)] == [False, True, True]
    assert ended.getMessage() == "sales_of(north, 3): loaded, 20 ms"
    assert failed.getMessage() == "sales_of(north, 3): failed"


def test_tasks_of_others_are_logged_as_they_were() -> None:
    """An application that hosts our tasks keeps its own lines, and errors of ours stay whole."""
    lines = TaskLines({"sales_of"})
    other = _record("celery.worker.strategy", logging.INFO, "Task %(name)s received", {"name": "theirs"})
    plain = _record("celery.app.trace", logging.WARNING, "plain", None)
    fault = _record("celery.app.trace", logging.ERROR, "%(exc)s", {"name": "sales_of", "exc": "TypeError()"})

    assert all(lines.filter(record) for record in (other, plain, fault))
    assert other.getMessage() == "Task theirs received"
    assert fault.getMessage() == "TypeError()"
