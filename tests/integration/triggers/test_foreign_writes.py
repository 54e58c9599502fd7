"""Writes of programs that never heard of Warmer: triggers tell of them, the relay applies them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from tests.tracked import Foreign, Tracked

JANUARY, FEBRUARY, OTHER = ("UA", 1), ("UA", 2), ("AA", 1)


def _gone_after(made: Tracked, foreign: Foreign, *statements: str) -> set[tuple[Any, ...]]:
    made.flights.relay()
    made.fill()
    assert made.gone() == set()
    foreign(*statements)
    made.flights.relay()
    return made.gone()


def test_inserts_updates_and_deletes_take_what_they_hit(made: Tracked, foreign: Foreign) -> None:
    """Rows are told as they were and as they are, and nothing else goes."""
    insert = "INSERT INTO flights (carrier, month, delay) VALUES ('AA', 1, 5)"
    assert _gone_after(made, foreign, insert) == {OTHER}
    assert _gone_after(made, foreign, "UPDATE flights SET month = 2 WHERE id = 1") == {JANUARY, FEBRUARY}
    assert _gone_after(made, foreign, "UPDATE flights SET delay = 7 WHERE id = 1") == {FEBRUARY}
    assert _gone_after(made, foreign, "DELETE FROM flights WHERE id = 3") == {OTHER}
    assert _gone_after(made, foreign, "UPDATE flights SET month = 2 WHERE id = 99") == set()


def test_association_rows_are_watched(made: Tracked, foreign: Foreign) -> None:
    """A table that is no class of its own has triggers, too."""
    assert _gone_after(made, foreign, "INSERT INTO crews VALUES (2, 1)") == {("crew", 2)}


def test_rows_that_the_database_deletes_are_told(made: Tracked, foreign: Foreign) -> None:
    """A cascade of the database's own takes the entries of the rows that it takes."""
    foreign("INSERT INTO bags (flight_id) VALUES (2)")

    assert _gone_after(made, foreign, "DELETE FROM flights WHERE id = 2") == {FEBRUARY, ("bags", 2)}


def test_what_is_rolled_back_is_not_told(made: Tracked, foreign: Foreign) -> None:
    """A savepoint's changes go with it."""
    statements = (
        "SAVEPOINT one",
        "UPDATE flights SET delay = 1 WHERE id = 1",
        "ROLLBACK TO SAVEPOINT one",
        "UPDATE flights SET delay = 1 WHERE id = 3",
    )

    assert _gone_after(made, foreign, *statements) == {OTHER}


def test_rows_that_are_replaced_are_told(made: Tracked, foreign: Foreign) -> None:
    """An upsert takes the entries of the row that was there and of the one that is there now."""
    row = "(id, carrier, month, delay) VALUES (2, 'AA', 1, 9)"
    if made.engine.dialect.name == "sqlite":
        assert _gone_after(made, foreign, f"INSERT OR REPLACE INTO flights {row}") == {FEBRUARY, OTHER}
        replacing = "UPDATE OR REPLACE flights SET id = 1 WHERE id = 2"
        assert _gone_after(made, foreign, replacing) == {JANUARY, OTHER}
    else:
        upsert = f"INSERT INTO flights {row} ON CONFLICT (id) DO UPDATE SET carrier = 'AA', month = 1"
        assert _gone_after(made, foreign, upsert) == {FEBRUARY, OTHER}


def test_many_kinds_of_rows_are_the_whole_table(made: Tracked, foreign: Foreign) -> None:
    """A statement that hits more than a thousand kinds of rows is told in a row that names the table."""
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "
    if made.engine.dialect.name == "sqlite":
        statement = f"INSERT INTO flights (carrier, month, delay) {many} SELECT 'ZZ', i, 0 FROM n"
    else:
        statement = f"{many} INSERT INTO flights (carrier, month, delay) SELECT 'ZZ', i, 0 FROM n"
    gone = _gone_after(made, foreign, statement)
    with made.engine.connect() as connection:
        told = connection.execute(text("SELECT count(*), max(changes) FROM warmer_outbox")).one()

    if made.engine.dialect.name == "postgresql":
        assert tuple(told) == (1, '{"v":1,"rows":{"flights":null}}')
    else:
        assert told[0] == 1200
    # The relay merges what it finds, to whole tables, too; of 500 rows at a time on SQLite, each is told.
    assert gone == ({JANUARY, FEBRUARY, OTHER} if told[0] == 1 else set())


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has neither
def test_truncate_and_copy_are_told(made: Tracked, foreign: Foreign) -> None:
    """PostgreSQL: TRUNCATE names the table, COPY its rows."""
    assert _gone_after(made, foreign, "TRUNCATE bags") == {("bags", 1), ("bags", 2), ("bags", 3)}
    made.fill()
    dsn = made.engine.url.set(drivername="postgresql").render_as_string(False)
    with (
        psycopg.connect(dsn) as plain,
        plain.cursor().copy("COPY flights (carrier, month, delay) FROM STDIN") as copy,
    ):
        copy.write_row(("UA", 2, 3))
    made.flights.relay()

    assert made.gone() == {FEBRUARY}


def test_a_writer_keeps_its_own_last_id(made: Tracked, engine: Engine) -> None:
    """What a trigger writes does not change which id its writer finds that it has inserted."""
    asked = "SELECT last_insert_rowid()" if engine.dialect.name == "sqlite" else "SELECT lastval()"
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO flights (carrier, month, delay) VALUES ('UA', 1, 0)")
        newest = connection.exec_driver_sql("SELECT max(id) FROM flights").scalar_one()

        assert connection.exec_driver_sql(asked).scalar_one() == newest


@pytest.mark.parametrize(
    "engine", ["postgresql"], indirect=True
)  # SQLite refuses to drop a column that a trigger reads
def test_a_column_that_goes_does_not_stop_writers(made: Tracked, foreign: Foreign) -> None:
    """PostgreSQL: after a migration that forgot the triggers, writers go on, and name the whole table."""
    foreign("ALTER TABLE bags RENAME COLUMN flight_id TO flown")
    made.flights.relay()
    made.delays("UA", 1)

    foreign("INSERT INTO bags (flown) VALUES (1)")

    assert made.flights.relay() == 1
    assert made.bags.bind(1).entry() is None
