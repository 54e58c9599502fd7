"""`warmer db create|check|drop` on real databases, tracked ones and the one of WARMER_DATABASE_URL."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.commanding.projects import write_tasks
from tests.commanding.session import Session, say

PLAIN = """
from warmer import Warmer

shop = Warmer("shop")
"""
TRACKED = """
from sqlalchemy.ext.asyncio import create_async_engine
from warmer import Warmer

shop = Warmer("shop")
shop.track(create_async_engine("sqlite+aiosqlite:///shop.db"))
"""
ROW = "INSERT INTO warmer_outbox (namespace, own, changes) VALUES ('shop', {own}, '{{\"v\":1}}')"


@pytest.mark.parametrize("kind", ["postgresql", "async sqlite"])
def test_the_outbox_is_made_looked_at_and_dropped(
    kind: str, tmp_path: Path, redis_url: str, request: pytest.FixtureRequest
) -> None:
    """Made once; looked at, whole or not; and never dropped with changes in it unless that is asked for."""
    named = kind == "postgresql"
    folder = write_tasks(tmp_path, PLAIN if named else TRACKED)
    url = request.getfixturevalue("pg_url") if named else f"sqlite:///{folder / 'shop.db'}"
    env = {"WARMER_REDIS_URL": redis_url} | ({"WARMER_DATABASE_URL": url} if named else {})
    with Session(folder, env) as warmer:
        missing = warmer("db", "check")
        assert missing.code == 1
        assert "warmer db create" in missing.err
        made = warmer("db", "create")
        assert (made.code, "warmer_outbox created" in made.out) == (0, True), made.err
        assert "was there already" in warmer("db", "create").out
        assert "whole, 0 pending, 0 applied and kept" in warmer("db", "check").out

        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(ROW.format(own="true" if named else "1").replace(":1", r"\:1")))
            connection.execute(text("DROP INDEX warmer_outbox_applied"))
        engine.dispose()
        lacking = warmer("db", "check", "--json")
        (found,) = lacking.json
        assert lacking.code == 1
        assert (found["lacks"], found["pending"], found["applied"]) == (["warmer_outbox_applied"], 1, 0)

        refused = warmer("db", "drop")
        assert refused.code == 2
        assert "1 change is not applied yet" in refused.err
        assert "warmer_outbox dropped" in warmer("db", "drop", "--yes").out
        assert "was not there" in warmer("db", "drop").out


def test_no_database_and_one_that_is_away(tmp_path: Path, redis_url: str) -> None:
    """Both are told in words, without a traceback or a password, and nothing is made."""
    folder = write_tasks(tmp_path, PLAIN)
    unknown = say(folder, "db", "create", env={"WARMER_REDIS_URL": redis_url})
    away = "postgresql://me:hidden@127.0.0.1:9/shop?connect_timeout=5"
    with Session(folder, {"WARMER_REDIS_URL": redis_url, "WARMER_DATABASE_URL": away}) as warmer:
        unreachable = [warmer("db", what) for what in ("create", "check", "drop")]

    assert unknown.code == 1
    assert "WARMER_DATABASE_URL" in unknown.err
    for said in (unknown, *unreachable):
        assert said.code == 1
        assert "Traceback" not in said.err
        assert "hidden" not in said.err + said.out
    assert all("can't be reached" in said.err for said in unreachable)
