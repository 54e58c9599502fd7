"""`warmer db triggers`: shown, made, checked and removed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.commanding.projects import write_tasks
from tests.commanding.session import Session

TASKS = """
from warmer import Warmer

shop = Warmer("shop")

@shop.cached(ttl=60, name="orders", version="1", depends_on={"orders": ("shelf",), "nowhere": ()})
def orders(shelf: int) -> int:
    return 1
"""
TABLE = "CREATE TABLE orders (id integer PRIMARY KEY, shelf integer)"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with the table."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute(TABLE)
    return f"sqlite:///{tmp_path / 'shop.db'}"


def test_triggers_from_the_command_line(url: str, tmp_path: Path, redis_url: str) -> None:
    """Shown without being made; made once; told by `db check`; and removed, with the outbox, too."""
    folder = write_tasks(tmp_path / "project", TASKS)
    with Session(folder, {"WARMER_REDIS_URL": redis_url, "WARMER_DATABASE_URL": url}) as warmer:
        assert "warmer db create" in warmer("db", "triggers", "--show").err
        warmer("db", "create")
        shown = warmer("db", "triggers", "--show")
        assert shown.out.count("CREATE TRIGGER") == 5
        missing = warmer("db", "triggers")
        assert (missing.code, "orders: has no triggers" in missing.out) == (1, True)
        assert "`warmer db triggers --install` makes them" in missing.err
        assert warmer("db", "check").code == 0
        assert "no table is named stray" in warmer("db", "triggers", "--table", "stray").err

        made = warmer("db", "triggers", "--install")
        assert "orders: triggers made" in made.out
        assert (made.code, "no table is named nowhere" in made.err) == (1, True)
        assert "had its triggers already" in warmer("db", "triggers", "--install").out
        assert "triggers current: " in warmer("db", "check").out

    (folder / "tasks" / "__init__.py").write_text(TASKS.replace('("shelf",)', '{"id": "shelf"}'))
    with Session(folder, {"WARMER_REDIS_URL": redis_url, "WARMER_DATABASE_URL": url}) as warmer:
        outdated = warmer("db", "check")
        assert (outdated.code, "triggers outdated: " in outdated.out) == (1, True)
        assert "of 1 table removed" in warmer("db", "triggers", "--remove").out
        assert "of 0 tables removed" in warmer("db", "triggers", "--remove").out
        assert "current" not in warmer("db", "check").out
        warmer("db", "triggers", "--install")
        assert "warmer_outbox dropped" in warmer("db", "drop").out
        assert "one of" in warmer("db", "triggers", "--show", "--remove").err
    _write(url)


def _write(url: str) -> None:
    """As a program that knows nothing of it: nothing is left that could stop it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders (id, shelf) VALUES (1, 1)"))
        assert inspect(connection).get_table_names() == ["orders"]
    engine.dispose()
