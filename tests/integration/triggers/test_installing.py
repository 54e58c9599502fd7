"""Installing, checking and removing triggers, on tables of every name and place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.tracked import Foreign, Tracked
from warmer import Warmer
from warmer.errors import OutboxMissing
from warmer.found.gaps import audit
from warmer.outbox import schema
from warmer.triggers import install, installed, look, remove, show
from warmer.triggers.tables import wanted

ODD = "Flüge \"1\" 'x' \\ */ $$ %s :a;"
LEFT = {
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE name LIKE 'warmer%'"
    " AND tbl_name NOT IN ('warmer_outbox', 'warmer_facts')",
    "postgresql": "SELECT (SELECT count(*) FROM pg_proc WHERE proname LIKE 'warmer%')"
    " + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'warmer%')",
}


@pytest.fixture
def plain(engine: Engine, namespace: str, redis_url: str) -> Iterator[Warmer]:
    """A namespace with one query, of a table with a name that needs care, and no triggers yet."""
    flights = Warmer(namespace, redis_url=redis_url, database_url=engine.url.render_as_string(False))
    with engine.begin() as connection:
        names = ODD.replace('"', '""')
        connection.exec_driver_sql(
            f'CREATE TABLE "{names}" (id integer PRIMARY KEY, "Ort ""\\ %" varchar(9))',
            execution_options={"no_parameters": True},
        )
    yield flights
    flights.close()


def _install(engine: Engine, flights: Warmer) -> Any:
    with engine.begin() as connection:
        return install(connection, flights, wanted(flights)[0])


def _look(engine: Engine, flights: Warmer) -> Any:
    with engine.begin() as connection:
        return look(connection, flights, wanted(flights)[0])


def test_names_that_need_care(plain: Warmer, engine: Engine, foreign: Foreign) -> None:
    """Quotes, letters, signs and the ends of comments in names are what they are."""

    @plain.cached(ttl=600, name="odd", version="1", depends_on={ODD: {'Ort "\\ %': "place"}})
    def odd(place: str) -> int:
        return 1

    _install(engine, plain)
    odd("here"), odd("there")
    table = '"' + ODD.replace('"', '""') + '"'
    session = ["SET standard_conforming_strings = off"] if engine.dialect.name == "postgresql" else []
    foreign(*session, f"INSERT INTO {table} VALUES (1, 'here')")

    assert plain.relay() == 1
    assert [odd.bind(place).entry() is None for place in ("here", "there")] == [True, False]
    with engine.begin() as connection:
        assert installed(connection) == {ODD}
        assert remove(connection, plain.namespace)
        assert connection.execute(text(LEFT[engine.dialect.name].replace(":", "\\:"))).scalar_one() == 0


def test_installing_is_done_once(made: Tracked) -> None:
    """What is as it should be is not touched; what differs, or is missing, is made anew."""
    name = made.engine.dialect.name
    with made.engine.begin() as connection:
        age = "PRAGMA schema_version"
        if name == "postgresql":
            age = "SELECT max(oid) FROM pg_trigger"
        before = connection.exec_driver_sql(age).scalar_one()
    assert _install(made.engine, made.flights).current != ()
    with made.engine.begin() as connection:
        assert connection.exec_driver_sql(age).scalar_one() == before
        ask = "SELECT name FROM sqlite_master WHERE name LIKE 'warmer_bags%delete'"
        if name == "postgresql":
            ask = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'warmer_bags%delete'"
        (one,) = connection.execute(text(ask)).scalars()
        where = "" if name == "sqlite" else " ON bags"
        connection.execute(text(f'DROP TRIGGER "{one}"{where}'))

    state = _look(made.engine, made.flights)
    assert [table.rpartition(".")[2] for table in state.outdated] == ["bags"]
    with made.engine.begin() as connection:
        assert installed(connection) == {"flights", "crews"}
    _install(made.engine, made.flights)
    assert _look(made.engine, made.flights).outdated == ()


def test_a_newer_querys_columns_are_missing(made: Tracked, foreign: Foreign) -> None:
    """Triggers that don't know a column are outdated; until they are replaced, the whole table is named."""

    @made.flights.cached(ttl=600, name="late", version="1", depends_on={"flights": ("delay",)})
    def late(delay: int) -> int:
        return 1

    late(3), late(4)
    made.fill()
    foreign("UPDATE flights SET delay = 3 WHERE id = 1")
    made.flights.relay()
    assert (late.bind(3).entry(), late.bind(4).entry()) == (None, None)

    assert [one.rpartition(".")[2] for one in _look(made.engine, made.flights).outdated] == ["flights"]
    _install(made.engine, made.flights)
    late(4)
    made.fill()
    foreign("UPDATE flights SET delay = 3 WHERE id = 1")
    made.flights.relay()
    assert late.bind(4).entry() is not None


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has no partitions
def test_partitions_and_schemas(plain: Warmer, engine: Engine, foreign: Foreign) -> None:
    """PostgreSQL: a write to a partition, or that moves a row to another, is one to its table."""
    foreign(
        "CREATE SCHEMA air",
        "CREATE TABLE air.legs (id int, carrier text, month int) PARTITION BY LIST (month)",
        "CREATE TABLE air.legs_1 PARTITION OF air.legs FOR VALUES IN (1)",
        "CREATE TABLE air.legs_2 PARTITION OF air.legs FOR VALUES IN (2)",
        "CREATE TABLE legs (id int, carrier text, month int)",
    )

    @plain.cached(ttl=600, name="legs", version="1", depends_on={"air.legs": ("month",)})
    def legs(month: int) -> int:
        return 1

    _install(engine, plain)

    def gone_after(statement: str) -> list[int]:
        for month in (1, 2, 3):
            legs(month)
        foreign(statement)
        plain.relay()
        return [month for month in (1, 2, 3) if legs.bind(month).entry() is None]

    assert gone_after("INSERT INTO air.legs_1 VALUES (1, 'UA', 1)") == [1]
    assert gone_after("UPDATE air.legs SET month = 2") == [1, 2]
    assert gone_after("DELETE FROM air.legs WHERE month = 2") == [2]
    assert gone_after("INSERT INTO legs VALUES (1, 'UA', 1)") == []
    foreign("CREATE TABLE air.legs_3 PARTITION OF air.legs FOR VALUES IN (3)")
    assert _look(engine, plain).missing == ("air.legs_3",)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has no rights
