"""What is read of the rows that a statement is about to hit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert, text, update

from warmer.capture.lookups import MOST_ROWS, by_key, lookup_of

FLIGHTS = Table(
    "flights",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("leg", Integer, primary_key=True),
    Column("carrier", String),
    Column("delay", Integer),
)


def _found(rows: list[dict[str, Any]], clause: Any) -> list[tuple[Any, ...]]:
    """What is counted of these rows, where the database takes `ua` and `UA` for equal."""
    engine = create_engine("sqlite://")
    columns = [FLIGHTS.c.carrier, FLIGHTS.c.delay]
    with engine.begin() as connection:
        made = "CREATE TABLE flights (id INTEGER, leg INTEGER, carrier TEXT COLLATE NOCASE, delay INTEGER)"
        connection.execute(text(made))
        connection.execute(insert(FLIGHTS), rows)
        found = lookup_of(clause, FLIGHTS, (), columns, [{}], "sqlite")
        assert found is not None
        assert found.counted
        return sorted(
            tuple(row)
            for statement, given in found.statements
            for row in connection.execute(statement, given)
        )


def test_rows_that_look_alike_are_told_once_and_counted() -> None:
    """A statement that hits many rows reads each way that they look, and how many they are."""
    rows = [{"id": n, "leg": 1, "carrier": "UA", "delay": n % 2} for n in range(100)]

    assert _found(rows, update(FLIGHTS).values(leg=2)) == [("UA", 0, 50), ("UA", 1, 50)]


def test_texts_that_a_collation_finds_equal_are_told_apart() -> None:
    """Entries are named by the bytes of a text: none that a row had may be missing."""
    rows = [
        {"id": n, "leg": 1, "carrier": carrier, "delay": 0} for n, carrier in enumerate(("UA", "ua", "AA"))
    ]

    assert _found(rows, update(FLIGHTS).values(leg=2)) == [("AA", 0, 1), ("UA", 0, 1), ("ua", 0, 1)]


def test_more_rows_than_are_read_are_counted_as_more() -> None:
    """Who has counted more than the limit names the whole table."""
    rows = [{"id": n, "leg": 1, "carrier": "UA", "delay": 0} for n in range(MOST_ROWS + 2)]

    assert _found(rows, update(FLIGHTS).values(leg=2)) == [("UA", 0, MOST_ROWS + 1)]


def test_rows_are_looked_up_by_keys_of_several_columns() -> None:
    """One by one or many at once, the rows with these keys are read and no others."""
    engine = create_engine("sqlite://")
    FLIGHTS.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(FLIGHTS), [{"id": n, "leg": n % 3, "carrier": str(n)} for n in range(9)])
        for keys in ([(4, 1)], [(4, 1), (5, 2), (6, 1)]):
            read = [
                row.carrier
                for found, given in by_key(FLIGHTS, (FLIGHTS.c.carrier,), keys)
                for row in connection.execute(found, given)
            ]
            assert read == [str(number) for number, leg in keys if number % 3 == leg]