def test_a_writer_without_rights_on_the_outbox(made: Tracked, foreign: Foreign) -> None:
    """PostgreSQL: who may write to a table only is told of like everybody else."""
    made.fill()
    role = "CREATE ROLE clerk"
    foreign(
        f"DO $$ BEGIN {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT SELECT, UPDATE ON flights TO clerk", "SET ROLE clerk",
        "UPDATE flights SET delay = 1 WHERE id = 1", "RESET ROLE",
        "REVOKE ALL ON flights FROM clerk",
    )  # fmt: skip
    made.flights.relay()

    assert made.gone() == {("UA", 1)}


def test_each_namespace_has_its_triggers(made: Tracked, redis_url: str, foreign: Foreign) -> None:
    """Removing those of one leaves the other's, and dropping the outbox takes both."""
    other = Warmer(f"{made.flights.namespace}-2", redis_url=redis_url)

    @other.cached(ttl=600, name="any", version="1", depends_on={"flights": ()})
    def any_flight() -> int:
        return 1

    _install(made.engine, other)
    foreign("UPDATE flights SET delay = 1 WHERE id = 1")
    with made.engine.begin() as connection:
        told = connection.execute(text("SELECT namespace FROM warmer_outbox")).scalars().all()
        assert sorted(told) == [made.flights.namespace, other.namespace]
        assert len(remove(connection, made.flights.namespace)) == 3
        assert installed(connection) == {"flights"}
        assert installed(connection, made.flights.namespace) == set()
    other.close()


def test_where_triggers_do_not_notify(made: Tracked, redis_url: str) -> None:
    """With `triggers_notify="never"` they leave what they write to the relay's next look, once made anew."""
    quiet = Warmer(made.flights.namespace, redis_url=redis_url, triggers_notify="never")
    with made.engine.begin() as connection:
        statements = [show(connection, one, wanted(made.flights)[0]) for one in (made.flights, quiet)]

    notifying = ["pg_notify" in "".join(some) for some in statements]
    assert notifying == [made.engine.dialect.name == "postgresql", False]
    quiet.close()


def test_an_audit_knows_who_watches(made: Tracked) -> None:
    """A query whose tables have triggers has somebody who invalidates it, though nothing has changed yet."""
    readings = list(made.flights.readings.values())
    with made.engine.begin() as connection:
        watched = installed(connection)

    def gaps(tables: set[str]) -> set[str]:
        found = audit(made.flights.runtime(), readings, 0, random.Random(1), tables).gaps
        return {gap.query for gap in found if gap.kind == "never_invalidated"}

    assert gaps(set()) == {"delays", "bags", "crew"}
    assert gaps(watched) == set()


def test_without_an_outbox_there_are_none(made: Tracked) -> None:
    """Triggers that could write nowhere are not made, and not shown."""
    with made.engine.begin() as connection:
        remove(connection, None)
        schema.drop(connection)
        with pytest.raises(OutboxMissing, match="warmer db create"):
            show(connection, made.flights, wanted(made.flights)[0])
